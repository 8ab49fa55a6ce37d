"""One try at one job: from its claim to what the ledger keeps of it.

    claim ─▶ converge ─▶ finish
                 └─ an error ─▶ tried again later, or parked

No try ends without a word to the ledger, except by the death of this process: then the lease runs out, and the job
comes due by itself.
"""

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from replicator.errors import NotYet, ReplicatorError, Unavailable, Untrusted
from replicator.jobs import SILENT_DEATHS_BEFORE_PARKING, Outcome, Park, after_failure
from replicator.ledger import REPAIR, Claim, Cost, Finish, Promotion, Standing, Submission
from replicator.oci import Repository
from replicator.rules import Rule, RuleSet
from replicator.telemetry import JOBS, PROPAGATION_SECONDS, SWEEP_REPAIRS, context_from, tracer
from replicator.transfer.converge import converge, promote
from replicator.transfer.lease import Lease, LeaseLost
from replicator.transfer.moved import Moved
from replicator.transfer.reading import hint_of
from replicator.transfer.result import Result
from replicator.transfer.route import Route
from replicator.transfer.tools import Tools
from replicator.transfer.writing import Writer

log = logging.getLogger(__name__)

SECOND_LOOK_S = 20.0
"""When a source that contradicted a fresh event is looked at once more."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed job, on its way to an end in the repository `target`."""

    tools: Tools
    lease: Lease
    rules: RuleSet
    rule: Rule
    target: Repository
    promotion: Promotion | None = None
    moved: Moved = field(default_factory=Moved)
    began: float = field(default_factory=time.monotonic)

    @property
    def claim(self) -> Claim:
        """What is leased."""
        return self.lease.claim

    def run(self) -> None:
        """Try to bring the reference in line, and tell the ledger what came of it."""
        if self.claim.taken_over and self.claim.attempts > SILENT_DEATHS_BEFORE_PARKING:
            # Counted at the claim, so that a job that kills its worker is parked too.
            self.park("gave up: tried too often without a word from the worker")
            return
        with tracer.start_as_current_span(
            "replicator.job",
            context_from(self.claim.trace),
            attributes={"replicator.job": self.claim.job.key},
        ):
            try:
                self._converge()
            except ReplicatorError as exc:
                self._failed(exc)
            finally:
                self.lease.end()

    def give_back(self) -> None:
        """Stop: the job is due at once, as if it had not been claimed, unless it ended already."""
        self.lease.end()
        if not self.tools.ledger.release(self.claim) and self.claim.is_doubted:
            self._overtaken()

    def _converge(self) -> None:
        names = (self.rule.source, self.claim.job.destination)
        standing = self.tools.ledger.availability.standing(names)
        route = self._route(standing.silent)
        self._wait_for(standing, route)
        writer = Writer(route, self.lease, self.tools.hands, self.moved)
        began, before = time.monotonic(), self.moved.size_bytes
        with self._doubting(route, writer):
            if self.promotion:
                note = partial(self.tools.ledger.promotions.note_previous, self.claim, self.promotion)
                result = promote(route, writer, self.rules, note)
            else:
                result = converge(route, writer, self.rules, hint_of(self.claim))
        cost = Cost(route.rule.source, self.moved.size_bytes - before, time.monotonic() - began)
        self._ended(result, cost, wrote=writer.wrote)
        if result.outcome is not Outcome.SKIPPED:  # a skipped job may never have asked the destination
            route.answered(self.claim.job.destination)

    @contextmanager
    def _doubting(self, route: Route, writer: Writer) -> Iterator[None]:
        """Afterwards what was moved is counted, and the claim is doubted if a write under it was not answered.

        A registry, or a proxy before it, may still be at a write that we gave up, and do it after the next one.
        """
        repeated, is_told = route.destination.repeated_writes, False
        try:
            yield
            is_told = True
        except ReplicatorError as exc:
            is_told = not (isinstance(exc, Unavailable) and exc.registry == route.destination.name)
            raise
        finally:
            writer.moved.count(route.rule.source, self.claim.job.destination)
            if writer.wrote and not (is_told and route.destination.repeated_writes == repeated):
                self.lease.claim = replace(self.claim, is_doubted=True)

    def _route(self, silent: frozenset[str]) -> Route:
        tools, job, start = self.tools, self.claim.job, self.promotion
        return Route(
            self.claim,
            self.rule,
            tools.client(self.rule.source),
            tools.client(job.destination),
            tools.ledger.fleet,
            tools.ledger.availability,
            repository=start.repository if start else job.repository,
            reference=start.digest if start else job.reference,
            target=self.target,
            landing=job.reference,
            silent=silent,
        )

    def _wait_for(self, standing: Standing, route: Route) -> None:
        if standing.paused_for_s > 0:
            raise NotYet(f"{route}: a registry asked for a pause", retry_after=standing.paused_for_s)
        if standing.scarce_for_s > 0 and not self.claim.is_urgent:
            # What is left of a quota is for what cannot wait.
            raise NotYet(f"{route}: a registry grants few more requests", retry_after=standing.scarce_for_s)
        # The dispatcher rings for no destination that is away, but another job of the doorbell may have found it so; a
        # source that hangs must not hold its workers either.
        destination = self.claim.job.destination
        down = route.availability.is_down(destination) if destination in standing.silent else None
        if down:
            raise NotYet(f"{route}: the destination does not answer", retry_after=down.wait_s)
        source = route.rule.source
        wait_s = route.availability.wait_to_try(source) if source in standing.silent else 0.0
        if wait_s > 0:
            raise NotYet(f"{route}: the source does not answer", retry_after=wait_s)

    def _ended(self, result: Result, cost: Cost, *, wrote: bool) -> None:
        is_blocked = result.outcome is Outcome.BLOCKED
        if is_blocked:
            is_told = self.tools.ledger.block(self.claim, result.detail)
        else:
            is_told = self._finish(result, cost) is not Finish.LOST
        if not is_told:
            if wrote:
                self._overtaken()
            return
        if not (result.is_settled or is_blocked):
            # The event may only be long before its effect, behind a slow store or a cache.
            self._check_again(SECOND_LOOK_S)
        self._report(result)

    def _finish(self, result: Result, cost: Cost) -> Finish:
        is_promoted = self.promotion and result.outcome in (Outcome.COPIED, Outcome.UNCHANGED)
        return self.tools.ledger.finish(
            self.claim,
            result.outcome,
            digest=result.digest,
            detail=result.detail,
            promoted=(self.promotion, result.previous) if self.promotion and is_promoted else None,
            cost=cost,
        )

    def _failed(self, error: ReplicatorError) -> None:
        ledger, claim = self.tools.ledger, self.claim
        if isinstance(error, LeaseLost):
            self._overtaken()
            return
        if isinstance(error, Unavailable | Untrusted):
            ledger.availability.mark_down(error.registry)
        step = after_failure(error, claim.attempts, random.random())
        if isinstance(step, Park):
            self.park(str(error))
            return
        if not ledger.retry(claim, step.delay_s, error=str(error), charge=step.charge):
            self._overtaken()
            return
        log.info(
            "job waits",
            extra={
                "job": claim.id,
                "key": claim.job.key,
                "delay_s": round(step.delay_s, 3),
                "why": str(error),
            },
        )

    def park(self, reason: str) -> None:
        """Set the job aside, for a person to look at."""
        self.lease.end()
        if not self.tools.ledger.park(self.claim, reason):
            self._overtaken()
            return
        self._report(Result(Outcome.FAILED, None, reason))

    def _overtaken(self) -> None:
        self._check_again(0.0, is_doubted=True)

    def _check_again(self, delay_s: float, *, is_doubted: bool = False) -> None:
        """Submit the job once more: something may have been written that nobody looked at afterwards.

        With the event behind it, if there was one: without, it would be a resync, which restores what was deleted.
        """
        claim, ledger = self.claim, self.tools.ledger
        if self.promotion:
            last = ledger.promotions.latest(claim.job) or self.promotion
            ledger.promote(last, claim.since, delay_s=delay_s, is_new=False, is_doubted=is_doubted)
            return
        again = Submission(
            claim.job,
            since=claim.since,
            action=claim.action,
            digest=claim.digest,
            trace=claim.trace,
            delay_s=delay_s,
            is_news=False,
            is_urgent=claim.is_urgent,
            was_lost=claim.was_lost,
            is_doubted=is_doubted,
        )
        repair = [replace(again, action=REPAIR)] if claim.is_repair else []
        ledger.submit([again, *repair])

    def _report(self, result: Result) -> None:
        claim, job = self.claim, self.claim.job
        JOBS.labels(self.rule.name, job.destination, result.outcome).inc()
        # Redis' time at the claim, and ours from then on.
        waited_s = max(0.0, claim.claimed_at - claim.since + time.monotonic() - self.began)
        is_change = result.outcome in (Outcome.COPIED, Outcome.DELETED)
        is_repaired = is_change and claim.was_lost
        if is_change:
            PROPAGATION_SECONDS.labels(self.rule.name, job.destination).observe(waited_s)
        if is_repaired:
            SWEEP_REPAIRS.labels(self.rule.name, job.destination).inc()
        log.log(
            logging.WARNING if result.outcome in (Outcome.FAILED, Outcome.BLOCKED) else logging.INFO,
            "job ended",
            extra={
                "job": claim.id,
                "key": job.key,
                "outcome": result.outcome.value,
                "digest": result.digest,
                "detail": result.detail,
                "lag_s": round(waited_s, 3),
                "attempts": claim.attempts,
                **self.moved.as_log,
                **({"repaired": True} if is_repaired else {}),
            },
        )

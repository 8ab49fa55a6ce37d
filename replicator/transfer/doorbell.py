"""Answering a doorbell: which of its jobs are there and nobody else's, and one try at each of them.

A doorbell may be lost, doubled or late; the claims decide. It names jobs of one repository, which share a worker's
process, connections and trip to the ledger; each of them succeeds or fails by itself. What this process claimed and
could not end, because it was told to stop, is given back.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import dataclass

from replicator.errors import LedgerUnavailable
from replicator.jobs import RULE_GRACE_S, Job, Outcome, may_want
from replicator.ledger import Claim, Promotion, Refusal
from replicator.oci import Repository
from replicator.rules import PROMOTION, Destination, Rule, RuleSet, TriggerType, destination_repository
from replicator.telemetry import JOBS
from replicator.transfer.attempt import Attempt
from replicator.transfer.lease import Lease
from replicator.transfer.moved import Moved
from replicator.transfer.tools import Tools
from replicator.verdict import place

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wish:
    """An open job, with the rule that wants it if there is one, and where it leads or why it leads nowhere."""

    id: str
    job: Job
    rule: Rule | None = None
    target: Repository | None = None
    problem: str = ""

    @property
    def locks(self) -> tuple[str, ...]:
        """One writer at a time for a reference at a destination; a pair of two-way rules takes turns, or they swap."""
        job = self.job
        if job.rule == PROMOTION:
            return (place(job.destination, job.repository, job.reference),)
        if self.rule is None or self.target is None:
            return ()
        start = place(self.rule.source, job.repository, job.reference)
        end = place(job.destination, self.target, job.reference)
        return (end, " ".join(sorted((start, end))))


def bring_in_line(job_id: str, tools: Tools, moved: Moved | None = None) -> None:
    """`answer` a doorbell for one job. What is moved meanwhile is counted in `moved`, as it goes."""
    answer([job_id], tools, moved)


def answer(job_ids: Sequence[str], tools: Tools, moved: Moved | None = None) -> None:
    """Try each of the jobs once, if it is there and nobody else holds it.

    Afterwards the ledger says what became of them.
    """
    with ExitStack() as stack:
        _run(_begun(job_ids, tools, moved, stack), tools)


def _run(attempts: Sequence[Attempt], tools: Tools) -> None:
    if len(attempts) < 2:
        for attempt in attempts:
            _run_alone(attempt)
        return
    running = {tools.desks.submit(attempt.run): attempt for attempt in attempts}
    try:
        wait(running, tools.begins_within_s)
    finally:
        # A job that has begun may be writing this very moment. If we are told to stop, its lease runs out, and whoever
        # takes it over looks at it once more.
        _give_back([attempt for future, attempt in running.items() if future.cancel()])
    wait(running)
    for future in running:
        if not future.cancelled():
            future.result()


def _run_alone(attempt: Attempt) -> None:
    try:
        attempt.run()
    except (SystemExit, KeyboardInterrupt):
        _give_back([attempt])
        raise


def _give_back(attempts: Iterable[Attempt]) -> None:
    for attempt in attempts:
        try:
            attempt.give_back()
        except LedgerUnavailable as exc:
            # Its lease runs out.
            log.warning("job not given back", extra={"job": attempt.claim.id, "why": str(exc)})


def _begun(job_ids: Sequence[str], tools: Tools, moved: Moved | None, stack: ExitStack) -> list[Attempt]:
    """The attempts at those jobs that could be claimed, and are wanted. No lease is kept alive longer than `stack`."""
    rules = tools.rules()
    jobs = tools.ledger.jobs(job_ids)
    wishes = [_wish(job_id, job, rules) for job_id, job in zip(job_ids, jobs, strict=True) if job]
    if not wishes:
        return []
    asked = time.monotonic()
    claims = tools.ledger.claim_all([(wish.id, wish.locks) for wish in wishes])
    leases = [
        stack.enter_context(tools.leases.hold(claim, asked)) if isinstance(claim, Claim) else None
        for claim in claims
    ]
    begun = [
        _attempt(wish, lease, tools, rules, moved or Moved())
        for wish, lease in zip(wishes, leases, strict=True)
        if lease
    ]
    for wish, claim in zip(wishes, claims, strict=True):
        if isinstance(claim, Refusal):
            level = logging.WARNING if claim is Refusal.NEWER else logging.DEBUG
            log.log(level, "doorbell refused", extra={"job": wish.id, "why": claim})
    return [attempt for attempt in begun if attempt]


def _wish(job_id: str, job: Job, rules: RuleSet) -> _Wish:
    if job.rule == PROMOTION:
        return _Wish(job_id, job, target=job.repository)
    rule = rules.rule(job.rule)
    is_wanted = rule is not None and rule.enabled and may_want(rule, job.repository, job.reference)
    there = rule.destination(job.destination) if rule and is_wanted else None
    if rule is None or there is None:
        return _Wish(job_id, job)
    try:
        registry = rules.registries[job.destination]
        return _Wish(job_id, job, rule, destination_repository(there, job.repository, registry.type))
    except ValueError as exc:
        return _Wish(job_id, job, rule, problem=str(exc))


def _attempt(wish: _Wish, lease: Lease, tools: Tools, rules: RuleSet, moved: Moved) -> Attempt | None:
    """The attempt at a job that was claimed; None if it ended here already."""
    if wish.job.rule == PROMOTION:
        return _promotion(wish.job, lease, tools, rules, moved)
    if wish.rule is None:
        _without_rule(tools, lease)
        return None
    if wish.target is None:
        Attempt(tools, lease, rules, wish.rule, wish.job.repository).park(wish.problem)
        return None
    return Attempt(tools, lease, rules, wish.rule, wish.target, moved=moved)


def _promotion(job: Job, lease: Lease, tools: Tools, rules: RuleSet, moved: Moved) -> Attempt | None:
    # Read after the claim: a later order for the same reference takes the place of an earlier one.
    promotion = tools.ledger.promotions.find(job.id)
    if promotion is None:
        lease.end()
        JOBS.labels(job.rule, job.destination, Outcome.SUPERSEDED).inc()
        tools.ledger.finish(
            lease.claim, Outcome.SUPERSEDED, digest=None, detail="nothing says what to promote"
        )
        return None
    return Attempt(tools, lease, rules, _as_rule(promotion), job.repository, promotion, moved)


def _as_rule(promotion: Promotion) -> Rule:
    return Rule(
        PROMOTION,
        promotion.source,
        (Destination(promotion.destination),),
        trigger=TriggerType.MANUAL,
        signatures=promotion.signatures,
        override=promotion.override,
    )


def _without_rule(tools: Tools, lease: Lease) -> None:
    claim = lease.claim
    lease.end()
    # The age of the wish in the ledger, not of the event: a sender's clock is no measure.
    if claim.claimed_at - max(claim.since, claim.hinted_at or 0.0) < RULE_GRACE_S:
        tools.ledger.retry(claim, 5.0, error="no rule wants this, yet", charge=False)
        return
    tools.ledger.finish(claim, Outcome.SUPERSEDED, digest=None, detail="no rule wants this any more")
    JOBS.labels(claim.job.rule, claim.job.destination, Outcome.SUPERSEDED).inc()
    log.info("job superseded", extra={"job": claim.id, "key": claim.job.key})

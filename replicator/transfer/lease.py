"""Leases of jobs, kept alive while the jobs run.

Registries have no conditional PUT, so a lease cannot fence a write: what it can do is to stop us before each write
once it is lost. It is judged by this process's monotonic clock, never by Redis', and with a margin: a worker that was
frozen wakes up, finds its time over and writes nothing more.
"""

import threading
import time
from collections.abc import Collection, Iterable, Sequence
from types import TracebackType
from typing import Self

from replicator.errors import TemporaryError
from replicator.jobs import Job
from replicator.ledger import Claim, Keeper, Ledger, Promotion, Submission
from replicator.oci import Digest

_MARGIN = 0.2
"""The share of a lease that we do not use: a write must have reached the registry before somebody else may begin."""


class LeaseLost(TemporaryError):
    """Somebody else may be at work on this job now; whoever notices stops."""


class Lease:
    """The lease of one claim: a context manager that ends it."""

    def __init__(self, ledger: Ledger, claim: Claim, since: float, good_until: float) -> None:
        self.claim = claim
        self.since = since
        """When it was asked for, in this process's monotonic time."""
        self._ledger = ledger
        self._good_until = good_until
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def is_over(self) -> bool:
        """True once it was ended, or lost."""
        return self._good_until == 0.0

    def check(self) -> None:
        """Return while the lease is surely held; raise LeaseLost from then on."""
        if time.monotonic() > self._good_until:
            raise LeaseLost(f"the lease of job {self.claim.id} is lost")

    def end(self) -> None:
        """From now on it is not held, whatever a renewal that is under way brings."""
        with self._lock:
            self._good_until = 0.0

    def extend(self, good_until: float) -> None:
        """A renewal came through: it is held until then, unless it was ended meanwhile."""
        with self._lock:
            if not self.is_over:
                self._good_until = good_until

    def moved_on(self) -> bool:
        """Whether a newer event for this job came in since it was claimed."""
        return self._ledger.moved_on(self.claim)

    def ask_for(self, jobs: Iterable[Job]) -> None:
        """Submit other jobs, which this one found to be needed."""
        claim = self.claim
        self._ledger.submit(
            [
                Submission(job, since=claim.claimed_at, trace=claim.trace, is_urgent=claim.is_urgent)
                for job in jobs
            ]
        )

    def pass_on(self, jobs: Iterable[Job], digest: Digest) -> None:
        """Submit other jobs as the event of a push would have done. A resync would restore what was deleted."""
        claim = self.claim
        self._ledger.submit(
            [
                Submission(
                    job,
                    since=claim.claimed_at,
                    action="push",
                    digest=digest,
                    trace=claim.trace,
                    is_news=False,
                    is_urgent=claim.is_urgent,
                )
                for job in jobs
            ]
        )

    def reconsider(self, jobs: Iterable[Job], digest: Digest, mark: str) -> None:
        """Submit those of the jobs that are blocked for a reason with that mark, as the event of a push would."""
        named = {job.id: job for job in jobs}
        reasons = self._ledger.view.block_reasons(named)
        self.pass_on([named[job_id] for job_id, reason in reasons.items() if mark in reason], digest)

    def rouse(self, jobs: Sequence[Job], subject: Digest) -> bool:
        """Have jobs look at `subject` at once, parked or not. True if no worker is at any of them right now."""
        claim, ledger = self.claim, self._ledger
        ledger.submit(
            [
                Submission(
                    job,
                    claim.claimed_at,
                    "push",
                    subject,
                    claim.trace,
                    is_news=False,
                    is_urgent=claim.is_urgent,
                )
                for job in jobs
            ]
        )
        return all(ledger.reopen_all([job.id for job in jobs]))

    def ask_for_promotion(self, promotion: Promotion) -> None:
        """Have content promoted once more that this job found to be in danger, unless a newer order waits."""
        self._ledger.promote(promotion, self.claim.claimed_at, is_new=False)


class Leases:
    """The leases that this process holds. One thread renews them all; it runs while there are any."""

    def __init__(self, ledger: Ledger, *, lease_s: float) -> None:
        self.lease_s = lease_s
        self._ledger = ledger
        self._held: list[Lease] = []
        self._lock = threading.Lock()
        self._keeper = Keeper(
            "leases", lease_s / 4, lock=self._lock, held=self._still_held, renew=self._renew
        )

    def hold(self, claim: Claim, since: float) -> Lease:
        """The lease of a claim that was asked for at `since`, in this process's monotonic time."""
        lease = Lease(self._ledger, claim, since, self._good_until(since))
        with self._lock:
            self._held.append(lease)
            self._keeper.begin()
        return lease

    def _good_until(self, asked: float) -> float:
        return asked + self.lease_s * (1 - _MARGIN)

    def _still_held(self) -> list[Lease]:
        self._held = [lease for lease in self._held if not lease.is_over]
        return [*self._held]

    def _renew(self, held: Collection[Lease]) -> None:
        asked = time.monotonic()
        answers = self._ledger.renew_all([lease.claim for lease in held])
        for lease, is_held in zip(held, answers, strict=True):
            if is_held:
                lease.extend(self._good_until(asked))
            else:
                lease.end()

"""A job's lease, kept alive while the job runs.

Registries have no conditional PUT, so the lease cannot fence a write: what it can do is to stop us before each write
once it is lost. It is judged by this process's monotonic clock, never by Redis', and with a margin: a worker that was
frozen wakes up, finds its time over and writes nothing more.
"""

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from replicator.errors import TemporaryError
from replicator.jobs import Job
from replicator.ledger import Claim, Ledger, Promotion, Submission

_MARGIN = 0.2
"""The share of a lease that we do not use: a write must have reached the registry before somebody else may begin."""


class LeaseLost(TemporaryError):
    """Somebody else may be at work on this job now; whoever notices stops."""


class Lease:
    """A context manager that renews a claim in the background until it is left."""

    def __init__(self, ledger: Ledger, claim: Claim, *, lease_s: float) -> None:
        self._ledger = ledger
        self._claim = claim
        self._lease_s = lease_s
        self._stop = threading.Event()
        self._good_until = time.monotonic() + lease_s * (1 - _MARGIN)
        self._thread = threading.Thread(target=self._renew, name=f"lease-{claim.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._good_until = 0.0
        self._stop.set()

    def check(self) -> None:
        """Return while the lease is surely held; raise LeaseLost from then on."""
        if time.monotonic() > self._good_until:
            raise LeaseLost(f"the lease of job {self._claim.id} is lost")

    def moved_on(self) -> bool:
        """Whether a newer event for this job came in since it was claimed."""
        return self._ledger.moved_on(self._claim)

    def ask_for(self, jobs: Iterable[Job]) -> None:
        """Submit other jobs, which this one found to be needed."""
        claim = self._claim
        self._ledger.submit(
            [
                Submission(job, since=claim.claimed_at, trace=claim.trace, is_urgent=claim.is_urgent)
                for job in jobs
            ]
        )

    def ask_for_promotion(self, promotion: Promotion) -> None:
        """Have content promoted once more that this job found to be in danger, unless a newer order waits."""
        self._ledger.promote(promotion, self._claim.claimed_at, is_new=False)

    def _renew(self) -> None:
        while not self._stop.wait(self._lease_s / 4):
            asked = time.monotonic()
            try:
                held = self._ledger.renew(self._claim)
            except TemporaryError:
                continue  # Redis is away: the lease runs out by itself unless a later renewal succeeds
            if not held or self._stop.is_set():
                self._good_until = 0.0
                return
            self._good_until = asked + self._lease_s * (1 - _MARGIN)

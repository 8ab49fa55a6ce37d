"""A rate that the whole fleet shares, as one process spends it.

A process takes a portion at a time, so that most of what passes costs no word with Redis. What it took and did not use
is gone after a second: so in any span of time the fleet sends no more than the rate allows, and a portion for each of
its processes.
"""

import threading
import time
from collections.abc import Callable

from replicator.errors import NotYet
from replicator.ledger.connect import answering
from replicator.ledger.scripts import Script

GOOD_FOR_S = 1.0


class Allowance:
    """So many of `what` in a second, at one registry. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(
        self,
        reserve: Script,
        registry: str,
        what: str,
        *,
        per_second: int,
        portion: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reserve = reserve
        self._registry = registry
        self._what = what
        self._per_second = per_second
        self._portion = portion
        self._clock = clock
        self._lock = threading.Lock()
        self._left = 0
        self._good_from = 0.0
        self._good_until = 0.0

    def take(self, amount: int, patience_s: float) -> float:
        """Seconds to wait before `amount` may pass. Raises NotYet, and takes nothing, for more than `patience_s`."""
        with self._lock:
            now = self._clock()
            if now > self._good_until:
                self._left = 0
            if self._left < amount:
                self._take_portion(max(self._portion, amount - self._left), now, patience_s)
            self._left -= amount
            return max(0.0, self._good_from - now)

    def _take_portion(self, size: int, now: float, patience_s: float) -> None:
        with answering():
            said = str(self._reserve(self._what, self._registry, size / self._per_second, patience_s))
        if said.startswith("-"):
            raise NotYet(
                f"{self._registry}: more than {patience_s:.0f} s of {self._what} wait already, at"
                f" {self._per_second} a second",
                retry_after=float(said[1:]),
            )
        self._left += size
        self._good_from = now + float(said)
        self._good_until = self._good_from + GOOD_FOR_S

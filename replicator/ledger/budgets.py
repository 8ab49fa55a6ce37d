"""What each registry bears, shared by all that speak to it: workers, comparisons and commands of the whole fleet.

Every request to a registry passes its budget (`registry/traffic.py`). Where the registry has no limit and asked for
nothing, that costs one question to Redis each tenth of a second and process. A registry that answered 429 is left alone
by everybody from then on, within that tenth of a second, until the time that it asked for is over: a request that is
about to be sent raises NotYet instead, so that its job is put back and its worker is free.

Redis away means LedgerUnavailable, as everywhere: nobody goes on without limits because they cannot be read.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import redis

from replicator.errors import LedgerUnavailable, NotYet
from replicator.jobs import AWAY_DELAY_CAP_S
from replicator.ledger.allowance import Allowance
from replicator.ledger.availability import Availability
from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.scripts import Scripts
from replicator.ledger.slots import LEASE_S, Slot, Slots
from replicator.limits import (
    RETRY_AFTER_DEFAULT_S,
    WINDOW,
    Quota,
    Window,
    bytes_at_once,
    halved,
    recovery_s,
    requests_at_once,
)
from replicator.rules import Limits

log = logging.getLogger(__name__)

RATE_PATIENCE_S = 30.0
LOOK_EVERY_S = 0.1
"""How old what a process knows of a registry's wishes may be."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the registry asked for, by this process's monotonic clock."""

    read_at: float
    paused_until: float = 0.0
    window: Window | None = None


class Budget:
    """One registry's, as this process spends it. Thread-safe, and may be made before a fork."""

    def __init__(
        self,
        client: redis.Redis,
        registry: str,
        limits: Limits,
        *,
        lease_s: float = LEASE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        scripts = Scripts(client)
        self._redis = client
        self._registry = registry
        self._most = limits.concurrency
        self._sleep = sleep
        self._availability = Availability(client)
        self._throttle = scripts.script("throttle")
        reserve = scripts.script("reserve")
        rate, bandwidth = limits.requests_per_second, limits.bandwidth
        self._requests = (
            Allowance(reserve, registry, "requests", per_second=rate, portion=requests_at_once(rate))
            if rate
            else None
        )
        self._bytes = (
            Allowance(reserve, registry, "bytes", per_second=bandwidth, portion=bytes_at_once(bandwidth))
            if bandwidth
            else None
        )
        self._slots = Slots(client, registry, lease_s=lease_s, sleep=sleep)
        self._known = _Known(-LOOK_EVERY_S)
        self._is_scarce = False

    def enter(self) -> "Passage":
        """Returns when a request may be sent now; the caller ends the passage when its answer is read.

        Raises NotYet if the registry asked everybody to wait, or if it is not this request's turn within a minute.
        """
        self._heed()
        if self._requests and (wait_s := self._requests.take(1, RATE_PATIENCE_S)):
            self._sleep(wait_s)
        slot = self._slots.take(self._at_once) if self._heed() else None
        return Passage(self, slot)

    def carry(self, size_bytes: int) -> None:
        """Returns when so many bytes may pass on the registry's link."""
        if self._bytes and (wait_s := self._bytes.take(size_bytes, float("inf"))):
            self._sleep(wait_s)

    def leave(self, slot: Slot | None) -> None:
        """The request is over."""
        if slot:
            self._slots.free(slot)

    def answered(self, status: int, age_s: float, retry_after_s: float | None, quota: Quota | None) -> None:
        """Notes what an answer says to everybody, `age_s` after its request was sent."""
        try:
            if status == 429:
                self._cut(age_s, retry_after_s or RETRY_AFTER_DEFAULT_S)
            elif status == 503 and retry_after_s:
                # Not for an hour, whatever it says: who comes back early must be in line within a minute.
                self._availability.pause(self._registry, min(retry_after_s, AWAY_DELAY_CAP_S))
                self._known = _Known(-LOOK_EVERY_S)
            if quota:
                self._note(quota)
        except LedgerUnavailable as exc:
            log.warning("a registry's wish is not noted", extra={"registry": self._registry, "why": str(exc)})

    def _at_once(self) -> int:
        return self._heed() or WINDOW

    def _heed(self) -> int | None:
        """How many requests may run at once, None for any number. Raises NotYet during a pause."""
        now, known = time.monotonic(), self._known
        if now - known.read_at >= LOOK_EVERY_S:
            known = self._known = self._look(now)
        if known.paused_until > now:
            raise NotYet(
                f"{self._registry}: asked everybody to wait, for another {known.paused_until - now:.1f} s",
                retry_after=known.paused_until - now,
            )
        return known.window.at(now, self._most or WINDOW) if known.window else self._most

    def _look(self, now: float) -> _Known:
        pause, window = f"{PREFIX}pause:{self._registry}", f"{PREFIX}window:{self._registry}"
        with answering():
            if not self._redis.exists(pause, window):
                return _Known(now)
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.time()
                pipe.pttl(pause)
                pipe.hmget(window, "size", "since")
                (seconds, micros), rest_ms, (size, since) = pipe.execute()
        ahead_s = now - (seconds + micros / 1e6)
        return _Known(
            now,
            now + max(0, rest_ms) / 1000,
            Window(int(size), float(since) + ahead_s) if size else None,
        )

    def _cut(self, age_s: float, wait_s: float) -> None:
        most = self._most or WINDOW
        now = time.monotonic()
        window = self._look(now).window
        size = halved(window.at(now, most) if window else most)
        with answering():
            is_cut = self._throttle(self._registry, wait_s, age_s, size, recovery_s(size, most))
        self._known = _Known(-LOOK_EVERY_S)
        if is_cut:
            log.warning(
                "registry asks to slow down",
                extra={"registry": self._registry, "wait_s": round(wait_s, 1), "requests_at_once": size},
            )

    def _note(self, quota: Quota) -> None:
        if quota.rest_s > 0 or self._is_scarce:
            self._availability.note_scarcity(self._registry, quota.rest_s)
            self._is_scarce = quota.rest_s > 0


class Passage:
    """One request, from before it is sent until its answer is read."""

    def __init__(self, budget: Budget, slot: Slot | None) -> None:
        self._budget = budget
        self._slot = slot
        self._began = time.monotonic()

    def answered(self, status: int, retry_after_s: float | None, quota: Quota | None) -> None:
        """The answer's headers came."""
        self._budget.answered(status, time.monotonic() - self._began, retry_after_s, quota)

    def end(self) -> None:
        """The request is over. May be called twice."""
        slot, self._slot = self._slot, None
        self._budget.leave(slot)


class Budgets:
    """The budgets of registries. Raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def of(self, registry: str, limits: Limits) -> Budget:
        """What that registry bears."""
        return Budget(self._redis, registry, limits)

    def windows(self, limits: Mapping[str, Limits]) -> dict[str, int]:
        """How many requests may run at once now, for each registry that has a limit or asked for one."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for name in limits:
                pipe.hmget(f"{PREFIX}window:{name}", "size", "since")
            (seconds, micros), *found = pipe.execute()
        windows = {}
        for (name, its), (size, since) in zip(limits.items(), found, strict=True):
            if size:
                windows[name] = Window(int(size), float(since)).at(
                    seconds + micros / 1e6, its.concurrency or WINDOW
                )
            elif its.concurrency:
                windows[name] = its.concurrency
        return windows

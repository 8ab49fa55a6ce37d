"""How registries fare, as the whole fleet sees it: which did not answer, and which asked to be left alone."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import redis

from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.scripts import Scripts
from replicator.limits import PROBE_S, jobs_on_return, jobs_on_trial

PROBE_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Down:
    """A registry that did not answer `count` times in a row; nobody should try before `until`, `wait_s` from now."""

    count: int
    until: float
    wait_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How registries fare: for how long the longest pause still lasts that one of them asked for, which of them did not
    answer and have not answered since, and for how long work that can wait leaves what remains of a quota alone.
    """

    paused_for_s: float
    silent: frozenset[str]
    scarce_for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Footing:
    """How a destination may be tried: not at all for `rest_s`, and then with so many `jobs` at once."""

    rest_s: float
    jobs: int


class Availability:
    """Shared by every worker. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        scripts = Scripts(client)
        self._mark_down = scripts.script("mark_down")
        self._mark_up = scripts.script("mark_up")

    def pause(self, registry: str, seconds: float) -> None:
        """Asks the whole fleet to leave the registry alone for `seconds`; never shortens a longer pause."""
        wanted_ms = max(1, int(seconds * 1000))
        with answering(), self._redis.pipeline(transaction=True) as pipe:
            pipe.set(_pause(registry), 1, px=wanted_ms, nx=True)
            pipe.pexpire(_pause(registry), wanted_ms, gt=True)
            pipe.execute()

    def standing(self, registries: Sequence[str]) -> Standing:
        """How these registries fare, in one question."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for name in registries:
                pipe.pttl(_pause(name))
                pipe.exists(_down(name))
                pipe.pttl(_scarce(name))
            found = pipe.execute()
        noted = zip(registries, found[1::3], strict=True)
        return Standing(
            max(0, *found[::3]) / 1000,
            frozenset(name for name, is_silent in noted if is_silent),
            max(0, *found[2::3]) / 1000,
        )

    def note_scarcity(self, registry: str, seconds: float) -> None:
        """For so long work that can wait leaves alone what the registry still grants; 0 takes it back."""
        with answering():
            if seconds > 0:
                self._redis.set(_scarce(registry), 1, px=int(seconds * 1000))
            else:
                self._redis.delete(_scarce(registry))

    def mark_down(self, registry: str) -> None:
        """Notes that the registry did not answer: nobody tries for 1, 2, 4, 8 and then always 15 s.

        What is reported while it is down counts for nothing, so that many workers' failures at once count as one.
        """
        with answering():
            self._mark_down(registry)

    def mark_up(self, registry: str) -> None:
        """Notes that the registry answered."""
        with answering():
            self._mark_up(registry)

    def footing(self, destination: str) -> Footing:
        """How the destination may be tried: while it does not answer with one job now and then, and with ever more once
        it does again.
        """
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.pttl(_pause(destination))
            pipe.hget(_down(destination), "until")
            pipe.get(f"{PREFIX}back:{destination}")
            (seconds, micros), paused_ms, until, back = pipe.execute()
        now = seconds + micros / 1e6
        tried_for_s = now - float(until) if until else 0.0
        rest_s = max(0.0, paused_ms / 1000, -tried_for_s)
        if until:
            return Footing(rest_s, jobs_on_trial(tried_for_s))
        return Footing(rest_s, jobs_on_return(now - float(back)) if back else sys.maxsize)

    def is_down(self, registry: str) -> Down | None:
        """How long the registry should be left alone, or None if it may be tried."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hmget(_down(registry), "count", "until")
            (seconds, micros), (count, until) = pipe.execute()
        if count is None:
            return None
        wait_s = float(until) - (seconds + micros / 1e6)
        return Down(int(count), float(until), wait_s) if wait_s > 0 else None

    def unreachable(self, registries: Iterable[str]) -> frozenset[str]:
        """Those of the registries that did not answer and have not answered since, whether they may be tried or not.

        A failure that nothing followed is forgotten after ten minutes.
        """
        names = list(registries)
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(_down(name))
            found = pipe.execute()
        return frozenset(name for name, noted in zip(names, found, strict=True) if noted)

    def wait_to_try(self, registry: str) -> float:
        """Seconds to leave the registry alone; 0 if it may be tried.

        Of all that wait for a registry which was down, one may try first: where it hangs, it holds one worker.
        """
        with answering():
            if not self._redis.exists(_down(registry)):
                return 0.0
            down = self.is_down(registry)
            if down:
                return down.wait_s
            is_first = self._redis.set(_probe(registry), 1, px=int(PROBE_S * 1000), nx=True)
        return 0.0 if is_first else PROBE_PAUSE_S


def _pause(registry: str) -> str:
    return f"{PREFIX}pause:{registry}"


def _scarce(registry: str) -> str:
    return f"{PREFIX}scarce:{registry}"


def _probe(registry: str) -> str:
    return f"{PREFIX}probe:{registry}"


def _down(registry: str) -> str:
    return f"{PREFIX}down:{registry}"

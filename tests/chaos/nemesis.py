"""What befalls the world, from a seed: processes are killed and frozen, links are cut, hang and crawl.

It only hurts. Whoever dies is started again by the world; a freeze and a bad link end by themselves.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.world import ChaosWorld

ROLES = ("receiver", "scheduler-1", "scheduler-2", "worker-1", "worker-2", "child", "redis")
SLOW_BYTES_PER_S = 20_000
_LINK_FAULTS = ("cut", "bar", "hold", "slow")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something bad that befalls `victim`, a process or the link to a registry, for a while if it is no end."""

    at_s: float
    kind: str
    victim: str
    lasts_s: float = 0.0
    draw: float = 0.0
    """Which of several it hits, from 0 to 1."""

    def __str__(self) -> str:
        return f"{self.kind} {self.victim}" + (f" for {self.lasts_s:.1f} s" if self.lasts_s else "")


@dataclass(frozen=True, slots=True)
class Mix:
    """How much befalls the world within `within_s`. A freeze or a bad link lasts from 1 s to `longest_s`.

    `kills_sources` says whether source registries die too: they forget the notifications that they had not sent.
    """

    kills: int
    freezes: int
    links: int
    within_s: float
    longest_s: float
    kills_sources: bool = False


def faults(seed: int, mix: Mix) -> list[Fault]:
    """What befalls the world with this seed, in order."""
    rng = random.Random(seed)
    mortal = [*ROLES, "child", "us", "ap", *(("eu", "jp") if mix.kills_sources else ())]
    kinds = ["kill"] * mix.kills + ["freeze"] * mix.freezes + ["link"] * mix.links
    found = [_fault(rng, kind, mortal, mix) for kind in kinds]
    return sorted(found, key=lambda fault: fault.at_s)


def _fault(rng: random.Random, kind: str, mortal: Sequence[str], mix: Mix) -> Fault:
    at_s, lasts_s = rng.uniform(0, mix.within_s), rng.uniform(1.0, mix.longest_s)
    if kind == "kill":
        return Fault(at_s, "kill", rng.choice(mortal), draw=rng.random())
    if kind == "freeze":
        return Fault(at_s, "freeze", rng.choice([*mortal, "eu"]), lasts_s, draw=rng.random())
    how = rng.choice(_LINK_FAULTS)
    return Fault(at_s, how, rng.choice(("eu", "us", "ap", "jp")), 0.0 if how == "cut" else lasts_s)


class Nemesis:
    """Carries faults out. `told` counts those that hit somebody."""

    def __init__(self, world: ChaosWorld) -> None:
        self._world = world
        self.told: Counter[str] = Counter()
        self.log: list[tuple[float, Fault]] = []
        self._stop = threading.Event()
        self._timers: list[threading.Timer] = []

    def run(self, todo: Sequence[Fault]) -> None:
        """Carry all of it out, each in its time."""
        began = time.monotonic()
        for fault in todo:
            if self._stop.wait(max(0.0, began + fault.at_s - time.monotonic())):
                return
            self.strike(fault)

    def strike(self, fault: Fault) -> None:
        """Carry a fault out now."""
        hit = self._signal(fault) if fault.kind in ("kill", "freeze") else self._spoil(fault)
        if hit:
            self.told[f"{fault.kind} {fault.victim.rstrip('-12')}"] += 1
            self.log.append((time.time(), fault))

    def end(self) -> None:
        """Strike no more, and let everything go on."""
        self._stop.set()
        for timer in self._timers:
            timer.cancel()
            timer.join()
        self._world.resume_all()

    def _signal(self, fault: Fault) -> bool:
        pids = self._world.pids(fault.victim)
        if not pids:
            return False
        pid = pids[int(fault.draw * len(pids))]
        with contextlib.suppress(ProcessLookupError):
            if fault.kind == "kill":
                os.kill(pid, signal.SIGKILL)
                return True
            os.kill(pid, signal.SIGSTOP)
            self._later(fault.lasts_s, lambda: _resume(pid))
            return True
        return False

    def _spoil(self, fault: Fault) -> bool:
        strait = self._world.straits[fault.victim]
        match fault.kind:
            case "cut":
                strait.cut()
                return True
            case "bar":
                strait.bar()
            case "hold":
                strait.hold()
            case _:
                strait.slow(SLOW_BYTES_PER_S)
        self._later(fault.lasts_s, strait.heal)
        return True

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        timer = threading.Timer(seconds, what)
        timer.daemon = True
        timer.start()
        self._timers = [other for other in self._timers if other.is_alive()] + [timer]


def _resume(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)

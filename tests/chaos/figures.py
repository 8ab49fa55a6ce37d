"""Figures of a world over time: memory and file descriptors of every process, keys and memory of Redis, lag.

A process is followed from its start to its death, because a new one begins small. What Redis keeps on purpose up to a
length (`CAPPED`) grows until it is full, so it is counted apart.
"""

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tests.chaos.world import ChaosWorld

MIB = 1024 * 1024
CAPPED = ("replicator:deleted", "replicator:history", "replicator:promotions", "replicator:dead")
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Life:
    """A process that was seen: who it was, and its measures by the time."""

    name: str
    pid: int
    times: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sample:
    """The rest of the world at a time."""

    at: float
    keys: Counter[str]
    memory_mib: float
    capped_mib: float
    lag_s: float | None


class Figures:
    """Collects samples; nothing is judged here."""

    def __init__(self, world: ChaosWorld) -> None:
        self._world = world
        self.lives: dict[int, Life] = {}
        self.samples: list[Sample] = []

    def take(self) -> Sample | None:
        """Measure everything now; None if Redis does not answer."""
        now = time.monotonic()
        for name in (*self._world.roles, "child", "redis"):
            for pid in self._world.pids(name):
                with contextlib.suppress(OSError):
                    self._follow(name, pid, now)
        with contextlib.suppress(redis.RedisError), contextlib.closing(self._world.redis.client()) as client:
            sample = Sample(now, *_redis(client), self._lag())
            self.samples.append(sample)
            return sample
        return None

    def _follow(self, name: str, pid: int, now: float) -> None:
        life = self.lives.setdefault(pid, Life(name, pid))
        rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / MIB
        fds = len([*Path(f"/proc/{pid}/fd").iterdir()])
        life.times.append(now)
        life.rss_mib.append(rss)
        life.fds.append(fds)

    def _lag(self) -> float | None:
        with contextlib.suppress(OSError, AssertionError):
            return max(float(lane["lag_seconds"]) for lane in self._world.api("status")["lanes"])
        return None


def _redis(client: "redis.Redis") -> tuple[Counter[str], float, float]:
    families = Counter(family(key.decode(errors="replace")) for key in client.scan_iter(count=1000))
    used = client.info("memory")["used_memory"]
    capped = sum(client.memory_usage(key, samples=50) or 0 for key in CAPPED)
    return families, used / MIB, capped / MIB


def family(key: str) -> str:
    """What a key is about, without whose it is."""
    parts = key.split(":")
    return ":".join(parts[:2]) if parts[0] == "replicator" else parts[0].split(".")[0]


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """How much a value grows in an hour, by least squares; 0 if there is too little to tell."""
    if len(times) < 3 or times[-1] == times[0]:
        return 0.0
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in times)
    return (
        3600 * sum((at - middle) * (value - mean) for at, value in zip(times, values, strict=True)) / spread
    )


def steady(lives: Sequence[Life], *, after_s: float, at_least_s: float) -> dict[str, list[Life]]:
    """By name the lives that were seen for long enough, each without its beginning."""
    found: dict[str, list[Life]] = defaultdict(list)
    for life in lives:
        first = next((i for i, at in enumerate(life.times) if at >= life.times[0] + after_s), None)
        if first is not None and life.times[-1] - life.times[first] >= at_least_s:
            cut = Life(life.name, life.pid, life.times[first:], life.rss_mib[first:], life.fds[first:])
            found[life.name].append(cut)
    return found

"""What a piece of work cost: time, CPU of whoever took part, requests at both registries, bytes read.

CPU is read to the nanosecond from each process's own clock, and for processes that ended from their parents' /proc.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig import AccessLog, children_cpu_s, cpu_s
from tests.integration.processes import DockerRegistry

_LOG_LAG_S = 0.1
"""A registry writes the line of a request after its answer."""
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one measurement took. `requests` are those of source and destination, `read_bytes` the source's answers.

    `foreign_cores` is how much of the machine others used meanwhile: above a few tenths, wall times say little.
    """

    wall_s: float
    tool_cpu_s: float
    source_cpu_s: float
    destination_cpu_s: float
    requests: tuple[Counter[str], Counter[str]]
    read_bytes: int = 0
    foreign_cores: float = 0.0

    @property
    def registries_cpu_s(self) -> float:
        """What it took both registries."""
        return self.source_cpu_s + self.destination_cpu_s

    @property
    def all_cpu_s(self) -> float:
        """What it took everybody: on a machine that others use, this says more than the wall time."""
        return self.tool_cpu_s + self.registries_cpu_s


def measured(
    work: Callable[[], object],
    source: DockerRegistry,
    destination: DockerRegistry,
    *,
    daemons: Callable[[], Sequence[int]] = lambda: (),
) -> Cost:
    """Do the work, and tell what it cost. The tool is what the work starts and waits for, and the `daemons`."""
    logs = AccessLog(source), AccessLog(destination)
    began = _Reading.now(source, destination, daemons())
    work()
    ended = _Reading.now(source, destination, daemons())
    time.sleep(_LOG_LAG_S)
    wall_s = ended.at - began.at
    tool, here, there = ended.tool - began.tool, ended.source - began.source, ended.there - began.there
    ours = tool + here + there + ended.own - began.own
    return Cost(
        wall_s,
        tool,
        here,
        there,
        (logs[0].counted(), logs[1].counted()),
        logs[0].answered_bytes(),
        max(0.0, ended.busy - began.busy - ours) / wall_s,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """Clocks at one moment. `busy` is the whole machine's, `own` this process's."""

    at: float
    tool: float
    source: float
    there: float
    own: float
    busy: float

    @classmethod
    def now(cls, source: DockerRegistry, destination: DockerRegistry, daemons: Sequence[int]) -> "_Reading":
        return cls(
            time.perf_counter(),
            cpu_s(daemons) + children_cpu_s(),
            cpu_s([source.pid]),
            cpu_s([destination.pid]),
            time.process_time(),
            _busy_s(),
        )


def _busy_s() -> float:
    # user, nice, system, idle, iowait, irq, softirq, steal
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS_A_SECOND

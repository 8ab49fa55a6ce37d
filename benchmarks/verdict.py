"""What measurements say: medians, ratios to the best peer, whether an aim is reached. Values in, text out.

A contestant whose result was wrong in any round is disqualified: its figures are shown, and compared with nothing.
"""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.cost import Cost

Faults = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Aim:
    """What is asked of a workload: ratios to the best peer, at most; requests to source and destination, at most."""

    all_cpu: float
    requests: tuple[int, int]
    wall: float | None = None
    read_mib: int | None = None


AIMS = {
    "w1": Aim(0.75, (1222, 1900)),
    "w2": Aim(0.40, (126, 290), read_mib=184),
    "w3": Aim(0.95, (24, 36), wall=1.0),
    "w3 tls": Aim(1.0, (24, 36)),
    "w4": Aim(0.90, (230, 390)),
    "w5": Aim(0.60, (220, 220)),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A contestant's rounds, and what was wrong with its copies."""

    name: str
    costs: Sequence[Cost]
    faults: Faults = ()

    def median(self, figure: Callable[[Cost], float]) -> float:
        """The median over the rounds."""
        return statistics.median(figure(cost) for cost in self.costs)

    @property
    def all_cpu_s(self) -> float:
        """CPU of the tool and of both registries."""
        return self.median(lambda cost: cost.all_cpu_s)

    @property
    def wall_s(self) -> float:
        """Time."""
        return self.median(lambda cost: cost.wall_s)

    @property
    def requests(self) -> tuple[int, int]:
        """The most of any round, to source and destination."""
        return (
            max(cost.requests[0].total() for cost in self.costs),
            max(cost.requests[1].total() for cost in self.costs),
        )

    @property
    def read_mib(self) -> float:
        """Read from the source, at most."""
        return max(cost.read_bytes for cost in self.costs) / 2**20


_PARTS: tuple[Callable[[Cost], float], ...] = (
    lambda cost: cost.tool_cpu_s,
    lambda cost: cost.source_cpu_s,
    lambda cost: cost.destination_cpu_s,
)


def best(peers: Sequence[Standing], figure: Callable[[Standing], float]) -> Standing | None:
    """The peer with the least of it, of those that did the work right."""
    return min((peer for peer in peers if not peer.faults), key=figure, default=None)


def ratio(ours: Standing, peers: Sequence[Standing], figure: Callable[[Standing], float]) -> float | None:
    """Of medians, ours to the best peer's; None if no peer did the work right."""
    peer = best(peers, figure)
    return figure(ours) / figure(peer) if peer else None


def misses(ours: Standing, peers: Sequence[Standing], aim: Aim) -> list[str]:
    """What of the aim is not reached, a phrase each."""
    found = [f"wrong: {fault}" for fault in ours.faults[:1]]
    bounds = [("all CPU", all_cpu, aim.all_cpu), ("wall", wall, aim.wall)]
    for name, figure, bound in bounds:
        reached = ratio(ours, peers, figure)
        if bound is not None and (reached is None or round(reached, 2) > bound):
            found.append(f"{name} {_ratio_text(reached)} instead of {bound:.2f}")
    if any(asked > most for asked, most in zip(ours.requests, aim.requests, strict=True)):
        found.append(f"requests {_sum(ours.requests)} instead of {_sum(aim.requests)}")
    if aim.read_mib is not None and ours.read_mib > aim.read_mib + 1:
        found.append(f"{ours.read_mib:.0f} MiB read instead of {aim.read_mib}")
    return found


def table(standings: Sequence[Standing]) -> list[str]:
    """A line for each contestant, medians of the rounds."""
    width = max(len(standing.name) for standing in standings)
    head = f"{'medians':{width}} {'wall s':>8} {'all CPU':>8} {'tool':>7} {'source':>7} {'dest.':>7}"
    lines = [f"{head} {'requests':>13} {'MiB read':>9} {'others':>7}"]
    for standing in standings:
        seconds = (standing.wall_s, standing.all_cpu_s, *(standing.median(part) for part in _PARTS))
        figures = " ".join(f"{value:{wide}.2f}" for value, wide in zip(seconds, (8, 8, 7, 7, 7), strict=True))
        others = standing.median(lambda cost: cost.foreign_cores)
        asked = f"{_sum(standing.requests):>13} {standing.read_mib:9.0f} {others:7.2f}"
        lines.append(f"{standing.name:{width}} {figures} {asked}")
    return [*lines, *(f"{it.name} is disqualified: {it.faults[0]}" for it in standings if it.faults)]


def kinds(standing: Standing) -> list[str]:
    """The requests of the last round, by kind."""
    sides = zip(("source", "destination"), standing.costs[-1].requests, strict=True)
    return [f"{standing.name}, requests to the {side}: {_counts(requests)}" for side, requests in sides]


def comparison(ours: Standing, peers: Sequence[Standing], aim: Aim) -> list[str]:
    """Ratios of medians, and whether the aim is reached."""
    lines = []
    for name, figure in (("all CPU", all_cpu), ("wall", wall)):
        if peer := best(peers, figure):
            lines.append(f"{ours.name} to {peer.name}, {name}: {figure(ours) / figure(peer):.2f}")
    missed = misses(ours, peers, aim)
    return [*lines, f"the aim is missed: {'; '.join(missed)}" if missed else "the aim is reached"]


def row(title: str, ours: Standing, peers: Sequence[Standing], aim: Aim) -> str:
    """The line of this workload in the table of docs/performance.md."""
    peer = best(peers, all_cpu)
    aims = f"{aim.all_cpu:.2f}" + (f", wall {aim.wall:.2f}" if aim.wall else "")
    missed = misses(ours, peers, aim)
    cells = [
        title,
        aims,
        f"**{_ratio_text(ratio(ours, peers, all_cpu))}**",
        _ratio_text(ratio(ours, peers, wall)),
        peer.name if peer else "none",
        _sum(aim.requests),
        _sum(ours.requests),
        f"{ours.read_mib:.0f}",
        "no: " + "; ".join(missed) if missed else "yes",
    ]
    return f"| {' | '.join(cells)} |"


def ratios_by_round(ours: Standing, peers: Sequence[Standing]) -> Mapping[str, list[float]]:
    """All CPU in each round, ours to each peer's of the same round: how steady the ratio is."""
    return {
        peer.name: [mine.all_cpu_s / its.all_cpu_s for mine, its in zip(ours.costs, peer.costs, strict=True)]
        for peer in peers
    }


def all_cpu(standing: Standing) -> float:
    """What standings are compared by first."""
    return standing.all_cpu_s


def wall(standing: Standing) -> float:
    """What they are compared by on an idle machine."""
    return standing.wall_s


def _ratio_text(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _sum(requests: tuple[int, int]) -> str:
    return f"{requests[0]} + {requests[1]}"


def _counts(requests: Counter[str]) -> str:
    return (
        f"{requests.total():,} ({', '.join(f'{count:,} {kind}' for kind, count in sorted(requests.items()))})"
    )

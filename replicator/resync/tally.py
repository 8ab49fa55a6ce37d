"""Sums over a stream of differences: how many of each kind, how many bytes, lane by lane."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from replicator.drift import Difference, Kind
from replicator.resync.tools import Trouble

LaneName = tuple[str, str]
"""A rule's and a destination's name."""


@dataclass
class Lane:
    """What was found of one rule at one destination. `copies` are the references that would be brought over."""

    source: str
    kinds: Counter[Kind] = field(default_factory=Counter)
    drift: int = 0
    size_bytes: int = 0

    @property
    def copies(self) -> int:
        """How many references a resync would copy."""
        return self.kinds[Kind.ADD] + self.kinds[Kind.UPDATE]

    @property
    def compared(self) -> int:
        """How many references were compared."""
        return self.kinds.total()


@dataclass
class Tally:
    """The sums so far, of lanes that are all there from the start, and the troubles."""

    lanes: dict[LaneName, Lane]
    troubles: list[Trouble] = field(default_factory=list)

    def counted(self, stream: Iterable[Difference | Trouble]) -> Iterator[Difference]:
        """The differences of `stream`, each of them counted before it is given."""
        for item in stream:
            if isinstance(item, Trouble):
                self.troubles.append(item)
                continue
            lane = self.lanes[item.lane]
            lane.kinds[item.kind] += 1
            lane.drift += item.is_drift
            lane.size_bytes += item.size_bytes
            yield item

    @property
    def compared(self) -> int:
        """How many references were compared in all."""
        return sum(lane.compared for lane in self.lanes.values())

    @property
    def drift(self) -> int:
        """How many references need something to be done."""
        return sum(lane.drift for lane in self.lanes.values())

    def is_whole(self, name: LaneName) -> bool:
        """Whether everything of the lane could be read."""
        return not any(name in trouble.lanes for trouble in self.troubles)

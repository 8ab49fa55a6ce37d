"""What becomes of the differences that a comparison found which nobody asked for: repairs of what was lost.

What no event told is counted, because each of these is an event that somebody lost; unless a lane was never in line
before. And such a comparison is careful with deletes: a source that was emptied, or rebuilt from an older backup, looks
as if many deletes had been lost, and its copies may be the last ones.
"""

from collections.abc import Collection, Iterable, Iterator

from replicator.drift import Difference, Kind
from replicator.resync.enqueue import Wanted
from replicator.resync.tally import Lane, LaneName, Tally

FEW = 10
SHARE = 0.05
"""So many deletes are carried out at once, or this share of what was compared if that is more."""


def is_bold(lane: Lane, deletes: int) -> bool:
    """Whether a person should look before so many references of the lane are deleted."""
    is_source_empty = lane.kinds[Kind.DELETE] + lane.kinds[Kind.EXTRA] == lane.compared
    return deletes > max(FEW, SHARE * lane.compared) or (is_source_empty and deletes > 1)


class Repairs:
    """The repairs of one comparison, whose sums are `tally`. Those of the lanes `caught_up` are lost events."""

    def __init__(self, tally: Tally, caught_up: Collection[LaneName]) -> None:
        self._tally = tally
        self._caught_up = caught_up
        self._deletes: dict[LaneName, list[Wanted]] = {}

    def jobs(self, differences: Iterable[Difference]) -> Iterator[Wanted]:
        """The jobs that bring these in line; deletes come last, when it is known how many they are."""
        for item in differences:
            if item.kind in (Kind.ADD, Kind.UPDATE):
                yield Wanted(item.job, item.kind is Kind.ADD, was_lost=item.lane in self._caught_up)
            elif item.kind is Kind.DELETE and item.detail:
                yield Wanted(item.job)  # its time is over, as a retention policy says
            elif item.kind is Kind.DELETE:
                wanted = Wanted(item.job, was_lost=item.lane in self._caught_up)
                self._deletes.setdefault(item.lane, []).append(wanted)
        for name, deletes in self._deletes.items():
            if not self._doubt(name):
                yield from deletes

    @property
    def held_back(self) -> list[str]:
        """Of each lane whose deletes are not carried out, a sentence."""
        return [
            f"{rule}: {destination}: {len(deletes)} deletes that nobody told of are not carried out: {doubt}"
            for (rule, destination), deletes in sorted(self._deletes.items())
            if (doubt := self._doubt((rule, destination)))
        ]

    def _doubt(self, name: LaneName) -> str:
        if not self._tally.is_whole(name):
            return "not everything could be read"  # and that may be what shows that the source is there
        is_odd = is_bold(self._tally.lanes[name], len(self._deletes[name]))
        return "so many want a person's `replicator resync --prune`" if is_odd else ""

"""Two-way rules come to rest: `decide` and its records in a model of jobs, over histories of pushes, moves and deletes.

Regions copy one tag to each other. Every change of it, by a person or by a copy, posts an event, which asks for jobs;
none tells when it was. `test_conflicting_pushes` is about that.
Jobs run step by step, in any order, and some workers die on the way; those of the same two regions take turns, and no
two write in one region, as their locks have it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.conflicts import Holding, Meeting, Sight, recognised
from replicator.oci import Digest
from replicator.rules import Conflict
from replicator.verdict import (
    Facts,
    Removal,
    Verdict,
    Written,
    decide,
    decide_removal,
    origins,
    was_cut_short,
)

ONE, TWO, THREE = (Digest.of(name) for name in (b"one", b"two", b"three"))
TAGS_MOVE_TO = st.sampled_from([ONE, TWO, THREE])
RESTS_WITHIN = 60
"""Jobs that may end before everything has to be at rest: a person's last change takes a few for each pair."""

Route = tuple[str, str]


@dataclass
class Regions:
    """Regions that all copy to each other, what they hold, what the fleet remembers, and the jobs."""

    names: tuple[str, ...]
    deletion: bool
    held: dict[str, Digest] = field(default_factory=dict)
    written: dict[str, Written] = field(default_factory=dict)
    known: dict[str, Holding] = field(default_factory=dict)
    pending: dict[Route, int] = field(default_factory=dict)
    """What is to be done, and how often it was asked for: its generation."""
    running: dict[Route, tuple[int, Iterator[None]]] = field(default_factory=dict)
    is_resync: bool = False
    clock: int = 0
    ended: int = 0
    writes: int = 0

    # What persons do

    def move(self, name: str, digest: Digest | None) -> None:
        if digest is None:
            self.held.pop(name, None)
        else:
            self.held[name] = digest
        for other in self.names:
            if other != name:
                self.tell((name, other))

    def tell(self, route: Route) -> None:
        self.pending[route] = self.pending.get(route, 0) + 1

    # What workers do

    def may_begin(self, route: Route) -> bool:
        return not any(route[1] == end or {*route} == {start, end} for start, end in self.running)

    def step(self, route: Route, *, dies: bool = False) -> None:
        """One step of that job; one that does not run yet begins, if its locks are free."""
        if route not in self.running:
            if not self.may_begin(route):
                return
            self.running[route] = (self.pending[route], self._job(*route))
        generation, job = self.running[route]
        if dies:
            del self.running[route]  # and is begun again, because the job is still there
            return
        try:
            next(job)
        except StopIteration:
            del self.running[route]
            self.ended += 1
            if self.pending[route] == generation:
                del self.pending[route]

    def rest(self, data: st.DataObject) -> None:
        """Work until there is nothing to do."""
        self.ended = 0
        while self.pending:
            assert self.ended < RESTS_WITHIN, "it does not come to rest"
            able = [route for route in self.pending if route in self.running or self.may_begin(route)]
            self.step(data.draw(st.sampled_from(sorted(able))))

    def _job(self, start: str, end: str) -> Iterator[None]:
        while True:
            before = self.known.get(start)
            wanted = self.held.get(start)
            yield
            if wanted and self.known.get(start) != before:
                continue  # it may have moved on
            wrote = yield from self._bring(start, end, wanted) if wanted else self._remove(start, end)
            if not wrote or self.held.get(start) == wanted:
                return

    def _bring(self, start: str, end: str, wanted: Digest) -> Iterator[None]:
        facts = Facts(
            wanted,
            self.held.get(end),
            start,
            end,
            override=True,
            here=self.written.get(start),
            there=self.written.get(end),
            is_resync=self.is_resync,
            is_answered=True,
            meeting=self._meeting(start, end, wanted),
        )
        if was_cut_short(facts):
            self._note(end, digest=wanted, intent=wanted)
        verdict = decide(facts)
        self._know(facts, verdict)
        if verdict is Verdict.YIELD:
            self.tell((end, start))
        if verdict is not Verdict.COPY:
            return False
        yield
        self._note(end, start=start, intent=wanted, origins=origins(facts))
        yield
        self.writes += 1
        self.move(end, wanted)
        yield
        self._note(end, digest=wanted, intent=wanted)
        self.known[end] = self.known[end].put() if self.known[end].intended else self.known[end]
        return True

    def _meeting(self, start: str, end: str, wanted: Digest) -> Meeting:
        self.clock += 1
        first, *second = [
            recognised(self.known.get(name, Holding()), Sight(name, digest, self.clock))
            for name, digest in ((start, wanted), (end, self.held.get(end)))
            if digest
        ]
        return Meeting(first, second[0] if second else None, Conflict())

    def _know(self, facts: Facts, verdict: Verdict) -> None:
        ends = (facts.start, facts.end)
        known = [self.known.get(name, Holding()) for name in ends]
        assert facts.meeting
        self.known.update(zip(ends, facts.meeting.noted(*known, copies=verdict is Verdict.COPY), strict=True))

    def _remove(self, start: str, end: str) -> Iterator[None]:
        found, record = self.held.get(end), self.written.get(end)
        put_there = (record.digest, record.intent) if record else ()
        if decide_removal(found=found, put_there=put_there, deletion=self.deletion) is not Removal.WAIT:
            return False
        yield  # the grace
        if self.held.get(start) or self.held.get(end) != found:
            return True  # it looks again
        self.writes += 1
        self.move(end, None)
        del self.written[end]
        return True

    def _note(self, end: str, **fields: object) -> None:
        self.clock += 1
        if end in self.written or "start" in fields:
            blank = Written("", None, None, (), 0.0)
            self.written[end] = replace(self.written.get(end, blank), at=self.clock, **fields)


def resynced(regions: Regions, data: st.DataObject) -> int:
    """A resync asks for every job there is; how much is written by that."""
    regions.is_resync, regions.writes = True, 0
    for route in [(start, end) for start in regions.names for end in regions.names if start != end]:
        regions.tell(route)
    regions.rest(data)
    return regions.writes


PAIR, MESH = ("eu", "us"), ("ap", "eu", "us")
SIZES = pytest.mark.parametrize("names", [PAIR, MESH], ids=["pair", "mesh"])


@SIZES
@given(data=st.data())
def test_each_change_reaches_all_before_the_next_one_and_then_nothing_moves(
    names: tuple[str, ...], data: st.DataObject
) -> None:
    regions = Regions(names, deletion=data.draw(st.booleans()))

    for _ in range(data.draw(st.integers(1, 4))):
        digest = data.draw(TAGS_MOVE_TO)
        regions.move(data.draw(st.sampled_from(names)), digest)
        regions.rest(data)

        assert set(regions.held.values()) == {digest}
        assert len(regions.held) == len(names)
    assert resynced(regions, data) == 0


@SIZES
@given(data=st.data())
def test_changes_at_once_come_to_rest_alike_everywhere(names: tuple[str, ...], data: st.DataObject) -> None:
    regions = Regions(names, deletion=False)
    pushed = set()

    for _ in range(data.draw(st.integers(1, 12))):
        act = data.draw(st.integers(0, 5))
        if act < 2 or not regions.pending:
            digest = data.draw(TAGS_MOVE_TO)
            pushed.add(digest)
            regions.move(data.draw(st.sampled_from(names)), digest)
        elif act == 2:
            regions.tell(data.draw(st.sampled_from(sorted(regions.pending))))  # an event comes twice
        else:
            regions.step(data.draw(st.sampled_from(sorted(regions.pending))), dies=act == 5)
    regions.rest(data)

    assert len(set(regions.held.values())) == 1
    assert len(regions.held) == len(names)
    assert set(regions.held.values()) <= pushed
    assert resynced(regions, data) == 0


@SIZES
@given(data=st.data())
def test_deletes_among_the_changes_come_to_rest_too(names: tuple[str, ...], data: st.DataObject) -> None:
    regions = Regions(names, deletion=True)

    for _ in range(data.draw(st.integers(1, 12))):
        act = data.draw(st.integers(0, 5))
        if act < 3 or not regions.pending:
            digest = data.draw(st.none() | TAGS_MOVE_TO)
            regions.move(data.draw(st.sampled_from(names)), digest)
        else:
            regions.step(data.draw(st.sampled_from(sorted(regions.pending))), dies=act == 5)
    regions.rest(data)

    assert resynced(regions, data) <= len(names)
    assert resynced(regions, data) == 0

"""Pushes of one tag in several regions at once end alike everywhere, with the content that the conflict rule names.

A model of regions, the events of their registries, and jobs that run step by step in any order: `conflicts` and
`decide` choose, the model does what jobs do around them. Events come late, twice or never, a region is cut off for a
while, workers die, and the ledger forgets everything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.conflicts import Holding, Meeting, Sight, recognised
from replicator.oci import Digest
from replicator.rules import Conflict, ConflictRule
from replicator.verdict import (
    Facts,
    Verdict,
    Written,
    awaits_event,
    decide,
    origins,
    overrules,
    was_cut_short,
)

HISTORIES = settings(max_examples=40)
RESTS_WITHIN = 300
"""Jobs that may end before everything has to be at rest."""

Route = tuple[str, str]
NEWEST = Conflict()
MANUAL = Conflict(ConflictRule.MANUAL)
BASE = Digest.of(b"base")


class Again(Exception):
    """The job starts over: an end changed while it looked."""


@dataclass
class Regions:
    """Regions, what they hold, what the fleet remembers, the events under way and the jobs."""

    routes: tuple[Route, ...]
    conflict: Conflict = NEWEST
    held: dict[str, Digest] = field(default_factory=dict)
    written: dict[str, Written] = field(default_factory=dict)
    known: dict[str, Holding] = field(default_factory=dict)
    heard: dict[tuple[str, Digest], float] = field(default_factory=dict)
    events: list[tuple[str, Digest]] = field(default_factory=list)
    pending: dict[Route, tuple[int, bool]] = field(default_factory=dict)
    """What is to be done: how often it was asked for, and whether an event did."""
    running: dict[Route, tuple[int, Iterator[None]]] = field(default_factory=dict)
    blocked: dict[Route, tuple[Digest, Digest | None]] = field(default_factory=dict)
    chosen: set[tuple[Route, Digest, Digest | None]] = field(default_factory=set)
    cut: frozenset[str] = frozenset()
    """Regions that nobody reaches, and whose events wait."""
    waiting: set[Route] = field(default_factory=set)
    """Jobs that wait for the event of what they saw."""
    clock: float = 1.0
    ended: int = 0
    writes: dict[str, int] = field(default_factory=dict)
    recorded: dict[Digest, float] = field(default_factory=dict)
    """When each push was: its first event, or the first job that saw it."""
    unseen: set[Digest] = field(default_factory=set)
    """What was overwritten in the moment between a look and a write."""
    lost: set[Digest] = field(default_factory=set)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({end for route in self.routes for end in route}))

    def now(self) -> float:
        self.clock += 1
        return self.clock

    # What persons and registries do

    def push(self, name: str, digest: Digest) -> None:
        self.held[name] = digest
        self.events.append((name, digest))

    def deliver(self, at: int) -> None:
        name, digest = self.events.pop(at)
        self.heard.setdefault((name, digest), self.now())
        if not self._is_echo(name, digest):
            self.recorded.setdefault(digest, self.clock)
        self.waiting.clear()
        self.tell(name)

    def _is_echo(self, name: str, digest: Digest) -> bool:
        return digest in self.recorded

    def tell(self, name: str, *, is_event: bool = True) -> None:
        for route in self.routes:
            if route[0] == name:
                generation, was_event = self.pending.get(route, (0, False))
                self.pending[route] = (generation + 1, was_event or is_event)
                self.blocked.pop(route, None)

    def sweep(self) -> None:
        for name in self.names:
            self.tell(name, is_event=False)

    def choose(self, route: Route) -> None:
        self.chosen.add((route, *self.blocked.pop(route)))
        generation, is_event = self.pending.get(route, (0, False))
        self.pending[route] = (generation + 1, is_event)

    def forget(self) -> None:
        """Redis is lost; whoever is at work finds the lease gone."""
        for memory in (self.written, self.known, self.heard, self.pending, self.running, self.blocked):
            memory.clear()

    # What workers do

    def able(self) -> list[Route]:
        return sorted(
            route
            for route in self.pending
            if not (route in self.waiting and self.events)  # an event may be lost that was waited for
            and not self.cut & {*route}
            and (route in self.running or self._may_begin(route))
        )

    def _may_begin(self, route: Route) -> bool:
        return not any(route[1] == end or {*route} == {start, end} for start, end in self.running)

    def step(self, route: Route, *, dies: bool = False) -> None:
        if route not in self.running:
            self.running[route] = (self.pending[route][0], self._job(*route))
        generation, job = self.running[route]
        if dies:
            del self.running[route]
            return
        try:
            next(job)
        except Again:
            del self.running[route]
            self.ended += 1
        except StopIteration:
            del self.running[route]
            self.ended += 1
            if self.pending[route][0] == generation:
                del self.pending[route]

    def rest(self, data: st.DataObject) -> None:
        """Deliver every event and work until there is nothing to do."""
        self.ended, self.cut = 0, frozenset()
        while self.pending or self.events:
            assert self.ended < RESTS_WITHIN, "it does not come to rest"
            choices: list[Route | None] = [*self.able(), *([None] if self.events else [])]
            route = data.draw(st.sampled_from(choices))
            if route is None:
                self.deliver(data.draw(st.integers(0, len(self.events) - 1)))
            else:
                self.step(route)

    def _job(self, start: str, end: str) -> Iterator[None]:
        while True:
            before = self.known.get(start), self.known.get(end)
            yield
            wanted = self.held.get(start)
            if wanted is None:
                return
            yield
            found = self.held.get(end)
            yield
            verdict, facts = self._decided(start, end, wanted, found, before)
            if verdict is not Verdict.COPY:
                return
            yield
            yield from self._write(facts)
            if self.held.get(start) == wanted:
                return

    def _decided(
        self,
        start: str,
        end: str,
        wanted: Digest,
        found: Digest | None,
        before: tuple[Holding | None, Holding | None],
    ) -> tuple[Verdict, Facts]:
        for name, was, digest in ((start, before[0], wanted), (end, before[1], found)):
            now = self.known.get(name)
            if now != was and now and now.held and now.held.digest != digest:
                raise Again
        at = self.now()
        known = [self.known.get(name, Holding()) for name in (start, end)]
        versions = [
            recognised(
                holding, Sight(name, digest, at, self.heard.get((name, digest)), self._ours(name, digest))
            )
            for holding, name, digest in zip(known, (start, end), (wanted, found), strict=True)
            if digest
        ]
        is_chosen = ((start, end), wanted, found) in self.chosen
        meeting = Meeting(versions[0], versions[1] if found else None, self.conflict, is_chosen)
        facts = Facts(
            wanted,
            found,
            start,
            end,
            override=True,
            here=self.written.get(start),
            there=self.written.get(end),
            is_resync=not self.pending[start, end][1],
            is_answered=True,
            meeting=meeting,
        )
        if awaits_event(facts) and (end, found) in self.events:
            self.waiting.add((start, end))
            raise Again
        for version in versions:
            self.recorded.setdefault(version.digest, version.at or at)
        if was_cut_short(facts):
            self.written[end] = replace(self.written[end], digest=wanted, at=self.now())
        verdict = decide(facts)
        self.known[start], self.known[end] = (
            replace(holding, noted_at=at) for holding in meeting.noted(*known, copies=verdict is Verdict.COPY)
        )
        if verdict is Verdict.CHOICE:
            self.blocked[start, end] = (wanted, found)
        if verdict is Verdict.YIELD:
            self.tell(end)
        return verdict, facts

    def _ours(self, name: str, digest: Digest) -> float | None:
        record = self.written.get(name)
        return record.at if record and digest in (record.digest, record.intent) else None

    def _write(self, facts: Facts) -> Iterator[None]:
        end = facts.end
        there = self.written.get(end) or Written("", None, None, (), 0.0)
        record = replace(there, start=facts.start, intent=facts.wanted, origins=origins(facts), at=self.now())
        self.written[end] = record
        yield
        if self.held.get(end) != facts.found:
            raise Again  # the last look
        yield
        if (overwritten := self.held.get(end)) not in (None, facts.found):
            self.unseen.add(overwritten)
        self.writes[end] = self.writes.get(end, 0) + 1
        self.push(end, facts.wanted)
        if facts.found and overrules(facts):
            self.lost.add(facts.found)
        yield
        self.written[end] = replace(self.written[end], digest=facts.wanted, at=self.now())
        holding = self.known.get(end)
        if holding and holding.intended and holding.intended.digest == facts.wanted:
            self.known[end] = replace(holding.put(), noted_at=self.now())
        if overrules(facts):
            self.tell(end)


def mesh(*names: str) -> tuple[Route, ...]:
    return tuple(permutations(names, 2))


PAIR, MESH = mesh("eu", "us"), mesh("ap", "eu", "us")
RING = (("ap", "eu"), ("eu", "us"), ("us", "ap"))
SHAPES = pytest.mark.parametrize("routes", [PAIR, MESH, RING], ids=["pair", "mesh", "ring"])


def contents(regions: Regions) -> set[Digest]:
    return {regions.held[name] for name in regions.names}


def in_line(routes: tuple[Route, ...], conflict: Conflict, data: st.DataObject) -> Regions:
    """Regions that hold the same already, from us, or nothing."""
    regions = Regions(routes, conflict)
    if data.draw(st.booleans()):
        regions.push(regions.names[0], BASE)
        regions.rest(data)
    regions.writes.clear()
    return regions


def push_in_some(regions: Regions, data: st.DataObject) -> dict[str, Digest]:
    """Pushes in two regions or all, before any of them is heard of."""
    names = data.draw(st.permutations(regions.names))[: data.draw(st.integers(2, len(regions.names)))]
    pushed = {name: Digest.of(name.encode()) for name in names}
    for name, digest in pushed.items():
        regions.push(name, digest)
    return pushed


def disturb(regions: Regions, data: st.DataObject) -> None:
    """Anything may happen but another push."""
    for _ in range(data.draw(st.integers(0, 25))):
        act = data.draw(st.integers(0, 6))
        reached = [at for at, (name, _) in enumerate(regions.events) if name not in regions.cut]
        if act == 0:
            regions.cut = frozenset(data.draw(st.sets(st.sampled_from(regions.names), max_size=1)))
        elif act < 3 and reached:
            regions.deliver(data.draw(st.sampled_from(reached)))
        elif act == 3 and reached:
            at = data.draw(st.sampled_from(reached))
            regions.events.append(regions.events[at])  # it comes twice
        elif able := regions.able():
            regions.step(data.draw(st.sampled_from(able)), dies=act == 6)


@SHAPES
@HISTORIES
@given(data=st.data())
def test_of_pushes_at_once_the_one_that_was_recorded_last_ends_everywhere(
    routes: tuple[Route, ...], data: st.DataObject
) -> None:
    regions = in_line(routes, NEWEST, data)
    pushed = push_in_some(regions, data)

    disturb(regions, data)
    regions.rest(data)

    seen = [digest for digest in pushed.values() if digest not in regions.unseen]
    assert contents(regions) == {max(seen, key=regions.recorded.__getitem__)}
    assert all(count <= 2 for count in regions.writes.values())


@SHAPES
@HISTORIES
@given(data=st.data())
def test_of_pushes_at_once_the_one_of_the_first_registry_ends_everywhere(
    routes: tuple[Route, ...], data: st.DataObject
) -> None:
    order = tuple(data.draw(st.permutations(["ap", "eu", "us"])))
    regions = in_line(routes, Conflict(ConflictRule.PRIORITY, order), data)
    pushed = push_in_some(regions, data)

    disturb(regions, data)
    regions.rest(data)

    seen = {name: digest for name, digest in pushed.items() if digest not in regions.unseen}
    assert contents(regions) == {seen[min(seen, key=order.index)]}
    assert all(count <= 2 for count in regions.writes.values())


@SHAPES
@HISTORIES
@given(data=st.data())
def test_what_a_person_chooses_ends_everywhere(routes: tuple[Route, ...], data: st.DataObject) -> None:
    regions = in_line(routes, MANUAL, data)
    pushed = push_in_some(regions, data)
    disturb(regions, data)
    regions.rest(data)

    offered = {wanted for wanted, _ in regions.blocked.values()} or contents(regions)
    choice = data.draw(st.sampled_from(sorted(offered)))
    while open_ := sorted(route for route, (wanted, _) in regions.blocked.items() if wanted == choice):
        regions.choose(data.draw(st.sampled_from(open_)))
        regions.rest(data)

    assert contents(regions) == {choice}
    assert not regions.blocked
    assert choice in pushed.values()


@SHAPES
@pytest.mark.parametrize("conflict", [NEWEST, Conflict(ConflictRule.PRIORITY, ("us", "eu"))], ids=str)
@HISTORIES
@given(data=st.data())
def test_any_history_comes_to_rest_alike_everywhere_after_a_sweep(
    routes: tuple[Route, ...], conflict: Conflict, data: st.DataObject
) -> None:
    regions = Regions(routes, conflict)
    pushed = set()

    for _ in range(data.draw(st.integers(1, 25))):
        act = data.draw(st.integers(0, 11))
        if act < 3:
            pushed.add(digest := Digest.of(bytes([data.draw(st.integers(0, 3))])))
            regions.push(data.draw(st.sampled_from(regions.names)), digest)
        elif act == 3:
            regions.forget()
        elif act == 4 and regions.events:
            regions.events.pop(data.draw(st.integers(0, len(regions.events) - 1)))  # it is lost
        elif act == 5 and regions.events:
            regions.deliver(data.draw(st.integers(0, len(regions.events) - 1)))
        elif able := regions.able():
            regions.step(data.draw(st.sampled_from(able)), dies=act == 6)
    regions.rest(data)
    regions.sweep()
    regions.rest(data)

    if pushed:
        assert len(contents(regions)) == 1
        assert contents(regions) <= pushed
    regions.writes.clear()
    regions.sweep()
    regions.rest(data)
    assert not regions.writes


@SHAPES
@HISTORIES
@given(data=st.data())
def test_contents_of_which_nothing_is_known_end_alike_whoever_begins(
    routes: tuple[Route, ...], data: st.DataObject
) -> None:
    regions = Regions(routes)
    pushed = push_in_some(regions, data)
    regions.events.clear()

    regions.sweep()
    regions.rest(data)

    assert contents(regions) == {max(pushed.values())}

"""What the ledger shows: lanes for the gauges, jobs and failures for people. It only reads."""

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any

import redis

from replicator.jobs import Job
from replicator.ledger.connect import HELD, PREFIX, answering
from replicator.ledger.inbox import DEAD
from replicator.ledger.letters import DeadLetter
from replicator.ledger.selection import EVERYTHING, Selection
from replicator.ledger.streams import backwards, beginning
from replicator.oci import Digest, Reference, Repository
from replicator.rules import RuleSet

_PAGE = 200
_LETTERS = 20
"""Each has a body of up to 64 KiB."""
_SCANNED = 1000
_ID_PREFIX = re.compile(r"[0-9a-f]{1,20}\Z")


class State(StrEnum):
    """Where a job is. A pending job that a worker holds shows as running."""

    PENDING = "pending"
    RUNNING = "running"
    PARKED = "parked"
    BLOCKED = "blocked"
    DONE = "done"


_OPEN = frozenset({State.PENDING, State.RUNNING, State.PARKED, State.BLOCKED})
_SHOWN_AS = {
    None: _OPEN,
    State.PENDING: frozenset({State.PENDING, State.RUNNING}),
    State.PARKED: frozenset({State.PARKED}),
    State.BLOCKED: frozenset({State.BLOCKED}),
}
"""The states of the jobs that a listing by state holds."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The open jobs of one rule at one destination; `oldest_since` counts failed and blocked ones too."""

    pending: int
    failed: int
    blocked: int
    oldest_since: float | None


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as people see it, open or done. Times are Redis time."""

    id: str
    rule: str
    destination: str
    repository: Repository
    reference: Reference
    state: State
    since: float
    attempts: int
    due_at: float | None = None
    reason: str | None = None
    outcome: str | None = None
    digest: Digest | None = None
    finished_at: float | None = None
    trace: str | None = None
    is_urgent: bool = True
    is_paused: bool = False
    size_bytes: int = 0

    @property
    def job(self) -> Job:
        """The job itself."""
        return Job(self.rule, self.destination, self.repository, self.reference)


class View:
    """Reading access. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def now(self) -> float:
        """Redis time, the only clock that the ledger knows."""
        with answering():
            seconds, micros = self._redis.time()
        return float(seconds) + float(micros) / 1e6

    def lanes(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Lane]:
        """The lane of each (rule, destination), empty ones too, all of one moment."""
        wanted = list(pairs)
        with answering(), self._redis.pipeline(transaction=True) as pipe:
            for rule, destination in wanted:
                pipe.zcard(f"{PREFIX}since:{rule}|{destination}")
                pipe.zcard(f"{PREFIX}parked:{rule}|{destination}")
                pipe.zcard(f"{PREFIX}blocked:{rule}|{destination}")
                pipe.zrange(f"{PREFIX}since:{rule}|{destination}", 0, 0, withscores=True)
            answers: list[Any] = pipe.execute()
        return {pair: _lane(*answers[4 * at : 4 * at + 4]) for at, pair in enumerate(wanted)}

    def jobs(
        self, *, state: State | None = None, limit: int = 100, selection: Selection = EVERYTHING
    ) -> list[JobView]:
        """Up to `limit` jobs: open ones by how long they have been so, or with DONE the latest done first.

        PENDING includes those that run; None means every open job.
        """
        return list(islice(self.each(state=state, selection=selection), limit))

    def each(self, *, state: State | None = None, selection: Selection = EVERYTHING) -> Iterator[JobView]:
        """All of what `jobs` lists, read in portions: one that is moved meanwhile may be missed, or come twice."""
        if state is State.DONE:
            return (view for view in self._done() if selection.takes(view.job))
        if state is State.RUNNING:
            names = [f"inflight:{name}" for name in self._members("destinations")]
            states = frozenset({State.RUNNING})
        else:
            indexes = (state,) if state in (State.PARKED, State.BLOCKED) else ("since",)
            names = self._names(indexes, selection)
            states = _SHOWN_AS[state]
        return (view for view in self._ranked(names) if view.state in states and selection.takes(view.job))

    def failures(self, limit: int = 100, selection: Selection = EVERYTHING) -> list[JobView]:
        """Up to `limit` jobs that wait for a person, parked and blocked ones, the longest waiting first."""
        found = self._ranked(self._names(("parked", "blocked"), selection))
        return list(islice((view for view in found if selection.takes(view.job)), limit))

    def job_view(self, job_id: str) -> JobView | None:
        """The open job of that id, else the latest done one that is still in the history."""
        return next(iter(self._open([job_id])), None) or next(
            (job for job in self._done() if job.id == job_id), None
        )

    def open_jobs(self, ids: Sequence[str]) -> dict[str, JobView]:
        """Those of these jobs that are open, by their ids."""
        return {view.id: view for view in self._open(ids)}

    def block_reasons(self, ids: Iterable[str]) -> dict[str, str]:
        """Why those of these jobs are blocked that are."""
        wanted = list(ids)
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in wanted:
                pipe.hmget(f"{PREFIX}job:{job_id}", "state", "reason")
            answers = pipe.execute()
        found = zip(wanted, answers, strict=True)
        return {job_id: reason or "" for job_id, (state, reason) in found if state == State.BLOCKED}

    def history_end(self) -> str:
        """The place in the history after which the next job that ends will stand."""
        with answering():
            latest: Any = self._redis.xrevrange(f"{PREFIX}history", count=1)
        return str(latest[0][0]) if latest else "0-0"

    def ended_after(self, place: str, limit: int) -> tuple[list[JobView], str]:
        """Up to `limit` jobs that ended after that place of the history, oldest first, and the place of the last."""
        with answering():
            entries: Any = self._redis.xrange(f"{PREFIX}history", min=f"({place}", count=limit)
        return [_done_view(fields) for _, fields in entries], str(entries[-1][0]) if entries else place

    def ids(self, prefix: str) -> list[str]:
        """The ids of open jobs that begin so; if there are none, those of jobs in the history."""
        if not _ID_PREFIX.match(prefix):
            return []
        with answering():
            if self._redis.exists(f"{PREFIX}job:{prefix}"):
                return [prefix]
        found: set[str] = set()
        for lane in self._members("lanes"):
            with answering():
                scan = self._redis.zscan_iter(f"{PREFIX}since:{lane}", match=f"{prefix}*", count=_SCANNED)
                found.update(str(member) for member, _ in scan)
        return sorted(found or {job.id for job in self._done() if job.id.startswith(prefix)})

    def lane_names(self) -> list[tuple[str, str]]:
        """Every rule with every destination that it ever had a job for."""
        return [(rule, there) for rule, _, there in (lane.partition("|") for lane in self._members("lanes"))]

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Up to `limit` notifications that nobody could read, the latest first."""
        return list(islice(self.each_dead_letter(), limit))

    def each_dead_letter(self) -> Iterator[DeadLetter]:
        """All notifications that nobody could read, the latest first, read in portions."""
        return (DeadLetter.from_entry(*entry) for entry in backwards(self._redis, DEAD, page=_LETTERS))

    def dead_letters_named(self, prefix: str) -> list[DeadLetter]:
        """The dead letters whose ids begin so, or the first few of them."""
        return [
            DeadLetter.from_entry(*entry) for entry in beginning(self._redis, DEAD, prefix, limit=_LETTERS)
        ]

    def _members(self, name: str) -> list[str]:
        with answering():
            return sorted(str(member) for member in self._redis.smembers(PREFIX + name))

    def _names(self, indexes: Iterable[str], selection: Selection) -> list[str]:
        lanes = [lane for lane in self.lane_names() if selection.takes_lane(*lane)]
        return [f"{index}:{rule}|{there}" for rule, there in lanes for index in indexes]

    def _ranked(self, names: Sequence[str]) -> Iterator[JobView]:
        """The jobs in these sorted sets, the lowest scores of all first, read in portions."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zrange(PREFIX + name, 0, _PAGE - 1, withscores=True)
            firsts = pipe.execute()
        merged = heapq.merge(*(self._from(name, first) for name, first in zip(names, firsts, strict=True)))
        while portion := [job_id for _, job_id in islice(merged, _PAGE)]:
            yield from self._open(portion)

    def _from(self, name: str, page: Any) -> Iterator[tuple[float, str]]:
        start = 0
        while page:
            yield from ((float(score), str(member)) for member, score in page)
            start += _PAGE
            if len(page) < _PAGE:
                return
            with answering():
                page = self._redis.zrange(PREFIX + name, start, start + _PAGE - 1, withscores=True)

    def _open(self, ids: Sequence[str]) -> list[JobView]:
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hkeys(f"{PREFIX}paused")
            for job_id in ids:
                pipe.hgetall(f"{PREFIX}job:{job_id}")
            (seconds, micros), paused, *hashes = pipe.execute()
            # One that ended meanwhile has no hash any more.
            open_ones = [(job_id, found) for job_id, found in zip(ids, hashes, strict=True) if found]
            for job_id, found in open_ones:
                queue = f"{PREFIX}low:" if "low" in found else f"{PREFIX}due:"
                pipe.zscore(queue + found["destination"], job_id)
            due: list[float | None] = pipe.execute()
        moment = _Moment(seconds + micros / 1e6, frozenset(paused))
        return [_open_view(*item, due_at=at, moment=moment) for item, at in zip(open_ones, due, strict=True)]

    def _done(self) -> Iterator[JobView]:
        return (_done_view(fields) for _, fields in backwards(self._redis, f"{PREFIX}history", page=_PAGE))


def lanes_of(view: View, rules: RuleSet) -> dict[tuple[str, str], Lane]:
    """The lane of every enabled rule at each of its destinations, with what is open under its former names."""
    found = view.lanes([(name, there.registry) for rule, there in rules.lanes for name in rule.names])
    return {
        (rule.name, there.registry): _together([found[name, there.registry] for name in rule.names])
        for rule, there in rules.lanes
    }


def _lane(jobs: int, parked: int, blocked: int, oldest: list[tuple[str, float]]) -> Lane:
    return Lane(jobs - parked - blocked, parked, blocked, float(oldest[0][1]) if oldest else None)


def _together(lanes: list[Lane]) -> Lane:
    return Lane(
        pending=sum(lane.pending for lane in lanes),
        failed=sum(lane.failed for lane in lanes),
        blocked=sum(lane.blocked for lane in lanes),
        oldest_since=min(
            (lane.oldest_since for lane in lanes if lane.oldest_since is not None), default=None
        ),
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    now: float
    paused: frozenset[str]

    def rests(self, job: Job) -> bool:
        return not self.paused.isdisjoint((f"rule|{job.rule}", f"destination|{job.destination}"))


def _open_view(job_id: str, found: dict[str, str], *, due_at: float | None, moment: _Moment) -> JobView:
    job = Job.from_key(found["key"])
    state = State(found.get("state", State.PENDING))
    if float(found.get("lease_until", 0)) > moment.now:
        state = State.RUNNING
    return JobView(
        id=job_id,
        rule=job.rule,
        destination=job.destination,
        repository=job.repository,
        reference=job.reference,
        state=state,
        since=float(found["since"]),
        attempts=int(found.get("attempts", 0)),
        due_at=due_at if due_at is not None and due_at < HELD else None,
        reason=found.get("reason") or None,
        trace=found.get("trace") or None,
        is_urgent="low" not in found,
        is_paused=moment.rests(job),
    )


def _done_view(fields: dict[str, str]) -> JobView:
    job = Job.from_key(fields["key"])
    return JobView(
        id=job.id,
        rule=job.rule,
        destination=job.destination,
        repository=job.repository,
        reference=job.reference,
        state=State.DONE,
        since=float(fields["since"]),
        attempts=int(fields["attempts"]),
        reason=fields["detail"] or None,
        outcome=fields["outcome"],
        digest=Digest(fields["digest"]) if fields["digest"] else None,
        finished_at=float(fields["finished_at"]),
        trace=fields["trace"] or None,
        size_bytes=int(fields.get("size_bytes", 0)),
    )

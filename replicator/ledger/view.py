"""What the ledger shows: lanes for the gauges, jobs and failures for people. It only reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from replicator.jobs import Job
from replicator.ledger.connect import HELD, PREFIX, answering, raw
from replicator.ledger.inbox import DEAD
from replicator.oci import Digest, Reference, Repository

_HISTORY = 3000
"""More than the history ever holds: Redis trims it to about 2000."""


class State(StrEnum):
    """Where a job is. A pending job that a worker holds shows as running."""

    PENDING = "pending"
    RUNNING = "running"
    PARKED = "parked"
    BLOCKED = "blocked"
    DONE = "done"


# The indexes of halted jobs that a listing of a state reads: to list them, or to leave them out.
_HALTED = {
    State.PENDING: ("parked", "blocked"),
    State.PARKED: ("parked",),
    State.BLOCKED: ("blocked",),
}


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


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notification that nobody could read. `body` is cut if `size_bytes` is larger."""

    id: str
    registry: str
    content_type: str
    body: bytes
    size_bytes: int
    reason: str
    received_at: float
    trace: str | None


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

    def jobs(self, *, state: State | None = None, limit: int = 100) -> list[JobView]:
        """Up to `limit` jobs: open ones by how long they have been so, or with DONE the latest done first.

        PENDING includes those that run; None means every open job.
        """
        if state is State.DONE:
            return self._done(limit)
        if state is State.RUNNING:
            names = [f"inflight:{name}" for name in self._members("destinations")]
            return [job for job in self._open(self._first(names)) if job.state is state][:limit]
        lanes = self._members("lanes")
        halted = self._first(
            [f"{name}:{lane}" for lane in lanes for name in (_HALTED[state] if state else ())]
        )
        if state in (State.PARKED, State.BLOCKED):
            return self._open(halted[:limit])
        wanted = self._first([f"since:{lane}" for lane in lanes], limit + len(halted))
        return self._open([job_id for job_id in wanted if job_id not in set(halted)][:limit])

    def failures(self, limit: int = 100) -> list[JobView]:
        """Up to `limit` jobs that wait for a person, parked and blocked ones, the longest waiting first."""
        lanes = self._members("lanes")
        return self._open(
            self._first([f"{name}:{lane}" for lane in lanes for name in _HALTED[State.PENDING]], limit)
        )

    def job_view(self, job_id: str) -> JobView | None:
        """The open job of that id, else the latest done one that is still in the history."""
        return next(iter(self._open([job_id])), None) or next(
            (job for job in self._done(_HISTORY) if job.id == job_id), None
        )

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Up to `limit` notifications that nobody could read, the latest first."""
        with answering():
            entries: Any = self._redis.xrevrange(DEAD, count=limit)
        return [_dead_letter(entry, fields) for entry, fields in entries]

    def _members(self, name: str) -> list[str]:
        with answering():
            return sorted(str(member) for member in self._redis.smembers(PREFIX + name))

    def _first(self, names: Sequence[str], limit: int = 0) -> list[str]:
        """The members of these sorted sets with the lowest scores of all, `limit` of them or every one."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.zrange(PREFIX + name, 0, limit - 1, withscores=True)
            scored = [(float(score), str(member)) for answer in pipe.execute() for member, score in answer]
        return [member for _, member in sorted(scored)][: limit or None]

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

    def _done(self, limit: int) -> list[JobView]:
        with answering():
            entries: Any = self._redis.xrevrange(f"{PREFIX}history", count=limit)
        return [_done_view(fields) for _, fields in entries]


def _lane(jobs: int, parked: int, blocked: int, oldest: list[tuple[str, float]]) -> Lane:
    return Lane(jobs - parked - blocked, parked, blocked, float(oldest[0][1]) if oldest else None)


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
    )


def _dead_letter(entry: str, fields: dict[str, str]) -> DeadLetter:
    return DeadLetter(
        id=entry,
        registry=fields["registry"],
        content_type=fields["content_type"],
        body=raw(fields["body"]),
        size_bytes=int(fields["size_bytes"]),
        reason=fields["reason"],
        received_at=float(fields["received_at"]),
        trace=fields["trace"] or None,
    )

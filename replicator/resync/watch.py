"""Following jobs to their end, as the ledger tells it: what they did, what they moved, and which need a person."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from replicator.jobs import Job
from replicator.ledger import JobView, Ledger, State

HISTORY_A_LOOK = 1000
ASKED_AT_ONCE = 50
"""How many waiting jobs each look asks for. The history tells of those that end, this of those that need a person."""
T = TypeVar("T")


@dataclass
class Arrivals:
    """What became of the jobs of one destination so far."""

    asked: int = 0
    size_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def ended(self) -> int:
        """How many are done, or need a person."""
        return self.outcomes.total()


class Watch:
    """Begin it before the jobs are submitted: what ends before it begins is not seen."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = ledger.view.history_end()
        self._waiting: dict[str, Job] = {}
        self.destinations: dict[str, Arrivals] = {}
        self.halted: dict[str, JobView] = {}
        """Jobs that need a person, by their ids."""
        self.held_up: JobView | None = None
        """One of those that wait for another try, or for the end of a pause, if there is one."""

    def add(self, jobs: Iterable[Job]) -> None:
        """Watch these as well."""
        for job in jobs:
            if job.id not in self._waiting:
                self._waiting[job.id] = job
                self.destinations.setdefault(job.destination, Arrivals()).asked += 1

    @property
    def asked(self) -> int:
        """How many jobs are watched in all."""
        return sum(arrivals.asked for arrivals in self.destinations.values())

    @property
    def is_over(self) -> bool:
        """Whether every job is done, or needs a person."""
        return not self._waiting

    def look(self) -> None:
        """Take note of all that ended since the last look."""
        self._read_history()
        asked = list(islice(self._waiting, ASKED_AT_ONCE))
        open_jobs = self._ledger.view.open_jobs(asked)
        waits = (view for view in open_jobs.values() if view.state is State.PENDING)
        self.held_up = next((view for view in waits if view.reason or view.is_paused), None)
        for job_id in asked:
            found = open_jobs.get(job_id)
            if found is None:
                continue
            if found.state in (State.PARKED, State.BLOCKED):
                self.halted[job_id] = found
                self._end(job_id, "failed" if found.state is State.PARKED else "blocked", 0)
            else:
                # Whoever comes first is asked for last the next time.
                self._waiting[job_id] = self._waiting.pop(job_id)
        if len(open_jobs) < len(asked):
            # They may have ended between the two questions; what the history does not know, a person dropped.
            self._read_history()
            for job_id in asked:
                if job_id not in open_jobs:
                    self._end(job_id, "dropped", 0)

    def during(self, items: Iterable[T], *, every_s: float = 1.0) -> Iterator[T]:
        """The items as they come, with a look now and then: the history keeps the latest jobs only."""
        looked_at = time.monotonic()
        for item in items:
            if time.monotonic() - looked_at >= every_s:
                self.look()
                looked_at = time.monotonic()
            yield item

    def _read_history(self) -> None:
        while True:
            ended, self._seen = self._ledger.view.ended_after(self._seen, HISTORY_A_LOOK)
            for view in ended:
                self._end(view.id, str(view.outcome), view.size_bytes)
            if len(ended) < HISTORY_A_LOOK:
                return

    def _end(self, job_id: str, outcome: str, size_bytes: int) -> None:
        job = self._waiting.pop(job_id, None)
        if job is not None:
            arrivals = self.destinations[job.destination]
            arrivals.outcomes[outcome] += 1
            arrivals.size_bytes += size_bytes

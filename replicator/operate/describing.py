"""A job in words: where it comes from and goes to, what happened to it, what comes next, and what an approval does."""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from replicator.ledger import JobView, Ledger, Pause, PauseKind, Promotion, State
from replicator.oci import Repository, named
from replicator.operate.desk import Desk
from replicator.rules import PROMOTION, RuleSet, destination_repository
from replicator.transfer.deletion import ALL_ITS_TAGS, NOT_OURS, WITHIN_AN_HOUR
from replicator.transfer.emptied import EMPTIED
from replicator.transfer.provenance import CONFLICT
from replicator.transfer.sparse import NO_SPARSE
from replicator.transfer.two_ways import AT_ONCE

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-")
_APPROVING = (
    (NOT_OURS, "deletes {end} although replicator did not put there what it holds now"),
    (ALL_ITS_TAGS, "deletes the manifest of {end} and with it every tag that the reason names"),
    (EMPTIED, "deletes {end} although the source may have lost everything, this one alone"),
    (WITHIN_AN_HOUR, "deletes {end} beyond the cap of its rule, this one alone"),
    (NO_SPARSE, "changes nothing at {end}: only the rule can say what is to be there"),
    (AT_ONCE, "writes what {start} holds over what was pushed at {end}, and everywhere else"),
    (CONFLICT, "writes what {start} holds over the other rule's copy at {end}"),
)


@dataclass(frozen=True, slots=True)
class Description:
    """A job, and what a person wants to know of it.

    `source` and `target` are unknown where no rule of that name, or no name at the destination, exists any more. A job
    that promotes has an `order` in the place of a rule, which is unknown once the job was dropped. `next_try_s` counts
    from now: None for a job that is not tried again by itself, or runs, or is paused.
    """

    job: JobView
    source: str | None
    target: Repository | None
    next_try_s: float | None
    trace_id: str | None
    sentence: str
    approving: str | None
    order: Promotion | None = None

    @property
    def repository(self) -> Repository:
        """The repository at the source."""
        return self.order.repository if self.order else self.job.repository

    @property
    def start(self) -> str:
        """The reference at the source, in full."""
        if self.order:
            return self.order.start
        return f"{self.source or '?'}/{named(self.job.repository, self.job.reference)}"

    @property
    def end(self) -> str:
        """The reference at the destination, in full."""
        return f"{self.job.destination}/{named(self.target or '?', self.job.reference)}"


def describe(desk: Desk, jobs: Iterable[JobView]) -> list[Description]:
    """The jobs in words, as of now."""
    listed, rules = list(jobs), desk.rules()
    now, pauses = desk.ledger.view.now(), desk.ledger.pauses.all()
    orders = _orders(desk.ledger, [job for job in listed if job.rule == PROMOTION])
    return [_described(rules, job, orders.get(job), now=now, pauses=_pauses(job, pauses)) for job in listed]


def clock(at: float) -> str:
    """A moment for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def span(seconds: float) -> str:
    """A length of time for people: two digits and a unit are enough."""
    for unit, length_s in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _described(
    rules: RuleSet, job: JobView, order: Promotion | None, *, now: float, pauses: list[Pause]
) -> Description:
    source, target = (order.source, order.target) if order else _sides(rules, job)
    waits = job.state is State.PENDING and not pauses and job.due_at is not None
    trace = _TRACEPARENT.match(job.trace or "")
    end = f"{job.destination}/{named(target or job.repository, job.reference)}"
    start = order.start if order else f"{source or 'its source'}/{named(job.repository, job.reference)}"
    return Description(
        job=job,
        source=source,
        target=target,
        next_try_s=round(max(0.0, (job.due_at or now) - now), 3) if waits else None,
        trace_id=trace[1] if trace else None,
        sentence=_sentence(job, pauses),
        approving=_approving(job.reason or "", start, end) if job.state is State.BLOCKED else None,
        order=order,
    )


def _sides(rules: RuleSet, job: JobView) -> tuple[str | None, Repository | None]:
    """The registry that it comes from, and the repository that it goes to."""
    if job.rule == PROMOTION:
        return None, job.repository
    rule = rules.rule(job.rule)
    there = rule.destination(job.destination) if rule else None
    try:
        target = destination_repository(there, job.repository) if there else None
    except ValueError:
        target = None
    return rule.source if rule else None, target


def _orders(ledger: Ledger, jobs: list[JobView]) -> dict[JobView, Promotion | None]:
    """What each of these jobs is to carry out, or did."""
    ended = any(job.state is State.DONE for job in jobs)
    done = {
        (it.promotion.job.id, it.at): it.promotion for it in (ledger.promotions.history() if ended else ())
    }
    return {
        job: ledger.promotions.find(job.id)
        if job.finished_at is None
        else done.get((job.id, job.finished_at))
        for job in jobs
    }


def _sentence(job: JobView, pauses: list[Pause]) -> str:
    tries = f"{job.attempts} {'try' if job.attempts == 1 else 'tries'}"
    because = f": {job.reason}" if job.reason else ""
    match job.state:
        case State.RUNNING:
            return f"a worker is at it, try {job.attempts}"
        case State.PARKED:
            return f"gave up after {tries}{because}"
        case State.BLOCKED:
            return f"waits for a person's approval{because}"
        case State.DONE:
            return f"ended: {job.outcome}{f', {job.reason}' if job.reason else ''}"
        case _ if pauses:
            return f"waits until {' and '.join(f'{it.kind} {it.name}' for it in pauses)} is resumed{because}"
        case _ if job.reason:
            return f"waits for its next try{f', after {tries}' if job.attempts else ''}{because}"
        case _:
            return "waits for its turn" if job.is_urgent else "waits for its turn, which gives way to events"


def _approving(reason: str, start: str, end: str) -> str:
    known = next(
        (words for mark, words in _APPROVING if mark in reason), "goes on at {end} in spite of the reason"
    )
    return known.format(start=start, end=end)


def _pauses(job: JobView, pauses: list[Pause]) -> list[Pause]:
    mine = {PauseKind.RULE: job.rule, PauseKind.DESTINATION: job.destination}
    return [pause for pause in pauses if mine[pause.kind] == pause.name]

"""Retry, drop, approve: what a person decides of jobs and dead letters, and what came of it, in words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from replicator.ledger import DeadLetter, JobView, Ledger, State

_AT_ONCE = 500
Item = JobView | DeadLetter


class Verb(StrEnum):
    """What a person may do."""

    RETRY = "retry"
    DROP = "drop"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of it for one item; `said` tells what was done, or why nothing was."""

    item: Item
    is_done: bool
    said: str


def settle(ledger: Ledger, verb: Verb, items: Iterable[Item]) -> Iterator[Settled]:
    """Does it to each item, in portions. An approval is of the reason that the item shows, and of no later one."""
    rest = iter(items)
    while portion := list(islice(rest, _AT_ONCE)):
        open_ones = [item for item in portion if isinstance(item, JobView) and _obstacle(verb, item) is None]
        done = dict(zip((job.id for job in open_ones), _do(ledger, verb, open_ones), strict=True))
        for item in portion:
            if isinstance(item, DeadLetter):
                yield _settle_letter(ledger, verb, item)
            else:
                yield _settled(verb, item, is_done=done.get(item.id))


def _do(ledger: Ledger, verb: Verb, jobs: Sequence[JobView]) -> list[bool]:
    ids = [job.id for job in jobs]
    match verb:
        case Verb.RETRY:
            return ledger.reopen_all(ids)
        case Verb.DROP:
            return ledger.drop_all(ids)
        case Verb.APPROVE:
            return ledger.approve_all([(job.id, job.reason or "") for job in jobs])


def _obstacle(verb: Verb, job: JobView) -> str | None:
    if job.state is State.DONE:
        return "it has ended"
    if verb is Verb.APPROVE and job.state is not State.BLOCKED:
        return f"only a blocked job can be approved, and it is {job.state}"
    if job.state is State.RUNNING:
        return "a worker is at it"
    return None


def _settled(verb: Verb, job: JobView, *, is_done: bool | None) -> Settled:
    if is_done is None:
        return Settled(job, False, _obstacle(verb, job) or "")
    if not is_done:
        return Settled(job, False, "it changed meanwhile: look again")
    match verb:
        case Verb.RETRY:
            said = "due now" if not job.is_paused else "due as soon as its pause ends"
        case Verb.DROP:
            said = "dropped"
        case Verb.APPROVE:
            said = f"approved: {job.reason}"
    return Settled(job, True, said)


def _settle_letter(ledger: Ledger, verb: Verb, letter: DeadLetter) -> Settled:
    match verb:
        case Verb.RETRY if not letter.is_whole:
            return Settled(letter, False, "its body was too large to be kept whole: push again")
        case Verb.RETRY:
            is_done, said = ledger.revive(letter.id), "back in the inbox"
        case Verb.DROP:
            is_done, said = ledger.discard(letter.id), "dropped"
        case Verb.APPROVE:
            return Settled(letter, False, "only a blocked job can be approved, and it is a dead letter")
    return Settled(letter, is_done, said if is_done else "it is gone")

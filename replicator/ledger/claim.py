"""What passes between the ledger and those who use it: submissions going in, claims coming out."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from replicator.jobs import Job
from replicator.oci import Digest

REPAIR = "repair"
"""The action of a submission that wants a job done without trust."""
TEXT_LIMIT = 500
"""Characters of an error or reason that are kept."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A wish to have `job` done, and the hint of the event behind it.

    `since` is when the change was wanted; `action` is "push" or "delete", or None where no event told (a resync), or
    REPAIR, which stays with the job whatever events come after it, until it was done. The job is due `delay_s` from
    now, or sooner if it was. `is_news` False repeats an event that was submitted before: the source does not lag behind
    it any more, and a newer event's hint stays. `absent_at` is when the destination was seen not to have
    the reference. `is_urgent` False lets the job give way to urgent ones (a resync, a
    backfill, a schedule, a sweep); an open job that is urgent stays so. `was_lost` says that an event should have told
    of it; it holds as long as nothing else asks for the job. `is_doubted`: see `Claim`.
    """

    job: Job
    since: float
    action: str | None = None
    digest: Digest | None = None
    trace: str | None = None
    delay_s: float = 0.0
    is_news: bool = True
    is_urgent: bool = True
    absent_at: float | None = None
    was_lost: bool = False
    is_doubted: bool = False

    @property
    def packed(self) -> tuple[str | float, ...]:
        """As the scripts take it: see `submit` in `lua/prelude.lua`."""
        return (
            self.job.id,
            self.job.key,
            self.job.rule,
            self.job.destination,
            self.since,
            self.delay_s,
            self.action or "",
            self.digest or "",
            self.trace or "",
            int(self.is_news),
            int(self.is_urgent),
            self.absent_at or "",
            int(self.was_lost),
            int(self.is_doubted),
        )


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in our hands until the lease ends, unless renewed. All times are Redis time.

    `generation` counts submissions: a higher one in the ledger means that something happened after we claimed.
    `born` is when the ledger began to hold the job: what ended and was asked for again is another one.
    `taken_over` says that somebody else held the job and never finished: what they wrote is unknown.
    `approved` holds the reasons of former blocks that a person approved. `is_repair` says that what the destination
    holds is in doubt, however right it looks. `absent_at` is when the destination was last seen not to have the
    reference, if nothing was submitted since. `was_lost`: see `Submission`. `is_doubted` says that something which was
    sent under this claim may take effect later, over what comes after it: with whatever the ledger is told of the claim
    the job is in doubt, until it is done and was looked at again. A job that was taken over is in doubt by itself.
    """

    job: Job
    id: str
    token: int
    generation: int
    attempts: int
    taken_over: bool
    since: float
    claimed_at: float
    action: str | None = None
    digest: Digest | None = None
    hinted_at: float | None = None
    trace: str | None = None
    approved: frozenset[str] = frozenset()
    is_repair: bool = False
    locks: tuple[str, ...] = ()
    absent_at: float | None = None
    is_urgent: bool = True
    born: float = 0.0
    was_lost: bool = False
    is_doubted: bool = False

    @classmethod
    def from_answer(cls, job_id: str, answer: Sequence[str], locks: tuple[str, ...]) -> Self:
        """The claim that `lua/claim.lua` answers with."""
        key, token, generation, attempts, taken_over, since, now = answer[:7]
        action, digest, hinted_at, trace, approved = answer[7:12]
        repair, low, absent_at, born, lost = answer[12:]
        return cls(
            job=Job.from_key(key),
            id=job_id,
            token=int(token),
            generation=int(generation),
            attempts=int(attempts),
            taken_over=taken_over == "1",
            since=float(since),
            claimed_at=float(now),
            action=action or None,
            digest=Digest(digest) if digest else None,
            hinted_at=float(hinted_at) if hinted_at else None,
            trace=trace or None,
            approved=frozenset(approved.split("\n")) if approved else frozenset(),
            is_repair=repair == "1",
            locks=locks,
            absent_at=float(absent_at) if absent_at else None,
            is_urgent=not low,
            born=float(born or since),
            was_lost=lost == "1",
        )

    def approves(self, reason: str) -> bool:
        """Whether a person read exactly this reason, and approved. It stands for nothing else."""
        return reason[:TEXT_LIMIT] in self.approved


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job took: from which source, how many bytes were sent, in how many seconds."""

    source: str
    size_bytes: int
    seconds: float


class Refusal(StrEnum):
    """Why a job was not handed out."""

    GONE = "gone"
    LEASED = "leased"
    EARLY = "early"
    BUSY = "busy"
    PARKED = "parked"
    PAUSED = "paused"
    NEWER = "newer"
    """A later release wrote it down, in a way that this one does not know."""


class Finish(StrEnum):
    """What became of a finished job: gone from the ledger, due again, or no longer ours to finish."""

    DONE = "done"
    AGAIN = "again"
    LOST = "lost"

"""The work list: jobs from submission to their end. Each verb is one Lua script: one atomic step, one round trip.

A job is open while the ledger holds it: pending (waiting, rung or leased), parked (a person should look) or blocked (a
person must decide). Of a pending job three times are kept:

    due          when a dispatcher should ring for it: never before its back-off, its ring or its lease ends
    not_before   when a claim may succeed at the earliest: its back-off
    lease_until  until when the worker that claimed it owns it

A doorbell may be lost, doubled or late. Lost: the job comes due again `redispatch_s` after the ring. Doubled or late:
the claim is refused. A worker that dies leaves a job that comes due when its lease ends.

A submission that arrives while a worker holds the job raises the job's generation; `finish` compares it with the
claim's and keeps the job, due at once, if it moved on. So the source must be read after `claim`, never before.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import redis

from replicator.jobs import Crew, Job, Outcome
from replicator.ledger.claim import TEXT_LIMIT, Claim, Cost, Finish, Refusal, Submission
from replicator.ledger.connect import HELD, PREFIX, answering, bounded_wait_s
from replicator.ledger.inbox import GROUP
from replicator.ledger.promotions import Promotion
from replicator.ledger.scripts import Scripts
from replicator.oci import Digest

LEASE_S = 20.0
REDISPATCH_S = 15.0
_ITEMS_A_CALL = 500
T = TypeVar("T")


class Work:
    """The verbs of jobs. Thread-safe; every verb raises LedgerUnavailable if Redis does not serve it."""

    def __init__(
        self, client: redis.Redis, *, lease_s: float = LEASE_S, redispatch_s: float = REDISPATCH_S
    ) -> None:
        self._redis = client
        self.lease_s = lease_s
        self.redispatch_s = redispatch_s
        scripts = Scripts(client)
        self._submit = scripts.script("submit")
        self._route = scripts.script("route")
        self._promote = scripts.script("promote")
        self._dispatch = scripts.script("dispatch")
        self._claim = scripts.script("claim")
        self._renew = scripts.script("renew")
        self._finish = scripts.script("finish")
        self._retry = scripts.script("retry")
        self._halt = scripts.script("halt")
        self._release = scripts.script("release")
        self._reopen = scripts.script("reopen")
        self._drop = scripts.script("drop")
        self._crews = scripts.script("crews")

    # Submitting

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Writes jobs down. A large sequence goes in portions."""
        for portion in _portions(submissions):
            with answering():
                self._submit(*_packed(portion))

    def promote(
        self,
        promotion: Promotion,
        since: float,
        *,
        delay_s: float = 0.0,
        is_new: bool = True,
        is_doubted: bool = False,
    ) -> str:
        """Writes a promotion and its job down; the job's id. It takes the place of one to the same reference.

        With `is_new` False it does so only if there is none: that one may be a later order.
        """
        job = promotion.job
        submission = Submission(job, since, delay_s=delay_s, is_doubted=is_doubted)
        with answering():
            self._promote(job.id, promotion.number, promotion.to_json(), int(is_new), *_packed([submission]))
        return job.id

    def route(self, entry_id: str, submissions: Sequence[Submission]) -> bool:
        """Takes a notification out of the inbox and writes its jobs down, both or neither.

        False, and nothing done, if it was routed or buried before.
        """
        with answering():
            return bool(self._route(GROUP, entry_id, *_packed(submissions)))

    # Dispatching

    def dispatch(self, destination: str, cap: int, *, most: int = 1) -> list[list[str]]:
        """The doorbells to ring now, so that at most `cap` of them are out for `destination` at once.

        Each is the ids of up to `most` jobs of one repository; it is out until the last of them is.
        """
        with answering():
            doorbells: list[list[str]] = self._dispatch(destination, cap, self.redispatch_s, most)
        return doorbells

    def next_due(self, destination: str) -> float | None:
        """Seconds until the earliest pending job comes due, urgent or not, 0 or less if it is; None if there is no such
        job: what a paused rule holds back is none.
        """
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zrange(f"{PREFIX}due:{destination}", 0, 0, withscores=True)
            pipe.zrange(f"{PREFIX}low:{destination}", 0, 0, withscores=True)
            (seconds, micros), *firsts = pipe.execute()
        due = min((float(score) for first in firsts for _, score in first), default=HELD)
        return due - (seconds + micros / 1e6) if due < HELD else None

    def wait(self, timeout_s: float) -> None:
        """Returns as soon as a job may have come due earlier than known before, or after `timeout_s`, or 4 s."""
        with answering():
            self._redis.blpop([f"{PREFIX}wake"], timeout=bounded_wait_s(timeout_s))

    def destinations(self) -> frozenset[str]:
        """Every destination that ever had a job."""
        with answering():
            return frozenset(str(name) for name in self._redis.smembers(f"{PREFIX}destinations"))

    def heartbeat(self, name: str, slots: int, destinations: Iterable[str] = ()) -> None:
        """Says that the worker `name` lives and answers `slots` doorbells at once: of `destinations`, or of all.

        It counts for 15 s. 0 slots take it back.
        """
        with answering():
            self._crews(name, slots, ",".join(sorted(destinations)))

    def crews(self) -> list[Crew]:
        """The living workers, those that serve the same destinations as one."""
        with answering():
            found: list[str] = self._crews()
        return [
            Crew(int(slots), frozenset(filter(None, names.split(","))))
            for names, slots in zip(found[::2], found[1::2], strict=True)
        ]

    def slots(self) -> int:
        """How many jobs the living workers run at once."""
        return sum(crew.slots for crew in self.crews())

    # Working

    def job(self, job_id: str) -> Job | None:
        """The open job of that id."""
        return self.jobs([job_id])[0]

    def jobs(self, job_ids: Sequence[str]) -> list[Job | None]:
        """`job` for each of several, in one question."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hget(f"{PREFIX}job:{job_id}", "key")
            keys = pipe.execute()
        return [Job.from_key(str(key)) if key else None for key in keys]

    def claim(self, job_id: str, locks: Sequence[str] = ()) -> Claim | Refusal:
        """Leases the job and takes all of `locks`, or neither. The attempt is counted before it is made."""
        return self.claim_all([(job_id, locks)])[0]

    def claim_all(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[Claim | Refusal]:
        """`claim` for each of several jobs and their locks, one after another, in one step."""
        packed = [part for job_id, locks in wanted for part in (job_id, len(locks), *locks)]
        with answering():
            answers: list[list[str]] = self._claim(self.lease_s, *packed)
        return [
            Refusal(answer[0]) if len(answer) == 1 else Claim.from_answer(job_id, answer, tuple(locks))
            for (job_id, locks), answer in zip(wanted, answers, strict=True)
        ]

    def renew(self, claim: Claim) -> bool:
        """Extends lease and locks. False if they are lost: stop, and submit the job again if anything was written."""
        return self.renew_all([claim])[0]

    def renew_all(self, claims: Sequence[Claim]) -> list[bool]:
        """`renew` for each of several, in one step."""
        with answering():
            answers = self._renew(
                self.lease_s, *(part for claim in claims for part in (claim.id, claim.token))
            )
        return [bool(answer) for answer in answers]

    def moved_on(self, claim: Claim) -> bool:
        """Whether something was submitted since the claim, or the job is gone."""
        with answering():
            generation = self._redis.hget(f"{PREFIX}job:{claim.id}", "gen")
        return generation is None or int(generation) != claim.generation

    def finish(
        self,
        claim: Claim,
        outcome: Outcome,
        *,
        digest: Digest | None = None,
        detail: str = "",
        cost: Cost | None = None,
        promoted: tuple[Promotion, Digest | None] | None = None,
    ) -> Finish:
        """Ends the job: DONE, and it is in the history; AGAIN, something was submitted meanwhile and it is due at once;
        LOST, and nothing done, because the lease is.

        A job that is done and doubted comes due once more after a lease's time. `promoted` is a promotion that was
        carried out, and what its reference held before.
        """
        kept = (promoted[0].to_json(), promoted[1] or "") if promoted else ("", "")
        text = detail[:TEXT_LIMIT]
        with answering():
            answer = self._finish(
                claim.id,
                claim.token,
                claim.generation,
                outcome.value,
                digest or "",
                text,
                cost.source if cost else "",
                cost.size_bytes if cost else 0,
                cost.seconds if cost else 0,
                self.lease_s,
                *kept,
                int(claim.is_doubted),
            )
        return Finish(answer)

    def retry(self, claim: Claim, delay_s: float, *, error: str, charge: bool = True) -> bool:
        """Gives the job back for another try `delay_s` from now, 2 s at most if something happened meanwhile.

        `charge` False takes the attempt back. False, and nothing done, if the lease is lost.
        """
        with answering():
            return bool(
                self._retry(
                    claim.id,
                    claim.token,
                    claim.generation,
                    delay_s,
                    error[:TEXT_LIMIT],
                    int(charge),
                    int(claim.is_doubted),
                )
            )

    def park(self, claim: Claim, reason: str) -> bool:
        """Sets the job aside until a submission or a person wants it tried again.

        If something happened meanwhile it is due at once instead. False, and nothing done, if the lease is lost.
        """
        return self._halted(claim, "parked", reason)

    def block(self, claim: Claim, reason: str) -> bool:
        """Like `park`, for what a person must approve first."""
        return self._halted(claim, "blocked", reason)

    def release(self, claim: Claim) -> bool:
        """Gives the job back unfinished, due at once, its attempt uncounted. False if the lease is lost."""
        with answering():
            return bool(self._release(claim.id, claim.token, int(claim.is_doubted)))

    # What a person does

    def reopen(self, job_id: str) -> bool:
        """Makes a parked, blocked or waiting job due now, its attempts forgotten. False if it is gone or leased."""
        return self.reopen_all([job_id])[0]

    def reopen_all(self, job_ids: Sequence[str]) -> list[bool]:
        """`reopen` for each of many."""
        return self._settled([(job_id, "") for job_id in job_ids], "retry")

    def approve(self, job_id: str, reason: str = "") -> bool:
        """Makes a blocked job due now; its next claims approve the reason of the block. False if it is not blocked, or
        not for `reason`, if one is given.

        What was approved before stays approved, so that a person may answer several guards, one after another.
        """
        return self.approve_all([(job_id, reason)])[0]

    def approve_all(self, job_ids: Sequence[tuple[str, str]]) -> list[bool]:
        """`approve` for each of many, with the reason that was read."""
        return self._settled(job_ids, "approve")

    def drop(self, job_id: str) -> bool:
        """Removes an open job. False if it is gone, or a worker holds it."""
        return self.drop_all([job_id])[0]

    def drop_all(self, job_ids: Sequence[str]) -> list[bool]:
        """`drop` for each of many."""
        answers: list[int] = []
        for portion in _portions(job_ids):
            with answering():
                answers += self._drop(*portion)
        return [bool(answer) for answer in answers]

    def _settled(self, jobs: Sequence[tuple[str, str]], verb: str) -> list[bool]:
        answers: list[int] = []
        for portion in _portions(jobs):
            with answering():
                answers += self._reopen(verb, *(part for pair in portion for part in pair))
        return [bool(answer) for answer in answers]

    def _halted(self, claim: Claim, state: str, reason: str) -> bool:
        with answering():
            return bool(
                self._halt(
                    claim.id,
                    claim.token,
                    claim.generation,
                    state,
                    reason[:TEXT_LIMIT],
                    int(claim.is_doubted),
                )
            )


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _ITEMS_A_CALL] for start in range(0, len(items), _ITEMS_A_CALL))


def _packed(submissions: Sequence[Submission]) -> list[str | float]:
    return [field for item in submissions for field in item.packed]

"""Promotions: a person's orders to put one digest under one reference of a destination, and what became of them.

An order lies beside its job, because a job's key cannot hold it: a later order for the same reference takes its place.
What was carried out is kept for people to look at.
"""

import json
import uuid
from dataclasses import dataclass, field
from typing import Any, Self

import redis

from replicator.jobs import Job
from replicator.ledger.claim import Claim
from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.scripts import Scripts
from replicator.oci import Digest, Reference, Repository, Tag, named, parse_reference
from replicator.rules import PROMOTION, Signatures

HISTORY = f"{PREFIX}promotions"
_ALL = 10_000
_RECENT = 500


@dataclass(frozen=True, slots=True)
class Promotion:
    """One order. `tag` is what `digest` was resolved from, if it was; `number` tells it from every other order."""

    source: str
    repository: Repository
    digest: Digest
    destination: str
    target: Repository
    landing: Reference
    tag: Tag | None = None
    override: bool = True
    signatures: Signatures = Signatures.FOLLOW
    by: str = ""
    number: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def job(self) -> Job:
        """The job that carries it out."""
        return Job(PROMOTION, self.destination, self.target, self.landing)

    @property
    def start(self) -> str:
        """Where it comes from, for people."""
        return f"{self.source}/{named(self.repository, self.tag or self.digest)}"

    @property
    def end(self) -> str:
        """Where it goes, for people."""
        return f"{self.destination}/{named(self.target, self.landing)}"

    def to_json(self) -> str:
        """The order as the ledger keeps it."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The order that the ledger holds as `text`."""
        found: dict[str, Any] = json.loads(text)
        return cls(
            source=found["source"],
            repository=Repository(found["repository"]),
            digest=Digest(found["digest"]),
            destination=found["destination"],
            target=Repository(found["target"]),
            landing=parse_reference(found["landing"]),
            tag=Tag(found["tag"]) if found["tag"] else None,
            override=bool(found["override"]),
            signatures=Signatures(found["signatures"]),
            by=found["by"],
            number=found["number"],
        )


@dataclass(frozen=True, slots=True)
class Promoted:
    """An order that was carried out: what the reference held before, and when it was done, in Redis time."""

    promotion: Promotion
    previous: Digest | None
    outcome: str
    at: float


class Promotions:
    """What the ledger knows of promotions. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._note_previous = Scripts(client).script("note_previous")

    def find(self, job_id: str) -> Promotion | None:
        """The order that the open job of that id is to carry out."""
        with answering():
            found = self._redis.hget(f"{PREFIX}promotion:{job_id}", "promotion")
        return Promotion.from_json(str(found)) if found else None

    def note_previous(self, claim: Claim, promotion: Promotion, found: Digest | None) -> Digest | None:
        """Notes what the reference held before anything was written, once for an order; what was noted first.

        So the order's second try, after a crash, does not take its own work for what was there before.
        """
        with answering():
            noted = self._note_previous(claim.id, claim.token, promotion.number, found or "")
        if noted is None:
            return found
        return Digest(str(noted)) if noted else None

    def history(self, limit: int = 100) -> list[Promoted]:
        """Up to `limit` orders that were carried out, the latest first, each once."""
        return self._history()[:limit]

    def promoted(self, number: str) -> Promoted | None:
        """What became of the order of that number, if it was carried out lately."""
        return next((item for item in self._history(_RECENT) if item.promotion.number == number), None)

    def latest(self, job: Job) -> Promotion | None:
        """The last order for the reference of `job` that was carried out."""
        return next((item.promotion for item in self._history() if item.promotion.job == job), None)

    def _history(self, count: int = _ALL) -> list[Promoted]:
        with answering():
            entries: Any = self._redis.xrevrange(HISTORY, count=count)
        # One that was checked once more has several entries, of which the first says what was there before.
        first = {found.promotion.number: found for found in (_promoted(fields) for _, fields in entries)}
        return sorted(first.values(), key=lambda found: found.at, reverse=True)


def _promoted(fields: dict[str, str]) -> Promoted:
    return Promoted(
        Promotion.from_json(fields["promotion"]),
        Digest(fields["previous"]) if fields["previous"] else None,
        fields["outcome"],
        float(fields["finished_at"]),
    )

"""What replicator deleted at destinations: every manifest with its bytes, to be put back while its blobs live."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import redis

from replicator.ledger.connect import PREFIX, raw
from replicator.ledger.streams import backwards, beginning
from replicator.oci import Digest, Reference, Repository, named, parse_reference

STREAM = f"{PREFIX}deleted"
_PAGE = 50
"""Entries hold whole manifests, so few at a time."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """A manifest that was deleted at Redis time `at`. `rule` is None if none is known to have asked for it."""

    id: str
    at: float
    destination: str
    repository: Repository
    reference: Reference
    digest: Digest
    media_type: str
    manifest_raw: bytes
    rule: str | None

    @property
    def name(self) -> str:
        """Where it was, for people."""
        return f"{self.destination}/{named(self.repository, self.reference)}"

    @classmethod
    def from_entry(cls, entry: str, fields: dict[str, str]) -> Self:
        """The deletion in a stream entry; its id begins with the milliseconds at which Redis took it."""
        return cls(
            id=entry,
            at=int(entry.partition("-")[0]) / 1000,
            destination=fields["destination"],
            repository=Repository(fields["repository"]),
            reference=parse_reference(fields["reference"]),
            digest=Digest(fields["digest"]),
            media_type=fields["media_type"],
            manifest_raw=raw(fields["manifest"]),
            rule=fields.get("rule") or None,
        )


class Deletions:
    """The log of deletions. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def __iter__(self) -> Iterator[Deletion]:
        """Every deletion that is kept, the latest first."""
        return (Deletion.from_entry(*entry) for entry in backwards(self._redis, STREAM, page=_PAGE))

    def named(self, prefix: str) -> list[Deletion]:
        """The deletions whose ids begin so, or the first few of them."""
        return [Deletion.from_entry(*entry) for entry in beginning(self._redis, STREAM, prefix, limit=_PAGE)]

    def of_digest(self, destination: str, repository: Repository, digest: Digest) -> Deletion | None:
        """The latest deletion of that manifest from that repository."""
        place = (destination, repository, digest)
        return next((it for it in self if (it.destination, it.repository, it.digest) == place), None)

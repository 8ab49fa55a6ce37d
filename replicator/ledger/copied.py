"""What the fleet put under one reference of a destination, as a record."""

import json
from dataclasses import dataclass
from typing import Any, Self

from replicator.oci import Digest, Reference, Repository, Tag, parse_reference
from replicator.platforms import Platforms, parse_platform
from replicator.rules.links import Writer
from replicator.verdict import Written, place


@dataclass(frozen=True, slots=True)
class Copied:
    """What we put under one reference of a destination, and why.

    `digest` is what we last verified there, `intent` what we last set out to put there; they differ while a write is
    under way, or when it was cut short. `repository` and `reference` are the source's, `origins` the registries that
    the content came through on its way, `at` the Redis time of the last change of this record. Of an index only the
    images for `platforms` may be there; `made_from` is the source's digest where `intent` is an index rebuilt of it.
    """

    rule: str
    source: str
    repository: Repository
    reference: Reference
    digest: Digest | None = None
    intent: Digest | None = None
    origins: tuple[str, ...] = ()
    at: float = 0.0
    platforms: Platforms = ()
    made_from: Digest | None = None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that the ledger holds as `text`."""
        found: dict[str, Any] = json.loads(text)
        return cls(
            rule=found["rule"],
            source=found["source"],
            repository=Repository(found["repository"]),
            reference=parse_reference(found["reference"]),
            digest=Digest(found["digest"]) if found.get("digest") else None,
            intent=Digest(found["intent"]) if found.get("intent") else None,
            origins=tuple(found["origins"].split()),
            at=float(found["at"]),
            platforms=tuple(map(parse_platform, found.get("platforms", "").split())),
            made_from=Digest(found["made_from"]) if found.get("made_from") else None,
        )

    @property
    def written(self) -> Written:
        """What of it decides whether a copy is to be made."""
        start = place(self.source, self.repository, self.reference)
        return Written(start, self.digest, self.intent, self.origins, self.at, self.platforms, self.made_from)

    def holds(self, digest: Digest) -> bool:
        """Whether it is of that content: what is there from us, or is to be, or what that was made from."""
        return digest in (self.digest, self.intent, self.made_from)

    @property
    def writer(self) -> Writer:
        """Who put it there."""
        tag = self.reference if isinstance(self.reference, Tag) else None
        return Writer(self.rule, (self.source, self.repository), tag)

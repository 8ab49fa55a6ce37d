"""The conflicts of pushes that were decided: what was chosen, and what it was written over, to be had back."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import redis

from replicator.ledger.connect import PREFIX
from replicator.ledger.streams import backwards
from replicator.oci import Digest, Repository, named, parse_reference

STREAM = f"{PREFIX}conflicts"
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Decided:
    """A conflict that was decided at Redis time `at`: `chosen`, of `start`, was written over `lost` at `end`."""

    id: str
    at: float
    rule: str
    start: str
    chosen: Digest
    end: str
    lost: Digest
    why: str

    @classmethod
    def from_entry(cls, entry: str, fields: dict[str, str]) -> Self:
        """The conflict in a stream entry; its id begins with the milliseconds at which Redis took it."""
        return cls(
            id=entry,
            at=int(entry.partition("-")[0]) / 1000,
            rule=fields["rule"],
            start=_shown(fields["start"]),
            chosen=Digest(fields["chosen"]),
            end=_shown(fields["end"]),
            lost=Digest(fields["lost"]),
            why=fields["why"],
        )


class Conflicts:
    """The log of decided conflicts. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def __iter__(self) -> Iterator[Decided]:
        """Every conflict that is kept, the latest first."""
        return (Decided.from_entry(*entry) for entry in backwards(self._redis, STREAM, page=_PAGE))


def _shown(place: str) -> str:
    registry, repository, reference = place.split("|")
    return f"{registry}/{named(Repository(repository), parse_reference(reference))}"

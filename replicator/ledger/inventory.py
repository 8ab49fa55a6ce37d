"""An inventory of all that the ledger keeps, for its export: a walk in portions, in no order, without a lock.

What is written or removed during the walk may be in it or not, and Redis may show a thing twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import redis

from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.copied import Copied
from replicator.oci import Reference, Repository, parse_reference

_SCANNED = 1000


@dataclass(frozen=True, slots=True)
class Copy:
    """What we put under one reference of one repository of a destination."""

    destination: str
    repository: Repository
    reference: Reference
    record: Copied


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether a registry was found able to do something."""

    registry: str
    name: str
    is_there: bool


class Inventory:
    """Reading access to everything. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def copies(self) -> Iterator[Copy]:
        """Every record of a copy."""
        for place in self._names(f"{PREFIX}copied:"):
            destination, _, repository = place.partition("|")
            with answering():
                for name, text in self._redis.hscan_iter(f"{PREFIX}copied:{place}", count=_SCANNED):
                    record = Copied.from_json(str(text))
                    yield Copy(destination, Repository(repository), parse_reference(str(name)), record)

    def capabilities(self) -> Iterator[Capability]:
        """All that registries were found able or unable to do within the last day."""
        for name in self._names(f"{PREFIX}capability:"):
            with answering():
                value = self._redis.get(f"{PREFIX}capability:{name}")
            registry, _, what = name.partition("|")
            if value is not None:
                yield Capability(registry, what, value == "1")

    def _names(self, prefix: str) -> Iterator[str]:
        with answering():
            for key in self._redis.scan_iter(match=f"{prefix}*", count=_SCANNED):
                yield str(key).removeprefix(prefix)

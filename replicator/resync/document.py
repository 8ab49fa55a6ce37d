"""A plan as a document: what would change, written down as it is found, and read back to be carried out.

It is JSON: `{"version", "rules", "changes": [...], "lanes": [...], "troubles": [...], "hash"}`, one change a line. The
hash is of what would change and of nothing else, in any order: two plans of the same world have the same.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from replicator.drift import Difference, Kind
from replicator.errors import ConfigError
from replicator.oci import Digest

VERSION = 1
_ACTIONS = frozenset({Kind.ADD, Kind.UPDATE, Kind.DELETE})


class Change(BaseModel):
    """One reference that is not in line, as plans name it. `bytes` is what would have to be moved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    source: str
    repository: str
    destination: str
    target: str
    reference: str
    kind: Kind
    wanted: str | None
    found: str | None
    drift: bool
    bytes: int
    detail: str

    @classmethod
    def of(cls, difference: Difference) -> "Change":
        """`difference` as plans name it."""
        twins = difference.twins
        return cls(
            rule=twins.rule.name,
            source=twins.rule.source,
            repository=twins.repository,
            destination=twins.destination,
            target=twins.target,
            reference=difference.reference,
            kind=difference.kind,
            wanted=difference.wanted,
            found=difference.found,
            drift=difference.is_drift,
            bytes=difference.size_bytes,
            detail=difference.detail,
        )

    @property
    def is_action(self) -> bool:
        """Whether a resync does something about it."""
        return self.kind in _ACTIONS

    @property
    def fingerprint(self) -> int:
        """A number for what is to change; what it costs and how it is put into words do not count."""
        fields = (self.rule, self.source, self.repository, self.destination, self.target, self.reference)
        text = json.dumps([*fields, self.kind, self.wanted, self.found])
        return int.from_bytes(hashlib.sha256(text.encode()).digest())


def changes_of(differences: Iterable[Difference]) -> Iterator[Change]:
    """What a plan names of these: all that is not in sync."""
    return (Change.of(item) for item in differences if item.kind is not Kind.IN_SYNC)


@dataclass
class Digester:
    """The hash of changes that come in any order."""

    count: int = 0
    total: int = 0

    def add(self, change: Change) -> None:
        """Count `change` in."""
        self.count += 1
        self.total = (self.total + change.fingerprint) % 2**256

    @property
    def hash(self) -> str:
        """The hash of all changes so far."""
        return Digest.of(f"{self.count}:{self.total}".encode())


class LaneSum(BaseModel):
    """The sums of one rule at one destination. `bytes` are to be moved, in `seconds` if measurements so far hold (None
    where there are none); `complete` is False where something could not be read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    source: str
    destination: str
    compared: int
    kinds: dict[Kind, int]
    drift: int
    bytes: int
    seconds: float | None
    complete: bool


class Document(BaseModel):
    """A whole plan."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    rules: str
    changes: list[Change]
    lanes: list[LaneSum]
    troubles: list[str]
    hash: str


def written(
    changes: Iterable[Change], *, revision: str, ending: Callable[[], tuple[list[LaneSum], list[str]]]
) -> Iterator[str]:
    """The document, line by line while the changes come. `ending` gives lanes and troubles when they are through."""
    digester = Digester()
    yield f'{{"version": {VERSION}, "rules": {json.dumps(revision)}, "changes": ['
    for change in changes:
        digester.add(change)
        yield f"{',' if digester.count > 1 else ''}{change.model_dump_json()}"
    lanes, troubles = ending()
    sums = ",".join(lane.model_dump_json() for lane in lanes)
    yield f'], "lanes": [{sums}], "troubles": {json.dumps(troubles)}, "hash": "{digester.hash}"}}'


def read(text: str, name: str) -> Document:
    """The plan in `text`, which came from the file `name`. Raises ConfigError for anything but a whole, unchanged plan
    of a world that could be read.
    """
    try:
        document = Document.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{name}: not a plan: {place + ': ' if place else ''}{first['msg']}") from exc
    digester = Digester()
    for change in document.changes:
        digester.add(change)
    if digester.hash != document.hash:
        raise ConfigError(f"{name}: its changes are not those that its hash was made of; make a new plan")
    if document.troubles:
        raise ConfigError(f"{name}: the plan is incomplete: {document.troubles[0]}")
    return document

"""What places of rings were last known to hold, with the version of it, and when their pushes were recorded.

All of it may be lost: then contents look older than all that is pushed from then on. A place that nothing happens at
is forgotten after a month, what events told of it after a day.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from replicator.conflicts import REMEMBERED_S, Holding, Version
from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.decided import STREAM
from replicator.ledger.scripts import Scripts
from replicator.oci import Digest

_HEARD_TTL_S = 24 * 3600
_SETTLED_KEPT = 10_000
_HEARD_KEPT = 16
"""How many contents of one place are remembered by their events, the latest."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What is noted of a place, as a value and as it is written down, which tells whether it has changed since."""

    holding: Holding = field(default_factory=Holding)
    text: str = ""


class Holdings:
    """Read and written by every worker. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._note = Scripts(client).script("note_holdings")

    def noted(self, places: Sequence[str]) -> list[Noted]:
        """What is noted of each place."""
        with answering():
            found: Any = self._redis.mget([_holding(place) for place in places])
        return [Noted(_parsed(str(text)), str(text)) if text else Noted() for text in found]

    def note(self, changes: Mapping[str, tuple[Noted, Holding]]) -> dict[str, Noted] | None:
        """Notes these holdings, each with the time, if all of the places are as they were noted to be; gives what is
        noted then. Else None, and nothing is noted.
        """
        packed = [
            text
            for place, (noted, holding) in changes.items()
            for text in (_holding(place), noted.text, _written(holding))
        ]
        with answering():
            at = str(self._note(int(REMEMBERED_S), *packed))
        if not at:
            return None
        texts = {place: f"{at} {_written(holding)}" for place, (_, holding) in changes.items()}
        return {place: Noted(_parsed(text), text) for place, text in texts.items()}

    def hear(self, place: str, digest: Digest, at: float) -> None:
        """Notes that an event, recorded at that time, told of that content there. The first one counts."""
        key = _heard(place)
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zadd(key, {digest: at}, nx=True)
            pipe.zremrangebyrank(key, 0, -_HEARD_KEPT - 1)
            pipe.expire(key, _HEARD_TTL_S)
            pipe.execute()

    def heard(self, contents: Sequence[tuple[str, Digest]]) -> tuple[float, list[float | None]]:
        """The Redis time, and when the first event was recorded that told of each of these contents of a place."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for place, digest in contents:
                pipe.zscore(_heard(place), digest)
            (seconds, micros), *found = pipe.execute()
        return seconds + micros / 1e6, [None if at is None else float(at) for at in found]

    def note_settled(
        self, *, rule: str, start: str, chosen: Digest, end: str, lost: Digest, why: str
    ) -> None:
        """Keeps which content was overwritten at `end`, so that a person can have it back."""
        entry = {"rule": rule, "start": start, "chosen": chosen, "end": end, "lost": lost, "why": why}
        with answering():
            self._redis.xadd(STREAM, entry, maxlen=_SETTLED_KEPT)  # type: ignore[arg-type]


def _holding(place: str) -> str:
    return f"{PREFIX}holding:{place}"


def _heard(place: str) -> str:
    return f"{PREFIX}heard:{place}"


def _written(holding: Holding) -> str:
    fields = {"held": holding.held, "intended": holding.intended}
    return json.dumps(fields, default=_fields, separators=(",", ":"))


def _fields(version: Version) -> dict[str, object]:
    return {
        "digest": version.digest,
        "author": version.author,
        "at": version.at,
        "history": dict(version.history),
    }


def _parsed(text: str) -> Holding:
    at, _, fields = text.partition(" ")
    found: dict[str, Any] = json.loads(fields)
    return Holding(_version(found.get("held")), _version(found.get("intended")), float(at))


def _version(found: dict[str, Any] | None) -> Version | None:
    if not found:
        return None
    history = {str(region): float(at) for region, at in found["history"].items()}
    return Version(Digest(found["digest"]), str(found["author"]), float(found["at"]), history)

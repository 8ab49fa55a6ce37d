"""What people paused: rules and destinations whose jobs wait, while their events go on being taken and recorded."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import redis

from replicator.ledger.claim import TEXT_LIMIT
from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.scripts import Scripts


class PauseKind(StrEnum):
    """What may be paused."""

    RULE = "rule"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True)
class Pause:
    """A rule or destination that rests `since` a moment of Redis time, and the words of who paused it."""

    kind: PauseKind
    name: str
    since: float
    reason: str


class Pauses:
    """The pauses in force. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        scripts = Scripts(client)
        self._pause = scripts.script("pause")
        self._resume = scripts.script("resume")
        self._spread = scripts.script("spread_pause")

    def pause(self, kind: PauseKind, name: str, reason: str = "") -> bool:
        """From now on no job of it is started; those that run go on. False if it was paused before: then only the
        reason is new.
        """
        with answering():
            return bool(self._pause(kind.value, name, " ".join(reason.split())[:TEXT_LIMIT]))

    def resume(self, kind: PauseKind, name: str, *former: str) -> bool:
        """Makes due at once what the pause held back, under this name and former ones. False if it was not paused."""
        with answering():
            return bool(self._resume(kind.value, name, *former))

    def spread(self, names: Iterable[str]) -> None:
        """A rule with these names, of which one is paused, is paused under all of them."""
        with answering():
            self._spread(*names)

    def all(self) -> list[Pause]:
        """The pauses in force, the oldest first."""
        with answering():
            found = self._redis.hgetall(f"{PREFIX}paused")
        pauses = [_pause(str(field), str(value)) for field, value in found.items()]
        return sorted(pauses, key=lambda pause: (pause.since, pause.kind, pause.name))


def _pause(field: str, value: str) -> Pause:
    kind, _, name = field.partition("|")
    since, _, reason = value.partition(" ")
    return Pause(PauseKind(kind), name, float(since), reason)

"""Registries of whose notifications some may be lost: noted by whoever notices, until somebody made up for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis

from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.scripts import Scripts

_MET_LIMIT = 64


class Suspicion(StrEnum):
    """What makes a loss likely."""

    SENDER = "sender"
    """The registry restarted: what it kept in memory to be sent is gone."""
    RECEIVER = "receiver"
    """Nobody was there to take what it sent, for longer than senders go on trying."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A registry, why, and how often that was noted."""

    registry: str
    reason: Suspicion
    times: int


class Suspects:
    """Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        scripts = Scripts(client)
        self._meet = scripts.script("meet")
        self._listen = scripts.script("listen")
        self._clear = scripts.script("clear_suspect")
        self._met: dict[str, frozenset[str]] = {}

    def meet(self, registry: str, senders: frozenset[str]) -> None:
        """Notes the processes of the registry that sent something. A new one beside known ones makes it a suspect.

        Several that send in turn, behind a load balancer, are new once each.
        """
        met = self._met.get(registry, frozenset())
        if new := senders - met:
            with answering():
                self._meet(registry, len(met), *sorted(met), *sorted(new))
            self._met[registry] = new | met if len(met) < _MET_LIMIT else new

    def listen(self, registries: Iterable[str], outage_s: float) -> bool:
        """Says that notifications are taken. True, and these registries are suspects, if for `outage_s` nobody did."""
        with answering():
            return bool(self._listen(outage_s, *sorted(registries)))

    def all(self) -> list[Suspect]:
        """Those that nobody made up for yet."""
        with answering():
            found: Any = self._redis.hgetall(f"{PREFIX}suspects")
        pairs = [(*name.rpartition("|")[::2], int(times)) for name, times in sorted(found.items())]
        return [
            Suspect(registry, Suspicion(reason), times)
            for registry, reason, times in pairs
            if reason in set(Suspicion)
        ]

    def clear(self, suspect: Suspect) -> bool:
        """It was made up for. False if there was more since it was read."""
        with answering():
            return bool(self._clear(f"{suspect.registry}|{suspect.reason}", suspect.times))

"""Who brings which blob to which destination right now: one upload for the whole fleet, and the others wait for it.

A flight is a key in Redis that expires within two seconds, and that one thread of its process renews as long as the
process has any. So a process that was killed, or frozen, releases everybody who waits after that time at most, without
anybody who looks after it; and a claim tied to a connection would do no better: a frozen process keeps its connections.
Where a renewal comes too late a blob is sent twice, which costs bytes and does no harm.
"""

import threading
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import redis

from replicator.ledger.connect import answering
from replicator.ledger.keeper import Keeper
from replicator.ledger.scripts import Scripts
from replicator.oci import Digest, Repository

FLIGHT_S = 2.0
_RENEWED_EVERY_S = 0.5
_BROUGHT_KEPT = 10_000
LOCATION_TTL_S = 7 * 24 * 3600
"""For how long it is remembered where a blob was seen."""


@dataclass(frozen=True, slots=True)
class Boarding:
    """What to do about blobs that nobody had seen at a destination: `ours` are for the asker to bring, `landed` were
    seen meanwhile in the repository given. The others are on their way.
    """

    ours: frozenset[Digest] = frozenset()
    landed: Mapping[Digest, Repository] = field(default_factory=dict)


class Flights:
    """Thread-safe. Raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        scripts = Scripts(client)
        self._board = scripts.script("board")
        self._land = scripts.script("land")
        self._keep = scripts.script("keep_flights")
        self._token = uuid.uuid4().hex
        self._change = threading.Condition()
        self._held: set[str] = set()
        self._claimed: set[str] = set()
        self._brought: dict[str, float] = {}
        self._keeper = Keeper(
            "flights",
            _RENEWED_EVERY_S,
            lock=self._change,
            held=lambda: tuple(self._held),
            renew=self._renew,
        )

    def claim(
        self, destination: str, repository: Repository, digests: Collection[Digest]
    ) -> frozenset[Digest]:
        """Those of the blobs that no other thread of this process is bringing to this very repository, by a mount even.

        Jobs of one repository run side by side, and would all mount what they share. Nobody outside hears of this.
        """
        with self._change:
            free = [
                digest for digest in digests if f"{destination}|{repository}|{digest}" not in self._claimed
            ]
            self._claimed.update(f"{destination}|{repository}|{digest}" for digest in free)
        return frozenset(free)

    def brought(
        self, destination: str, repository: Repository, digests: Collection[Digest], *, since: float
    ) -> frozenset[Digest]:
        """Those of the blobs that this process brought to that repository after `since`, by its monotonic clock."""
        with self._change:
            return frozenset(
                digest
                for digest in digests
                if self._brought.get(f"{destination}|{repository}|{digest}", since) > since
            )

    def unclaim(self, destination: str, repository: Repository, digests: Collection[Digest]) -> None:
        """Other threads may bring these, if they are not there."""
        with self._change:
            self._claimed.difference_update(f"{destination}|{repository}|{digest}" for digest in digests)
            self._change.notify_all()

    def board(self, destination: str, repository: Repository, digests: Collection[Digest]) -> Boarding:
        """Take the flights of those blobs that nobody brings and that nobody saw there. One question for all.

        Of what was seen in several places `repository` is told, if it is one of them.
        """
        if not digests:
            return Boarding()
        with answering():
            answers = self._board(destination, repository, self._token, int(FLIGHT_S * 1000), *digests)
        told = dict(zip(digests, answers, strict=True))
        ours = frozenset(digest for digest, answer in told.items() if answer == 1)
        self._hold(_names(destination, ours))
        return Boarding(
            ours,
            {digest: Repository(str(answer)) for digest, answer in told.items() if answer not in (0, 1)},
        )

    def land(self, destination: str, repository: Repository, digests: Collection[Digest]) -> None:
        """Note that the repository holds these blobs; our flights of them are over."""
        self._end(destination, repository, digests)
        with self._change:
            if len(self._brought) > _BROUGHT_KEPT:
                self._brought.clear()
            now = time.monotonic()
            self._brought.update({f"{destination}|{repository}|{digest}": now for digest in digests})

    def give_up(self, destination: str, digests: Collection[Digest]) -> None:
        """End our flights of these blobs: somebody else may bring them."""
        self._end(destination, "", digests)

    def wait(self, timeout_s: float) -> None:
        """Return when a flight of this process ends, at the latest after `timeout_s`."""
        with self._change:
            self._change.wait(timeout_s)

    def _end(self, destination: str, repository: str, digests: Collection[Digest]) -> None:
        if not digests:
            return
        try:
            with answering():
                self._land(destination, self._token, repository, LOCATION_TTL_S, *digests)
        finally:
            with self._change:
                self._held.difference_update(_names(destination, digests))
                self._change.notify_all()

    def _hold(self, names: Iterable[str]) -> None:
        with self._change:
            self._held.update(names)
            if self._held:
                self._keeper.begin()

    def _renew(self, held: Collection[str]) -> None:
        with answering():
            self._keep(self._token, int(FLIGHT_S * 1000), *held)


def _names(destination: str, digests: Iterable[Digest]) -> list[str]:
    return [f"{destination}|{digest}" for digest in digests]

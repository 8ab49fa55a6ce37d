"""The ledger as its users hold it: the work list, with what the fleet knows and what people see beside it."""

from typing import Self

import redis

from replicator.ledger.availability import Availability
from replicator.ledger.budgets import Budgets
from replicator.ledger.connect import answering, connect
from replicator.ledger.decided import Conflicts
from replicator.ledger.deletions import Deletions
from replicator.ledger.durability import durability_problems
from replicator.ledger.epoch import Epoch
from replicator.ledger.fleet import Fleet
from replicator.ledger.inbox import DEAD, Inbox
from replicator.ledger.inventory import Inventory
from replicator.ledger.pauses import Pauses
from replicator.ledger.promotions import Promotions
from replicator.ledger.scripts import Scripts
from replicator.ledger.suspects import Suspects
from replicator.ledger.sweeps import Sweeps
from replicator.ledger.view import View
from replicator.ledger.work import LEASE_S, REDISPATCH_S, Work


class Ledger(Work):
    """Everything the fleet shares, in one Redis. Thread-safe and fork-safe."""

    def __init__(
        self, client: redis.Redis, *, lease_s: float = LEASE_S, redispatch_s: float = REDISPATCH_S
    ) -> None:
        super().__init__(client, lease_s=lease_s, redispatch_s=redispatch_s)
        self.availability = Availability(client)
        self.budgets = Budgets(client)
        self.fleet = Fleet(client)
        self.conflicts = Conflicts(client)
        self.deletions = Deletions(client)
        self.epoch = Epoch(client)
        self.pauses = Pauses(client)
        self.inventory = Inventory(client)
        self.suspects = Suspects(client)
        self.sweeps = Sweeps(client)
        self.view = View(client)
        self.promotions = Promotions(client)
        self._revive = Scripts(client).script("revive")

    @classmethod
    def connect(cls, url: str, *, lease_s: float = LEASE_S, redispatch_s: float = REDISPATCH_S) -> Self:
        """The ledger in the Redis at `url`; the connection is made when first used."""
        return cls(connect(url), lease_s=lease_s, redispatch_s=redispatch_s)

    def inbox(self, consumer: str) -> Inbox:
        """The inbox as the router named `consumer` reads it."""
        return Inbox(self._redis, consumer)

    def revive(self, letter_id: str) -> bool:
        """Puts a dead letter back into the inbox. False if it is gone, or its body was cut."""
        with answering():
            return bool(self._revive(letter_id))

    def discard(self, letter_id: str) -> bool:
        """Removes a dead letter. False if it is gone."""
        with answering():
            return bool(self._redis.xdel(DEAD, letter_id))

    def ping(self) -> None:
        """Returns if Redis answers. Raises LedgerUnavailable if not."""
        with answering():
            self._redis.ping()

    def durability_problems(self) -> list[str]:
        """What about this Redis breaks the promise that accepted work is on disk, a sentence each."""
        return durability_problems(self._redis)

    def close(self) -> None:
        """Closes the idle connections."""
        self._redis.close()

"""Whether Redis still knows what it knew: its data have a name, and a count that only grows.

A Redis that was emptied, or came back without its data, has no name any more, or another. One that went back to an
earlier state, as a replica that had fallen behind and was made the primary, has a lower count than somebody saw before.
"""

import secrets
from dataclasses import dataclass

import redis

from replicator.ledger.connect import PREFIX, answering

KEY = f"{PREFIX}epoch"


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the data in a Redis are called, and how often their pulse was taken up to now."""

    name: str
    count: int

    def follows(self, earlier: "Pulse | None") -> bool:
        """Whether what was there at the `earlier` pulse is still there; always, if nobody remembers one."""
        return earlier is None or (self.name == earlier.name and self.count > earlier.count)


class Epoch:
    """Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def pulse(self) -> Pulse:
        """Counts one pulse; the data get a name if they have none."""
        with answering(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(KEY, "name", secrets.token_hex(8))
            pipe.hget(KEY, "name")
            pipe.hincrby(KEY, "count", 1)
            _, name, count = pipe.execute()
        return Pulse(str(name), int(count))

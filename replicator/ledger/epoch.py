"""Whether Redis still knows what it knew: its data have a name, and a count that only grows.

A Redis that was emptied, or came back without its data, has no name any more, or another. One that went back to an
earlier state, as a replica that had fallen behind and was made the primary, has a lower count than somebody saw before.
And what a replica missed in the last moment, between two counts, shows in that it is one: Redis names each history of
writes, and a replica that becomes the primary begins another, and says which one it follows.
"""

import secrets
from dataclasses import dataclass
from typing import Any

import redis

from replicator.ledger.connect import PREFIX, answering

KEY = f"{PREFIX}epoch"


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the data in a Redis are called, and how often their pulse was taken up to now.

    `history` is what this Redis calls the writes that it has, `before` what another called those that it took over;
    empty where it does not tell.
    """

    name: str
    count: int
    history: str = ""
    before: str = ""

    def follows(self, earlier: "Pulse | None") -> bool:
        """Whether what was there at the `earlier` pulse is there for certain; always, if nobody remembers one."""
        if earlier is None:
            return True
        took_over = self.history != earlier.history and self.before == earlier.history != ""
        return self.name == earlier.name and self.count > earlier.count and not took_over


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
        return Pulse(str(name), int(count), *self._histories())

    def _histories(self) -> tuple[str, str]:
        with answering():
            try:
                told: Any = self._redis.info("replication")
            except redis.ResponseError:
                return "", ""  # a managed Redis may forbid INFO
        return str(told.get("master_replid", "")), str(told.get("master_replid2", ""))

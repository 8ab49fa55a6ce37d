"""Whether the Redis behind the ledger keeps what it was told: a 202 promises that a notification is on disk."""

import redis

from replicator.ledger.connect import answering

_WANTED = {
    "appendonly": ("yes", "without it a restart of Redis loses every accepted notification and pending job"),
    "appendfsync": ("always", "otherwise a power cut loses what was accepted in the last second or longer"),
    "no-appendfsync-on-rewrite": (
        "no",
        "otherwise a power cut loses what was accepted while Redis rewrote its file",
    ),
    "maxmemory-policy": ("noeviction", "any other policy lets Redis throw away jobs when memory is short"),
}


def durability_problems(client: redis.Redis) -> list[str]:
    """A sentence for each setting of this Redis that breaks the promise; empty if all is well, or it will not tell."""
    with answering():
        try:
            found = client.config_get(*_WANTED)
        except redis.ResponseError:
            return []  # a managed Redis may forbid CONFIG
    return [
        f"Redis has {name} {found[name]}, wanted {value}: {reason}"
        for name, (value, reason) in _WANTED.items()
        if found.get(name) not in (None, value)
    ]

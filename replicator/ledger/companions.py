"""Which companion tags a source has, as a comparison listed them a moment ago for the jobs that it submits.

A companion that comes makes the fleet forget the listing, be it finished or under way, before it looks whether its
subject is expected; and a job says that its subject is expected before it asks here. So one of the two sees the other.
"""

import secrets
from collections.abc import Collection, Sequence

import redis

from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.scripts import Scripts
from replicator.oci import Repository, Tag

_TTL_S = 600


class Companions:
    """Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._note = Scripts(client).script("note_companions")

    def begin(self, source: str, repository: Repository) -> str:
        """Says that the source's repository is about to be listed; what `note` wants to be told."""
        key, token = _key(source, repository), secrets.token_hex(8)
        with answering(), self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            pipe.sadd(key, f"?{token}")
            pipe.expire(key, _TTL_S)
            pipe.execute()
        return token

    def note(self, source: str, repository: Repository, tags: Collection[Tag], token: str) -> None:
        """Notes that these are all companion tags that the source's repository lists, unless some came meanwhile."""
        with answering():
            self._note(_key(source, repository), f"?{token}", _TTL_S, *tags)

    def listed(self, source: str, repository: Repository, tags: Sequence[Tag]) -> frozenset[Tag] | None:
        """Those of `tags` that were listed; None if nobody listed them lately, or some came since."""
        with answering():
            is_known, *found = self._redis.smismember(_key(source, repository), ["", *tags])
        if not is_known:
            return None
        return frozenset(tag for tag, is_there in zip(tags, found, strict=True) if is_there)

    def forget(self, source: str, repository: Repository) -> None:
        """Forgets what was listed: a companion came."""
        with answering():
            self._redis.delete(_key(source, repository))


def _key(source: str, repository: Repository) -> str:
    return f"{PREFIX}companions:{source}|{repository}"

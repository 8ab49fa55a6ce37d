"""Reading a stream from its end."""

from collections.abc import Iterator
from typing import Any

import redis

from replicator.ledger.connect import answering


def backwards(client: redis.Redis, stream: str, *, page: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Every entry with its id, the latest first, read in portions of `page`."""
    last = "+"
    while last:
        with answering():
            entries: Any = client.xrevrange(stream, max=last, count=page)
        yield from entries
        last = f"({entries[-1][0]}" if len(entries) == page else ""

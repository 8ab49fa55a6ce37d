"""Reading a stream: from its end, or an entry by the beginning of its id."""

import re
from collections.abc import Iterator
from typing import Any

import redis

from replicator.ledger.connect import answering

_MILLISECONDS = 13
"""Digits of the first part of an id, until the year 2286."""
_ID = re.compile(r"[0-9]{1,13}\Z|[0-9]{13}-[0-9]{1,10}\Z")


def backwards(client: redis.Redis, stream: str, *, page: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Every entry with its id, the latest first, read in portions of `page`."""
    last = "+"
    while last:
        with answering():
            entries: Any = client.xrevrange(stream, max=last, count=page)
        yield from entries
        last = f"({entries[-1][0]}" if len(entries) == page else ""


def beginning(
    client: redis.Redis, stream: str, prefix: str, *, limit: int
) -> list[tuple[str, dict[str, str]]]:
    """Up to `limit` entries whose ids begin with `prefix`, or have it as the whole id."""
    if not _ID.match(prefix):
        return []
    first, last = (prefix if "-" in prefix else prefix.ljust(_MILLISECONDS, digit) for digit in "09")
    with answering():
        entries: Any = client.xrange(stream, min=first, max=last, count=limit)
    return [*entries]

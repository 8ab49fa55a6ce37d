"""Connections to the Redis that holds the ledger: how long we wait for it, and what its failures mean to us."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from replicator.errors import LedgerUnavailable
from replicator.ledger.sentinels import primary, primary_async
from replicator.redis_url import Sentinels

PREFIX = "replicator:"
"""Every key of ours begins so."""
HELD = 1e11
"""The due time of jobs whose rule is paused: as in `lua/prelude.lua`."""

SOCKET_TIMEOUT_S = 5.0
_TEXT = {"decode_responses": True, "encoding_errors": "surrogateescape"}


def connect(url: str) -> redis.Redis:
    """A thread-safe, fork-safe client for every URL of `redis_url`; it connects when first used.

    Answers are text, and bytes that are no UTF-8 survive the round trip as surrogates: see `raw`.
    """
    # A script whose answer got lost may run twice; every one of them is written to bear that. After a timeout we do
    # not try again: a Redis that hangs should be seen within seconds.
    retry = Retry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
    options: dict[str, Any] = {
        **_TEXT,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": 2.0,
        "health_check_interval": 5,
        "retry": retry,
    }
    sentinels = Sentinels.of(url)
    if sentinels is None:
        return redis.Redis.from_url(url, **options)
    return primary(sentinels, options)


def connect_async(url: str) -> redis.asyncio.Redis:
    """A client for the receiver, which must answer its sender within about a second: short waits."""
    # The second try is for connections that a restart of Redis cut while they were idle. Should it record a
    # notification twice, its jobs are done once all the same.
    retry = AsyncRetry(NoBackoff(), 1, supported_errors=(redis.exceptions.ConnectionError,))
    options: dict[str, Any] = {
        **_TEXT,
        "socket_timeout": 0.8,
        "socket_connect_timeout": 0.5,
        "retry": retry,
    }
    sentinels = Sentinels.of(url)
    if sentinels is None:
        return redis.asyncio.Redis.from_url(url, **options)
    return primary_async(sentinels, options)


def bounded_wait_s(timeout_s: float) -> float:
    """How long to wait at Redis: longer would look like one that hangs, and zero would mean for ever."""
    return max(0.001, min(timeout_s, SOCKET_TIMEOUT_S - 1))


def raw(text: str) -> bytes:
    """The bytes that a client of ours turned into `text`."""
    return text.encode("utf-8", "surrogateescape")


@contextmanager
def answering() -> Iterator[None]:
    """Turns every failure of Redis (away, slow, full, read-only, loading) into LedgerUnavailable."""
    try:
        yield
    except redis.exceptions.RedisError as exc:
        raise unavailable(exc) from exc


def unavailable(cause: Exception) -> LedgerUnavailable:
    """What a failure of Redis is to us."""
    return LedgerUnavailable(f"Redis did not serve the ledger: {type(cause).__name__}: {cause}")

"""Clients of whatever server the Sentinels of a service name as its primary, asked again for each new connection."""

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelManagedConnection

from replicator.redis_url import Sentinels

TIMEOUT_S = 0.2
"""Sentinels are asked one after the other, and the receiver has less than a second for all of it."""


def primary(sentinels: Sentinels, options: dict[str, Any]) -> redis.Redis:
    """A client of the primary. `options` are those of redis-py's connections to it."""
    asking = _asking(sentinels, Retry(NoBackoff(), 0))
    asked = Sentinel(sentinels.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    kind = _TLSConnection if sentinels.is_tls else _Connection
    client: redis.Redis = asked.master_for(  # type: ignore[no-untyped-call]
        sentinels.service, connection_class=kind, **_login(sentinels), **sentinels.tls_files, **options
    )
    return client


def primary_async(sentinels: Sentinels, options: dict[str, Any]) -> redis.asyncio.Redis:
    """The same for the receiver's event loop."""
    asking = _asking(sentinels, AsyncRetry(NoBackoff(), 0))
    asked = AsyncSentinel(sentinels.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client: redis.asyncio.Redis = asked.master_for(
        sentinels.service, **_login(sentinels), **_tls(sentinels), **options
    )
    return client


class _Connection(SentinelManagedConnection):
    # redis-py 8.1 keeps such a connection after a timeout, unlike every other kind: it would stay with a frozen
    # primary for ever, and take the late answer to one command for the answer to the next.
    def read_response(self, *arguments: Any, **options: Any) -> Any:
        return super().read_response(*arguments, **{"disconnect_on_error": True, **options})


class _TLSConnection(_Connection, SSLConnection):
    pass


def _login(sentinels: Sentinels) -> dict[str, Any]:
    return {"db": sentinels.database, "username": sentinels.username, "password": sentinels.password}


def _asking(sentinels: Sentinels, retry: Retry | AsyncRetry) -> dict[str, Any]:
    # Left without a `retry`, redis-py would wait for seconds at a Sentinel that is away.
    waits = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    return {**sentinels.sentinel_login, **_tls(sentinels), **waits, "retry": retry}


def _tls(sentinels: Sentinels) -> dict[str, Any]:
    return {"ssl": True, **sentinels.tls_files} if sentinels.is_tls else {}

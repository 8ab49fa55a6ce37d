"""The broker: how Celery is set up here, and how the ledger's jobs are rung for.

A message is a doorbell. It holds the ids of jobs and nothing else, and it may get lost, doubled or late: whoever hears
it asks the ledger. So nothing here waits, retries or keeps a result; the ledger decides what happens next, and when.
"""

import platform
import ssl
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

import redis
from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from replicator.errors import LedgerUnavailable
from replicator.redis_url import TLS_FILES, Sentinels

TASK = "replicator.bring_in_line"
"""The task that the workers offer; its arguments are ids of jobs."""
DOORBELL_LIMIT_S = 3600
"""The last resort against a doorbell that never ends: the lease check and the client's timeouts act long before, and a
doorbell begins no job late."""

WORKER_OPTIONS = {
    "pool": "prefork",
    "without_gossip": True,
    "without_mingle": True,
    "without_heartbeat": True,
    "quiet": True,
}
"""Gossip and mingle break on reconnecting to Redis (celery issue 8030); the ledger's leases say who is alive."""


def queue_name(destination: str) -> str:
    """The queue that holds the doorbells of a destination: each its own, so that one that hangs harms no other."""
    return f"dst.{destination}"


def make_app(redis_url: str, destinations: Iterable[str] = ()) -> Celery:
    """The Celery app, with every setting it has, and the queues of `destinations`.

    `redis_url` is what the ledger takes. Nothing connects yet.
    """
    app = Celery("replicator", set_as_current=False)
    app.conf.update(
        broker_url=_broker_url(redis_url),
        broker_use_ssl=_tls(redis_url),
        broker_transport_options=_transport_options(redis_url),
        task_queues=[_queue(destination) for destination in destinations],
        **_TASK_SETTINGS,
        **_WORKER_SETTINGS,
    )
    return app


def add_queue(app: Celery, destination: str) -> None:
    """Declares the destination's queue, so that it can be rung or consumed. A second time it does nothing."""
    if queue_name(destination) not in app.amqp.queues:
        app.amqp.queues.add(_queue(destination))


class Bell:
    """Rings for jobs. Thread-safe."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, destination: str, doorbells: Iterable[Sequence[str]]) -> None:
        """Sends a message for each doorbell, which is ids of jobs, to the destination's queue.

        Raises LedgerUnavailable if the broker does not take one; those before it, and perhaps it too, were sent. The
        dispatcher need not care: what was not rung comes due again.
        """
        add_queue(self._app, destination)
        try:
            for job_ids in doorbells:
                self._app.send_task(TASK, args=tuple(job_ids), queue=queue_name(destination), retry=False)
        except (OperationalError, redis.RedisError, OSError) as exc:
            raise LedgerUnavailable(
                f"Redis did not take a doorbell for {destination}: {type(exc).__name__}"
            ) from exc


# Celery's Redis transport pops a message before it keeps a copy, so a message is never the record of anything. What
# these settings must do: no second authority for retries, no hidden reservation behind a long copy, no unread queue.
_TASK_SETTINGS: dict[str, Any] = {
    "task_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "event_serializer": "json",
    "result_backend": None,
    "task_ignore_result": True,
    "task_acks_late": True,
    "task_acks_on_failure": True,
    "task_acks_on_timeout": True,
    # True would run a task that kills its worker again at once, for ever.
    "task_reject_on_worker_lost": False,
    "task_retry_on_worker_lost": False,
    "task_publish_retry": False,
    # A misspelt name must not make a queue that nobody reads.
    "task_create_missing_queues": False,
    # A time limit would leave an entry in the worker's timer for each task until the time is up, even if the task
    # ended at once: half a kilobyte each, for most of an hour. The task keeps a limit of its own (DOORBELL_LIMIT_S).
    "task_soft_time_limit": None,
    "task_time_limit": None,
}

_WORKER_SETTINGS: dict[str, Any] = {
    "worker_prefetch_multiplier": 1,
    "worker_max_tasks_per_child": 500,
    "worker_max_memory_per_child": 400_000,
    # Whoever may publish could stop every worker.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_hijack_root_logger": False,
    # True leaves the message of the cancelled task unacknowledged for the whole visibility timeout.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_eta_task_limit": 100,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    # Otherwise a Redis that is out of memory ends the worker.
    "broker_channel_error_retry": True,
}


def _queue(destination: str) -> Queue:
    name = queue_name(destination)
    return Queue(name, Exchange(name, type="direct"), routing_key=name)  # type: ignore[no-untyped-call]


def _transport_options(redis_url: str) -> dict[str, Any]:
    return {
        **_sentinel_options(Sentinels.of(redis_url)),
        # Longer than DOORBELL_LIMIT_S, or a long task is delivered again and again.
        "visibility_timeout": 4200,
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        # Without these a frozen Redis blocks for ever.
        "socket_timeout": 10,
        "socket_connect_timeout": 3,
        # For how long a publisher tries to connect; its loop comes again.
        "connect_retries_timeout": 1,
        "socket_keepalive": True,
        "health_check_interval": 5,
        # After a timeout the message may be there: doubling it is the dispatcher's choice.
        "retry_on_timeout": False,
        "client_name": f"replicator-{platform.node()}",
    }


def _sentinel_options(sentinels: Sentinels | None) -> dict[str, Any]:
    if sentinels is None:
        return {}
    tls = {"ssl": True, **sentinels.tls_files} if sentinels.is_tls else {}
    waits = {"socket_timeout": 1, "socket_connect_timeout": 1}
    # Left alone, redis-py would wait for seconds at a Sentinel that is away.
    asking = {**sentinels.sentinel_login, **tls, **waits, "retry": Retry(NoBackoff(), 0)}
    return {"master_name": sentinels.service, "sentinel_kwargs": asking}


def _broker_url(redis_url: str) -> str:
    """kombu's spelling of a URL: another scheme for sockets, a URL for each Sentinel, and TLS files are settings."""
    sentinels = Sentinels.of(redis_url)
    if sentinels:
        return _sentinel_urls(sentinels)
    url = urlsplit(redis_url)
    query = dict(parse_qsl(url.query))
    login, _, host = url.netloc.rpartition("@")
    if not login and "password" in query:
        login = _login(query.get("username", ""), query["password"])
    place = f"{login}@{host}" if login else host
    database = query.get("db", "0")
    if url.scheme == "unix":
        return f"redis+socket://{place}{url.path}?virtual_host={database}"
    return urlunsplit((url.scheme, place, url.path.strip("/") or database, "", ""))


def _sentinel_urls(sentinels: Sentinels) -> str:
    """All of them whole: kombu takes login and database from the one that it is at."""
    login = f"{_login(sentinels.username or '', sentinels.password)}@" if sentinels.password else ""
    places = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in sentinels.hosts)
    return ";".join(f"sentinel://{login}{place}/{sentinels.database}" for place in places)


def _login(username: str, password: str) -> str:
    return f"{quote(username, safe='')}:{quote(password, safe='')}"


def _tls(redis_url: str) -> dict[str, Any] | None:
    sentinels = Sentinels.of(redis_url)
    if sentinels:
        files = sentinels.tls_files if sentinels.is_tls else None
    else:
        url = urlsplit(redis_url)
        query = parse_qsl(url.query)
        files = (
            {name: value for name, value in query if name in TLS_FILES} if url.scheme == "rediss" else None
        )
    # kombu's default for TLS is to verify nothing.
    return None if files is None else {"ssl_cert_reqs": ssl.CERT_REQUIRED, **files}

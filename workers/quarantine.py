"""What is not a doorbell never reaches Celery: it is set aside, where a person can look at it.

Celery ends at a message whose body is no list of arguments and puts it back as it goes, so that a worker dies of one
message again and again; it obeys whatever a message says of its own time limit, and keeps it for as long as it wants to
wait. So the worker's transport looks at each message as Redis hands it over, and passes on those alone that a
dispatcher may have sent. Should one of a dispatcher's be set aside, nothing is lost: the ledger rings again.
"""

import base64
import binascii
import json
import logging
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel, SentinelChannel, SentinelTransport

from replicator.broker import TASK
from replicator.ledger.connect import PREFIX
from workers.connection import LoneTransport

log = logging.getLogger(__name__)

KEY = f"{PREFIX}quarantine"
KEPT = 100
SHOWN_BYTES = 4096
"""So much of a message is kept, for a person to recognize it by."""
_AS_SENT: dict[str, object] = {
    "task": TASK,
    "eta": None,
    "expires": None,
    "group": None,
    "retries": 0,
    "timelimit": [None, None],
    "stamped_headers": None,
    "stamps": {},
    "compression": None,
}
"""The headers that change what Celery does with a message, as a dispatcher sends them."""


def watch() -> None:
    """From now on the connections that Celery makes in this process pass doorbells on, and nothing else."""
    for name in ("redis", "rediss"):
        TRANSPORT_ALIASES[name] = f"{__name__}:WatchfulTransport"
    TRANSPORT_ALIASES["sentinel"] = f"{__name__}:WatchfulSentinelTransport"


def fault(message: bytes) -> str | None:
    """What makes the message another thing than a doorbell, None if it is one."""
    try:
        envelope = json.loads(message)
        properties, headers = envelope["properties"], envelope["headers"]
        if not isinstance(properties["delivery_tag"], str) or not isinstance(headers["id"], str):
            return "its ids are no text"
        place = properties["delivery_info"]
        if not isinstance(place["exchange"], str) or not isinstance(place["routing_key"], str):
            return "it says wrongly where it belongs"
        kind = (envelope["content-type"], envelope["content-encoding"], properties["body_encoding"])
        if kind != ("application/json", "utf-8", "base64"):
            return "its body is not JSON in UTF-8"
        if wrong := [name for name, sent in _AS_SENT.items() if headers.get(name, sent) != sent]:
            return f"its headers say otherwise than ours: {', '.join(wrong)}"
        if not all(value is None or isinstance(value, str | int) for value in _others(headers)):
            return "its headers hold more than words"
        arguments, options, sequel = json.loads(base64.b64decode(envelope["body"], validate=True))
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as exc:
        return f"it cannot be read as one: {type(exc).__name__}"
    if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
        return "its arguments are not ids of jobs"
    if not isinstance(options, dict):
        return "its keywords have no names"  # one that we do not know is a later scheduler's
    if not isinstance(sequel, dict) or any(sequel.values()):
        return "it wants more to be done than to answer it"
    return None


def _others(headers: dict[str, object]) -> list[object]:
    return [value for name, value in headers.items() if name not in _AS_SENT]


class _Client(redis.Redis):
    """Every message comes to kombu as the answer to a BRPOP."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        answer = super().parse_response(  # type: ignore[no-untyped-call]
            connection, command_name, **options
        )
        if command_name != "BRPOP" or not answer:
            return answer
        queue, message = answer
        why = fault(message)
        if why is None:
            return answer
        self._set_aside(queue, message, why)
        # As if none had come in time.
        return None

    def _set_aside(self, queue: bytes, message: bytes, why: str) -> None:
        name = queue.decode(errors="replace")
        log.error("message set aside", extra={"queue": name, "why": why, "size_bytes": len(message)})
        shown: Any = {"queue": queue, "why": why, "message": message[:SHOWN_BYTES], "size": len(message)}
        try:
            self.xadd(KEY, shown, maxlen=KEPT, approximate=False)
        except redis.RedisError as exc:
            log.warning("message dropped", extra={"queue": name, "cause": type(exc).__name__})


class _Channel(Channel):
    def _get_client(self) -> type[redis.Redis]:
        return _Client


class _SentinelChannel(SentinelChannel):
    def _get_client(self) -> type[redis.Redis]:
        return _Client


class WatchfulTransport(LoneTransport):
    """kombu's transport over Redis, with the look at each message."""

    Channel = _Channel


class WatchfulSentinelTransport(LoneTransport, SentinelTransport):
    """The same for a Redis that Sentinels know."""

    Channel = _SentinelChannel

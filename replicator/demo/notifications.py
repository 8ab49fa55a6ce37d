"""Tells webhook endpoints what was pushed and deleted, in the shape and manner of CNCF Distribution 2.8.

One event a POST, in order, each repeated until it is taken; what is waiting lives in memory and goes with the process.
"""

import http.client
import json
import logging
import queue
import ssl
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from replicator.demo.messages import Request

log = logging.getLogger(__name__)

EVENTS_TYPE = "application/vnd.docker.distribution.events.v1+json"
_TIMEOUT_S = 5.0
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_INSTANCE = str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook: where to post, and the headers that authenticate it."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Notifier:
    """One thread for each endpoint, so that one that hangs keeps no other waiting."""

    def __init__(self, endpoints: Sequence[Endpoint] = ()) -> None:
        self._couriers = [_Courier(endpoint) for endpoint in endpoints]

    def tell(
        self, request: Request, action: str, targets: Sequence[Mapping[str, object]], *, actor: str
    ) -> None:
        """Queue an event about each target of one request, for every endpoint."""
        about = _about(request, actor)
        for target in targets:
            body = json.dumps({"events": [_event(action, target, about)]}).encode()
            for courier in self._couriers:
                courier.bodies.put(body)

    def close(self) -> None:
        """Stop; events that were not taken yet are lost."""
        for courier in self._couriers:
            courier.close()

    @property
    def waiting(self) -> int:
        """How many events no endpoint has taken yet, the one under way not counted."""
        return sum(courier.bodies.qsize() for courier in self._couriers)


def _about(request: Request, actor: str) -> dict[str, object]:
    host = request.header("host")
    return {
        "request": {
            "id": str(uuid.uuid4()),
            "addr": "",
            "host": host,
            "method": request.method,
            "useragent": request.header("user-agent"),
        },
        "actor": {"name": actor} if actor else {},
        "source": {"addr": host, "instanceID": _INSTANCE},
    }


def _event(action: str, target: Mapping[str, object], about: Mapping[str, object]) -> dict[str, object]:
    timestamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"id": str(uuid.uuid4()), "timestamp": timestamp, "action": action, "target": target, **about}


class _Courier:
    """Posts the bodies in its queue, one after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.bodies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-notifications", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self.bodies.put(None)
        self._thread.join(_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing.is_set() and (body := self.bodies.get()) is not None:
            self._deliver(body)

    def _deliver(self, body: bytes) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing.is_set() and not self._is_taken(body):
            self._closing.wait(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _is_taken(self, body: bytes) -> bool:
        parts = urlsplit(self._endpoint.url)
        connection = _connect(parts.scheme, parts.hostname or "", parts.port)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        try:
            connection.request("POST", path, body, {"Content-Type": EVENTS_TYPE, **self._endpoint.headers})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as exc:
            log.debug("notification not delivered", extra={"error": type(exc).__name__})
            return False
        finally:
            connection.close()
        # CNCF Distribution takes a redirect for success as well.
        return 200 <= status < 400


def _connect(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(
            host, port, timeout=_TIMEOUT_S, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)

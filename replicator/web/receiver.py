"""POST /webhooks/{registry}[/{secret}]: takes what a registry reports, puts it on disk, answers.

The order is the contract: authenticate before a byte of the body is read, cap the body while it comes in, record it,
and only then say 202. Nothing is parsed here, because a sender that is told 4xx for a payload it will send again may
be stuck with it for ever. This is an ASGI application of its own, not a FastAPI route: it is the one hot path of the
process.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from opentelemetry.trace import SpanKind
from starlette.types import Message, Receive, Scope, Send

from replicator.errors import TemporaryError
from replicator.rulefiles import RuleBook
from replicator.rules import Registry
from replicator.telemetry import (
    EVENTS,
    context_from,
    is_traceparent,
    is_tracing,
    new_traceparent,
    traceparent_of,
    tracer,
)
from replicator.web.authentication import is_authentic
from replicator.web.restraint import Restraint
from replicator.web.room import Room

log = logging.getLogger(__name__)

PREFIX = "/webhooks/"
RECORD_TIMEOUT_S = 0.8
"""Distribution gives an endpoint one second by default; an answer after that counts as none."""

Record = Callable[..., Awaitable[str]]
"""`await record(registry=, content_type=, body=, trace=)` returns the entry's id once it is on disk, or raises
TemporaryError."""

Missed = Callable[[str], None]
"""Called, in a thread, with the name of a registry whose notification was not taken and will not be sent again."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a notification may weigh, and how long it may take to arrive."""

    size_bytes: int = 4 * 1024 * 1024
    timeout_s: float = 5.0
    together_bytes: int = 64 * 1024 * 1024
    """What all those that are here at once may weigh, until they are on disk."""


class Refusal(Exception):
    """Ends a request with a status other than 202."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


class Receiver:
    """The ASGI application behind /webhooks/."""

    def __init__(self, rules: RuleBook, record: Record, missed: Missed, bounds: Bounds) -> None:
        self._rules = rules
        self._record = record
        self._missed = missed
        self._bounds = bounds
        self._room = Room(max(bounds.together_bytes, bounds.size_bytes))
        self._strangers = Restraint(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 202 with the entry's id if and only if the notification is on disk."""
        name, _, path_secret = scope["path"].removeprefix(PREFIX).partition("/")
        try:
            registry = self._admit(scope, name, path_secret)
            self._check_length(registry, _header(scope, b"content-length"))
            with self._room.share() as take:
                body = await self._body(receive, registry, take)
                answer = await self._take(scope, registry, body)
        except Refusal as refusal:
            await _answer(send, refusal.status, {"error": str(refusal)}, _headers(scope, refusal))
            if refusal.status == 413:
                await self._make_up_for(name)
        else:
            await _answer(send, 202, {"id": answer}, [])

    def _admit(self, scope: Scope, name: str, path_secret: str) -> Registry:
        """The registry that sent this, proven by the request's head alone."""
        registry = self._rules.current.registries.get(name)
        if registry is None:
            raise Refusal(404, "unknown registry")
        if scope["method"] != "POST":
            raise Refusal(405, "notifications are posted", allow="POST")
        if not is_authentic(registry.webhook, scope["headers"], path_secret):
            self._log_unknown(name)
            _count_rejected(name)
            raise Refusal(401, "not authenticated", www_authenticate='Bearer realm="replicator"')
        names = {header for header, _ in scope["headers"]}
        if b"content-length" in names and b"transfer-encoding" in names:
            # Whoever sits in front of us may have read the other one: request smuggling.
            raise Refusal(400, "both Content-Length and Transfer-Encoding", connection="close")
        if _header(scope, b"content-encoding").lower() not in ("", "identity"):
            # No sender that we know compresses, and a small bomb would pass the cap.
            _count_rejected(name)
            raise Refusal(415, "compressed notifications are not taken")
        return registry

    def _log_unknown(self, name: str) -> None:
        # Anybody can cause this line: a flood of it would fill the disk.
        left_out = self._strangers.before_next()
        if left_out is not None:
            extra = {"registry": name} | ({"left_out": left_out} if left_out else {})
            log.warning("notification refused: not authenticated", extra=extra)

    def _check_length(self, registry: Registry, declared: str) -> None:
        if declared.isdecimal() and int(declared[:20]) > self._bounds.size_bytes:
            raise self._too_large(registry)

    async def _body(self, receive: Receive, registry: Registry, take: Callable[[int], bool]) -> bytes:
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "the sender left before the body was complete")
                    chunk: bytes = message.get("body", b"")
                    size += len(chunk)
                    if size > self._bounds.size_bytes:
                        raise self._too_large(registry)
                    if not take(len(chunk)):
                        raise _not_recorded(registry, "too many bodies at once")
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError as exc:
            log.warning("notification refused: body too slow", extra={"registry": registry.name})
            raise Refusal(408, "the body did not arrive in time", connection="close") from exc

    def _too_large(self, registry: Registry) -> Refusal:
        log.error(
            "notification refused: too large",
            extra={"registry": registry.name, "limit_bytes": self._bounds.size_bytes},
        )
        _count_rejected(registry.name)
        return Refusal(413, f"larger than {self._bounds.size_bytes} bytes")

    async def _make_up_for(self, registry: str) -> None:
        # What it said is lost: whatever it was about, a comparison will find.
        try:
            await asyncio.to_thread(self._missed, registry)
        except TemporaryError as exc:
            log.error(  # noqa: TRY400 - the cause says it all
                "no comparison asked for after a lost notification",
                extra={"registry": registry, "cause": str(exc)},
            )

    async def _take(self, scope: Scope, registry: Registry, body: bytes) -> str:
        sent = _header(scope, b"traceparent")
        if not is_tracing():
            # A span that goes nowhere still costs a tenth of all that is done here.
            return await self._put(
                scope, registry, body, trace=sent if is_traceparent(sent) else new_traceparent()
            )
        with tracer.start_as_current_span(
            "receive notification",
            context=context_from(sent),
            kind=SpanKind.SERVER,
            attributes={"replicator.registry": registry.name},
        ) as span:
            carried = traceparent_of(span.get_span_context()) or new_traceparent()
            return await self._put(scope, registry, body, trace=carried)

    async def _put(self, scope: Scope, registry: Registry, body: bytes, *, trace: str) -> str:
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                return await self._record(
                    registry=registry.name,
                    content_type=_header(scope, b"content-type")[:200],
                    body=body,
                    trace=trace,
                )
        except (TemporaryError, TimeoutError) as exc:
            raise _not_recorded(registry, str(exc) or "timeout") from exc


def _not_recorded(registry: Registry, cause: str) -> Refusal:
    log.error("notification not recorded", extra={"registry": registry.name, "cause": cause})
    return Refusal(503, "cannot be recorded now", retry_after="1")


def _header(scope: Scope, wanted: bytes) -> str:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value.decode("latin-1") for name, value in headers if name == wanted), "")


def _headers(scope: Scope, refusal: Refusal) -> list[tuple[bytes, bytes]]:
    # Told no before "100 Continue", a client may or may not send its body: what comes next on the wire is anyone's
    # guess (RFC 9110, 10.1.1), so the connection ends here.
    if _header(scope, b"expect") and not any(name == b"connection" for name, _ in refusal.headers):
        return [*refusal.headers, (b"connection", b"close")]
    return refusal.headers


async def _answer(
    send: Send, status: int, document: dict[str, str], headers: list[tuple[bytes, bytes]]
) -> None:
    body = json.dumps(document).encode()
    start: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            *headers,
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _count_rejected(registry: str) -> None:
    # What was never read has no action.
    EVENTS.labels(registry, "unknown", "rejected").inc()

"""What every request passes first: one line in the access log, headers that browsers heed, and a last catch.

Plain ASGI, because it is on the receiver's hot path. The path is logged as it was sent, short of its secrets; query,
headers and body never are.
"""

import logging
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from replicator.web.receiver import PREFIX
from replicator.web.restraint import Restraint

log = logging.getLogger(__name__)

REFUSALS_A_SECOND = 20
"""Lines of the access log for requests that were refused; anybody can cause them."""
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
# All that follows the registry's name is a secret, or somebody's try at one; a sender may be told a wrong way here.
_SECRET = re.compile(f"({PREFIX}[^/]*/).+", re.IGNORECASE | re.DOTALL)
# Probes and scrapes come every few seconds and say nothing.
_QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_ERROR_BODY = b'{"error": "internal error"}'


class Front:
    """The ASGI application around all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._refusals = Restraint(REFUSALS_A_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request; whatever escapes from it becomes a 500 without detail, and a traceback in the log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                extra = [header for header in _SECURITY_HEADERS if header[0] not in present]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        # The outermost edge: here alone everything is caught.
        try:
            await self._app(scope, receive, send_on)
        except Exception:
            log.exception("request failed", extra={"path": _shown(scope["path"])})
            if not status:
                await _internal_error(send_on)
        finally:
            left_out = self._refusals.before_next() if status >= 400 else 0
            if left_out is not None:
                _log_access(scope, status, time.perf_counter() - started, left_out=left_out)


async def _internal_error(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ERROR_BODY))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": _ERROR_BODY})


def _log_access(scope: Scope, status: int, seconds: float, *, left_out: int) -> None:
    level = logging.DEBUG if scope["path"] in _QUIET_PATHS else logging.INFO
    if not log.isEnabledFor(level):
        return
    client = scope.get("client")
    log.log(
        level,
        "request",
        extra={
            "method": scope["method"],
            "path": _shown(scope["path"]),
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
            "client": client[0] if client else None,
            **({"left_out": left_out} if left_out else {}),
        },
    )


def _shown(path: str) -> str:
    return _SECRET.sub(r"\1***", path)[:300]

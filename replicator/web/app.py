"""The web application, assembled from what it is given; it knows nothing of settings.

/webhooks/ is served by the receiver itself, before FastAPI: see `replicator.web.receiver`.
"""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from replicator.errors import ConfigError, PermanentError, TemporaryError
from replicator.operate import Desk
from replicator.resync import Loss, make_up_for
from replicator.rulefiles import RuleBook
from replicator.web.actions import action_routes
from replicator.web.api import api_routes
from replicator.web.authentication import Tokens
from replicator.web.front import Front
from replicator.web.health import health_routes
from replicator.web.metrics import LedgerCollector, metrics_routes
from replicator.web.receiver import PREFIX, Bounds, Receiver, Record
from replicator.web.sweeping import asking_routes, sweep_routes

BODY_BYTES = 64 * 1024
"""The longest body that the API reads: it reads it before it knows who speaks."""
AT_ONCE = 200
"""Requests that are no notifications, and are served at a time: a fifth of all, whoever asks, has to be enough."""


def create_app(
    *, rules: RuleBook, desk: Desk, record: Record, tokens: Tokens, bounds: Bounds | None = None
) -> ASGIApp:
    """The whole HTTP face. `record` puts a notification on disk (see `Record`); `tokens` open the API."""
    app = FastAPI(
        title="replicator",
        version="1",
        openapi_url="/api/openapi.json",
        # Their pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        # Spans and instruments are ours alone: FastAPI's would carry URLs, errors and client addresses.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )

    def missed(registry: str) -> None:
        make_up_for(Loss.TOO_LARGE, [registry], desk.ledger, desk.rules())

    app.include_router(health_routes(rules=rules, ledger=desk.ledger))
    app.include_router(metrics_routes(LedgerCollector(rules=rules, ledger=desk.ledger)))
    app.include_router(api_routes(rules=rules, desk=desk, tokens=tokens))
    app.include_router(action_routes(desk=desk, tokens=tokens))
    app.include_router(sweep_routes(desk=desk, tokens=tokens))
    app.include_router(asking_routes(desk=desk, tokens=tokens))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ConfigError, _mistyped)
    app.add_exception_handler(PermanentError, _refused)
    app.add_exception_handler(TemporaryError, _temporary)
    app.add_exception_handler(Exception, _bug)
    return Front(_Switch(Receiver(rules, record, missed, bounds or Bounds()), app))


class _Switch:
    """Sends notifications past FastAPI, whose routing costs more than all that the receiver does."""

    def __init__(self, receiver: Receiver, app: FastAPI) -> None:
        self._receiver = receiver
        self._app = app
        self._served = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(PREFIX):
            await self._receiver(scope, receive, send)
        elif self._served >= AT_ONCE and scope["path"] != "/healthz":
            await _BUSY(scope, receive, send)
        else:
            self._served += 1
            try:
                await self._app(scope, _bounded(receive), send)
            finally:
                self._served -= 1


_BUSY = JSONResponse({"error": "too many requests at once"}, 503, {"Retry-After": "1"})


def _bounded(receive: Receive) -> Receive:
    """The same messages, until their bodies are too long in all: then it raises what FastAPI makes an answer of."""
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_BYTES:
            raise HTTPException(413, f"larger than {BODY_BYTES} bytes", {"Connection": "close"})
        return message

    return receive_some


async def _http_error(_request: Request, exc: Exception) -> JSONResponse:
    status, detail, headers = (
        (exc.status_code, exc.detail, exc.headers) if isinstance(exc, HTTPException) else (500, "error", None)
    )
    # FastAPI's word for a body that is no text. One that is no JSON gets 422 from it, and the document names only that.
    status = 422 if status == 400 else status
    return JSONResponse({"error": detail}, status, headers)


async def _invalid(_request: Request, exc: Exception) -> JSONResponse:
    problems = exc.errors() if isinstance(exc, RequestValidationError) else []
    said = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in problems)
    return JSONResponse({"error": said}, 422)


async def _mistyped(_request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({"error": str(exc)}, 422)


async def _refused(_request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({"error": str(exc)}, 409)


async def _temporary(_request: Request, exc: Exception) -> JSONResponse:
    return JSONResponse({"error": str(exc)}, 503, {"Retry-After": "1"})


async def _bug(_request: Request, _exc: Exception) -> JSONResponse:
    # Starlette raises it again behind this answer, so `Front` logs it.
    return JSONResponse({"error": "internal error"}, 500)

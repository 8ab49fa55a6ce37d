"""Runs the web application under uvicorn until a signal ends it.

uvicorn takes as long for a request's head, and for the rest of a body that we refused, as the sender likes: each
connection may hold a place for ever. So every request must be complete within a deadline, or its connection is cut.
"""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from replicator.errors import ConfigError

log = logging.getLogger(__name__)

CONNECTIONS = 1000
KEEP_ALIVE_S = 5
SHUTDOWN_GRACE_S = 5


class PunctualProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose requests must be wholly there within `deadline_s` of the connection, or of their first byte."""

    deadline_s = 15.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock for the first request."""
        super().connection_made(transport)
        self._start_clock()

    def on_message_begin(self) -> None:
        """Starts the clock for a later request."""
        super().on_message_begin()
        self._start_clock()

    def on_message_complete(self) -> None:
        """Stops the clock; from here it is our turn, or the connection is idle."""
        super().on_message_complete()
        self._stop_clock()
        # When we answered before the end of the body, uvicorn's idle timer was put out by the rest of it.
        if self.cycle.response_complete and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(self.deadline_s, self.transport.close)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def serve(app: ASGIApp, host: str, port: int, *, body_timeout_s: float = 5.0) -> None:
    """Serves `app` until SIGTERM or SIGINT; requests that are being served get `SHUTDOWN_GRACE_S` to end.

    A connection whose request is not complete after three times `body_timeout_s` is cut. The receiver itself answers
    408 after `body_timeout_s`, so that hits only those who send no head, or go on after they were refused.
    Call it in the main thread. Raises ConfigError if it cannot listen there.
    """
    config = uvicorn.Config(
        app,
        http=_protocol(3 * body_timeout_s),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )
    server = uvicorn.Server(config)
    with _listen(host, port) as listening, _signals_end(server):
        # What was made to serve is there to stay: looking through it for garbage, time and again, took an eighth of
        # the CPU under load.
        gc.collect()
        gc.freeze()
        log.info("listening", extra={"host": host, "port": listening.getsockname()[1]})
        server.run(sockets=[listening])


def _protocol(seconds: float) -> type[PunctualProtocol]:
    class Protocol(PunctualProtocol):
        deadline_s = seconds

    return Protocol


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        listening = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except OSError as exc:
        raise ConfigError(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    # Connections inherit it. asyncio sets it on sockets of its own making only, and uvicorn writes head and body of an
    # answer apart: with Nagle's algorithm each answer takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


@contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    # While it runs, uvicorn has handlers of its own. One that came before them must not be lost; and the signal that
    # stopped it, which uvicorn raises once more when it is done, has done its work by then.
    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

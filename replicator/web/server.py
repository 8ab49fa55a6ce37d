"""Runs the web application under uvicorn until a signal ends it. Who may keep a connection: see `connections`."""

import gc
import logging
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from replicator.errors import ConfigError
from replicator.web.connections import Crowd, PunctualProtocol
from replicator.web.restraint import Restraint

log = logging.getLogger(__name__)

CONNECTIONS = 1000
_GARBAGE = 20_000
"""New objects that are looked through for garbage at once: more than a few hundred requests have on their way."""
_FILES = 8192
"""What a process needs that takes in a whole backlog of connections before it cuts those that are too many."""
KEEP_ALIVE_S = 5
SHUTDOWN_GRACE_S = 5


def serve(app: ASGIApp, host: str, port: int, *, body_timeout_s: float = 5.0) -> None:
    """Serves `app` until SIGTERM or SIGINT; requests that are being served get `SHUTDOWN_GRACE_S` to end.

    A connection that has us wait for three times `body_timeout_s` is cut. The receiver itself answers 408 after
    `body_timeout_s`, so that hits only those who send no head, go on after they were refused, or do not read.
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
        # Beyond what the crowd makes room for: all of them are being served.
        limit_concurrency=CONNECTIONS + 1,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_GRACE_S,
    )
    # It has a line for whatever is no HTTP.
    logging.getLogger("uvicorn.error").addFilter(Restraint(5))
    server = uvicorn.Server(config)
    _allow_files()
    with _listen(host, port) as listening, _signals_end(server):
        _look_for_less_garbage()
        log.info("listening", extra={"host": host, "port": listening.getsockname()[1]})
        server.run(sockets=[listening])


def _look_for_less_garbage() -> None:
    # What was made to serve is there to stay, and requests that are being served are no garbage; looking through all of
    # it time and again took an eighth of the CPU under load.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE)


def _protocol(seconds: float) -> type[PunctualProtocol]:
    class Protocol(PunctualProtocol):
        crowd = Crowd(limit=CONNECTIONS, patience_s=seconds)

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


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _FILES:
        most = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


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

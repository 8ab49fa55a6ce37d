"""Answers Prometheus for roles without a web server, in threads, of which nobody can have any number or for ever."""

import logging
import socket
from collections import deque
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.registry import Collector

from replicator.errors import ConfigError
from replicator.telemetry import metrics_registry

log = logging.getLogger(__name__)

SCRAPES = 16
"""At once; of more, the one that began first has to go."""
THREADS = 2 * SCRAPES
"""At most: one whose peer had to go, or left, is busy until Redis has answered. Beyond that nobody is heard."""
PATIENCE_S = 5.0
"""How long a peer may keep us waiting for a byte."""


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Scrapes say nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._open: deque[socket.socket] = deque()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._open) >= THREADS:
            self.shutdown_request(request)
            return
        self._open.append(request)
        # Threads end meanwhile, and take theirs out.
        with suppress(OSError, IndexError):
            self._open[-1 - SCRAPES].shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        # A peer that left or dawdled: no traceback for what anybody can cause.
        log.debug("scrape ended early", extra={"client": client_address[0]})


def serve_metrics(host: str, port: int, *collectors: Collector) -> tuple[WSGIServer, Thread]:
    """Answers scrapes in the background. Raises ConfigError if it cannot listen there."""
    app = make_wsgi_app(metrics_registry(*collectors))
    try:
        server = make_server(host, port, app, _Server, _Handler)
    except OSError as exc:
        raise ConfigError(f"cannot serve metrics on {host}:{port}: {exc.strerror}") from exc
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    return server, thread

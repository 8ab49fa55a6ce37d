"""An HTTP/1.1 server on loopback for the demo registry: sockets, framing and lost clients, nothing of registries."""

import contextlib
import http.server
import logging
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from typing import Protocol

from replicator.demo.messages import CHUNK_BYTES, Request, Response

log = logging.getLogger(__name__)

_DRAIN_BYTES = 64 * 1024
_LINGER_S = 2.0
_BODILESS = frozenset({204, 304})


class Handler(Protocol):
    """What can be served: a registry, or one with a few faults added."""

    def handle(self, request: Request) -> Response:
        """The answer; a ConnectionError drops the connection without one."""


class RunningRegistry:
    """A registry that listens. `close` ends it at once, open connections included; the registry itself stays."""

    def __init__(self, server: "_Server", scheme: str) -> None:
        self._server = server
        self.port: int = server.server_address[1]
        self.url = f"{scheme}://{server.host}:{self.port}"
        self._thread = threading.Thread(
            target=server.serve_forever, args=(0.05,), name="demo-registry", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_connections()
        self._thread.join()

    def __enter__(self) -> "RunningRegistry":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def serve(
    registry: Handler, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
) -> RunningRegistry:
    """Serve a registry in threads of this process; port 0 takes a free one. Raises OSError if the port is taken."""
    server = _Server((host, port), registry, tls)
    return RunningRegistry(server, "https" if tls else "http")


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], registry: Handler, tls: ssl.SSLContext | None) -> None:
        self.registry = registry
        self.host = address[0]
        self.tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Connection)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self.tls:
            # The handshake is left to the connection's own thread: here it would hold up everybody.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """Wake every thread that waits for a client, with an end of file."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - socketserver's
        """A lost client is ordinary; anything else is a mistake of ours and goes to the log."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log.error("a connection ended by a mistake of ours", exc_info=error)


class _Connection(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # Head and body of a small answer leave in one segment.
    wbufsize = CHUNK_BYTES
    server: _Server

    def do_any(self) -> None:
        body = _body(self)
        request = Request.of(
            self.command,
            self.path,
            headers={name: ", ".join(self.headers.get_all(name, [])) for name in set(self.headers.keys())},
            body=body,
            scheme="https" if self.server.tls else "http",
        )
        try:
            response = self.server.registry.handle(request)
            body.skip(_DRAIN_BYTES)
        except ConnectionError:
            self._reset()
            return
        self._send(request, response, is_last=not body.is_done)
        if not body.is_done:
            self._linger(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_any  # noqa: N815 - http.server's names

    def handle_expect_100(self) -> bool:
        answered = super().handle_expect_100()
        self.wfile.flush()
        return answered

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Nothing goes to stderr."""

    def _send(self, request: Request, response: Response, *, is_last: bool) -> None:
        length = response.content_length
        self.close_connection = self.close_connection or is_last or length is None
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if length is not None and response.status not in _BODILESS:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        sent = 0
        if request.method != "HEAD":
            for piece in response.pieces():
                self.wfile.write(piece)
                sent += len(piece)
            # An answer that ends early can only be told from a slow one by the end of the connection.
            self.close_connection = self.close_connection or sent != length
        self.wfile.flush()

    def _linger(self, body: "_Body") -> None:
        """Let the client read its answer: closing at once with its body unread would reset the connection."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_S)
            deadline = time.monotonic() + _LINGER_S
            while not body.is_done and time.monotonic() < deadline:
                body.read(CHUNK_BYTES)

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


class _Body:
    """A request body of known length, or chunked (RFC 9112, section 7.1) where `is_chunked`."""

    def __init__(
        self, connection: http.server.BaseHTTPRequestHandler, length: int, *, is_chunked: bool
    ) -> None:
        self._file = connection.rfile
        self._left = 0 if is_chunked else length
        self._more_chunks = is_chunked
        self._chunk_open = False

    @property
    def is_done(self) -> bool:
        """True once the next byte belongs to another request."""
        return self._left == 0 and not self._more_chunks

    def read(self, size: int = -1, /) -> bytes:
        """What is there, at most `size` bytes. Raises ConnectionError if the client is gone before the end."""
        if self._left == 0 and self._more_chunks:
            self._next_chunk()
        if self._left == 0:
            return b""
        data = self._file.read1(self._left if size < 0 else min(size, self._left))
        if not data:
            raise ConnectionResetError("the client left in the middle of a body")
        self._left -= len(data)
        return data

    def skip(self, limit_bytes: int) -> None:
        """Read what is left if it is little, so that the connection can be used again."""
        while not self.is_done and limit_bytes > 0:
            limit_bytes -= len(self.read(limit_bytes))

    def _next_chunk(self) -> None:
        if self._chunk_open:
            self._file.readline(3)
        self._chunk_open = True
        line = self._file.readline(1024)
        try:
            self._left = int(line.partition(b";")[0], 16)
        except ValueError as exc:
            raise ConnectionAbortedError("the chunk size is no number") from exc
        if self._left == 0:
            self._more_chunks = False
            while self._file.readline(8192).strip():
                pass


def _body(connection: http.server.BaseHTTPRequestHandler) -> _Body:
    coding = connection.headers.get("Transfer-Encoding", "").lower()
    length = connection.headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() and len(length) < 19 else 0
    return _Body(connection, size, is_chunked=coding == "chunked")

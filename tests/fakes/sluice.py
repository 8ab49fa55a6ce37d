"""An HTTP proxy in front of a registry that lets requests through one at a time, as a test wants them to interleave.

A test says what happens at a request that fits: before it goes on to the registry, or after it took effect there and
before anybody hears of it. Bodies are held in memory: for slow or broken transfers there is `strait`.
"""

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from tests.fakes.raw import Answer

HELD_AT_MOST_S = 60.0
_OWN = frozenset({"connection", "transfer-encoding", "content-length", "date", "server"})


class Cut(Exception):
    """What a deed raises to have the connection reset instead of answered."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One request as it came, and its status: 0 until it was answered, and if it never is."""

    method: str
    path: str
    """With its query."""
    body: bytes = b""
    status: int = 0

    def __str__(self) -> str:
        return f"{self.method} {re.sub(r'^/v2/(?:.+?)/(?=manifests/|blobs/|tags/)', '', self.path)}"


Deed = Callable[[Passage], Answer | None]
"""What happens at a request. An answer that it gives is sent in the registry's stead; with `connection: close` it ends
with the connection, and nothing says how long it is."""


@dataclass(slots=True)
class _Script:
    method: str
    path: re.Pattern[str]
    deed: Deed
    skip: int
    left: int
    after: bool


class Hold:
    """A request that waits until it is let go."""

    def __init__(self) -> None:
        self._came = threading.Event()
        self._may_go = threading.Event()

    def __call__(self, _: Passage) -> None:
        self._came.set()
        assert self._may_go.wait(HELD_AT_MOST_S), "nobody let the request go"

    def await_it(self, within_s: float = 20.0) -> None:
        """Return when the request has come."""
        assert self._came.wait(within_s), "the request did not come"

    def let_go(self) -> None:
        """From now on nothing holds it."""
        self._may_go.set()


class Sluice:
    """Listens on loopback and passes requests on to the server at `url`; `log` is what passed, in order."""

    def __init__(self, url: str) -> None:
        self.target = urlsplit(url).netloc
        self.log: list[Passage] = []
        self._scripts: list[_Script] = []
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def at(
        self,
        method: str,
        path_regex: str,
        deed: Deed,
        *,
        nth: int = 1,
        times: int = 1,
        after: bool = False,
    ) -> None:
        """At the `nth` request from now on that fits, and `times` in all, `deed` is done; "*" fits every method.

        `after` lets the request take effect first, and holds back its answer.
        """
        with self._lock:
            self._scripts.append(_Script(method, re.compile(path_regex), deed, nth - 1, times, after))

    def hold(self, method: str, path_regex: str, *, nth: int = 1, after: bool = False) -> Hold:
        """Have a request that fits wait until it is let go."""
        held = Hold()
        self.at(method, path_regex, held, nth=nth, after=after)
        return held

    def forget(self) -> None:
        """Drop what is still to happen, and the log."""
        with self._lock:
            self._scripts.clear()
            self.log.clear()

    def passed(self, method: str = "*", path_regex: str = "") -> list[str]:
        """What passed and fits, as `PUT manifests/v1`."""
        return [
            str(item)
            for item in self.log
            if method in {"*", item.method} and re.search(path_regex, item.path)
        ]

    def due(self, passage: Passage, *, after: bool) -> list[Deed]:
        """What is to be done at this request, now."""
        found = []
        with self._lock:
            for script in [*self._scripts]:
                if script.after is not after or script.method not in {"*", passage.method}:
                    continue
                if not script.path.search(passage.path):
                    continue
                if script.skip:
                    script.skip -= 1
                    continue
                script.left -= 1
                if not script.left:
                    self._scripts.remove(script)
                found.append(script.deed)
        return found

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, sluice: Sluice) -> None:
        self.sluice = sluice
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed go without a word."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self._beyond = http.client.HTTPConnection(self.server.sluice.target, timeout=HELD_AT_MOST_S)

    def finish(self) -> None:
        self._beyond.close()
        super().finish()

    def _pass(self) -> None:
        sluice, came = self.server.sluice, Passage(self.command, self.path, self._body())
        try:
            answer = _first(sluice.due(came, after=False), came) or self._asked(came)
            sluice.log.append(Passage(came.method, came.path, came.body, answer.status))
            answer = _first(sluice.due(came, after=True), came) or answer
        except Cut:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
            return
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _asked(self, came: Passage) -> Answer:
        # Host stays as it is, so that what the registry calls its own address leads through here, too.
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
        self._beyond.request(came.method, came.path, came.body or None, headers)
        response = self._beyond.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        try:
            return Answer(response.status, names, response.read())
        except http.client.IncompleteRead as exc:
            # It broke off there, so it breaks off here.
            self.close_connection = True
            return Answer(response.status, names, exc.partial)

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        is_head = self.command == "HEAD"
        if answer.headers.get("connection") == "close":
            self.send_header("connection", "close")  # which closes it
        for name, value in answer.headers.items():
            if name not in _OWN or (name == "content-length" and (is_head or self.close_connection)):
                self.send_header(name, value)
        if not is_head and not self.close_connection and answer.status not in {204, 304}:
            self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        if not is_head:
            self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """The log is the sluice's."""


def _first(deeds: list[Deed], came: Passage) -> Answer | None:
    answers = [deed(came) for deed in deeds]
    return next((answer for answer in answers if answer), None)

"""Sends requests over connections that are kept: lean, synchronous HTTP/1.1, for several threads.

A HEAD of a manifest by `RegistryClient` costs 30 to 40 us of CPU this way, of which the socket takes 7; over httpx's
transport, with httpx's values, it cost 170. The standard library's `http.client` takes 40 for less than that, knows no
answer that comes before the whole body was sent, and believes what it is told (`benchmarks/tiny_requests.py`).
"""

import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from replicator.registry.addresses import URL, Origin
from replicator.registry.channel import Channel, Content
from replicator.registry.connections import Dialer
from replicator.registry.heads import Headers, Unsendable, request_head

LOST = (ConnectionError, ssl.SSLEOFError)
"""What is raised where the other side gave a connection up, perhaps before it saw the request."""

_CONNECTIONS = 64
_KEPT = 32
_KEPT_S = 30.0
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Busy(Exception):
    """Every connection that may exist was in use for too long."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. A body that is not bytes needs a `Content-Length` among `headers`, and keeps to it."""

    method: str
    url: URL
    headers: Mapping[str, str]
    content: Content = None


@dataclass(frozen=True, slots=True)
class Response:
    """What was answered. `body` is yet to be read, once; `close` is to be called in any case."""

    status: int
    headers: Headers
    body: Iterator[bytes]
    close: Callable[[], None]


class Transport(Protocol):
    """What requests go through: connections, or a stand-in for them."""

    def send(self, request: Request) -> Response:
        """The answer, its body unread. Raises Malformed, Unsendable, Busy or an OSError, and so does its body."""

    def close(self) -> None:
        """Ends every connection, one in use as soon as it is no longer."""


class Connections:
    """A transport over connections that `dialer` makes: a limited number at once, the latest used again first."""

    def __init__(self, dialer: Dialer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._dialer = dialer
        self._clock = clock
        self._lock = threading.Lock()
        self._is_closed = False
        self._idle: list[Channel] = []  # the longest idle first
        self._permits: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(_CONNECTIONS):
            self._permits.put(None)

    def send(self, request: Request) -> Response:
        """The answer, its body unread. Raises as `Transport` says."""
        head, content = self._head(request), _measured(request)
        try:
            self._permits.get(timeout=self._dialer.patience.turn_s)
        except queue.Empty as exc:
            raise Busy from exc
        loan = _Loan(self._give_back)
        try:
            loan.channel = self._kept(request.url.origin) or self._dialer.dial(request.url.origin)
            answer = loan.channel.ask(request.method, head, content)
        except BaseException as exc:
            loan.end()
            if isinstance(exc, LOST):
                self._forget(request.url.origin)
            raise
        return Response(answer.status, answer.headers, loan.channel.body(answer), loan.end)

    def close(self) -> None:
        """Ends every connection, one in use as soon as it is no longer."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for channel in idle:
            channel.close()

    def _head(self, request: Request) -> bytes:
        target, added = self._dialer.line(request.url)
        fields = {"Host": request.url.origin.authority, **request.headers, **added}
        if isinstance(request.content, bytes):
            fields["Content-Length"] = str(len(request.content))
        elif request.content is None and request.method in _WITH_BODY:
            fields["Content-Length"] = "0"
        return request_head(request.method, target, fields)

    def _kept(self, origin: Origin) -> Channel | None:
        while (channel := self._latest(origin)) is not None:
            if channel.is_quiet:
                return channel
            channel.close()
        return None

    def _latest(self, origin: Origin) -> Channel | None:
        with self._lock:
            since = self._clock() - _KEPT_S
            while self._idle and self._idle[0].idle_since < since:
                self._idle.pop(0).close()
            for index in range(len(self._idle) - 1, -1, -1):
                if self._idle[index].origin == origin:
                    return self._idle.pop(index)
        return None

    def _forget(self, origin: Origin) -> None:
        # Where one was given up, the others were too, as when a registry restarts.
        with self._lock:
            lost = [channel for channel in self._idle if channel.origin == origin]
            self._idle = [channel for channel in self._idle if channel.origin != origin]
        for channel in lost:
            channel.close()

    def _give_back(self, channel: Channel | None) -> None:
        self._permits.put(None)
        if channel is None:
            return
        if self._is_closed or not channel.is_reusable:
            channel.close()
            return
        with self._lock:
            channel.idle_since = self._clock()
            self._idle.append(channel)
            surplus = self._idle.pop(0) if len(self._idle) > _KEPT else None
        if surplus:
            surplus.close()


class _Loan:
    """A connection while one exchange has it, and the permission to have one. It ends once."""

    __slots__ = ("_ended", "channel")

    def __init__(self, ended: Callable[[Channel | None], None]) -> None:
        self._ended: Callable[[Channel | None], None] | None = ended
        self.channel: Channel | None = None

    def end(self) -> None:
        ended, self._ended = self._ended, None
        if ended:
            ended(self.channel)


def _measured(request: Request) -> Content:
    content = request.content
    if content is None or isinstance(content, bytes):
        return content
    length = request.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise Unsendable("a body of unknown length")
    return _exactly(int(length), content)


def _exactly(left: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    # One byte too many would be the start of the next request.
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise Unsendable("a body that is longer than announced")
        yield piece
    if left:
        raise Unsendable("a body that is shorter than announced")

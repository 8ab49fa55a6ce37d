"""One HTTP request and its answer: connections, TLS, time limits, size limits.

Knows nothing of logins, redirects or the protocol. There are no cookies, no proxies or netrc from the environment, no
redirects and no log lines that hold URLs. A request begins in `Exchange.open`, where it passes the registry's gate, and
ends with `Response.close`; the bytes of a body pass through `pieces` on their way in, and through `Exchange._send` on
their way out.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import httpx

from replicator import __version__
from replicator.errors import PermanentError, TemporaryError, Unavailable
from replicator.limits import quota
from replicator.registry.addresses import URL, base_url
from replicator.registry.channel import Content
from replicator.registry.connections import dialer_of
from replicator.registry.failures import BROKEN, Topic, broken, retry_after
from replicator.registry.pace import Pace
from replicator.registry.stand_in import StandIn
from replicator.registry.traffic import Gate, Open, Passage
from replicator.registry.transport import LOST, Connections, Request, Response, Transport
from replicator.rules.registries import Registry

Observe = Callable[[str, str, int, float], None]
"""Called after every request with registry, method, status (0 = no answer) and seconds until the answer's headers."""

SMALL_BODY_BYTES = 64 * 1024
"""The largest error or token answer that is read."""

_READS = frozenset({"GET", "HEAD"})
_WAITS = frozenset({429, 503})
_HEADERS = {"User-Agent": f"replicator/{__version__}", "Accept-Encoding": "identity", "Accept": "*/*"}


def ignore(registry: str, method: str, status: int, seconds: float) -> None:
    """The observer of those who do not count requests."""


class Exchange:
    """Sends requests to a registry's origin with its client certificate, and to other origins without it."""

    def __init__(
        self,
        registry: Registry,
        *,
        transport: httpx.BaseTransport | None = None,
        observe: Observe = ignore,
        gate: Gate | None = None,
    ) -> None:
        self.registry = registry
        self.gate = gate or Open()
        self.base = base_url(registry)
        self._observe = observe
        self.repeated_writes = 0
        """How many writes were sent again: the first of each may yet take effect, even after the second."""
        self._own: Transport = (
            StandIn(transport) if transport else Connections(dialer_of(registry, with_certificate=True))
        )
        self._other = self._own
        if registry.tls.cert_file and not transport:
            self._other = Connections(dialer_of(registry, with_certificate=False))

    def is_own(self, url: URL) -> bool:
        """True where `url` has the registry's origin, the only one that its credential is for."""
        return url.origin == self.base.origin

    def open(
        self, method: str, url: URL, *, topic: Topic, headers: Mapping[str, str], content: Content = None
    ) -> Response:
        """The answer, its body unread: the caller closes it. Raises our errors where there is none.

        A request whose body can be repeated is sent again once if the connection broke: the other side may have closed
        an idle connection just then (RFC 9110 9.2.2). Sending any of ours twice does no harm.
        """
        transport = self._own if self.is_own(url) else self._other
        request = Request(method, url, {**_HEADERS, **headers}, content)
        try:
            try:
                return self._send(transport, request)
            except LOST:
                if not (content is None or isinstance(content, bytes)):
                    raise
                self.repeated_writes += method not in _READS
                return self._send(transport, request)
        except BROKEN as exc:
            raise broken(exc, topic) from exc

    def _send(self, transport: Transport, request: Request) -> Response:
        if isinstance(request.content, bytes):
            self.gate.carry(len(request.content))
        passage = self.gate.enter()
        began, status = time.monotonic(), 0
        try:
            response = transport.send(request)
            status = response.status
            asked_s = retry_after(response.headers) if status in _WAITS else None
            passage.answered(status, asked_s, quota(response.headers))
        except BaseException:
            passage.end()
            raise
        finally:
            self._observe(self.registry.name, request.method, status, time.monotonic() - began)
        return replace(response, close=partial(_end, response, passage))

    def close(self) -> None:
        """Closes every connection."""
        self._own.close()
        if self._other is not self._own:
            self._other.close()


def _end(response: Response, passage: Passage) -> None:
    try:
        response.close()
    finally:
        passage.end()


def pieces(response: Response, topic: Topic) -> Iterator[bytes]:
    """The raw bytes of a body as they come: never decompressed. Raises our errors where the connection breaks."""
    try:
        yield from response.body
    except BROKEN as exc:
        raise broken(exc, topic) from exc


def read(response: Response, topic: Topic, *, limit_bytes: int) -> bytes:
    """A whole body. Raises PermanentError over the limit, TemporaryError where it is cut short or comes too slowly."""
    body = bytearray()
    pace = Pace(topic, limit_bytes)
    try:
        for piece in pace.timed(pieces(response, topic)):
            body += piece
            if len(body) > limit_bytes:
                raise PermanentError(f"{topic}: the answer is larger than {limit_bytes} bytes")
    except Unavailable as exc:
        # It answered, so that it is not away: what is broken may be this one answer, and nobody else need wait.
        raise TemporaryError(f"{topic}: the answer was cut short") from exc
    announced = response.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:18]) != len(body):
        raise TemporaryError(f"{topic}: the answer was cut short")
    return bytes(body)


def read_start(response: Response, topic: Topic) -> bytes:
    """The first 64 KiB of an error's body: what more there is, or why it ended, does not matter."""
    body = bytearray()
    try:
        for piece in Pace(topic, SMALL_BODY_BYTES).timed(pieces(response, topic)):
            body += piece
            if len(body) >= SMALL_BODY_BYTES:
                break
    except TemporaryError:
        return bytes(body)
    return bytes(body[:SMALL_BODY_BYTES])

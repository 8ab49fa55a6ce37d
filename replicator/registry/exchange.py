"""One HTTP request and its answer: connections, TLS, time limits, size limits.

Knows nothing of logins, redirects or the protocol. Requests go straight to httpx's transport, not through its client:
so there are no cookies, no proxies or netrc from the environment, no redirects and no log lines that hold URLs.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import httpx

from replicator import __version__
from replicator.errors import PermanentError, TemporaryError, Unavailable
from replicator.registry.connections import base_url, is_reachable, open_transport
from replicator.registry.failures import Topic, broken, clean
from replicator.registry.pace import Pace
from replicator.rules.registries import Registry

# At DEBUG httpcore writes down headers, and so credentials.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)

Observe = Callable[[str, str, int, float], None]
"""Called after every request with registry, method, status (0 = no answer) and seconds until the answer's headers."""

SMALL_BODY_BYTES = 64 * 1024
"""The largest error or token answer that is read."""

_TIMEOUTS = {"timeout": {"connect": 5.0, "read": 30.0, "write": 30.0, "pool": 30.0}}
_HEADERS = {"User-Agent": f"replicator/{__version__}", "Accept-Encoding": "identity", "Accept": "*/*"}
_LOST = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


def ignore(registry: str, method: str, status: int, seconds: float) -> None:
    """The observer of those who do not count requests."""


def origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    """Scheme, host and port: what a credential belongs to. A default port counts as none, as httpx writes it."""
    return url.scheme, url.host, url.port


class Exchange:
    """Sends requests to a registry's origin with its client certificate, and to other origins without it."""

    def __init__(
        self, registry: Registry, *, transport: httpx.BaseTransport | None = None, observe: Observe = ignore
    ) -> None:
        self.registry = registry
        self.base = base_url(registry)
        self._origin = origin_of(self.base)
        self._observe = observe
        self._own = transport or open_transport(registry, with_certificate=True)
        has_certificate = bool(registry.tls.cert_file) and transport is None
        self._other = open_transport(registry, with_certificate=False) if has_certificate else self._own

    def is_own(self, url: httpx.URL) -> bool:
        """True where `url` has the registry's origin, the only one that its credential is for."""
        return origin_of(url) == self._origin

    def open(
        self,
        method: str,
        url: httpx.URL,
        *,
        topic: Topic,
        headers: Mapping[str, str],
        content: bytes | Iterable[bytes] | None = None,
    ) -> httpx.Response:
        """The answer, its body unread: the caller closes it. Raises our errors where there is none.

        A request whose body can be repeated is sent again once if the connection broke: the other side may have closed
        an idle connection just then (RFC 9110 9.2.2). Sending any of ours twice does no harm.
        """
        is_own = self.is_own(url)
        if not is_own and not is_reachable(url):
            raise PermanentError(f"{topic}: not an address that a request can go to: {clean(url.host)!r}")
        is_repeatable = content is None or isinstance(content, bytes)
        transport = self._own if is_own else self._other
        try:
            try:
                return self._send(transport, method, url, headers=headers, content=content)
            except _LOST:
                if not is_repeatable:
                    raise
                return self._send(transport, method, url, headers=headers, content=content)
        except (httpx.TransportError, httpx.InvalidURL) as exc:
            raise broken(exc, topic) from exc

    def _send(
        self,
        transport: httpx.BaseTransport,
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str],
        content: bytes | Iterable[bytes] | None,
    ) -> httpx.Response:
        request = httpx.Request(
            method, url, headers={**_HEADERS, **headers}, content=content, extensions=dict(_TIMEOUTS)
        )
        began, status = time.monotonic(), 0
        try:
            response = transport.handle_request(request)
            status = response.status_code
            return response
        finally:
            self._observe(self.registry.name, method, status, time.monotonic() - began)

    def close(self) -> None:
        """Closes every connection."""
        self._own.close()
        if self._other is not self._own:
            self._other.close()


def pieces(response: httpx.Response, topic: Topic) -> Iterator[bytes]:
    """The raw bytes of a body as they come: never decompressed. Raises our errors where the connection breaks."""
    stream = response.stream
    if not isinstance(stream, httpx.SyncByteStream):
        raise TypeError("not a synchronous body")
    try:
        yield from stream
    except httpx.TransportError as exc:
        raise broken(exc, topic) from exc


def read(response: httpx.Response, topic: Topic, *, limit_bytes: int) -> bytes:
    """A whole body. Raises PermanentError over the limit, Unavailable where it is cut short or comes too slowly."""
    body = bytearray()
    pace = Pace(topic, limit_bytes)
    for piece in pace.timed(pieces(response, topic)):
        body += piece
        if len(body) > limit_bytes:
            raise PermanentError(f"{topic}: the answer is larger than {limit_bytes} bytes")
    announced = response.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:18]) != len(body):
        raise Unavailable(f"{topic}: the answer was cut short", registry=topic.registry)
    return bytes(body)


def read_start(response: httpx.Response, topic: Topic) -> bytes:
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

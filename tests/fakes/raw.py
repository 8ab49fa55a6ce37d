"""Plain HTTP to a registry, for tests that must not trust the client they test: http.client, or no socket at all."""

import base64
import contextlib
import http.client
import json
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from replicator.demo.messages import Request
from replicator.demo.registry import Registry


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def error_codes(self) -> list[str]:
        """The codes of an OCI error answer."""
        return [error["code"] for error in self.json()["errors"]]


class RawClient:
    """Requests to one registry: at a URL (user:password@ in it is sent as Basic), or a `Registry` in this process.

    Keeps one connection; not for several threads. Over https nothing is verified.
    """

    def __init__(self, target: "Target") -> None:
        self._registry = target if isinstance(target, Registry) else None
        self._parts = urlsplit(target if isinstance(target, str) else "http://registry.test")
        self._connection: http.client.HTTPConnection | None = None

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] = b"",
    ) -> Answer:
        """One request. `path` may be a whole URL, as a Location is. A dropped idle connection is opened again."""
        parts = urlsplit(path)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = {**self._authorization(), **(headers or {})}
        if self._registry is not None:
            return _call_directly(self._registry, method, target, sent, body)
        try:
            return self._call_over_socket(method, target, sent, body)
        except (ConnectionError, http.client.RemoteDisconnected):
            if not isinstance(body, bytes):
                raise
            return self._call_over_socket(method, target, sent, body)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _authorization(self) -> dict[str, str]:
        if self._parts.username is None:
            return {}
        text = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}

    def _call_over_socket(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes]
    ) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        try:
            self._connection.request(method, target, body, dict(headers))
            response = self._connection.getresponse()
            content = response.read()
        except BaseException:
            self.close()
            raise
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, content)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return http.client.HTTPSConnection(host, port, timeout=30, context=context)
        return http.client.HTTPConnection(host, port, timeout=30)


Target = str | Registry | RawClient
"""Where to push to or read from."""


@contextlib.contextmanager
def opened(target: Target) -> Iterator[RawClient]:
    """A client for the target, closed afterwards unless it was the caller's."""
    if isinstance(target, RawClient):
        yield target
        return
    with RawClient(target) as client:
        yield client


def _call_directly(
    registry: Registry, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes]
) -> Answer:
    content = body if isinstance(body, bytes) else b"".join(body)
    response = registry.handle(
        Request.of(method, target, headers={"host": "registry.test", **headers}, body=content)
    )
    names = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status, names, b"".join(response.pieces()))

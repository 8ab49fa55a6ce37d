"""One HTTP request to the demo registry and its answer, as values without sockets.

Whoever owns the connection (an HTTP server, a test transport) makes the `Request` and sends the `Response`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Protocol, Self
from urllib.parse import parse_qsl, unquote

CHUNK_BYTES = 256 * 1024


class Body(Protocol):
    """A request's body. A read may give less than asked, b"" means the end; a lost client raises ConnectionError."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, its path decoded and its header names in lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = field(default_factory=BytesIO)
    scheme: str = "http"

    @classmethod
    def of(
        cls,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes = b"",
        scheme: str = "http",
    ) -> Self:
        """The request for `target`, a path with its query as it stands in a request line."""
        path, _, query = target.partition("?")
        return cls(
            method=method,
            path=unquote(path),
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in (headers or {}).items()},
            body=BytesIO(body) if isinstance(body, bytes) else body,
            scheme=scheme,
        )

    def parameter(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)

    def header(self, name: str) -> str:
        """A header's value, or "" if it was not sent; `name` is lower case."""
        return self.headers.get(name, "")

    @property
    def base_url(self) -> str:
        """Where the client thinks that this server is."""
        return f"{self.scheme}://{self.header('host') or 'localhost'}"

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces as they arrive."""
        while chunk := self.body.read(CHUNK_BYTES):
            yield chunk

    def content(self, limit_bytes: int) -> bytes:
        """The whole body. Raises Refusal with status 413 if it is larger than `limit_bytes`."""
        parts = bytearray()
        for chunk in self.chunks():
            parts += chunk
            if len(parts) > limit_bytes:
                raise Refusal(413, "SIZE_INVALID", f"the body is larger than {limit_bytes} bytes")
        return bytes(parts)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `length` is what Content-Length says where the body is a stream, or left out for a HEAD."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes] = b""
    length: int | None = None

    @property
    def content_length(self) -> int | None:
        """The size that the answer announces; None for a stream of unknown size."""
        if self.length is None and isinstance(self.body, bytes):
            return len(self.body)
        return self.length

    def pieces(self) -> Iterable[bytes]:
        """The body, piece by piece."""
        return (self.body,) if isinstance(self.body, bytes) else self.body


class Refusal(Exception):
    """An error answer in the form of the OCI distribution spec ("Error Codes"): one error for each detail."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Sequence[object] = (None,),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        errors = [{"code": code, "message": message, "detail": detail} for detail in details]
        self.response = json_response(status, {"errors": errors}, headers)


def json_response(status: int, document: object, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that holds `document` as JSON."""
    body = json.dumps(document).encode()
    return Response(status, {"Content-Type": "application/json", **(headers or {})}, body)

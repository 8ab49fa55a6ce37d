"""The demo registry as a scripted fake: it keeps a log of its requests and fails when told to.

Behind a socket (`replicator.demo.server.serve(fake)`) and behind httpx (`fake.transport()`) it does the same.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import httpx

from replicator.demo.features import Features
from replicator.demo.logins import Login
from replicator.demo.messages import Body, Request, Response
from replicator.demo.notifications import Endpoint
from replicator.demo.registry import Registry


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as it came, and what was answered. Status 0: the connection was dropped."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    status: int
    body_length: int

    def __str__(self) -> str:
        query = "&".join(f"{key}={value}" for key, value in self.query.items())
        return f"{self.method} {self.path}{'?' + query if query else ''} -> {self.status}"


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do to the `nth` request (counted from 1) that fits, and to `times - 1` after it.

    `status`, `headers` and `body` make up an answer; without a status the real answer is sent, with `headers` added and
    `body` in place of its own. `delay` waits before; `cut_body_at` sends only so many bytes of what was announced;
    `reset` drops the connection instead of an answer. `after` lets the request take effect first: the answer is lost.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay: float = 0.0
    cut_body_at: int | None = None
    reset: bool = False
    after: bool = False


@dataclass(slots=True)
class _Script:
    method: str
    path: re.Pattern[str]
    fault: Fault
    skip: int
    left: float


class FakeRegistry(Registry):
    """A registry with a log, faults by script and a switch that takes it off the network."""

    def __init__(
        self,
        features: Features | None = None,
        *,
        login: Login | None = None,
        notify: Sequence[Endpoint] = (),
    ) -> None:
        super().__init__(features, login=login, notify=notify)
        self.log: list[Entry] = []
        self.is_down = False
        self._scripts: list[_Script] = []
        self._script_lock = threading.Lock()

    def fail(self, method: str, path_regex: str, *, nth: int = 1, times: float = 1, **fault: object) -> None:
        """Script a `Fault`: its fields are the further keywords. `method` may be "*"; the regex is searched in the path
        with its query. `times=float("inf")` is for ever."""
        script = _Script(method, re.compile(path_regex), Fault(**fault), nth - 1, times)  # type: ignore[arg-type]
        with self._script_lock:
            self._scripts.append(script)

    def heal(self) -> None:
        """Drop all scripts and be reachable."""
        with self._script_lock:
            self._scripts.clear()
        self.is_down = False

    def handle(self, request: Request) -> Response:
        """As the registry does, with the faults that are due."""
        body = _CountedBody(request.body)
        status = 0
        try:
            response = self._faulty(replace(request, body=body))
            status = response.status
        finally:
            self.log.append(
                Entry(
                    request.method,
                    request.path,
                    dict(request.query),
                    dict(request.headers),
                    status,
                    body.count,
                )
            )
        return response

    def requests(self, method: str = "*", path_regex: str = "") -> list[Entry]:
        """The log's entries for that method whose path fits."""
        return [
            entry for entry in self.log if method in {"*", entry.method} and re.search(path_regex, entry.path)
        ]

    def transport(self) -> httpx.MockTransport:
        """A transport for httpx clients: every host they ask for is this registry."""
        return httpx.MockTransport(self._handle_httpx)

    def _faulty(self, request: Request) -> Response:
        if self.is_down:
            raise ConnectionRefusedError("the fake registry is down")
        fault = self._due(request)
        if fault is None:
            return super().handle(request)
        time.sleep(fault.delay)
        real = super().handle(request) if fault.after or (fault.status is None and not fault.reset) else None
        if fault.reset:
            raise ConnectionResetError("the fake registry drops this connection")
        return _altered(request, real, fault)

    def _due(self, request: Request) -> Fault | None:
        query = "&".join(f"{key}={value}" for key, value in request.query)
        target = f"{request.path}?{query}" if query else request.path
        with self._script_lock:
            for script in self._scripts:
                if script.method not in {"*", request.method} or not script.path.search(target):
                    continue
                if script.skip > 0:
                    script.skip -= 1
                elif script.left > 0:
                    script.left -= 1
                    return script.fault
        return None

    def _handle_httpx(self, request: httpx.Request) -> httpx.Response:
        target = request.url.raw_path.decode()
        headers = {name: request.headers[name] for name in request.headers}
        asked = Request.of(
            request.method, target, headers=headers, body=request.read(), scheme=request.url.scheme
        )
        try:
            response = self.handle(asked)
        except ConnectionRefusedError as exc:
            raise httpx.ConnectError(str(exc), request=request) from exc
        except ConnectionError as exc:
            raise httpx.ReadError(str(exc), request=request) from exc
        headers = dict(response.headers)
        if response.content_length is not None and response.status not in {204, 304}:
            headers["Content-Length"] = str(response.content_length)
        content = b"" if request.method == "HEAD" else _checked(request, response)
        return httpx.Response(response.status, headers=headers, content=content, request=request)


def _altered(request: Request, real: Response | None, fault: Fault) -> Response:
    if real is None or fault.status is not None:
        real = Response(fault.status or 500, {}, fault.body or b"")
    elif fault.body is not None:
        real = replace(real, body=fault.body, length=None)
    response = replace(real, headers={**real.headers, **fault.headers})
    if fault.cut_body_at is None or request.method == "HEAD":
        return response
    cut = b"".join(response.pieces())[: fault.cut_body_at]
    return replace(response, body=iter([cut]), length=response.content_length)


def _checked(request: httpx.Request, response: Response) -> Iterator[bytes]:
    """The body, with httpx's error if it ends before its announced length."""
    sent = 0
    for piece in response.pieces():
        sent += len(piece)
        yield piece
    if response.content_length is not None and sent < response.content_length:
        raise httpx.RemoteProtocolError("peer closed connection in the middle of a body", request=request)


class _CountedBody:
    """A body that knows how much of it was read."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._body.read(size)
        self.count += len(data)
        return data

"""Posts notifications at a rate, as registries do, from one event loop: cheap, because it shares the machine.

Each connection is kept alive and has one request on its way at a time, as Distribution's have. A notification has a
time at which it is due; it goes out on the first connection that is free then, and its latency counts from when it was
due, so that a receiver that stalls is charged for all that it kept waiting.
"""

import asyncio
import itertools
import re
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

REPOSITORIES, TAGS = 50, 20
TICK_S = 0.001
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
_HEAD = """\
POST /webhooks/{registry} HTTP/1.1\r
Host: replicator.example.com:8080\r
User-Agent: Go-http-client/1.1\r
Content-Length: {length}\r
Authorization: Bearer {secret}\r
Content-Type: application/vnd.docker.distribution.events.v1+json\r
Accept-Encoding: gzip\r
\r
"""
# As Distribution 2.8 writes it, spaces and all; every value has the same length each time.
_BODY = """\
{{
   "events": [
      {{
         "id": "{number:08x}-58d2-4b5e-9a0d-3b0b3a0f9c11",
         "timestamp": "2026-11-26T04:15:27.418220331Z",
         "action": "push",
         "target": {{
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "size": 1362,
            "digest": "sha256:{number:064x}",
            "length": 1362,
            "repository": "benchmark/app-{repository:02d}",
            "url": "https://registry.eu.example.com/v2/benchmark/app-{repository:02d}/manifests/sha256:{number:064x}",
            "tag": "v1.{tag:02d}"
         }},
         "request": {{
            "id": "5a2b7f4e-1f8e-4a53-8f0a-0c9a3d0d5a44",
            "addr": "10.20.3.14:51422",
            "host": "registry.eu.example.com",
            "method": "PUT",
            "useragent": "docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/6.1.0-13-amd64 os/linux arch/amd64 UpstreamClient(Docker-Client/24.0.7 \\\\(linux\\\\))"
         }},
         "actor": {{
            "name": "ci-payments"
         }},
         "source": {{
            "addr": "registry-6d9f7c5b8d-x2x7q:5000",
            "instanceID": "9f0d4c60-2a3e-4f8f-8f3e-2a6c0a7d1b22"
         }}
      }}
   ]
}}"""  # noqa: E501 - as it is sent


def body(number: int) -> bytes:
    """The notification of that number: always another digest, of a limited number of tags."""
    return _BODY.format(
        number=number, repository=number % REPOSITORIES, tag=number // REPOSITORIES % TAGS
    ).encode()


@dataclass
class Tally:
    """What became of the notifications of one kind of sender."""

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    answers: list[bytes] = field(default_factory=list)
    """Bodies of those that said 202."""

    def took_ms(self, share: float) -> float:
        """The latency that this share of them did not exceed."""
        found = sorted(self.latencies_s)
        return found[min(len(found) - 1, int(share * len(found)))] * 1000 if found else float("nan")


class Sender:
    """A number of connections to one receiver. A connection that is cut is opened again; its request counts as 0."""

    def __init__(self, port: int, registry: str, secret: str, *, connections: int) -> None:
        self._port = port
        self._connections = connections
        self._head = _HEAD.format(registry=registry, length=len(body(0)), secret=secret).encode()
        self._free: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._numbers = itertools.count()
        self._opening: set[asyncio.Task[object]] = set()
        self._on_way = 0
        self.tally = Tally()

    async def send(self, rate: float, seconds: float) -> Tally:
        """Post `rate` a second for so long, and wait for every answer."""
        for _ in range(self._connections):
            await self._open()
        self.tally = Tally()
        start = time.perf_counter()
        made = 0
        while (passed := time.perf_counter() - start) < seconds:
            wanted = int(passed * rate)
            self._due.extend(start + number / rate for number in range(made, wanted))
            made = wanted
            self._send_due()
            await asyncio.sleep(TICK_S)
        while self._due or self._on_way:
            await asyncio.sleep(TICK_S)
        for connection in self._free:
            connection.close()
        return self.tally

    def answered(self, connection: "_Connection", due: float, status: int, answer: bytes) -> None:
        """Count an answer; status 0 is none."""
        self._on_way -= 1
        self.tally.latencies_s.append(time.perf_counter() - due)
        self.tally.statuses[status] += 1
        if status == 202:
            self.tally.answers.append(answer)
        self._free.append(connection)
        self._send_due()

    def lost(self, connection: "_Connection") -> None:
        """Open another one in its place."""
        if connection in self._free:
            self._free.remove(connection)
        task = asyncio.get_running_loop().create_task(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        self._free.append(connection)
        self._send_due()

    def _send_due(self) -> None:
        while self._due and self._free:
            self._on_way += 1
            self._free.popleft().post(self._head + body(next(self._numbers)), self._due.popleft())


class _Connection(asyncio.Protocol):
    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._transport: asyncio.Transport
        self._due: float | None = None
        self._received = b""
        self._is_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def post(self, request: bytes, due: float) -> None:
        self._due = due
        self._received = b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, content = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if end else None
        if length is None or len(content) < int(length[1]) or self._due is None:
            return
        due, self._due = self._due, None
        self._sender.answered(self, due, int(head[9:12]), content)

    def close(self) -> None:
        self._is_closed = True
        self._transport.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._is_closed:
            return
        if self._due is not None:
            self._sender.answered(self, self._due, 0, b"")
        self._sender.lost(self)


async def hold_slow(port: int, number: int) -> None:
    """Keep so many connections open that never end their heads; whichever is cut is opened again."""
    await asyncio.gather(*(_dawdle(port, half) for half in itertools.islice(_halves(), number)))


def _halves() -> Iterator[bytes]:
    head = b"POST /webhooks/eu HTTP/1.1\r\nHost: x\r\n"
    return itertools.cycle((head, b"", head + b"Content-Length: 100\r\n\r\n{"))


async def _dawdle(port: int, beginning: bytes) -> None:
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(beginning)
        try:
            while await reader.read(1000):
                pass
        except ConnectionError:
            pass
        finally:
            writer.close()

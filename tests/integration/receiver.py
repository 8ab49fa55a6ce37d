"""The receiver as a process of a test, and how a test speaks to it below HTTP."""

import contextlib
import http.client
import signal
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests import judges
from tests.fakes.raw import Answer, RawClient
from tests.integration.processes import Process, RedisServer, free_port

SECRET = "hook-canary"
AUTHORIZED = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
BODY_TIMEOUT_S = 0.5
RULES = f"""
registries:
  eu: {{type: distribution, url: "https://eu.example.com", webhook: {{secret: {SECRET}}}}}
  us: {{type: distribution, url: "https://us.example.com"}}
  mistyped: {{type: harbor, url: "https://eu.example.com", webhook: {{secret: {SECRET}}}}}
rules:
  - {{name: prod, source: eu, destinations: [us]}}
"""


class ReceiverProcess(Process):
    """The web application under uvicorn, as `replicator serve` runs it."""

    def __init__(self, directory: Path, redis_url: str) -> None:
        super().__init__(directory)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._redis_url = redis_url
        self.rules = directory / "rules"
        self.rules.mkdir()
        (self.rules / "rules.yaml").write_text(RULES)

    def post(self, body: bytes = b"{}", path: str = "/webhooks/eu") -> Answer:
        with RawClient(self.url) as client:
            return client.call("POST", path, headers=AUTHORIZED, body=body)

    def median_post_s(self, posts: int) -> float:
        """How long one of so many posts takes on a kept connection; each has to be accepted."""
        taken_s = []
        with RawClient(self.url) as client:
            for _ in range(posts):
                started = time.monotonic()
                assert client.call("POST", "/webhooks/eu", headers=AUTHORIZED, body=b"{}").status == 202
                taken_s.append(time.monotonic() - started)
        return statistics.median(taken_s)

    def end(self, number: signal.Signals) -> int:
        """The exit status after that signal."""
        assert self._process
        self._process.send_signal(number)
        return self._process.wait(10)

    def _command(self) -> list[str]:
        root = str(Path(__file__).parents[2])
        code = (
            "import sys; sys.path.insert(0, sys.argv.pop(1)); "
            "from tests.integration.receiver_main import main; main()"
        )
        return [
            sys.executable,
            "-c",
            code,
            root,
            self._redis_url,
            str(self.rules),
            str(self.port),
            str(BODY_TIMEOUT_S),
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException), RawClient(self.url) as client:
            return client.call("GET", "/healthz").status == 200
        return False


@contextlib.contextmanager
def receiver_and_redis(directory: Path) -> Iterator[tuple[ReceiverProcess, RedisServer]]:
    """Both of their own: Debian's Redis, or the embedded Valkey where that is all there is."""
    binary = "redis-server" if judges.find("redis-server") else "valkey-server"
    with (
        RedisServer(directory / "redis", binary=binary) as server,
        ReceiverProcess(directory / "receiver", server.url) as running,
    ):
        yield running, server


def recorded(server: RedisServer) -> dict[str, bytes]:
    """The bodies in the inbox by entry id."""
    client = server.client()
    try:
        return {entry.decode(): fields[b"body"] for entry, fields in client.xrange("replicator:inbox")}
    finally:
        client.close()


HEAD = b"POST /webhooks/eu HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + SECRET.encode() + b"\r\n"


def raw_request(receiver: ReceiverProcess, data: bytes, patience_s: float) -> tuple[bytes, float]:
    """What comes back on a connection of its own until it ends, and after how many seconds."""
    started = time.monotonic()
    answer = b""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=patience_s) as connection:
        connection.sendall(data)
        while chunk := connection.recv(65536):
            answer += chunk
    return answer, time.monotonic() - started

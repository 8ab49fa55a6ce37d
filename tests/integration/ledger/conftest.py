"""A real Redis and the embedded Valkey, each with the durability settings that the product demands."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.errors import LedgerUnavailable
from replicator.ledger import Ledger, connect
from tests import judges
from tests.integration.ledger.kit import HASTY_S

STARTS_WITHIN_S = 10


class Server:
    """A server of ours on a Unix socket in a directory of its own."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self._binary = binary
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{directory}/redis.sock"

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([self._binary, *self._settings()], stdout=log, stderr=log)
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._answers():
            assert time.monotonic() < deadline, (self._directory / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: what is not on disk is gone."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        ledger = Ledger.connect(self.url)
        try:
            ledger.ping()
        except LedgerUnavailable:
            return False
        finally:
            ledger.close()
        return True

    def _settings(self) -> list[str]:
        settings = {
            "port": "0",
            "unixsocket": f"{self._directory}/redis.sock",
            "dir": str(self._directory),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
        }
        return [part for name, value in settings.items() for part in (f"--{name}", value)]


@pytest.fixture(scope="session", params=["redis", "valkey"])
def running(request: pytest.FixtureRequest) -> Iterator[Server]:
    binary = judges.need(f"{request.param}-server")
    # Not tmp_path: a socket's path has room for about a hundred characters.
    with tempfile.TemporaryDirectory(prefix="ledger-") as directory:
        server = Server(binary, Path(directory))
        server.start()
        yield server
        server.kill()


@pytest.fixture
def server(running: Server) -> Server:
    """A running server that holds nothing."""
    redis = connect(running.url)
    redis.flushall()
    redis.close()
    return running


@pytest.fixture
def ledger(server: Server) -> Iterator[Ledger]:
    """An empty ledger. Its leases outlast any test."""
    made = Ledger.connect(server.url)
    yield made
    made.close()


@pytest.fixture
def hasty(server: Server) -> Iterator[Ledger]:
    """The same ledger in the hands of somebody whose leases and rings last a third of a second."""
    made = Ledger.connect(server.url, lease_s=HASTY_S, redispatch_s=HASTY_S)
    yield made
    made.close()

"""The receiver says that it is there, and goes on saying so when Redis was away."""

import threading
from collections.abc import Iterable

import pytest

from replicator.errors import LedgerUnavailable
from replicator.web.heartbeat import heartbeat
from tests.fakes.web import RULES
from tests.integration.processes import wait_until


class ToldSuspects:
    """Notes what it is told; the first beat finds Redis away, the second a gap."""

    def __init__(self) -> None:
        self.heard: list[tuple[list[str], float]] = []

    def listen(self, registries: Iterable[str], outage_s: float) -> bool:
        self.heard.append((list(registries), outage_s))
        if len(self.heard) == 1:
            raise LedgerUnavailable("Redis is away")
        return len(self.heard) == 2


def test_a_receiver_says_that_it_is_there_for_those_that_notify_it(caplog: pytest.LogCaptureFixture) -> None:
    suspects = ToldSuspects()

    with heartbeat(suspects, lambda: RULES, outage_s=0.1):  # type: ignore[arg-type]
        wait_until(lambda: len(suspects.heard) >= 3, 10)

    assert suspects.heard[0] == (["eu", "open"], 0.1)
    assert [record.message for record in caplog.records] == ["no heartbeat", "nobody took notifications"]
    assert "heartbeat" not in {thread.name for thread in threading.enumerate()}

"""Workers whose clocks are hours off: Redis' clock is the only one that counts."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.roles import Fleet, Role
from tests.integration.processes import RedisServer

pytestmark = pytest.mark.integration

RESTORED_EVERY_S = 10
"""How often kombu looks for messages that were taken long ago, by the clocks of workers."""
_OFF = """
import runpy, sys, time
right, off_s = time.time, float(sys.argv.pop(1))
time.time = lambda: right() + off_s
runpy.run_module("workers", run_name="__main__", alter_sys=True)
"""


class Misled(Role):
    """A worker whose clock is `off_s` seconds ahead."""

    def __init__(self, directory: Path, fleet: Fleet, off_s: float) -> None:
        super().__init__(directory, "worker", fleet.environment("worker"))
        self._off_s = off_s

    def _command(self) -> list[str]:
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return ["env", *variables, sys.executable, "-c", _OFF, str(self._off_s), "worker"]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    (tmp_path / "fleet").mkdir()
    with (
        RedisServer(tmp_path / "redis", port=0) as server,
        Fleet(tmp_path / "fleet", server.url) as running,
    ):
        yield running


def test_q8_a_message_that_a_wrong_clock_brings_twice_is_one_job(fleet: Fleet, tmp_path: Path) -> None:
    """kombu says when a message was taken by the clock of who took it: to another it seems to be two hours old."""
    with Misled(tmp_path / "late", fleet, -7200) as late:
        fleet.roles["worker"].suspend()
        first = fleet.push("first")
        fleet.await_copy("first", first)

        fleet.registries["us"].suspend()
        pushed = {f"v{number}": fleet.push(f"v{number}") for number in range(3)}
        time.sleep(1)
        fleet.roles["worker"].resume()
        time.sleep(RESTORED_EVERY_S + 2)
        fleet.registries["us"].resume()

        for tag, image in pushed.items():
            fleet.await_copy(tag, image, 40)
        assert late.is_running
        assert "copied" in late.said
    log = fleet.registries["us"].log.read_text()
    for tag in pushed:
        assert log.count(f'"PUT /v2/app/manifests/{tag} HTTP/1.1" 201') == 1
    assert fleet.api("failures")["jobs"] == []

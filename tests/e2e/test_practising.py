"""What the runbook has a newcomer practise: `replicator demo --keep`, a region that is lost, three commands."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.product import PROGRAM, Done, run
from tests.e2e.runbook import PAGE, do
from tests.integration.processes import wait_until


@dataclass
class Demo:
    """A demo that keeps running: a terminal for it, and what it printed there."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """All that it printed so far."""
        return self.log.read_text()

    def press_enter(self) -> None:
        """What a person at its terminal does."""
        assert self.process.stdin
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def command(self, *arguments: str) -> Done:
        """A command in a second terminal, where the printed line was pasted."""
        words = self.said.split("export ", 1)[1].splitlines()[0].split()
        return run(*arguments, environment=dict(word.split("=", 1) for word in words))


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """`replicator demo --keep`, as soon as it keeps running."""
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [PROGRAM, "demo", "--keep"], stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
        )
    running = Demo(process, log)
    try:
        wait_until(lambda: "Enter here" in running.said, 60, what="the demo keeps running")
        yield running
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=40)


def test_a_newcomer_loses_a_region_and_brings_it_back(demo: Demo) -> None:
    assert "$ replicator demo --keep\n" in PAGE.read_text()
    demo.press_enter()
    wait_until(lambda: "lost     us: it is empty" in demo.said, what="the region is lost")

    assert "eu -> us: 1 to add" in do(demo, "plan", status=2).out
    assert "us: 1 copied" in do(demo, "resync --wait").out
    assert "us: 2 references, 2 proved by 5 manifests" in do(demo, "verify --deep").out
    assert [lane["drift"] for lane in demo.command("status", "--json").json()["lanes"]] == [0, 0]

"""Ctrl-C at the worst moments: while the command is still being loaded, and while a registry does not answer."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.processes import RedisServer

ENDS_WITHIN_S = 20
"""Less than a registry is given to answer."""

SLOW_TO_LOAD = """
import sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "replicator.cli":
            print("loading", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
from replicator.__main__ import main
main()
"""


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=ENDS_WITHIN_S)
    return process.returncode, err


def test_a_command_that_is_still_loading_ends_in_silence() -> None:
    with started("-c", SLOW_TO_LOAD) as process:
        assert process.stdout
        assert process.stdout.readline() == "loading\n"

        assert interrupt(process) == (130, "")


@pytest.mark.parametrize(
    ("command", "said"),
    [("plan", ""), ("verify", ""), ("resync", "interrupted: 0 jobs submitted so far go on\n")],
)
def test_a_command_does_not_wait_for_a_registry_that_does_not_answer(
    command: str, said: str, tmp_path: Path, redis_server: RedisServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(30)
        (tmp_path / "rules.yaml").write_text(
            f"registries:\n"
            f"  eu: {{type: distribution, url: 'http://127.0.0.1:{mute.getsockname()[1]}'}}\n"
            f"  us: {{type: distribution, url: 'http://127.0.0.1:1'}}\n"
            f"rules:\n"
            f"  - {{name: all, source: eu, destinations: [us], trigger: {{type: manual}},"
            f" filters: [{{type: name, value: team/web}}]}}\n"
        )
        settings = {"REPLICATOR_REDIS_URL": redis_server.url, "REPLICATOR_RULES": str(tmp_path)}
        with started("-m", "replicator", command, **settings) as process:
            connection, _ = mute.accept()

            with connection:
                assert interrupt(process) == (130, said)

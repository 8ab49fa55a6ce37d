"""The process tree with tiny children: how it starts, who is ended when it takes over, what it restarts."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.supervisor import Child, Supervisor

SLEEP = ["sleep", "60"]

Innocent = Callable[[Path], subprocess.Popen[bytes]]


@pytest.fixture
def reader() -> Iterator[Innocent]:
    """Starts a process that reads a file, and has nothing to do with what it says."""
    started = []

    def start(path: Path) -> subprocess.Popen[bytes]:
        with path.open() as file:
            started.append(subprocess.Popen(SLEEP, stdin=file))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_take_over_ends_who_holds_the_lock_and_not_whom_the_file_names(
    tmp_path: Path, reader: Innocent
) -> None:
    lock = tmp_path / "run" / "one.lock"
    orphan = _orphan(lock)
    innocent = reader(lock)
    lock.write_text(str(innocent.pid))
    supervisor = Supervisor(tmp_path, [[Child("one", SLEEP)]])

    supervisor.start()

    supervisor.shut_down()
    assert orphan.wait(5) == -signal.SIGKILL
    assert innocent.poll() is None


def test_a_gentle_child_of_an_earlier_run_is_asked_to_end(tmp_path: Path) -> None:
    orphan = _orphan(tmp_path / "run" / "one.lock")
    supervisor = Supervisor(tmp_path, [[Child("one", SLEEP, gentle=True)]])

    supervisor.start()

    supervisor.shut_down()
    assert orphan.wait(5) == -signal.SIGTERM


def test_a_child_that_cannot_be_started_leaves_nothing_of_its_stage_behind(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    supervisor = Supervisor(tmp_path, [[Child("first", SLEEP), Child("second", [absent])]])

    with pytest.raises(ConfigError, match=f"second cannot be started: {absent}: No such file"):
        supervisor.start()

    assert not _is_alive(_pid(tmp_path, "first"))


def _orphan(lock: Path) -> subprocess.Popen[bytes]:
    """A process that holds `lock`, whose pid nobody wrote down: the head was killed right after it began."""
    lock.parent.mkdir(exist_ok=True)
    with lock.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return subprocess.Popen(SLEEP, pass_fds=(file.fileno(),))


def _pid(data: Path, name: str) -> int:
    return int((data / "run" / f"{name}.lock").read_text())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

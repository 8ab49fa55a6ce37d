"""The process tree with tiny children: how it starts, who is ended when it takes over, what it restarts."""

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.supervisor import Child, Supervisor
from tests.integration.processes import wait_until

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

    assert not _is_running(_pid(tmp_path, "first"))


def test_a_dead_child_is_not_ready_whoever_answers_in_its_place(tmp_path: Path) -> None:
    def is_ready() -> bool:
        wait_until(lambda: not _is_running(_pid(tmp_path, "one")), what="it is dead")
        return True

    supervisor = Supervisor(tmp_path, [[Child("one", ["false"], is_ready=is_ready)]])

    with pytest.raises(ConfigError, match="one ended with status 1 before it was ready"):
        supervisor.start()


def test_a_child_that_keeps_dying_delays_no_other_ones_restart(tmp_path: Path) -> None:
    started, deaths = tmp_path / "started", tmp_path / "deaths"
    deaths.touch()
    script = f"until [ -e {started} ]; do sleep 0.05; done; echo >> {deaths}"
    dying = Child("dying", ["sh", "-c", script])
    with _watched(Supervisor(tmp_path, [[dying, Child("steady", SLEEP)]])):
        started.touch()
        wait_until(lambda: len(deaths.read_text()) >= 3, what="it died three times: the pauses are long now")
        victim = _pid(tmp_path, "steady")
        time.sleep(0.3)

        os.kill(victim, signal.SIGKILL)

        wait_until(lambda: _pid(tmp_path, "steady") not in (0, victim), what="steady is restarted")
        assert len(deaths.read_text()) == 3


def test_a_restart_ends_what_the_dead_child_left_behind(tmp_path: Path) -> None:
    # Its own child holds the lock as well, and lives on.
    pids = tmp_path / "pids"
    pids.touch()
    forking = Child("forking", ["sh", "-c", f"sleep 60 & echo $! >> {pids}; wait"])
    with _watched(Supervisor(tmp_path, [[forking]])):
        wait_until(pids.read_text, what="it has a child")
        victim, orphan = _pid(tmp_path, "forking"), int(pids.read_text())

        os.kill(victim, signal.SIGKILL)

        wait_until(lambda: _pid(tmp_path, "forking") not in (0, victim), what="it is restarted")
        assert not _is_running(orphan)


def test_a_child_that_cannot_be_restarted_is_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.symlink_to("/bin/sleep")
    with _watched(Supervisor(tmp_path, [[Child("one", [str(program), "60"])]])):
        victim = _pid(tmp_path, "one")
        program.unlink()
        os.kill(victim, signal.SIGKILL)
        time.sleep(1.2)
        program.symlink_to("/bin/sleep")

        wait_until(lambda: _pid(tmp_path, "one") not in (0, victim), what="it is restarted")


@contextmanager
def _watched(supervisor: Supervisor) -> Iterator[None]:
    """The tree runs, and is watched, until the context is left."""
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    try:
        yield
    finally:
        supervisor.stop()
        watching.join()
        supervisor.shut_down()


def _orphan(lock: Path) -> subprocess.Popen[bytes]:
    """A process that holds `lock`, whose pid nobody wrote down: the head was killed right after it began."""
    lock.parent.mkdir(exist_ok=True)
    with lock.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return subprocess.Popen(SLEEP, pass_fds=(file.fileno(),))


def _pid(data: Path, name: str) -> int:
    """The pid in a child's lock file; 0 while there is none."""
    return int((data / "run" / f"{name}.lock").read_text() or "0")


def _is_running(pid: int) -> bool:
    """Whether a process lives; a zombie that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

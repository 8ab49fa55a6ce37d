"""A process tree on one machine: started in order, restarted when a part dies, taken over when its head was killed.

Every child inherits a lock file in the data directory. A lock that cannot be taken is held by what an earlier tree left
behind: that is ended first.
"""

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path

from replicator.errors import ConfigError
from replicator.lockfile import LockFile

log = logging.getLogger(__name__)

POLL_S = 0.1
RESTART_PAUSE_S = 0.5
"""Between the deaths of a child that does not live for `STEADY_S` the pause doubles, up to ten seconds."""
RESTART_PAUSE_CAP_S = 10.0
STEADY_S = 10.0
TAKE_OVER_S = 10.0


@dataclass
class Child:
    """One process of the tree. `is_ready` tells when it does its work."""

    name: str
    command: Sequence[str]
    is_ready: Callable[[], bool] = lambda: True
    environment: Mapping[str, str] = field(default_factory=dict)
    gentle: bool = False
    """It is asked to end, not killed, when a new tree takes over what an old one left."""


class Supervisor:
    """Runs children until told to stop. Each stage starts when the one before is ready; they end the other way."""

    def __init__(
        self,
        data: Path,
        stages: Sequence[Sequence[Child]],
        *,
        prepare: Callable[[], None] = lambda: None,
        grace_s: float = 30.0,
    ) -> None:
        """`prepare` is called when nobody else uses `data` any more, before the first child starts."""
        self._directory = data / "run"
        self._stages = stages
        self._prepare = prepare
        self._children = [child for stage in stages for child in stage]
        self._grace_s = grace_s
        self._running: dict[str, _Running] = {}
        self._stop = threading.Event()
        self._own_lock: TextIOWrapper | None = None

    def stop(self) -> None:
        """Make `watch` return. May be called from a signal handler or another thread."""
        self._stop.set()

    def start(self, *, deadline_s: float = 30.0) -> None:
        """Start every child and wait until it is ready.

        Children of a tree whose head was killed are ended first. Raises ConfigError if another tree lives on the same
        data, or a child ends or is not ready in time; then nothing of ours is left running.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._own_lock = self._lock_alone()
        deadline = time.monotonic() + deadline_s
        try:
            for child in self._children:
                self._take_over(child)
            self._prepare()
            for stage in self._stages:
                for child in stage:
                    self._running[child.name] = self._spawn(child)
                for child in stage:
                    self._await_ready(child, deadline)
        except BaseException:
            self.shut_down()
            raise

    def watch(self) -> None:
        """Restart children that die, until `stop`."""
        while not self._stop.wait(POLL_S):
            for child in self._children:
                self._look_after(child, self._running[child.name])

    def shut_down(self) -> None:
        """End every child, the last stage first; one that does not end within its grace is killed."""
        self._stop.set()
        for stage in reversed(self._stages):
            ending = [self._running.pop(child.name) for child in stage if child.name in self._running]
            for running in ending:
                running.process.terminate()
            for running in ending:
                running.end(self._grace_s)
        if self._own_lock:
            self._own_lock.close()

    def _await_ready(self, child: Child, deadline: float) -> None:
        process = self._running[child.name].process
        while True:
            is_ready = child.is_ready()
            # Asked last: somebody else may have answered in its place.
            if process.poll() is not None:
                raise ConfigError(f"{child.name} ended with status {process.returncode} before it was ready")
            if is_ready:
                return
            if time.monotonic() > deadline:
                raise ConfigError(f"{child.name} was not ready in time")
            if self._stop.wait(POLL_S / 4):
                raise ConfigError("stopped before everything was ready")

    def _spawn(self, child: Child, *, pause_s: float = 0.0) -> "_Running":
        lock = self._lock_file(child).take()
        if lock is None:
            raise ConfigError(f"{child.name} of an earlier run does not end")
        with lock, _deaf_to_interrupts():
            # Should we be killed right after the start, the file names nobody, rather than the one before.
            lock.truncate(0)
            process = _start(child, lock.fileno())
            lock.write(str(process.pid))
        return _Running(process, time.monotonic(), pause_s)

    def _look_after(self, child: Child, running: "_Running") -> None:
        """If it is dead, start it again once its pause is over. Never waits: the others may need us."""
        if running.process.poll() is None:
            return
        if running.due is None:
            running.rest()
            extra = {"status": running.process.returncode, "restart_in_s": running.pause_s}
            log.warning("child died", extra={"child": child.name, **extra})
        elif time.monotonic() >= running.due:
            self._restart(child, running)

    def _restart(self, child: Child, running: "_Running") -> None:
        if not self._lock_file(child).is_free():
            # Its own children live on; the next look will find them gone.
            self._end_holders(child, signal.SIGKILL)
            return
        try:
            self._running[child.name] = self._spawn(child, pause_s=running.pause_s)
        except ConfigError as exc:
            running.rest()
            log.warning("no restart", extra={"why": str(exc), "restart_in_s": running.pause_s})

    def _take_over(self, child: Child) -> None:
        """End what holds the child's lock: processes that outlived the tree that they belonged to."""
        lock = self._lock_file(child)
        deadline = time.monotonic() + TAKE_OVER_S
        number = signal.SIGTERM if child.gentle else signal.SIGKILL
        while not lock.is_free():
            late = time.monotonic() > deadline - TAKE_OVER_S / 2
            self._end_holders(child, signal.SIGKILL if late else number)
            if time.monotonic() > deadline:
                raise ConfigError(f"{child.name} of an earlier run (pid {lock.read_pid()}) does not end")
            time.sleep(POLL_S)

    def _end_holders(self, child: Child, number: signal.Signals) -> None:
        for pid in self._lock_file(child).holders():
            log.info("ending a process of an earlier run", extra={"child": child.name, "pid": pid})
            _kill(pid, number)

    def _lock_file(self, child: Child) -> LockFile:
        return LockFile(self._directory / f"{child.name}.lock")

    def _lock_alone(self) -> TextIOWrapper:
        file = LockFile(self._directory / "up.lock")
        lock = file.take()
        if lock is None:
            raise ConfigError(
                f"another `replicator up` (pid {file.read_pid()}) runs on {self._directory.parent}"
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    started: float
    pause_s: float
    due: float | None = None
    """When it is started again, once it was found dead."""

    def rest(self) -> None:
        """Set when it is started again: later each time, unless it lived long."""
        now = time.monotonic()
        again = min(self.pause_s * 2, RESTART_PAUSE_CAP_S) if now - self.started < STEADY_S else 0.0
        self.pause_s = max(again, RESTART_PAUSE_S)
        self.due = now + self.pause_s

    def end(self, grace_s: float) -> None:
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _start(child: Child, lock: int) -> subprocess.Popen[bytes]:
    try:
        # They log to stderr; what libraries say on stdout is nobody's business.
        return subprocess.Popen(  # noqa: S603 - our own commands
            child.command,
            env={**os.environ, **child.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(lock,),
        )
    except OSError as exc:
        raise ConfigError(f"{child.name} cannot be started: {exc.filename}: {exc.strerror}") from exc


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    # Ctrl+C reaches every process of a terminal's group at once, and Redis would leave before those who need it. So
    # children are born with SIGINT blocked: the head hears it, and ends them in order.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return

"""A lock that lives exactly as long as a process: it inherits the open file, whatever becomes of who started it."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LockFile:
    """The file at `path`. What it says is for people: it names who took the lock last, dead or alive."""

    path: Path

    def take(self) -> TextIOWrapper | None:
        """The open file, locked until it and every copy that a child inherits are closed; None if it is taken."""
        lock = self.path.open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return lock

    def is_free(self) -> bool:
        """Whether nobody holds the lock."""
        lock = self.take()
        if lock:
            lock.close()
        return lock is not None

    def read_pid(self) -> str:
        """The pid that the file names, if any."""
        return self.path.read_text(encoding="ascii").strip()

    def holders(self) -> list[int]:
        """The other processes that hold the file open for writing; none where there is no `/proc`.

        A pid in a file proves nothing: its process may be dead, and the number an innocent one's by now.
        """
        path = str(self.path.resolve())
        pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if pid != os.getpid() and path in _written_files(pid)]


def _written_files(pid: int) -> Iterator[str]:
    # Suppressed: it ended meanwhile, or belongs to another user.
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            # The link's own mode says how the file was opened. Who only reads it, as a backup does, holds no lock.
            if entry.stat(follow_symlinks=False).st_mode & stat.S_IWUSR:
                yield str(Path(entry.path).readlink())

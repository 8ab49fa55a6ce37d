"""The rule files of a directory on disk, and the public keys beside them: which there are, what they hold, whether
they changed.

Hidden files and directories do not count. A mounted Kubernetes ConfigMap keeps its data in hidden directories and
shows it through links: those are followed, and no file is read twice however many links lead to it.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from replicator.rulefiles.document import SIZE_LIMIT_BYTES
from replicator.rulefiles.problems import Problem, RulesError

ENTRY_LIMIT = 1000
KEY_SUFFIX = ".pub"
_SUFFIXES = frozenset({".yaml", ".yml", KEY_SUFFIX})

Stamp = tuple[tuple[str, int, int, int, int], ...]
"""What `stat` says of every file: name, inode, size, times of change. Equal stamps mean unchanged files."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of `directory` as they were read: their bytes by name, and what could not be read."""

    directory: Path
    files: dict[str, bytes]
    problems: tuple[Problem, ...] = ()

    @property
    def documents(self) -> dict[str, bytes]:
        """The rule files."""
        return {name: raw for name, raw in self.files.items() if not name.endswith(KEY_SUFFIX)}

    @property
    def keys(self) -> dict[str, bytes]:
        """The public keys."""
        return {name: raw for name, raw in self.files.items() if name.endswith(KEY_SUFFIX)}

    @property
    def revision(self) -> str:
        """A hash over names and contents."""
        total = hashlib.sha256()
        for name, raw in self.files.items():
            total.update(f"{len(name)}:{name}{len(raw)}:".encode())
            total.update(raw)
        return total.hexdigest()


def read(directory: Path) -> Snapshot:
    """Every file at and below `directory`; raises RulesError if there is no such directory."""
    files: dict[str, bytes] = {}
    problems = []
    for path in _rule_files(directory):
        try:
            with path.open("rb") as file:
                # One byte more than is allowed shows that there is more.
                files[_shown(path)] = file.read(SIZE_LIMIT_BYTES + 1)
        except OSError as exc:
            problems.append(Problem(_shown(path), 1, 1, f"cannot read the file: {exc.strerror}"))
    return Snapshot(directory, files, tuple(problems))


def stamp(directory: Path) -> Stamp:
    """What tells a later revision of the files from this one without reading them; raises as `read` does."""
    found = []
    for path in _rule_files(directory):
        try:
            about = path.stat()
        except OSError:
            found.append((str(path), 0, 0, 0, 0))
        else:
            found.append((str(path), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns))
    return tuple(found)


def _shown(path: Path) -> str:
    # A name need not be UTF-8; what we print has to be.
    return str(path).encode(errors="backslashreplace").decode()


def _rule_files(directory: Path) -> list[Path]:
    try:
        return sorted(_walk(directory))
    except OSError as exc:
        raise _unusable(directory, f"cannot read the rules directory: {exc.strerror}") from exc


def _walk(directory: Path) -> Iterator[Path]:
    waiting, seen = [directory], set[tuple[int, int]]()
    while waiting:
        here = waiting.pop()
        # Sorted, so that of two links to a file it is always the same that counts.
        for item in sorted(os.scandir(here), key=lambda entry: entry.name):
            if item.name.startswith(".") or not _is_new(item, seen):
                continue
            if len(seen) > ENTRY_LIMIT:
                raise _unusable(directory, f"more than {ENTRY_LIMIT} files; is this the rules directory?")
            if item.is_dir():
                waiting.append(here / item.name)
            elif Path(item.name).suffix in _SUFFIXES and (item.is_file() or item.is_symlink()):
                yield here / item.name


def _is_new(item: os.DirEntry[str], seen: set[tuple[int, int]]) -> bool:
    try:
        about = item.stat()
    except OSError:
        # A link to nothing: reading it says so.
        return True
    place = (about.st_dev, about.st_ino)
    if place in seen:
        return False
    seen.add(place)
    return True


def _unusable(directory: Path, message: str) -> RulesError:
    return RulesError([Problem(str(directory), 1, 1, message)])

"""What the registries' people did, step by step, written down outside the product: the only truth of a chaos run.

A step that was not answered may have happened or not. So a tag has not one value that is right but a few, and none if
somebody deleted it.
"""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from replicator.oci import Digest

Place = tuple[str, str, str]
"""Region, repository and tag."""


class Ending(StrEnum):
    """How a step ended: `unknown` if the registry did not answer it, or not with what was expected."""

    OK = "ok"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """Somebody gave a tag a digest, or took it away (None)."""

    kind: str
    region: str
    repository: str
    tag: str
    digest: Digest | None
    began: float
    ended: float
    ending: Ending
    why: str = ""
    takes: Digest | None = None
    """The digest that was deleted."""

    @property
    def place(self) -> Place:
        """The tag that it was about."""
        return self.region, self.repository, self.tag


class History:
    """All steps, in memory and, line by line, in a file. Thread-safe."""

    def __init__(self, file: Path) -> None:
        self.steps: list[Step] = []
        self._lock = threading.Lock()
        self._file = file.open("w", buffering=1)

    @contextlib.contextmanager
    def step(
        self, kind: str, place: Place, digest: Digest | None, *, takes: Digest | None = None
    ) -> Iterator[None]:
        """Write down a step, however the block ends, which does it. An error of it is raised again."""
        began, ending, why = time.time(), Ending.UNKNOWN, ""
        try:
            yield
            ending = Ending.OK
        except Exception as exc:
            why = f"{type(exc).__name__}: {exc}"[:200]
            raise
        finally:
            self._note(Step(kind, *place, digest, began, time.time(), ending, why, takes))

    def close(self) -> None:
        """Nothing is written down any more."""
        self._file.close()

    def counts(self) -> Counter[str]:
        """Steps by kind and ending."""
        return Counter(
            step.kind if step.ending is Ending.OK else f"{step.kind}, not answered" for step in self.steps
        )

    def possible(self) -> dict[Place, set[Digest | None]]:
        """What each tag may hold, as far as its own region's people went."""
        found: dict[Place, set[Digest | None]] = {}
        for step in self.steps:
            before = found.get(step.place, {None})
            found[step.place] = {step.digest} | (before if step.ending is Ending.UNKNOWN else set())
        return found

    def pushed(self) -> dict[tuple[str, str], set[Digest]]:
        """Every digest that somebody ever wanted under a repository's tag, in whichever region."""
        found: dict[tuple[str, str], set[Digest]] = {}
        for step in self.steps:
            digests = found.setdefault((step.repository, step.tag), set())
            if step.digest:
                digests.add(step.digest)
        return found

    def deleted(self) -> set[tuple[str, str]]:
        """Every repository's tag and digest that somebody ever tried to delete."""
        return {
            (step.repository, reference)
            for step in self.steps
            if step.takes is not None
            for reference in (step.tag, step.takes)
        }

    def _note(self, step: Step) -> None:
        with self._lock:
            self.steps.append(step)
            if not self._file.closed:
                self._file.write(json.dumps(asdict(step)) + "\n")

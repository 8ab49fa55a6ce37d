"""What the jobs of one doorbell brought into the destination's repositories: among them each blob is asked for once.

The fleet remembers one repository for each blob; images of a repository share layers that lie in many. It is forgotten
with the doorbell, so that it is never older than some jobs take: a registry that lost a blob meanwhile says so when the
manifest comes.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from replicator.oci import Digest, Repository


class Shelf:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: dict[tuple[Repository, Digest], threading.Lock] = {}
        self._held: set[tuple[Repository, Digest]] = set()

    @contextmanager
    def turn(self, repository: Repository, digest: Digest) -> Iterator[bool]:
        """Be the only one at that blob: True if it was brought before. Whoever leaves without an error brought it."""
        place = (repository, digest)
        with self._lock:
            turn = self._turns.setdefault(place, threading.Lock())
        with turn:
            yield place in self._held
            self._held.add(place)

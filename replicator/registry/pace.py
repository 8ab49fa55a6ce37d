"""Notices a peer that is too slow to be worth waiting for.

A read time limit alone never ends a body of one byte a second. Only time spent waiting for the peer counts: a slow
destination does not make its source look slow.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from replicator.errors import TemporaryError
from replicator.registry.failures import Topic

_GRACE_S = 30.0
_WINDOW_S = 10.0
_WINDOW_BYTES = 64 * 1024
_TOTAL_S = 60.0
_TOTAL_BYTES_PER_S = 64 * 1024


class Pace:
    """The time that one body of `size_bytes` at most took so far, and whether that is too long.

    Too long is: after 30 s of waiting, less than 64 KiB in a window of 10 s; or in all more than 60 s plus the time
    that 64 KiB a second need.
    """

    def __init__(self, topic: Topic, size_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._topic = topic
        self._clock = clock
        self._deadline_s = _TOTAL_S + size_bytes / _TOTAL_BYTES_PER_S
        self._waited_s = 0.0
        self._window_s = 0.0
        self._window_bytes = 0

    def timed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks, while the time that each took to come is counted. Raises TemporaryError when too slow."""
        iterator = iter(chunks)
        while True:
            began = self._clock()
            chunk = next(iterator, None)
            if chunk is None:
                return
            self.count(self._clock() - began, len(chunk))
            yield chunk

    def taken(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks, while the time that each took to be taken is counted. Raises likewise."""
        for chunk in chunks:
            began = self._clock()
            yield chunk
            self.count(self._clock() - began, len(chunk))

    def count(self, waited_s: float, size_bytes: int) -> None:
        """Adds a wait and what it brought. Raises TemporaryError when that is too slow."""
        self._waited_s += waited_s
        self._window_s += waited_s
        self._window_bytes += size_bytes
        is_slow = False
        if self._window_s >= _WINDOW_S:
            is_slow = self._waited_s > _GRACE_S and self._window_bytes < _WINDOW_BYTES
            self._window_s, self._window_bytes = 0.0, 0
        if is_slow or self._waited_s > self._deadline_s:
            raise TemporaryError(f"{self._topic}: too slow, gave up after waiting {self._waited_s:.0f} s")

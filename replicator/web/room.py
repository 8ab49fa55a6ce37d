"""How much of what senders send may be in memory at once: a thousand of them may send megabytes each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Room:
    """So many bytes for everything that is here at a time; for one event loop."""

    def __init__(self, size_bytes: int) -> None:
        self._free_bytes = size_bytes

    @contextmanager
    def share(self) -> Iterator[Callable[[int], bool]]:
        """Gives a function that takes so many bytes more, or returns False. In the end all of them are free again."""
        taken_bytes = 0

        def take(size_bytes: int) -> bool:
            nonlocal taken_bytes
            if size_bytes > self._free_bytes:
                return False
            self._free_bytes -= size_bytes
            taken_bytes += size_bytes
            return True

        try:
            yield take
        finally:
            self._free_bytes += taken_bytes

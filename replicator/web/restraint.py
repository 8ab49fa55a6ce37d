"""So many lines a second into the log: what strangers may cause at will must not fill a disk."""

import logging
import time
from collections.abc import Callable


class Restraint(logging.Filter):
    """Lets `a_second` lines pass in each second, and counts the rest. A logger may have it as its filter."""

    def __init__(self, a_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._a_second = a_second
        self._clock = clock
        self._began = clock()
        self._passed = 0
        self._left_out = 0

    def before_next(self) -> int | None:
        """How many were left out before the next line; None if that is to be left out, too."""
        now = self._clock()
        if now - self._began >= 1:
            self._began, self._passed = now, 0
        if self._passed >= self._a_second:
            self._left_out += 1
            return None
        self._passed += 1
        number, self._left_out = self._left_out, 0
        return number

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line that was made may pass; it tells how many before it did not."""
        number = self.before_next()
        if number:
            record.left_out = number
        return number is not None

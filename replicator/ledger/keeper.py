"""A thread that keeps alive in Redis what its process holds: leases, flights, slots.

It runs while there is anything to keep, and ends by itself. A process that dies, or is frozen, keeps nothing.
"""

import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from replicator.errors import TemporaryError

T = TypeVar("T")


class Keeper(Generic[T]):
    """Renews what `held` gives, every `every_s`. `lock` is its owner's, and guards what is held.

    What `renew` cannot do because Redis is away runs out by itself, unless a later renewal comes in time.
    """

    def __init__(
        self,
        name: str,
        every_s: float,
        *,
        lock: AbstractContextManager[object],
        held: Callable[[], Collection[T]],
        renew: Callable[[Collection[T]], None],
    ) -> None:
        self._name = name
        self._every_s = every_s
        self._lock = lock
        self._held = held
        self._renew = renew
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Something is held now. Whoever says so has the lock."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._keep, name=self._name, daemon=True)
            self._thread.start()

    def _keep(self) -> None:
        while True:
            time.sleep(self._every_s)
            with self._lock:
                held = self._held()
                if not held:
                    self._thread = None
                    return
            try:
                self._renew(held)
            except TemporaryError:
                continue

"""How Celery comes back to Redis: within seconds, however long Redis was away, and with nothing left of before."""

from collections.abc import Callable
from typing import Any

from kombu.asynchronous.timer import Entry
from kombu.connection import Connection
from kombu.transport.redis import Transport

AGAIN_AFTER_S = 2
_latest: list[tuple[Any, frozenset[Callable[[], object]]]] = []
"""What polls the connection that this process consumes from, and what it has the event loop call at each tick."""


class EagerConnection(Connection):
    """Left alone, kombu waits two seconds more after each try, until it waits for half a minute."""

    def _ensure_connection(self, *arguments: Any, **options: Any) -> Any:
        return super()._ensure_connection(*arguments, **{**options, "interval_max": AGAIN_AFTER_S})  # type: ignore[no-untyped-call]


class LoneTransport(Transport):
    """A transport that takes the place of the one before it in the event loop. A worker consumes from one at a time.

    kombu 5.7 leaves the former in the loop for good, five timers and a call at each tick: all of a connection for each
    death of Redis.
    """

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        for cycle, ticks in _latest:
            for timer in [value for value in vars(cycle).values() if isinstance(value, Entry)]:
                timer.cancel()  # type: ignore[no-untyped-call]
            loop.on_tick.difference_update(ticks)
        before = frozenset(loop.on_tick)
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]
        _latest[:] = [(self.cycle, frozenset(loop.on_tick) - before)]

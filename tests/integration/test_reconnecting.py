"""A worker's way back to Redis leaves nothing of the connection that broke."""

import pytest
from kombu import Connection, transport
from kombu.asynchronous import Hub

from tests.integration.processes import RedisServer
from workers import quarantine

pytestmark = pytest.mark.integration


def test_a_connection_takes_the_place_of_the_one_before_in_the_event_loop(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a process of its own, and gone afterwards.
    monkeypatch.setattr(transport, "_transport_cache", {})
    for name, path in transport.TRANSPORT_ALIASES.items():
        monkeypatch.setitem(transport.TRANSPORT_ALIASES, name, path)
    quarantine.watch()
    hub = Hub()  # type: ignore[no-untyped-call]
    left = []
    for _ in range(3):
        with Connection(redis_server.broker_url) as connection:
            connection.register_with_event_loop(hub)  # type: ignore[no-untyped-call]
            timers = [scheduled.entry for scheduled in hub.timer.queue if not scheduled.entry.canceled]
            left.append((len(timers), len(hub.on_tick)))

    timers_of_one, calls_of_one = left[0]
    assert timers_of_one > 0 < calls_of_one
    assert left == [left[0]] * 3

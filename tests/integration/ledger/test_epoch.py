"""A Redis that lost what it was told, all of it or the latest, is known by its pulse."""

import pytest
import redis

from replicator.ledger import Ledger, Pulse
from tests.integration.ledger.conftest import Server


def test_pulses_follow_each_other_whoever_takes_them(ledger: Ledger, server: Server) -> None:
    other = Ledger.connect(server.url)
    first, theirs, second = ledger.epoch.pulse(), other.epoch.pulse(), ledger.epoch.pulse()

    assert first.follows(None)
    assert theirs.follows(first)
    assert second.follows(first)
    assert second.follows(theirs)
    other.close()


def test_no_pulse_follows_what_was_before_redis_was_emptied(ledger: Ledger, server: Server) -> None:
    before = ledger.epoch.pulse()
    with redis.Redis.from_url(server.url) as client:
        client.flushall()

    after = ledger.epoch.pulse()

    assert not after.follows(before)
    assert ledger.epoch.pulse().follows(after)


@pytest.mark.parametrize("lost", [1, 5])
def test_no_pulse_follows_what_a_stale_replica_never_had(ledger: Ledger, server: Server, lost: int) -> None:
    stale = ledger.epoch.pulse()
    for _ in range(lost):
        seen = ledger.epoch.pulse()
    with redis.Redis.from_url(server.url) as client:
        client.hset("replicator:epoch", "count", stale.count)

    assert not ledger.epoch.pulse().follows(seen)


def test_a_restart_that_lost_nothing_is_no_loss(ledger: Ledger, server: Server) -> None:
    before = ledger.epoch.pulse()

    server.kill()
    server.start()

    assert ledger.epoch.pulse() == Pulse(before.name, before.count + 1)

"""A Redis that lost what it was told, all of it or the latest, is known by its pulse."""

from pathlib import Path

import pytest
import redis

from replicator.ledger import Ledger, Pulse
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import eventually
from tests.integration.processes import RedisServer, wait_until


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

    after = ledger.epoch.pulse()
    assert after.follows(before)
    assert (after.name, after.count) == (before.name, before.count + 1)


def test_a_replica_that_takes_over_may_have_missed_the_last_moment(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path / "one", port=0) as one,
        RedisServer(tmp_path / "two", port=0) as two,
        one.client() as primary,
        two.client() as replica,
    ):
        primary.config_set("repl-diskless-sync-delay", 0)
        replica.replicaof("127.0.0.1", str(one.port))
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up", 30)
        ledger, heir = Ledger.connect(one.url), Ledger.connect(two.url)
        before = ledger.epoch.pulse()
        eventually(lambda: replica.hget("replicator:epoch", "count") == str(before.count).encode())
        replica.replicaof("NO", "ONE")

        after = heir.epoch.pulse()

        assert (after.name, after.count) == (before.name, before.count + 1)
        assert not after.follows(before)
        assert heir.epoch.pulse().follows(after)
        ledger.close()
        heir.close()


def test_a_redis_that_does_not_tell_its_history_is_judged_by_the_rest(ledger: Ledger, server: Server) -> None:
    before = ledger.epoch.pulse()
    with redis.Redis.from_url(server.url) as client:
        client.acl_setuser("default", enabled=True, nopass=True, commands=["-info"])
        try:
            after = ledger.epoch.pulse()
        finally:
            client.acl_setuser("default", enabled=True, nopass=True, commands=["+info"])

    assert (after.history, after.before) == ("", "")
    assert after.follows(before)
    assert Pulse("one", 2).follows(Pulse("one", 1))

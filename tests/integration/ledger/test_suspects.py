"""Registries of whose notifications some may be lost: who restarted, and who found nobody to take them."""

import pytest
import redis

from replicator.ledger import Ledger, Suspicion
from tests.integration.ledger.conftest import Server


def suspected(ledger: Ledger) -> list[tuple[str, Suspicion]]:
    return [(suspect.registry, suspect.reason) for suspect in ledger.suspects.all()]


def meet(ledger: Ledger, *senders: str) -> None:
    ledger.suspects.meet("eu", frozenset(senders))


@pytest.fixture
def other(server: Server) -> Ledger:
    """The ledger as another process sees it."""
    return Ledger.connect(server.url)


def test_the_first_process_that_is_met_is_only_noted(ledger: Ledger, other: Ledger) -> None:
    meet(ledger, "one")
    meet(ledger, "one")
    meet(other, "one")

    assert suspected(ledger) == []


def test_a_registry_whose_process_is_another_one_is_a_suspect_once(ledger: Ledger, other: Ledger) -> None:
    meet(ledger, "one")
    meet(ledger, "two")
    (suspect,) = ledger.suspects.all()
    assert (suspect.registry, suspect.reason, suspect.times) == ("eu", Suspicion.SENDER, 1)
    assert ledger.suspects.clear(suspect)

    # Behind a load balancer they send in turn.
    for sender in ("one", "two") * 3:
        meet(ledger, sender)
        meet(other, sender)

    assert suspected(ledger) == []


def test_a_registry_without_names_of_its_processes_is_no_suspect(ledger: Ledger) -> None:
    meet(ledger, "one")
    meet(ledger)

    assert suspected(ledger) == []


def test_a_suspect_that_became_one_again_stays_one(ledger: Ledger) -> None:
    meet(ledger, "one")
    meet(ledger, "two")
    (suspect,) = ledger.suspects.all()
    meet(ledger, "three")

    assert not ledger.suspects.clear(suspect)
    assert suspected(ledger) == [("eu", Suspicion.SENDER)]


def test_a_restart_after_redis_was_emptied_is_noticed(ledger: Ledger, server: Server) -> None:
    meet(ledger, "one")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()

    meet(ledger, "two")

    assert suspected(ledger) == [("eu", Suspicion.SENDER)]


def test_not_more_processes_are_remembered_than_there_may_be(ledger: Ledger, server: Server) -> None:
    for number in range(200):
        meet(ledger, f"process-{number}")

    with redis.Redis.from_url(server.url) as client:
        assert client.zcard("replicator:senders:eu") == 64


def test_a_receiver_that_was_away_makes_suspects_of_who_notifies_it(
    ledger: Ledger, other: Ledger, server: Server
) -> None:
    assert not ledger.suspects.listen(["eu", "ap"], 120)
    assert not other.suspects.listen(["eu", "ap"], 120)
    assert suspected(ledger) == []
    with redis.Redis.from_url(server.url) as client:
        last = float(client.get("replicator:listening") or 0)
        client.set("replicator:listening", last - 121)

    assert ledger.suspects.listen(["eu", "ap"], 120)
    assert not other.suspects.listen(["eu", "ap"], 120)

    assert suspected(ledger) == [("ap", Suspicion.RECEIVER), ("eu", Suspicion.RECEIVER)]


def test_a_reason_of_a_later_version_is_left_to_it(ledger: Ledger, server: Server) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.hset("replicator:suspects", "eu|weather", 1)

    assert ledger.suspects.all() == []

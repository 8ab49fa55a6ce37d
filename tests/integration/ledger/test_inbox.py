"""The inbox: nothing that was recorded gets lost, nothing is routed twice."""

import time

import pytest

from replicator.errors import LedgerUnavailable
from replicator.ledger import Ledger, connect
from replicator.ledger.inbox import DEAD_BODY_LIMIT_BYTES
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import job, notify, read_one, wanted

pytestmark = pytest.mark.integration


def test_a_body_comes_back_byte_by_byte(server: Server, ledger: Ledger) -> None:
    body = bytes(range(256)) + "ü".encode() + b"\xed\xa0\x80\xff\x00"
    entry = notify(server.url, body, trace="00-ab-cd-01")

    found = read_one(ledger.inbox("a"))

    assert (found.id, found.registry, found.content_type) == (entry, "eu", "application/json")
    assert (found.body, found.trace) == (body, "00-ab-cd-01")
    assert found.received_at == pytest.approx(ledger.view.now(), abs=2)


def test_an_empty_inbox_is_waited_for(ledger: Ledger) -> None:
    inbox = ledger.inbox("a")
    inbox.read(block_s=0.01)
    began = time.monotonic()

    assert inbox.read(block_s=0.2) == []
    assert 0.15 < time.monotonic() - began < 2
    assert (inbox.length(), inbox.oldest_age_s()) == (0, 0.0)


def test_two_routers_never_read_the_same_new_entry(server: Server, ledger: Ledger) -> None:
    entries = {notify(server.url) for _ in range(6)}
    one, two = ledger.inbox("one"), ledger.inbox("two")
    one.read(block_s=0.01)

    read = [item.id for _ in range(3) for inbox in (one, two) for item in inbox.read(1, 0.01)]

    assert sorted(read) == sorted(entries)


def test_what_a_dead_router_read_comes_to_another(server: Server, ledger: Ledger) -> None:
    notify(server.url)
    left = read_one(ledger.inbox("dead"))
    redis = connect(server.url)
    # As if five seconds had passed.
    redis.execute_command("XCLAIM", "replicator:inbox", "router", "dead", 0, left.id, "IDLE", 6000, "JUSTID")

    assert read_one(ledger.inbox("alive")) == left


def test_a_fresh_entry_of_another_router_is_left_to_it(server: Server, ledger: Ledger) -> None:
    notify(server.url)
    read_one(ledger.inbox("one"))

    assert ledger.inbox("two").read(block_s=0.01) == []


def test_a_routed_entry_leaves_the_inbox_and_its_jobs_are_there(server: Server, ledger: Ledger) -> None:
    notify(server.url)
    entry = read_one(ledger.inbox("a"))

    assert ledger.route(entry.id, [wanted(job("v1")), wanted(job("v2"))])

    assert ledger.inbox("a").length() == 0
    assert {view.reference for view in ledger.view.jobs()} == {"v1", "v2"}


def test_a_second_router_gets_false_and_adds_nothing(server: Server, ledger: Ledger) -> None:
    notify(server.url)
    entry = read_one(ledger.inbox("a"))
    ledger.route(entry.id, [wanted(job("v1"))])

    assert not ledger.route(entry.id, [wanted(job("v1")), wanted(job("v2"))])

    assert ledger.job(job("v2").id) is None
    claim = ledger.claim(job("v1").id)
    assert not isinstance(claim, str)
    assert claim.generation == 1


def test_an_entry_that_asks_for_nothing_leaves_too(server: Server, ledger: Ledger) -> None:
    notify(server.url)
    inbox = ledger.inbox("a")

    assert ledger.route(read_one(inbox).id, [])
    assert inbox.length() == 0


def test_a_lost_group_is_made_again_and_loses_no_entry(server: Server, ledger: Ledger) -> None:
    notify(server.url)
    inbox = ledger.inbox("a")
    first = read_one(inbox)
    connect(server.url).xgroup_destroy("replicator:inbox", "router")

    assert not ledger.route(first.id, [wanted(job())])
    assert read_one(inbox).id == first.id


def test_a_buried_notification_is_a_dead_letter(server: Server, ledger: Ledger) -> None:
    notify(server.url, b"\xff not json")
    inbox = ledger.inbox("a")
    entry = read_one(inbox)

    assert inbox.bury(entry, "no JSON")
    assert not inbox.bury(entry, "no JSON")

    (letter,) = ledger.view.dead_letters(10)
    assert (letter.registry, letter.reason, letter.body) == ("eu", "no JSON", b"\xff not json")
    assert letter.received_at == entry.received_at
    assert inbox.length() == 0


def test_a_dead_letter_can_be_revived_or_discarded(server: Server, ledger: Ledger) -> None:
    inbox = ledger.inbox("a")
    for body in (b"one", b"two"):
        notify(server.url, body)
        inbox.bury(read_one(inbox), "why")
    two, one = ledger.view.dead_letters(10)

    assert ledger.revive(one.id)
    assert ledger.discard(two.id)

    assert read_one(inbox).body == b"one"
    assert ledger.view.dead_letters(10) == []
    assert not ledger.revive(one.id)
    assert not ledger.discard(two.id)


def test_a_huge_dead_letter_is_cut_and_cannot_be_revived(server: Server, ledger: Ledger) -> None:
    body = b"x" * (DEAD_BODY_LIMIT_BYTES + 1)
    notify(server.url, body)
    inbox = ledger.inbox("a")
    inbox.bury(read_one(inbox), "too big")

    (letter,) = ledger.view.dead_letters(10)

    assert (len(letter.body), letter.size_bytes) == (DEAD_BODY_LIMIT_BYTES, len(body))
    assert not ledger.revive(letter.id)


def test_the_oldest_entry_gives_the_age_of_the_inbox(server: Server, ledger: Ledger) -> None:
    notify(server.url)
    time.sleep(0.1)
    notify(server.url)

    assert 0.09 < ledger.inbox("a").oldest_age_s() < 2
    assert ledger.inbox("a").length() == 2


def test_a_receiver_without_redis_knows_it_within_a_second(tmp_path: object) -> None:
    began = time.monotonic()

    with pytest.raises(LedgerUnavailable):
        notify(f"unix://{tmp_path}/none.sock")

    assert time.monotonic() - began < 1

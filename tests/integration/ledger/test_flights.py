"""Who brings a blob: one of all that ask, until it landed, was given up, or its process went silent."""

import threading
import time
from collections.abc import Iterator

import pytest

from replicator.ledger import Ledger, connect
from replicator.ledger.flights import FLIGHT_S
from replicator.oci import Digest, Repository
from tests.integration.ledger.conftest import Server
from tests.integration.processes import wait_until

BLOB, OTHER = Digest.of(b"blob"), Digest.of(b"other")
HERE = Repository("here")


@pytest.fixture
def second(server: Server) -> Iterator[Ledger]:
    """The ledger of another process."""
    made = Ledger.connect(server.url)
    yield made
    made.close()


def test_the_first_to_ask_brings_a_blob(ledger: Ledger, second: Ledger) -> None:
    first = ledger.fleet.flights.board("us", HERE, [BLOB])
    later = second.fleet.flights.board("us", HERE, [BLOB, OTHER])

    assert first.ours == {BLOB}
    assert later.ours == {OTHER}
    assert later.landed == {}


def test_a_thread_of_the_same_process_does_not_bring_it_too(ledger: Ledger) -> None:
    ledger.fleet.flights.board("us", HERE, [BLOB])

    assert ledger.fleet.flights.board("us", HERE, [BLOB]).ours == frozenset()


def test_another_destination_is_another_flight(ledger: Ledger) -> None:
    ledger.fleet.flights.board("us", HERE, [BLOB])

    assert ledger.fleet.flights.board("ap", HERE, [BLOB]).ours == {BLOB}


def test_what_landed_is_told_with_its_repository(ledger: Ledger, second: Ledger) -> None:
    ledger.fleet.flights.board("us", HERE, [BLOB])

    ledger.fleet.flights.land("us", HERE, [BLOB])

    told = second.fleet.flights.board("us", HERE, [BLOB])
    assert told.ours == frozenset()
    assert told.landed == {BLOB: HERE}


def test_what_was_given_up_is_the_next_ones(ledger: Ledger, second: Ledger) -> None:
    ledger.fleet.flights.board("us", HERE, [BLOB])

    ledger.fleet.flights.give_up("us", [BLOB])

    assert second.fleet.flights.board("us", HERE, [BLOB]).ours == {BLOB}


def test_nobody_gives_up_what_another_brings(ledger: Ledger, second: Ledger) -> None:
    ledger.fleet.flights.board("us", HERE, [BLOB])

    second.fleet.flights.give_up("us", [BLOB])

    assert second.fleet.flights.board("us", HERE, [BLOB]).ours == frozenset()


def test_a_flight_lasts_as_long_as_its_process_is_at_it(ledger: Ledger, second: Ledger) -> None:
    ledger.fleet.flights.board("us", HERE, [BLOB])

    time.sleep(FLIGHT_S * 1.3)

    assert second.fleet.flights.board("us", HERE, [BLOB]).ours == frozenset()


def test_flights_of_a_process_that_went_silent_end_within_seconds(server: Server, second: Ledger) -> None:
    connect(server.url).set(f"replicator:flight:us|{BLOB}", "dead", px=int(FLIGHT_S * 1000))

    taken_after_s = wait_until(lambda: second.fleet.flights.board("us", HERE, [BLOB]).ours, FLIGHT_S + 2)

    assert taken_after_s < FLIGHT_S + 0.5


def test_who_waits_hears_at_once_of_a_flight_of_the_same_process(ledger: Ledger) -> None:
    ledger.fleet.flights.board("us", HERE, [BLOB])
    landing = threading.Timer(0.1, lambda: ledger.fleet.flights.land("us", HERE, [BLOB]))
    landing.start()
    began = time.monotonic()

    ledger.fleet.flights.wait(10)

    assert time.monotonic() - began < 5
    landing.join()


def test_one_thread_brings_a_blob_to_a_repository(ledger: Ledger, second: Ledger) -> None:
    flights = ledger.fleet.flights

    assert flights.claim("us", HERE, [BLOB]) == {BLOB}
    assert flights.claim("us", HERE, [BLOB, OTHER]) == {OTHER}
    assert flights.claim("us", Repository("there"), [BLOB]) == {BLOB}
    assert second.fleet.flights.claim("us", HERE, [BLOB]) == {BLOB}

    flights.unclaim("us", HERE, [BLOB])
    assert flights.claim("us", HERE, [BLOB]) == {BLOB}


def test_the_very_repository_is_told_before_others(ledger: Ledger) -> None:
    for name in (HERE, Repository("there")):
        ledger.fleet.flights.land("us", name, [BLOB])

    assert ledger.fleet.flights.board("us", HERE, [BLOB]).landed == {BLOB: HERE}
    assert ledger.fleet.flights.board("us", Repository("her"), [BLOB]).landed == {BLOB: "there"}


def test_what_this_process_brought_is_known_to_who_began_before(ledger: Ledger) -> None:
    began = time.monotonic()
    ledger.fleet.flights.board("us", HERE, [BLOB])
    ledger.fleet.flights.land("us", HERE, [BLOB])

    assert ledger.fleet.flights.brought("us", HERE, [BLOB, OTHER], since=began) == {BLOB}
    assert not ledger.fleet.flights.brought("us", Repository("there"), [BLOB], since=began)
    assert not ledger.fleet.flights.brought("us", HERE, [BLOB], since=time.monotonic())

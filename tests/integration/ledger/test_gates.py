"""Gates: one worker of the fleet at a time, for a moment; who dies behind one, or stays too long, locks nobody out."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from replicator.errors import NotYet
from replicator.ledger import Ledger
from replicator.ledger.gate import PATIENCE_S, Alone
from replicator.oci import Repository, Tag
from tests.integration.ledger.conftest import Server

API, LIST = Repository("team/api"), Tag("sha256-" + "0" * 64)
KEY = f"replicator:gate:us|{API}|{LIST}"


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(server.url)
    yield made
    made.close()


def test_who_comes_second_waits_for_the_first(ledger: Ledger) -> None:
    order: list[str] = []

    def second() -> None:
        with ledger.fleet.alone_with("us", API, LIST):
            order.append("second")

    other = threading.Thread(target=second)
    with ledger.fleet.alone_with("us", API, LIST):
        other.start()
        time.sleep(0.1)
        order.append("first")
    other.join()

    assert order == ["first", "second"]


def test_other_tags_have_gates_of_their_own(ledger: Ledger) -> None:
    began = time.monotonic()

    with ledger.fleet.alone_with("us", API, LIST), ledger.fleet.alone_with("ap", API, LIST):
        pass

    assert time.monotonic() - began < PATIENCE_S


def test_who_waits_for_long_puts_the_job_back(ledger: Ledger) -> None:
    with ledger.fleet.alone_with("us", API, LIST), pytest.raises(NotYet, match="others"):
        ledger.fleet.alone_with("us", API, LIST).__enter__()


def test_a_gate_opens_by_itself_and_a_late_leaver_does_not_open_another_s(
    ledger: Ledger, client: redis.Redis
) -> None:
    with ledger.fleet.alone_with("us", API, LIST):
        assert 15_000 < int(client.pttl(KEY)) <= 20_000  # type: ignore[arg-type]
        client.set(KEY, "somebody else, since")

    assert client.get(KEY) == b"somebody else, since"


def test_a_gate_is_open_after_an_error(ledger: Ledger, client: redis.Redis) -> None:
    with pytest.raises(ZeroDivisionError), ledger.fleet.alone_with("us", API, LIST):
        raise ZeroDivisionError

    assert client.get(KEY) is None


def test_who_took_too_long_is_told() -> None:
    Alone(time.monotonic() + 60).check()

    with pytest.raises(NotYet, match="too long"):
        Alone(time.monotonic() - 0.001).check()

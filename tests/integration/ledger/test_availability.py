"""How registries fare: breakers, pauses that registries ask for, and who tries first."""

import pytest

from replicator.ledger import Footing, Ledger, connect
from replicator.limits import PROBE_S
from replicator.oci import Repository, Tag
from tests.integration.ledger.conftest import Server

pytestmark = pytest.mark.integration

HERE = Repository("mirror/api")
TAG = Tag("v1")


def test_the_standing_of_registries_tells_pauses_and_silence(ledger: Ledger) -> None:
    ledger.availability.pause("us", 30)
    ledger.availability.mark_down("eu")

    standing = ledger.availability.standing(["eu", "us", "ap"])

    assert standing.paused_for_s == pytest.approx(30, abs=1)
    assert standing.silent == {"eu"}
    assert ledger.availability.standing(["ap"]).paused_for_s == 0


def test_a_pause_only_ever_grows(ledger: Ledger) -> None:
    assert ledger.availability.standing(["us"]).paused_for_s == 0

    ledger.availability.pause("us", 30)
    ledger.availability.pause("us", 5)
    assert ledger.availability.standing(["us"]).paused_for_s == pytest.approx(30, abs=1)

    ledger.availability.pause("us", 60)
    assert ledger.availability.standing(["us"]).paused_for_s == pytest.approx(60, abs=1)
    assert ledger.availability.standing(["ap"]).paused_for_s == 0


def test_a_registry_that_stays_away_is_tried_ever_less_often(server: Server, ledger: Ledger) -> None:
    redis = connect(server.url)
    waits = []
    for _ in range(6):
        ledger.availability.mark_down("us")
        down = ledger.availability.is_down("us")
        assert down
        waits.append((down.count, round(down.wait_s)))
        redis.hset("replicator:down:us", "until", "1000.0")
        assert ledger.availability.is_down("us") is None

    assert waits == [(1, 1), (2, 2), (3, 4), (4, 8), (5, 15), (6, 15)]


def test_many_reports_of_one_outage_count_once(ledger: Ledger) -> None:
    for _ in range(8):
        ledger.availability.mark_down("us")

    down = ledger.availability.is_down("us")
    assert down
    assert down.count == 1
    assert ledger.availability.is_down("ap") is None


def test_an_answer_ends_the_outage(ledger: Ledger) -> None:
    ledger.availability.mark_down("us")

    ledger.availability.mark_up("us")

    assert ledger.availability.is_down("us") is None


def test_a_registry_is_unreachable_until_it_answers_even_while_it_may_be_tried(
    server: Server, ledger: Ledger
) -> None:
    for name in ("us", "ap"):
        ledger.availability.mark_down(name)
        connect(server.url).hset(f"replicator:down:{name}", "until", "1000.0")
    ledger.availability.mark_up("ap")

    assert ledger.availability.is_down("us") is None
    assert ledger.availability.unreachable(["eu", "us", "ap"]) == {"us"}
    assert ledger.availability.unreachable([]) == frozenset()


def forget_the_wait(server: Server, registry: str, *, for_s: float = 0.0) -> None:
    """The registry may be tried now, and could be for so long."""
    with connect(server.url) as client:
        seconds, _ = client.time()
        client.hset(f"replicator:down:{registry}", "until", str(seconds - for_s))


def test_a_destination_that_is_well_may_be_tried_with_any_number_of_jobs(ledger: Ledger) -> None:
    footing = ledger.availability.footing("us")

    assert footing.rest_s == 0
    assert footing.jobs >= 1_000_000


def test_a_destination_that_does_not_answer_rests_and_is_tried_with_one_job(
    server: Server, ledger: Ledger
) -> None:
    ledger.availability.mark_down("us")
    assert ledger.availability.footing("us").rest_s == pytest.approx(1, abs=0.5)

    forget_the_wait(server, "us")

    assert ledger.availability.footing("us") == Footing(0, 1)


def test_a_first_try_that_takes_long_holds_up_nobody_for_long(server: Server, ledger: Ledger) -> None:
    """A large image, say: what hangs is found to be away sooner."""
    ledger.availability.mark_down("us")

    tried = []
    for for_s in (PROBE_S - 5, PROBE_S + 5, 2 * PROBE_S + 5):
        forget_the_wait(server, "us", for_s=for_s)
        tried.append(ledger.availability.footing("us"))

    assert tried == [Footing(0, 1), Footing(0, 2), Footing(0, 3)]


def test_a_destination_that_is_back_gets_ever_more_to_do(server: Server, ledger: Ledger) -> None:
    for _ in range(2):
        ledger.availability.mark_down("us")
        forget_the_wait(server, "us")
    ledger.availability.mark_up("us")
    assert ledger.availability.footing("us").jobs == 1
    ledger.availability.mark_up("us")  # by a job that ends later

    jobs = []
    redis = connect(server.url)
    for _ in range(4):
        redis.set("replicator:back:us", str(float(redis.get("replicator:back:us") or 0) - 1.0))
        jobs.append(ledger.availability.footing("us").jobs)

    assert jobs == [2, 4, 8, 16]


def test_one_failure_that_an_answer_follows_eases_nothing(ledger: Ledger) -> None:
    ledger.availability.mark_down("us")
    ledger.availability.mark_up("us")

    assert ledger.availability.footing("us").jobs > 100


def test_a_destination_that_asked_for_a_pause_rests(ledger: Ledger) -> None:
    ledger.availability.pause("us", 30)

    assert ledger.availability.footing("us").rest_s == pytest.approx(30, abs=1)

"""Dispatchers: the cap holds, lost doorbells are rung again, and who waits hears of new work at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from replicator.jobs import Crew, Outcome
from replicator.ledger import Ledger, connect
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import HASTY_S, claimed, eventually, job, rings, wanted

pytestmark = pytest.mark.integration


def test_the_longest_due_are_rung_first_and_no_more_than_the_cap(ledger: Ledger) -> None:
    for tag in ("v1", "v2", "v3"):
        ledger.submit([wanted(job(tag))])

    assert rings(ledger, "us", 2) == [job("v1").id, job("v2").id]
    assert rings(ledger, "us", 2) == []
    assert rings(ledger, "us", 3) == [job("v3").id]


def test_destinations_do_not_share_a_cap(ledger: Ledger) -> None:
    ledger.submit([wanted(job(destination="us")), wanted(job(destination="ap"))])

    assert rings(ledger, "us", 1) == [job(destination="us").id]
    assert rings(ledger, "ap", 1) == [job(destination="ap").id]
    assert ledger.destinations() == {"us", "ap"}


def test_a_finished_job_makes_room(ledger: Ledger) -> None:
    ledger.submit([wanted(job("v1")), wanted(job("v2"))])
    (first,) = rings(ledger, "us", 1)
    claim = ledger.claim(first)
    assert not isinstance(claim, str)
    assert rings(ledger, "us", 1) == []

    ledger.finish(claim, Outcome.COPIED)

    assert len(rings(ledger, "us", 1)) == 1


def test_a_lost_doorbell_is_rung_again(hasty: Ledger) -> None:
    hasty.submit([wanted(job())])
    assert rings(hasty, "us", 1) == [job().id]

    due = hasty.next_due("us")
    assert due is not None
    assert due <= HASTY_S
    eventually(lambda: rings(hasty, "us", 1) == [job().id])


def test_events_of_a_job_that_was_rung_for_ring_no_second_time(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    rings(ledger, "us", 5)

    ledger.submit([wanted(job())])

    assert rings(ledger, "us", 5) == []
    assert claimed(ledger, job()).generation == 2


def test_a_due_job_that_is_no_more_is_passed_over(server: Server, ledger: Ledger) -> None:
    ledger.submit([wanted(job("v1")), wanted(job("v2"))])
    connect(server.url).delete(f"replicator:job:{job('v1').id}")

    assert rings(ledger, "us", 1) == [job("v2").id]


def test_many_dispatchers_never_exceed_the_cap(server: Server, ledger: Ledger) -> None:
    cap, jobs = 5, [job(f"v{at}") for at in range(60)]
    ledger.submit([wanted(item) for item in jobs])
    redis = connect(server.url)
    seen, rung = [], []

    def work() -> None:
        while len(rung) < len(jobs):
            for job_id in rings(ledger, "us", cap):
                rung.append(job_id)
                claim = ledger.claim(job_id)
                assert not isinstance(claim, str)
                seen.append(redis.zcard("replicator:inflight:us"))
                ledger.finish(claim, Outcome.COPIED)

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work) for _ in range(6)]:
            done.result(timeout=60)

    assert sorted(rung) == sorted(item.id for item in jobs)
    assert max(seen) <= cap


def woken(ledger: Ledger, event: object) -> bool:
    """Whether a dispatcher that waits for 3 s hears of the event long before."""
    assert callable(event)
    ledger.wait(0.01)
    began = time.monotonic()
    timer = threading.Timer(0.1, event)
    timer.start()
    ledger.wait(3)
    waited = time.monotonic() - began
    timer.join()
    return waited < 2.5


def test_a_waiting_dispatcher_hears_of_a_submission(ledger: Ledger) -> None:
    assert woken(ledger, lambda: ledger.submit([wanted(job())]))


def test_a_waiting_dispatcher_hears_of_a_retry(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job())

    assert woken(ledger, lambda: ledger.retry(claim, 0.2, error="503"))


def test_a_waiting_dispatcher_hears_that_there_is_room_for_what_is_due(ledger: Ledger) -> None:
    ledger.submit([wanted(job("v1"))])
    claim = claimed(ledger, job("v1"))
    ledger.submit([wanted(job("v2"))])

    assert woken(ledger, lambda: ledger.finish(claim, Outcome.COPIED))


def test_a_crowd_of_events_wakes_once(server: Server, ledger: Ledger) -> None:
    ledger.submit([wanted(job(f"v{at}")) for at in range(50)])

    assert connect(server.url).llen("replicator:wake") == 1


def test_a_wait_without_events_ends(ledger: Ledger) -> None:
    began = time.monotonic()

    ledger.wait(0.2)
    ledger.wait(0)

    assert 0.15 < time.monotonic() - began < 2


def test_no_job_is_no_due_time(ledger: Ledger) -> None:
    assert ledger.next_due("us") is None


def test_a_large_resync_is_written_down_whole(ledger: Ledger) -> None:
    ledger.submit([wanted(job(f"v{at}")) for at in range(1201)])

    assert ledger.view.lanes([("prod", "us")])["prod", "us"].pending == 1201


def test_slots_are_those_of_living_workers(server: Server, ledger: Ledger) -> None:
    ledger.heartbeat("one", 4)
    ledger.heartbeat("one", 3)
    ledger.heartbeat("two", 2)
    connect(server.url).hset("replicator:workers", "dead", "1000.0 8")

    assert ledger.slots() == 5

    ledger.heartbeat("two", 0)
    assert ledger.slots() == 3


def test_workers_of_the_same_destinations_count_as_one_crew(ledger: Ledger) -> None:
    ledger.heartbeat("one", 4)
    ledger.heartbeat("two", 12, {"us"})
    ledger.heartbeat("three", 1, ["ap", "sa"])
    ledger.heartbeat("four", 2, ["sa", "ap"])

    assert set(ledger.crews()) == {
        Crew(4, frozenset()),
        Crew(12, frozenset({"us"})),
        Crew(3, frozenset({"ap", "sa"})),
    }

    ledger.heartbeat("two", 0)
    assert ledger.slots() == 7


def test_jobs_of_one_repository_share_a_doorbell(ledger: Ledger) -> None:
    api, web = [job(f"v{at}") for at in range(3)], [job(f"v{at}", repository="web") for at in range(2)]
    ledger.submit([wanted(item) for item in (*api, *web)])

    assert ledger.dispatch("us", 5, most=9) == [[item.id for item in api], [item.id for item in web]]


def test_a_doorbell_has_no_more_jobs_than_it_may_and_takes_one_place_until_the_last_is_done(
    ledger: Ledger,
) -> None:
    jobs = [job(f"v{at}") for at in range(5)]
    ledger.submit([wanted(item) for item in jobs])

    assert ledger.dispatch("us", 2, most=2) == [[jobs[0].id, jobs[1].id], [jobs[2].id, jobs[3].id]]
    ledger.finish(claimed(ledger, jobs[0]), Outcome.COPIED)
    assert ledger.dispatch("us", 2, most=2) == []
    ledger.finish(claimed(ledger, jobs[1]), Outcome.COPIED)
    assert ledger.dispatch("us", 2, most=2) == [[jobs[4].id]]


def test_a_job_of_another_repository_waits_where_there_is_no_place_for_its_doorbell(ledger: Ledger) -> None:
    jobs = [job("v1"), job("v1", repository="web"), job("v2")]
    ledger.submit([wanted(item) for item in jobs])

    assert ledger.dispatch("us", 1, most=9) == [[jobs[0].id]]


def test_urgent_jobs_and_low_ones_share_no_doorbell(ledger: Ledger) -> None:
    ledger.submit([replace(wanted(job("v1")), is_urgent=False), wanted(job("v2"))])

    assert ledger.dispatch("us", 5, most=9) == [[job("v2").id], [job("v1").id]]


def test_a_job_whose_worker_died_over_it_is_rung_for_alone(hasty: Ledger) -> None:
    hasty.submit([wanted(job("v1")), wanted(job("v2")), wanted(job("v3"))])
    claimed(hasty, job("v2"))
    time.sleep(HASTY_S * 1.2)

    assert sorted(hasty.dispatch("us", 5, most=9), key=len) == [[job("v2").id], [job("v1").id, job("v3").id]]

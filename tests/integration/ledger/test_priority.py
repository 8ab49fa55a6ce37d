"""Urgent jobs and low ones: who is rung for first, and that neither starves the other."""

from dataclasses import replace

import pytest

from replicator.jobs import Outcome
from replicator.ledger import Claim, Ledger, State, connect
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import claimed, job, rings, wanted

pytestmark = pytest.mark.integration

OLD_S = 601.0


def low(ledger: Ledger, *tags: str) -> list[str]:
    """Submits jobs that give way, one after another; their ids."""
    for tag in tags:
        ledger.submit([replace(wanted(job(tag)), action=None, is_urgent=False)])
    return [job(tag).id for tag in tags]


def urgent(ledger: Ledger, *tags: str) -> list[str]:
    for tag in tags:
        ledger.submit([wanted(job(tag))])
    return [job(tag).id for tag in tags]


def age(server: Server, *job_ids: str) -> None:
    """These low jobs have been due for more than ten minutes."""
    redis = connect(server.url)
    for job_id in job_ids:
        redis.zincrby("replicator:low:us", -OLD_S, job_id)
    redis.close()


def ended(ledger: Ledger, *job_ids: str) -> None:
    for job_id in job_ids:
        claim = ledger.claim(job_id)
        assert isinstance(claim, Claim)
        ledger.finish(claim, Outcome.COPIED)


def test_urgent_jobs_are_rung_for_before_low_ones_that_were_there_first(ledger: Ledger) -> None:
    patient = low(ledger, "v1", "v2")
    hasty = urgent(ledger, "v3", "v4")

    assert rings(ledger, "us", 4) == [*hasty, patient[0]]


def test_low_jobs_leave_one_place_free_for_the_next_event(ledger: Ledger) -> None:
    patient = low(ledger, "v1", "v2", "v3")

    assert rings(ledger, "us", 3) == patient[:2]
    assert rings(ledger, "us", 3) == []
    assert rings(ledger, "us", 3) + urgent(ledger, "v4") == rings(ledger, "us", 3)


def test_where_there_is_one_place_a_low_job_takes_it(ledger: Ledger) -> None:
    patient = low(ledger, "v1", "v2")

    assert rings(ledger, "us", 1) == patient[:1]
    assert rings(ledger, "us", 1) == []


def test_a_low_job_that_has_waited_for_ten_minutes_needs_no_free_place(
    server: Server, ledger: Ledger
) -> None:
    old, young = low(ledger, "v1", "v2")
    age(server, old)

    ringing = rings(ledger, "us", 2)

    assert ringing == [old]
    urgent(ledger, "v3")
    assert rings(ledger, "us", 2) == [job("v3").id]
    assert young not in ringing


def test_old_low_jobs_and_urgent_ones_take_turns(server: Server, ledger: Ledger) -> None:
    patient = low(ledger, "v1", "v2", "v3")
    hasty = urgent(ledger, "v4", "v5", "v6")
    age(server, *patient)

    rung = []
    for _ in range(6):
        one = rings(ledger, "us", 1)
        rung += one
        ended(ledger, *one)

    assert rung == [
        job_id for pair in zip(hasty, sorted(patient, key=patient.index), strict=True) for job_id in pair
    ]


def test_an_event_makes_a_low_job_urgent_and_keeps_its_place_in_time(ledger: Ledger) -> None:
    low(ledger, "v1")
    urgent(ledger, "v2")

    urgent(ledger, "v1")

    assert rings(ledger, "us", 5) == [job("v1").id, job("v2").id]
    assert claimed(ledger, job("v1")).is_urgent


def test_a_resync_makes_no_urgent_job_low(ledger: Ledger) -> None:
    urgent(ledger, "v1")
    low(ledger, "v1", "v2")

    assert rings(ledger, "us", 1) == [job("v1").id]
    assert claimed(ledger, job("v1")).is_urgent


def test_a_low_job_that_is_tried_again_stays_low(ledger: Ledger) -> None:
    low(ledger, "v1")
    claim = claimed(ledger, job("v1"))
    assert not claim.is_urgent

    ledger.retry(claim, 0.0, error="busy")
    urgent(ledger, "v2")

    assert rings(ledger, "us", 2) == [job("v2").id]
    assert rings(ledger, "us", 3) == [job("v1").id]


def test_a_low_job_that_became_urgent_while_it_ran_is_urgent_again_afterwards(ledger: Ledger) -> None:
    low(ledger, "v1")
    claim = claimed(ledger, job("v1"))

    urgent(ledger, "v1")
    ledger.finish(claim, Outcome.COPIED)

    assert claimed(ledger, job("v1")).is_urgent


def test_low_jobs_are_seen_like_any_other(ledger: Ledger) -> None:
    (only,) = low(ledger, "v1")

    view = ledger.view.job_view(only)

    assert view
    assert (view.state, view.is_urgent) == (State.PENDING, False)
    assert view.due_at == pytest.approx(ledger.view.now(), abs=2)
    assert ledger.view.lanes([("prod", "us")])["prod", "us"].pending == 1
    due = ledger.next_due("us")
    assert due is not None
    assert due <= 0


def test_low_jobs_are_halted_reopened_and_dropped_like_any_other(server: Server, ledger: Ledger) -> None:
    parked, dropped, blocked = low(ledger, "v1", "v2", "v3")
    ledger.park(claimed(ledger, job("v1")), "corrupt")
    ledger.block(claimed(ledger, job("v3")), "foreign")
    assert rings(ledger, "us", 9) == [dropped]

    assert ledger.drop(dropped)
    assert ledger.reopen(parked)
    assert ledger.approve(blocked, "foreign")

    assert sorted(rings(ledger, "us", 9)) == sorted([parked, blocked])
    assert connect(server.url).zcard("replicator:due:us") == 0
    ended(ledger, parked, blocked)
    assert connect(server.url).exists("replicator:low:us", "replicator:inflight:us") == 0


def test_an_approval_of_words_that_are_no_longer_the_reason_does_nothing(ledger: Ledger) -> None:
    urgent(ledger, "v1")
    ledger.block(claimed(ledger, job("v1")), "new words")

    assert not ledger.approve(job("v1").id, "old words")
    assert ledger.view.failures()[0].reason == "new words"


def test_many_are_settled_in_one_go(ledger: Ledger) -> None:
    ids = urgent(ledger, *(f"v{at}" for at in range(1201)))

    assert ledger.reopen_all([*ids, "unknown"]) == [True] * 1201 + [False]
    assert ledger.drop_all([ids[0], "unknown", *ids[1:]]) == [True, False, *[True] * 1200]
    assert ledger.view.jobs() == []

"""Back-off, parking, blocking, and what a person or a new event does about them."""

import pytest

from replicator.jobs import Outcome
from replicator.ledger import Finish, Lane, Ledger, Refusal, State
from tests.integration.ledger.kit import claimed, job, rings, wanted

pytestmark = pytest.mark.integration


def due_in(ledger: Ledger) -> float:
    due = ledger.next_due("us")
    assert due is not None
    return due


def parked(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), 100.0)])
    assert ledger.park(claimed(ledger, job(), "lock"), "no such thing")


def blocked(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), 100.0)])
    assert ledger.block(claimed(ledger, job()), "too many deletes")


def test_a_failed_job_waits_out_its_back_off(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])

    assert ledger.retry(claimed(ledger, job(), "lock"), 60, error="503 from us")

    assert due_in(ledger) == pytest.approx(60, abs=1)
    assert ledger.claim(job().id) is Refusal.EARLY
    (view,) = ledger.view.jobs()
    assert (view.state, view.reason, view.attempts) == (State.PENDING, "503 from us", 1)


def test_attempts_add_up_unless_they_are_not_charged(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    counts = []
    for charge in (True, False, True, True):
        claim = claimed(ledger, job())
        counts.append(claim.attempts)
        ledger.retry(claim, 0, error="503", charge=charge)

    assert counts == [1, 2, 2, 3]


def test_a_submission_shortens_an_old_back_off_once(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    ledger.retry(claimed(ledger, job()), 600, error="503")

    ledger.submit([wanted(job(), 200.0)])
    first = due_in(ledger)
    ledger.submit([wanted(job(), 300.0)])

    assert 1 < first <= 2
    assert due_in(ledger) <= first
    assert ledger.claim(job().id) is Refusal.EARLY


def test_a_submission_never_lengthens_a_back_off(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    ledger.retry(claimed(ledger, job()), 0.5, error="503")

    ledger.submit([wanted(job())])

    assert due_in(ledger) <= 0.5


def test_a_submission_during_the_run_shortens_the_back_off_that_follows(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job())
    ledger.submit([wanted(job())])

    ledger.retry(claim, 600, error="503")

    assert 1 < due_in(ledger) <= 2


def test_a_delayed_submission_comes_due_later_and_a_fresh_one_at_once(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), delay_s=30)])
    assert due_in(ledger) == pytest.approx(30, abs=1)

    ledger.submit([wanted(job())])

    assert due_in(ledger) <= 0


def test_a_delayed_submission_postpones_nothing(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])

    ledger.submit([wanted(job(), delay_s=30)])

    assert rings(ledger, "us", 1) == [job().id]


def test_a_parked_job_waits_for_somebody_and_still_counts_as_lag(ledger: Ledger) -> None:
    parked(ledger)

    assert ledger.next_due("us") is None
    assert ledger.claim(job().id) is Refusal.PARKED
    lane = ledger.view.lanes([("prod", "us")])["prod", "us"]
    assert (lane.pending, lane.failed, lane.blocked, lane.oldest_since) == (0, 1, 0, 100.0)
    (view,) = ledger.view.failures(10)
    assert (view.state, view.reason, view.due_at) == (State.PARKED, "no such thing", None)


def test_a_parked_job_frees_its_lock_and_its_place(ledger: Ledger) -> None:
    parked(ledger)
    ledger.submit([wanted(job("v2"))])

    assert rings(ledger, "us", 1) == [job("v2").id]
    claimed(ledger, job("v2"), "lock")


@pytest.mark.parametrize("halt", [parked, blocked])
def test_a_new_submission_gives_a_halted_job_all_its_tries_again(ledger: Ledger, halt: object) -> None:
    assert callable(halt)
    halt(ledger)

    ledger.submit([wanted(job(), 200.0)])

    assert rings(ledger, "us", 1) == [job().id]
    claim = claimed(ledger, job())
    assert (claim.attempts, claim.since, claim.approved) == (1, 100.0, frozenset())
    assert ledger.view.failures(10) == []


@pytest.mark.parametrize("verb", [Ledger.park, Ledger.block])
def test_who_parks_a_job_that_moved_on_makes_it_due(ledger: Ledger, verb: object) -> None:
    assert callable(verb)
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job())
    ledger.submit([wanted(job())])

    assert verb(ledger, claim, "why")

    assert ledger.view.failures(10) == []
    assert rings(ledger, "us", 1) == [job().id]
    assert claimed(ledger, job()).attempts == 1


@pytest.mark.parametrize("halt", [parked, blocked])
def test_a_person_reopens_a_halted_job_without_approving_it(ledger: Ledger, halt: object) -> None:
    assert callable(halt)
    halt(ledger)

    assert ledger.reopen(job().id)

    assert rings(ledger, "us", 1) == [job().id]
    claim = claimed(ledger, job())
    assert (claim.attempts, claim.approved) == (1, frozenset())
    assert not ledger.reopen(job().id)


def test_a_person_shortens_a_back_off(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    ledger.retry(claimed(ledger, job()), 600, error="503")

    assert ledger.reopen(job().id)

    assert claimed(ledger, job()).attempts == 1


def test_an_approval_lasts_until_the_job_is_done(ledger: Ledger) -> None:
    blocked(ledger)
    assert ledger.approve(job().id)

    first = claimed(ledger, job())
    ledger.retry(first, 0, error="503")
    second = claimed(ledger, job())
    assert first.approved == second.approved != frozenset()
    assert ledger.finish(second, Outcome.DELETED) is Finish.DONE

    ledger.submit([wanted(job())])
    assert not claimed(ledger, job()).approved


def test_an_approval_is_of_what_was_shown_and_not_of_what_came_after(ledger: Ledger) -> None:
    blocked(ledger)
    ledger.approve(job().id)

    ledger.submit([wanted(job())])

    assert not claimed(ledger, job()).approved


def test_what_is_blocked_again_needs_another_approval(ledger: Ledger) -> None:
    blocked(ledger)
    ledger.approve(job().id)
    first = claimed(ledger, job())
    ledger.block(first, "the destination moved")

    ledger.reopen(job().id)

    second = claimed(ledger, job())
    assert second.approved == first.approved
    assert not second.approves("the destination moved")


def test_approvals_of_several_guards_add_up(ledger: Ledger) -> None:
    blocked(ledger)
    ledger.approve(job().id)
    long = "the destination moved" * 100
    ledger.block(claimed(ledger, job()), long)
    ledger.approve(job().id)

    claim = claimed(ledger, job())

    assert claim.approves(long)
    assert len(claim.approved) == 2


def test_what_is_parked_forgets_its_approval(ledger: Ledger) -> None:
    blocked(ledger)
    ledger.approve(job().id)
    ledger.park(claimed(ledger, job()), "gave up")

    ledger.reopen(job().id)

    assert not claimed(ledger, job()).approved


def test_only_a_blocked_job_can_be_approved(ledger: Ledger) -> None:
    assert not ledger.approve(job().id)
    parked(ledger)

    assert not ledger.approve(job().id)
    assert ledger.claim(job().id) is Refusal.PARKED


@pytest.mark.parametrize("halt", [parked, blocked])
def test_a_dropped_job_leaves_nothing(ledger: Ledger, halt: object) -> None:
    assert callable(halt)
    halt(ledger)

    assert ledger.drop(job().id)

    assert ledger.claim(job().id) is Refusal.GONE
    assert ledger.view.jobs() == []
    assert ledger.view.lanes([("prod", "us")])["prod", "us"] == Lane(0, 0, 0, None)
    assert not ledger.drop(job().id)


def test_a_job_in_a_workers_hands_cannot_be_dropped(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job())

    assert not ledger.drop(job().id)
    assert ledger.finish(claim, Outcome.COPIED) is Finish.DONE

"""Leases, locks and generations: one worker at a time, and nothing that happened meanwhile is missed."""

import time
from dataclasses import replace

import pytest

from replicator.jobs import Outcome
from replicator.ledger import Finish, Ledger, Refusal, Submission
from tests.integration.ledger.kit import DIGEST, HASTY_S, OTHER, claimed, eventually, job, rings, wanted

pytestmark = pytest.mark.integration


def test_a_claim_tells_all_that_is_known_of_the_job(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), 100.0)])
    now = ledger.view.now()

    claim = claimed(ledger, job(), "a", "b")

    assert (claim.job, claim.id, claim.generation, claim.attempts) == (job(), job().id, 1, 1)
    assert (claim.action, claim.digest, claim.trace, claim.locks) == ("push", DIGEST, "trace-1", ("a", "b"))
    assert (claim.since, claim.taken_over, claim.approved) == (100.0, False, frozenset())
    assert claim.hinted_at == pytest.approx(now, abs=1)
    assert claim.claimed_at == pytest.approx(now, abs=1)


def test_what_is_no_news_repeats_the_event_and_gives_no_hint(ledger: Ledger) -> None:
    again = replace(wanted(job()), is_news=False)
    ledger.submit([again])
    first = claimed(ledger, job())
    assert (first.action, first.digest, first.hinted_at) == ("push", DIGEST, None)

    ledger.submit([replace(wanted(job()), action="delete", digest=None), again])
    ledger.retry(first, 0, error="")

    second = claimed(ledger, job())
    assert (second.action, second.digest) == ("delete", None)
    assert second.hinted_at


def test_the_newest_event_gives_the_hint_and_a_resync_gives_none(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), 100.0)])
    ledger.submit([wanted(job(), 101.0, digest=OTHER)])
    ledger.submit([Submission(job(), 102.0)])

    claim = claimed(ledger, job())

    assert (claim.action, claim.digest, claim.since, claim.generation) == ("push", OTHER, 100.0, 3)


def test_an_unknown_job_is_gone(ledger: Ledger) -> None:
    assert ledger.claim(job().id) is Refusal.GONE
    assert ledger.job(job().id) is None


def test_a_leased_job_is_not_handed_out(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claimed(ledger, job())

    assert ledger.claim(job().id) is Refusal.LEASED


def test_fences_only_rise(ledger: Ledger) -> None:
    ledger.submit([wanted(job("v1")), wanted(job("v2"))])

    assert claimed(ledger, job("v1")).token < claimed(ledger, job("v2")).token


def test_a_finished_job_is_in_the_history_and_nowhere_else(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), 100.0)])
    claim = claimed(ledger, job())

    assert ledger.finish(claim, Outcome.COPIED, digest=DIGEST, detail="3 blobs") is Finish.DONE

    assert ledger.job(job().id) is None
    view = ledger.view.job_view(job().id)
    assert view
    assert (view.outcome, view.digest, view.reason, view.attempts) == ("copied", DIGEST, "3 blobs", 1)
    assert (view.since, view.trace) == (100.0, "trace-1")
    assert ledger.finish(claim, Outcome.COPIED) is Finish.LOST


def test_an_event_during_a_run_makes_the_job_due_again(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), 100.0)])
    claim = claimed(ledger, job())
    assert not ledger.moved_on(claim)
    ledger.submit([wanted(job(), 200.0, digest=OTHER)])

    assert ledger.moved_on(claim)
    assert rings(ledger, "us", 5) == []
    assert ledger.finish(claim, Outcome.COPIED, digest=DIGEST) is Finish.AGAIN

    assert rings(ledger, "us", 5) == [job().id]
    again = claimed(ledger, job())
    assert (again.digest, again.attempts, again.taken_over) == (OTHER, 1, False)


def test_a_finished_run_settles_what_was_wanted_before_it(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), 100.0)])
    claim = claimed(ledger, job())
    ledger.submit([wanted(job(), 210.0)])
    ledger.submit([wanted(job(), 200.0)])

    ledger.finish(claim, Outcome.COPIED, digest=DIGEST)

    assert ledger.view.lanes([("prod", "us")])["prod", "us"].oldest_since == 200.0


def test_a_run_that_failed_settles_nothing(ledger: Ledger) -> None:
    ledger.submit([wanted(job(), 100.0)])
    claim = claimed(ledger, job())
    ledger.submit([wanted(job(), 200.0)])

    ledger.retry(claim, 5, error="503")

    assert ledger.view.lanes([("prod", "us")])["prod", "us"].oldest_since == 100.0


def test_a_lease_that_ran_out_is_taken_over(ledger: Ledger, hasty: Ledger) -> None:
    ledger.submit([wanted(job())])
    rings(ledger, "us", 1)
    dead = claimed(hasty, job(), "lock")
    eventually(lambda: rings(ledger, "us", 1) == [job().id])

    heir = claimed(ledger, job(), "lock")

    assert heir.taken_over
    assert (heir.attempts, heir.generation) == (2, dead.generation)
    assert ledger.finish(dead, Outcome.COPIED) is Finish.LOST
    assert ledger.finish(heir, Outcome.COPIED) is Finish.DONE


@pytest.mark.parametrize("taken_over", [False, True])
def test_who_lost_the_lease_can_do_nothing(ledger: Ledger, hasty: Ledger, taken_over: bool) -> None:
    ledger.submit([wanted(job())])
    late = claimed(hasty, job())
    time.sleep(HASTY_S + 0.05)
    if taken_over:
        claimed(ledger, job())
    before = ledger.view.jobs()

    assert not ledger.renew(late)
    assert not ledger.retry(late, 5, error="503")
    assert not ledger.park(late, "why")
    assert not ledger.block(late, "why")
    assert not ledger.release(late)
    assert ledger.finish(late, Outcome.COPIED) is Finish.LOST
    assert ledger.view.jobs() == before


def test_a_renewed_lease_lasts_with_its_locks(ledger: Ledger, hasty: Ledger) -> None:
    ledger.submit([wanted(job("v1")), wanted(job("v2"))])
    claim = claimed(hasty, job("v1"), "lock")

    assert ledger.renew(claim)
    # Longer than lease and lock would have lasted.
    time.sleep(HASTY_S + 1.1)

    assert ledger.claim(job("v1").id) is Refusal.LEASED
    assert ledger.claim(job("v2").id, ["lock"]) is Refusal.BUSY
    assert ledger.finish(claim, Outcome.COPIED) is Finish.DONE


def test_two_jobs_share_a_lock_one_after_the_other(ledger: Ledger) -> None:
    one, two = job(rule="one"), job(rule="two")
    ledger.submit([wanted(one), wanted(two)])
    first = claimed(ledger, one, "tag")

    assert ledger.claim(two.id, ["other", "tag"]) is Refusal.BUSY
    due = ledger.next_due("us")
    assert due is not None
    assert due < 0.25

    ledger.finish(first, Outcome.COPIED)
    second = claimed(ledger, two, "other", "tag")
    assert (second.attempts, second.taken_over) == (1, False)


def test_locks_are_taken_together_or_not_at_all(ledger: Ledger) -> None:
    one, two, three = job("v1"), job("v2"), job("v3")
    ledger.submit([wanted(one), wanted(two), wanted(three)])
    claimed(ledger, one, "b")

    assert ledger.claim(two.id, ["a", "b"]) is Refusal.BUSY

    claimed(ledger, three, "a")


def test_a_busy_job_gives_its_place_to_another(ledger: Ledger) -> None:
    one, two, three = job("v1"), job("v2"), job("v3")
    ledger.submit([wanted(one)])
    claimed(ledger, one, "tag")
    ledger.submit([wanted(two)])
    ledger.submit([wanted(three)])
    assert rings(ledger, "us", 2) == [two.id]
    assert rings(ledger, "us", 2) == []

    assert ledger.claim(two.id, ["tag"]) is Refusal.BUSY

    assert rings(ledger, "us", 2) == [three.id]


def test_a_busy_job_asks_ever_less_often(ledger: Ledger) -> None:
    one, two = job("v1"), job("v2")
    ledger.submit([wanted(one), wanted(two)])
    claimed(ledger, one, "tag")

    waits = []
    for _ in range(4):
        assert ledger.claim(two.id, ["tag"]) is Refusal.BUSY
        waits.append(ledger.next_due("us") or 0)

    assert waits == sorted(waits)
    assert waits[3] > 4 * waits[0]


def test_the_locks_of_a_dead_worker_come_free(ledger: Ledger, hasty: Ledger) -> None:
    one, two = job("v1"), job("v2")
    ledger.submit([wanted(one), wanted(two)])
    claimed(hasty, one, "tag")
    assert ledger.claim(two.id, ["tag"]) is Refusal.BUSY

    eventually(lambda: ledger.claim(two.id, ["tag"]) is not Refusal.BUSY)

    assert ledger.claim(one.id, ["tag"]) is Refusal.BUSY


def test_a_released_job_is_due_at_once_and_its_attempt_uncounted(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job(), "lock")

    assert ledger.release(claim)

    assert rings(ledger, "us", 1) == [job().id]
    again = claimed(ledger, job(), "lock")
    assert (again.attempts, again.taken_over) == (1, False)

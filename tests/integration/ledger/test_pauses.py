"""Paused rules and destinations: nothing is rung for, nothing is lost, nobody else waits."""

from dataclasses import replace

import pytest

from replicator.jobs import Outcome
from replicator.ledger import Ledger, Pause, PauseKind, Refusal, State, connect
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import claimed, job, rings, wanted

pytestmark = pytest.mark.integration

RULE, DESTINATION = PauseKind.RULE, PauseKind.DESTINATION


def settled(ledger: Ledger, destination: str = "us", cap: int = 10) -> list[str]:
    """What is rung for once every job of paused rules was held."""
    rung: list[str] = []
    for _ in range(100):
        rung += rings(ledger, destination, cap)
    return rung


def test_nothing_of_a_paused_destination_is_rung_for(ledger: Ledger) -> None:
    ledger.submit([wanted(job()), wanted(job(destination="ap"))])

    ledger.pauses.pause(DESTINATION, "us", "disk\nis  full")

    assert rings(ledger, "us", 5) == []
    assert rings(ledger, "ap", 5) == [job(destination="ap").id]
    (pause,) = ledger.pauses.all()
    assert pause == Pause(DESTINATION, "us", pause.since, "disk is full")
    assert pause.since == pytest.approx(ledger.view.now(), abs=2)


def test_a_paused_rule_stands_in_nobodys_way(ledger: Ledger) -> None:
    ledger.pauses.pause(RULE, "prod")
    ledger.submit([wanted(job(f"v{at}")) for at in range(2500)])
    ledger.submit([wanted(job(rule="other"))])

    assert settled(ledger, cap=1) == [job(rule="other").id]
    assert ledger.view.lanes([("prod", "us")])["prod", "us"].pending == 2500


def test_what_is_held_comes_due_for_nobody(ledger: Ledger) -> None:
    ledger.pauses.pause(RULE, "prod")
    ledger.submit([wanted(job("v1")), replace(wanted(job("v2")), is_urgent=False)])

    assert settled(ledger) == []
    assert ledger.next_due("us") is None
    views = ledger.view.jobs()
    assert [(view.state, view.is_paused, view.due_at) for view in views] == [(State.PENDING, True, None)] * 2


def test_resuming_a_rule_makes_its_jobs_due_at_once_the_oldest_first(ledger: Ledger) -> None:
    ledger.pauses.pause(RULE, "prod")
    now = ledger.view.now()
    ledger.submit([wanted(job("v1"), now - 10), wanted(job("v2"), now - 20)])
    ledger.submit([wanted(job("v9", destination="ap"))])
    ledger.submit([replace(wanted(job("v3"), now - 30), is_urgent=False)])
    assert settled(ledger) + settled(ledger, "ap") == []

    assert ledger.pauses.resume(RULE, "prod")

    assert rings(ledger, "us", 9) == [job("v2").id, job("v1").id, job("v3").id]
    assert rings(ledger, "ap", 9) == [job("v9", destination="ap").id]
    assert not claimed(ledger, job("v3")).is_urgent
    assert ledger.pauses.all() == []
    assert not ledger.pauses.resume(RULE, "prod")


def test_resuming_one_rule_leaves_the_others_paused(ledger: Ledger) -> None:
    for rule in ("one", "two"):
        ledger.pauses.pause(RULE, rule)
        ledger.submit([wanted(job(rule=rule))])
    assert settled(ledger) == []

    ledger.pauses.resume(RULE, "one")

    assert settled(ledger) == [job(rule="one").id]


def test_resuming_a_destination_makes_its_jobs_due_at_once(ledger: Ledger) -> None:
    ledger.pauses.pause(DESTINATION, "us")
    ledger.submit([wanted(job())])
    assert rings(ledger, "us", 5) == []

    assert ledger.pauses.resume(DESTINATION, "us")

    assert rings(ledger, "us", 5) == [job().id]


def test_resuming_forgets_no_back_off(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    ledger.retry(claimed(ledger, job()), 30.0, error="busy")
    ledger.pauses.pause(RULE, "prod")
    assert settled(ledger) == []

    ledger.pauses.resume(RULE, "prod")

    assert rings(ledger, "us", 5) == []
    due = ledger.next_due("us")
    assert due is not None
    assert 20 < due < 31


@pytest.mark.parametrize(("kind", "name"), [(RULE, "prod"), (DESTINATION, "us")])
def test_a_late_doorbell_gives_the_job_back_uncharged(ledger: Ledger, kind: PauseKind, name: str) -> None:
    ledger.submit([wanted(job())])
    assert rings(ledger, "us", 1) == [job().id]

    ledger.pauses.pause(kind, name)

    assert ledger.claim(job().id) is Refusal.PAUSED
    assert settled(ledger) == []
    ledger.pauses.resume(kind, name)
    assert rings(ledger, "us", 1) == [job().id]
    assert claimed(ledger, job()).attempts == 1


def test_a_job_that_runs_is_not_disturbed_and_its_next_try_waits(ledger: Ledger) -> None:
    ledger.submit([wanted(job("v1")), wanted(job("v2"))])
    first, second = claimed(ledger, job("v1")), claimed(ledger, job("v2"))

    ledger.pauses.pause(RULE, "prod")

    assert ledger.renew(first)
    ledger.finish(first, Outcome.COPIED)
    ledger.retry(second, 0.0, error="busy")
    assert settled(ledger) == []
    ledger.pauses.resume(RULE, "prod")
    assert rings(ledger, "us", 5) == [second.id]


def test_an_event_for_a_held_job_is_written_down_and_rings_for_nobody(ledger: Ledger) -> None:
    ledger.pauses.pause(RULE, "prod")
    ledger.submit([wanted(job())])
    assert settled(ledger) == []

    ledger.submit([wanted(job())])
    ledger.reopen(job().id)

    assert settled(ledger) == []
    ledger.pauses.resume(RULE, "prod")
    assert claimed(ledger, job()).generation == 2


def test_a_held_job_may_be_dropped(server: Server, ledger: Ledger) -> None:
    ledger.pauses.pause(RULE, "prod")
    ledger.submit([wanted(job())])
    assert settled(ledger) == []

    assert ledger.drop(job().id)

    assert connect(server.url).exists("replicator:due:us") == 0


def test_a_second_pause_changes_only_the_reason(ledger: Ledger) -> None:
    assert ledger.pauses.pause(RULE, "prod", "one")
    (before,) = ledger.pauses.all()

    assert not ledger.pauses.pause(RULE, "prod", "two")

    assert ledger.pauses.all() == [replace(before, reason="two")]


def test_fifty_thousand_paused_jobs_are_held_and_freed_whole(server: Server, ledger: Ledger) -> None:
    ledger.pauses.pause(RULE, "prod")
    ledger.submit([wanted(job(f"v{at}"), at) for at in range(50_000)])
    ledger.submit([wanted(job(rule="other"), 1.0)])
    redis = connect(server.url)

    assert settled(ledger) == [job(rule="other").id]
    assert redis.zcount("replicator:due:us", 1e11, "+inf") == 50_000
    assert ledger.pauses.resume(RULE, "prod")

    assert redis.zcount("replicator:due:us", 1e11, "+inf") == 0
    assert rings(ledger, "us", 4) == [job(f"v{at}").id for at in range(2)]


def test_a_rule_that_is_paused_under_one_name_is_under_all(ledger: Ledger) -> None:
    ledger.submit([wanted(job(rule="old")), wanted(job(rule="new"))])
    ledger.pauses.pause(RULE, "old", "disk")

    ledger.pauses.spread(["new", "old"])

    assert settled(ledger) == []
    assert {(pause.name, pause.reason) for pause in ledger.pauses.all()} == {("new", "disk"), ("old", "disk")}


def test_nothing_is_spread_of_a_rule_that_is_not_paused(ledger: Ledger) -> None:
    ledger.pauses.pause(DESTINATION, "new")

    ledger.pauses.spread(["new", "old"])

    assert len(ledger.pauses.all()) == 1


def test_a_rule_is_resumed_under_all_its_names(ledger: Ledger) -> None:
    ledger.submit([wanted(job(rule="old")), wanted(job(rule="new"))])
    ledger.pauses.pause(RULE, "old")
    ledger.pauses.spread(["new", "old"])
    assert settled(ledger) == []

    assert ledger.pauses.resume(RULE, "new", "old")

    assert sorted(settled(ledger)) == sorted([job(rule="old").id, job(rule="new").id])
    assert not ledger.pauses.resume(RULE, "new", "old")

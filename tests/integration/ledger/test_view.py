"""What people and gauges are shown."""

import pytest

from replicator.jobs import Outcome
from replicator.ledger import Lane, Ledger, State
from tests.integration.ledger.kit import DIGEST, claimed, job, wanted

pytestmark = pytest.mark.integration


def everything(ledger: Ledger) -> None:
    """One job in each state: v1 pending, v2 running, v3 parked, v4 blocked, v5 done."""
    for at in range(1, 6):
        ledger.submit([wanted(job(f"v{at}"), 100.0 + at)])
    claimed(ledger, job("v2"))
    ledger.park(claimed(ledger, job("v3")), "corrupt")
    ledger.block(claimed(ledger, job("v4")), "foreign")
    ledger.finish(claimed(ledger, job("v5")), Outcome.COPIED, digest=DIGEST)


@pytest.mark.parametrize(
    ("state", "tags"),
    [
        (None, ["v1", "v2", "v3", "v4"]),
        (State.PENDING, ["v1", "v2"]),
        (State.RUNNING, ["v2"]),
        (State.PARKED, ["v3"]),
        (State.BLOCKED, ["v4"]),
        (State.DONE, ["v5"]),
    ],
)
def test_jobs_are_listed_by_state(ledger: Ledger, state: State | None, tags: list[str]) -> None:
    everything(ledger)

    assert [view.reference for view in ledger.view.jobs(state=state)] == tags


def test_a_listing_is_bounded_and_the_oldest_come_first(ledger: Ledger) -> None:
    for at in range(5):
        ledger.submit([wanted(job(f"v{at}", rule=f"rule-{at % 2}"), 100.0 - at)])
    ledger.park(claimed(ledger, job("v4", rule="rule-0")), "why")

    assert [view.reference for view in ledger.view.jobs(limit=2)] == ["v4", "v3"]
    assert [view.reference for view in ledger.view.jobs(state=State.PENDING, limit=2)] == ["v3", "v2"]


def test_each_state_shows_as_itself(ledger: Ledger) -> None:
    everything(ledger)

    shown = {tag: ledger.view.job_view(job(tag).id) for tag in ("v1", "v2", "v3", "v4", "v5")}

    assert {tag: view.state for tag, view in shown.items() if view} == {
        "v1": State.PENDING,
        "v2": State.RUNNING,
        "v3": State.PARKED,
        "v4": State.BLOCKED,
        "v5": State.DONE,
    }
    assert ledger.view.job_view("unknown") is None


def test_the_latest_end_of_a_job_is_shown(ledger: Ledger) -> None:
    for outcome in (Outcome.COPIED, Outcome.UNCHANGED):
        ledger.submit([wanted(job())])
        ledger.finish(claimed(ledger, job()), outcome)

    view = ledger.view.job_view(job().id)

    assert view
    assert (view.outcome, view.repository, view.reference) == ("unchanged", "team/api", "v1")
    assert view.finished_at == pytest.approx(ledger.view.now(), abs=2)


def test_a_lane_counts_its_jobs_and_an_unused_one_is_empty(ledger: Ledger) -> None:
    everything(ledger)

    lanes = ledger.view.lanes([("prod", "us"), ("prod", "ap")])

    assert lanes == {
        ("prod", "us"): Lane(pending=2, failed=1, blocked=1, oldest_since=101.0),
        ("prod", "ap"): Lane(pending=0, failed=0, blocked=0, oldest_since=None),
    }
    assert ledger.view.lanes([]) == {}


def test_failures_are_those_that_wait_for_a_person(ledger: Ledger) -> None:
    everything(ledger)

    assert [(view.reference, view.reason) for view in ledger.view.failures(10)] == [
        ("v3", "corrupt"),
        ("v4", "foreign"),
    ]


def test_an_empty_ledger_shows_nothing(ledger: Ledger) -> None:
    assert [ledger.view.jobs(state=state) for state in (None, *State)] == [[]] * 6
    assert ledger.view.failures(10) == []
    assert ledger.view.dead_letters(10) == []

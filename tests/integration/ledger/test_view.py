"""What people and gauges are shown."""

import pytest

from replicator.jobs import Outcome
from replicator.ledger import Lane, Ledger, Selection, State
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


# Which are meant


def test_jobs_are_chosen_by_rule_destination_and_pattern(ledger: Ledger) -> None:
    everything(ledger)
    ledger.submit([wanted(job("v6", rule="other")), wanted(job("v7", destination="ap"))])

    def tags(state: State | None = None, **chosen: object) -> list[str]:
        return [it.reference for it in ledger.view.each(state=state, selection=Selection(**chosen))]  # type: ignore[arg-type]

    assert tags(rules=frozenset({"other"})) == ["v6"]
    assert tags(destination="ap") == ["v7"]
    assert tags(rules=frozenset()) == []
    assert tags(State.PARKED, repository="team/*") == ["v3"]
    assert tags(State.DONE, repository="team/*") == ["v5"]
    assert tags(State.RUNNING, destination="us") == ["v2"]
    assert tags(repository="other/**") == []
    assert [it.reference for it in ledger.view.failures(selection=Selection(destination="ap"))] == []


def test_a_pattern_that_does_not_compile_chooses_nothing_at_all() -> None:
    with pytest.raises(ValueError, match="a"):
        Selection(repository="a[")


def test_long_listings_are_whole_and_in_order_over_all_lanes(ledger: Ledger) -> None:
    ledger.submit([wanted(job(f"v{at}", rule=f"rule-{at % 3}"), 1000.0 + at) for at in range(1500)])

    assert [it.reference for it in ledger.view.each()] == [f"v{at}" for at in range(1500)]


def test_jobs_are_found_by_the_beginning_of_their_id(ledger: Ledger) -> None:
    everything(ledger)
    pending, done = job("v1").id, job("v5").id

    assert ledger.view.ids(pending) == ledger.view.ids(pending[:12]) == [pending]
    assert ledger.view.ids(done[:12]) == [done]
    assert len(ledger.view.ids("")) == len(ledger.view.ids("*")) == len(ledger.view.ids("ff" * 11)) == 0


def test_an_open_job_comes_before_its_own_past(ledger: Ledger) -> None:
    everything(ledger)
    ledger.submit([wanted(job("v5"))])

    assert ledger.view.ids(job("v5").id) == [job("v5").id]

"""Comparisons that others make: asked for once, taken by one, and not lost with whoever took them."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from replicator.jobs import Outcome
from replicator.ledger import Cost, Ledger, SweepKind, SweepState
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import claimed, job, wanted
from tests.integration.processes import wait_until


@pytest.fixture
def redis_client(server: Server) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(server.url)
    yield client
    client.close()


def asked(ledger: Ledger, subject: str = "", mark: tuple[str, float] | None = None) -> str | None:
    return ledger.sweeps.ask(SweepKind.RESYNC, "{}", subject=subject, by="a test", mark=mark)


def test_a_sweep_is_taken_once(ledger: Ledger) -> None:
    sweep_id = asked(ledger)

    taken = ledger.sweeps.take()

    assert taken
    assert (taken.id, taken.state, taken.by) == (sweep_id, SweepState.RUNNING, "a test")
    assert ledger.sweeps.take() is None


def test_sweeps_of_one_subject_wait_for_each_other(ledger: Ledger) -> None:
    first, second, other = asked(ledger, "prod"), asked(ledger, "prod"), asked(ledger, "else")

    taken = [ledger.sweeps.take() for _ in range(3)]
    assert [view.id if view else None for view in taken] == [first, other, None]
    ledger.sweeps.end(str(first), result="done")

    assert (view := ledger.sweeps.take())
    assert view.id == second


def test_a_mark_is_asked_for_once_for_each_higher_value(ledger: Ledger) -> None:
    assert asked(ledger, mark=("schedule|prod", 5.0))
    assert asked(ledger, mark=("schedule|prod", 5.0)) is None
    assert asked(ledger, mark=("schedule|prod", 4.0)) is None
    ledger.sweeps.take()
    assert asked(ledger, mark=("schedule|prod", 6.0))

    ledger.sweeps.mark("schedule|prod", 9.0)

    assert asked(ledger, mark=("schedule|prod", 8.0)) is None
    assert ledger.sweeps.marks() == {"schedule|prod": 9.0}


def test_the_same_is_not_asked_for_while_it_waits(ledger: Ledger) -> None:
    first = asked(ledger, "prod", mark=("schedule|prod", 5.0))

    assert asked(ledger, "prod", mark=("schedule|prod", 6.0)) is None
    assert ledger.sweeps.marks() == {"schedule|prod": 6.0}

    # It runs, and may have looked already where something changes now.
    view = ledger.sweeps.take()
    assert view
    assert view.id == first
    assert asked(ledger, "prod", mark=("schedule|prod", 7.0))


def test_a_sweep_that_is_asked_for_with_a_delay_waits_for_it(ledger: Ledger) -> None:
    ledger.sweeps.ask(SweepKind.RESYNC, "{}", by="a test", mark=("loss|prod", 5.0), delay_s=0.3)

    assert ledger.sweeps.take() is None
    # The same, later: it would not be due any later for that.
    assert not ledger.sweeps.ask(SweepKind.RESYNC, "{}", by="a test", mark=("loss|prod", 6.0), delay_s=60.0)

    wait_until(ledger.sweeps.take, 3, what="the sweep is due")


def test_who_is_owed_the_same_that_waits_is_owed_it(ledger: Ledger) -> None:
    ledger.sweeps.ask(SweepKind.RESYNC, "{}", by="the clock", mark=("sweep|prod", 5.0))
    ledger.sweeps.ask(SweepKind.RESYNC, "{}", by="a loss", mark=("loss|prod", 5.0), is_owed=True)

    (view,) = ledger.sweeps.open()
    assert view.is_owed
    assert view.by == "the clock"


def test_a_postponed_sweep_is_made_again_later(ledger: Ledger, redis_client: redis.Redis) -> None:
    sweep_id = str(asked(ledger, "prod"))
    for number in range(1, 6):
        assert ledger.sweeps.take()
        assert ledger.sweeps.postpone(sweep_id, 60.0, "eu is away")

        assert ledger.sweeps.take() is None
        view = ledger.sweeps.view(sweep_id)
        assert view
        assert (view.state, view.error, view.postponed) == (SweepState.WAITING, "eu is away", number)
        redis_client.hset(f"replicator:sweep:{sweep_id}", "not_before", "0")


def test_a_postponed_sweep_is_due_when_it_is_asked_for_again(ledger: Ledger) -> None:
    sweep_id = str(asked(ledger, "prod"))
    ledger.sweeps.take()
    ledger.sweeps.postpone(sweep_id, 60.0, "eu is away")

    assert asked(ledger, "prod", mark=("lost|prod", 5.0)) is None

    view = ledger.sweeps.take()
    assert view
    assert view.id == sweep_id


def test_only_whoever_has_a_sweep_postpones_it(ledger: Ledger) -> None:
    assert not ledger.sweeps.postpone(str(asked(ledger)), 60.0, "")


def test_a_sweep_whose_process_died_is_taken_again_three_times_in_all(
    ledger: Ledger, redis_client: redis.Redis
) -> None:
    sweep_id = asked(ledger)
    for _ in range(3):
        assert ledger.sweeps.take()
        redis_client.delete(f"replicator:sweeping:{sweep_id}")

    assert ledger.sweeps.take() is None

    view = ledger.sweeps.view(str(sweep_id))
    assert view
    assert (view.state, view.error) == (SweepState.FAILED, "whoever ran it died, three times")


def test_a_sweep_that_is_given_back_counts_no_try(ledger: Ledger) -> None:
    sweep_id = asked(ledger)
    for _ in range(5):
        assert ledger.sweeps.take()
        ledger.sweeps.give_back(str(sweep_id))

    assert ledger.sweeps.take()


def test_a_sweep_is_renewed_only_by_whoever_has_it(ledger: Ledger, redis_client: redis.Redis) -> None:
    sweep_id = str(asked(ledger))
    ledger.sweeps.take()

    assert ledger.sweeps.renew(sweep_id)
    redis_client.delete(f"replicator:sweeping:{sweep_id}")
    assert not ledger.sweeps.renew(sweep_id)


def test_what_came_of_a_sweep_can_be_seen(ledger: Ledger) -> None:
    good, bad = str(asked(ledger)), str(asked(ledger))
    assert [view.id for view in ledger.sweeps.open()] == [good, bad]

    ledger.sweeps.end(good, result='{"submitted": 3}')
    ledger.sweeps.end(bad, error="eu does not answer")

    views = [ledger.sweeps.view(name) for name in (good, bad)]
    assert [(view.state, view.result, view.error) for view in views if view] == [
        (SweepState.DONE, '{"submitted": 3}', None),
        (SweepState.FAILED, None, "eu does not answer"),
    ]
    assert ledger.sweeps.open() == []
    assert ledger.sweeps.view("nobody") is None


def test_what_lanes_lack_is_kept(ledger: Ledger) -> None:
    ledger.sweeps.note("prod", "us", drift=3)

    found = ledger.sweeps.swept([("prod", "us"), ("prod", "ap")])

    assert [(lane, swept.drift) for lane, swept in found.items()] == [(("prod", "us"), 3)]
    assert found["prod", "us"].at > 1.7e9


def copied(ledger: Ledger, size_bytes: int, *, seconds: float) -> None:
    """A job from eu to us copied so much in so many seconds."""
    ledger.submit([wanted(job())])
    ledger.finish(claimed(ledger, job()), Outcome.COPIED, cost=Cost("eu", size_bytes, seconds))


def test_the_pace_of_copies_is_measured(ledger: Ledger) -> None:
    assert ledger.fleet.measured("eu", "us").estimate_s(1, 1, at_once=1) is None

    for size_bytes in (0, 1000):
        copied(ledger, size_bytes, seconds=1 + size_bytes / 1000)

    assert ledger.fleet.measured("eu", "us").estimate_s(1, 500, at_once=1) == 1.5


def test_old_paces_are_forgotten(ledger: Ledger) -> None:
    for _ in range(1001):
        copied(ledger, 0, seconds=1.0)

    assert ledger.fleet.measured("eu", "us").copies < 600


def test_who_waits_for_a_sweep_hears_of_it_at_once(ledger: Ledger) -> None:
    asking = threading.Timer(0.2, lambda: ledger.sweeps.ask(SweepKind.RESYNC, "{}", by="test"))
    began = time.monotonic()
    asking.start()

    ledger.sweeps.wait(3)

    assert 0.1 < time.monotonic() - began < 2
    asking.join()
    assert ledger.sweeps.take()

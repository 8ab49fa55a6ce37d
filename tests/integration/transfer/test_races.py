"""Events that are faster than their effect, sources that move or vanish while they are copied, two workers at once."""

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from replicator.demo.features import Features
from replicator.ledger import Ledger, State
from replicator.rules import Filter, FilterType, Rule, Signatures
from replicator.transfer import bring_in_line, reading
from tests.fakes.images import Image, image, is_whole, multi_arch
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule, once

RULE = replace(a_rule(), signatures=Signatures.IGNORE)
OLD, NEW, NEWER = image([b"old"]), image([b"new"]), image([b"newer"])


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(RULE)


LONG_AGO = {"since": "1000", "hinted_at": "1000"}


def showing(pushed: Image) -> dict[str, Any]:
    """The fault that makes a registry show this under a tag, whatever it holds."""
    headers = {"Content-Type": pushed.media_type, "Docker-Content-Digest": pushed.digest}
    return {"status": 200, "headers": headers, "body": pushed.raw}


# The event comes first


@pytest.mark.parametrize("times", [1, 3, 6])
@pytest.mark.parametrize("shown", ["nothing", "an error", "old content"])
def test_a_source_that_lags_behind_a_fresh_event_is_read_again(world: World, shown: str, times: int) -> None:
    world.push("eu", "v1", OLD)
    world.run(world.job())
    world.push("eu", "v1", NEW)
    faults: dict[str, dict[str, Any]] = {"nothing": {"status": 404}, "an error": {"status": 500}}
    world["eu"].fail("GET", "manifests/v1$", times=times, **faults.get(shown, showing(OLD)))

    view = world.run(world.job(), digest=NEW.digest)

    assert (view.outcome, view.digest) == ("copied", NEW.digest)
    assert world.asked("eu").count("GET manifests/v1") == times + 1


def test_a_registry_that_posts_events_before_it_writes_the_tag(make_world: MakeWorld) -> None:
    world = make_world(RULE, features={"eu": Features(early_events_s=0.08)})
    world.push("eu", "v1", OLD)
    world.run(world.job())
    pushing = threading.Thread(target=world.push, args=("eu", "v1", NEW))
    pushing.start()

    view = world.run(world.job(), digest=NEW.digest)
    pushing.join()

    assert (view.outcome, view.digest) == ("copied", NEW.digest)


def test_an_event_that_is_no_longer_fresh_proves_nothing(world: World) -> None:
    world.push("eu", "v1", NEW)
    world.tell(world.job(), digest=OLD.digest)
    world.redis.hset(f"replicator:job:{world.job().id}", "hinted_at", "1000")

    world.forget_requests()
    view = world.shown(world.work(world.job()))

    assert (view.outcome, view.digest) == ("copied", NEW.digest)
    assert world.asked("eu").count("GET manifests/v1") == 1


def test_a_wait_for_the_source_ends_when_a_newer_event_comes(world: World) -> None:
    world.push("eu", "v1", NEW)
    once(world["eu"], "GET", "manifests/v1", lambda: world.tell(world.job(), digest=NEW.digest))

    world.run(world.job(), digest=OLD.digest)

    assert world.asked("eu").count("GET manifests/v1") == 1
    world.settle()
    assert is_whole(world["us"], API, "v1", NEW)


def test_a_delete_that_is_not_yet_done_is_waited_for(make_world: MakeWorld) -> None:
    world = make_world(replace(RULE, deletion=True))
    world.push("eu", "v1", OLD)
    world.run(world.job())
    world.delete("eu", "v1")
    world["eu"].fail("GET", "manifests/v1", times=2, **showing(OLD))

    assert world.remove(world.job()).outcome == "deleted"


def test_a_500_during_a_move_opens_no_breaker(world: World) -> None:
    world.push("eu", "v1", OLD)
    world["eu"].fail("*", "manifests/v1", times=float("inf"), status=500)

    view = world.run(world.job(), action=None)

    assert (view.state, view.attempts) == (State.PENDING, 1)
    assert world.ledger.availability.is_down("eu") is None


# The source moves


@pytest.mark.parametrize(
    ("registry", "method", "path"),
    [
        ("eu", "GET", "manifests/v1"),
        ("us", "HEAD", "manifests/v1"),
        ("us", "POST", "uploads/"),
        ("eu", "GET", "blobs/"),
        ("us", "PUT", "manifests/v1"),
    ],
)
def test_a_source_that_moves_during_the_copy_ends_right(
    world: World, registry: str, method: str, path: str
) -> None:
    world.push("eu", "v1", OLD)
    once(world[registry], method, path, lambda: world.push("eu", "v1", NEW))

    view = world.run(world.job(), digest=OLD.digest)

    assert (view.outcome, view.digest) == ("copied", NEW.digest)
    assert is_whole(world["us"], API, "v1", NEW)


def test_a_source_that_moves_back_and_forth_ends_right(world: World) -> None:
    world.push("eu", "v1", OLD)
    moves = [NEW, OLD, NEWER]

    def move() -> None:
        world.push("eu", "v1", moves.pop(0))
        if moves:
            once(world["us"], "PUT", "manifests/v1", move)

    once(world["us"], "PUT", "manifests/v1", move)
    world.run(world.job())

    assert is_whole(world["us"], API, "v1", NEWER)


def test_a_source_that_never_rests_is_put_back(world: World) -> None:
    world.push("eu", "v1", OLD)
    count = 0

    def move() -> None:
        nonlocal count
        count += 1
        world.push("eu", "v1", image([str(count).encode()]))
        once(world["us"], "PUT", "manifests/v1", move)

    once(world["us"], "PUT", "manifests/v1", move)
    view = world.run(world.job())

    assert view.state is State.PENDING
    assert "changed" in (view.reason or "")


def test_a_source_that_vanishes_during_the_copy_is_gone(world: World) -> None:
    pushed = image([b"one", b"two"])
    world.push("eu", "v1", pushed)

    def vanish() -> None:
        world.delete("eu", pushed.digest)
        world["eu"].fail("GET", "blobs/", times=float("inf"), status=404)

    once(world["us"], "HEAD", "manifests/v1", vanish)
    world.run(world.job(), action=None)
    world.settle()

    assert world.shown(world.ledger.view.job_view(world.job().id)).outcome == "unchanged"
    assert world.digest("us") is None
    assert world["us"].storage.open_uploads == 0


def test_a_source_that_is_deleted_after_the_copy_is_looked_at_once_more(make_world: MakeWorld) -> None:
    world = make_world(replace(RULE, deletion=True))
    world.push("eu", "v1", OLD)
    once(world["us"], "PUT", "manifests/v1", lambda: world.delete("eu", "v1"))

    world.run(world.job(), action=None)
    world.settle()

    assert world.digest("us") is None


@pytest.mark.parametrize(("status", "outcome"), [(500, "copied"), (503, None)])
def test_a_source_that_fails_after_the_write_is_asked_again(
    world: World, status: int, outcome: str | None
) -> None:
    world.push("eu", "v1", OLD)
    world["eu"].fail("HEAD", "manifests/v1", times=2, status=status)

    assert world.run(world.job()).outcome == outcome
    world.settle()
    assert world.shown(world.ledger.view.job_view(world.job().id)).state is State.DONE
    assert is_whole(world["us"], API, "v1", OLD)


# Several workers


def test_two_workers_do_one_job_once(world: World) -> None:
    pushed = multi_arch()
    world.push("eu", "v1", pushed)
    world.tell(world.job())
    world["us"].fail("HEAD", "manifests/v1", delay=0.1)

    workers = [threading.Thread(target=world.work, args=(world.job(),)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert is_whole(world["us"], API, "v1", pushed)
    assert world.tags_written("us").count("v1") == 1


def test_two_rules_that_write_one_reference_take_turns(make_world: MakeWorld) -> None:
    world = make_world(replace(RULE, name="one"), replace(RULE, name="two"))
    world.push("eu", "v1", OLD)
    jobs = [world.job(rule="one"), world.job(rule="two")]
    for job in jobs:
        world.tell(job)
    busy = []
    once(world["us"], "HEAD", "manifests/v1", lambda: busy.append(world.work(jobs[1])))

    world.work(jobs[0])

    assert [view and view.state for view in busy] == [State.PENDING]
    assert world.tags_written("us") == ["v1"]
    world.settle()
    assert world.shown(world.ledger.view.job_view(jobs[1].id)).outcome == "unchanged"


def test_an_event_during_the_run_makes_the_job_run_again(world: World) -> None:
    world.push("eu", "v1", OLD)
    once(world["us"], "PUT", "manifests/v1", lambda: world.tell(world.job(), digest=OLD.digest))

    view = world.run(world.job())

    assert view.state is State.PENDING
    world.settle()
    assert world.ledger.view.job_view(world.job().id)


# Leases


def test_nothing_is_written_after_the_lease_is_lost_and_the_job_comes_again(
    world: World, redis_url: str
) -> None:
    hasty = Ledger.connect(redis_url, lease_s=0.2)
    pushed = multi_arch()
    world.push("eu", "v1", pushed)
    world.tell(world.job())

    def freeze() -> None:
        world.expire(world.job())
        world.forget_requests()
        time.sleep(0.3)

    once(world["us"], "PUT", f"manifests/{pushed.children[0].digest}", freeze)
    bring_in_line(world.job().id, world.tools(ledger=hasty, lease_s=0.2))
    hasty.close()

    assert world.writes("us") == []
    assert world.ledger.job(world.job().id)
    world.settle()
    assert is_whole(world["us"], API, "v1", pushed)


def test_a_job_that_was_taken_over_is_checked_again(world: World) -> None:
    world.push("eu", "v1", OLD)
    world.tell(world.job())
    world.ledger.claim(world.job().id)
    world.expire(world.job())

    view = world.shown(world.work(world.job()))

    assert world.digest("us") == OLD.digest
    assert view.state is State.PENDING
    world.settle()
    assert world.shown(world.ledger.view.job_view(world.job().id)).outcome == "unchanged"


def overtake(world: World) -> None:
    """The lease runs out, and others finish the job."""
    world.expire(world.job())
    world.work(world.job())
    world.settle()
    assert world.ledger.job(world.job().id) is None


def test_a_worker_that_wakes_up_after_its_lease_makes_the_job_come_again(world: World) -> None:
    world.push("eu", "v1", OLD)

    once(world["us"], "PUT", "manifests/v1", lambda: overtake(world))
    world.run(world.job())

    # It wrote, and learnt only afterwards that it no longer might: somebody has to look once more.
    assert world.ledger.job(world.job().id)
    world.settle()
    assert world.digest("us") == OLD.digest


@pytest.mark.parametrize("status", [500, 400], ids=["tried again", "parked"])
def test_a_worker_that_fails_after_its_lease_makes_the_job_come_again(world: World, status: int) -> None:
    world.push("eu", "v1", OLD)

    def overtake_and_fail() -> None:
        overtake(world)
        world["eu"].fail("HEAD", "manifests/v1", times=100, status=status)

    once(world["us"], "PUT", "manifests/v1", overtake_and_fail)
    world.tell(world.job())
    world.work(world.job())

    # It wrote, and failed before it could look whether it still might.
    world["eu"].heal()
    assert world.ledger.job(world.job().id)
    world.settle()
    assert world.digest("us") == OLD.digest


# Rules that change


def test_a_job_without_a_rule_waits_and_then_ends(world: World) -> None:
    world.push("eu", "v1", OLD)
    world.tell(world.job())
    world.obey()

    view = world.shown(world.work(world.job()))

    assert (view.state, view.attempts) == (State.PENDING, 0)
    assert "no rule" in (view.reason or "")
    world.redis.hset(f"replicator:job:{world.job().id}", mapping={**LONG_AGO, "not_before": "0"})
    assert world.shown(world.work(world.job())).outcome == "superseded"
    assert world.digest("us") is None


@pytest.mark.parametrize(
    "rule",
    [
        replace(RULE, enabled=False),
        a_rule("prod", "eu", "ap"),
        replace(RULE, filters=(Filter(FilterType.TAG, "w*"),)),
        replace(RULE, filters=(Filter(FilterType.NAME, "other/**"),)),
    ],
    ids=["disabled", "elsewhere", "another-tag", "another-name"],
)
def test_a_job_that_its_rule_no_longer_wants_ends_without_a_copy(make_world: MakeWorld, rule: Rule) -> None:
    world = make_world(RULE, a_rule("other", "eu", "ap"))
    world.push("eu", "v1", OLD)
    world.tell(world.job())
    world.obey(rule)
    world.redis.hset(f"replicator:job:{world.job().id}", mapping=LONG_AGO)

    assert world.shown(world.work(world.job())).outcome == "superseded"
    assert world.digest("us") is None


def test_the_sender_s_clock_does_not_end_a_job_whose_rule_is_yet_to_come(world: World) -> None:
    world.push("eu", "v1", OLD)
    world.tell(world.job())
    world.obey()
    world.redis.hset(f"replicator:job:{world.job().id}", "since", LONG_AGO["since"])

    assert world.shown(world.work(world.job())).state is State.PENDING


def test_a_tag_that_shows_long_after_its_event_is_looked_for_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "FRESH_PUSH_S", 0.05)
    world.tell(world.job())
    first = world.shown(world.work(world.job()))
    world.push("eu", "v1", OLD)

    world.settle()

    assert first.state is State.PENDING, "the job must not end while the event says otherwise"
    assert is_whole(world["us"], API, "v1", OLD)


def test_a_job_whose_rule_comes_a_little_later_is_done(world: World) -> None:
    world.push("eu", "v1", OLD)
    world.obey()
    world.run(world.job())
    world.obey(RULE)

    world.settle()

    assert is_whole(world["us"], API, "v1", OLD)


def test_a_doorbell_for_no_job_is_harmless(world: World) -> None:
    assert world.work(world.job()) is None

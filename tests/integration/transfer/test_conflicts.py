"""Pushes of one tag in several regions: what goes on, what is asked of a person, and what is kept of the other."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import permutations

import pytest

from replicator.jobs import Job
from replicator.ledger import Promotion, State
from replicator.oci import Digest, Repository, Tag
from replicator.rules import Conflict, ConflictRule, Rule, TriggerType
from replicator.transfer import two_ways
from tests.fakes.images import image, is_whole
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule, once

OLD, ONE, TWO, THREE = (image([name.encode()]) for name in ("old", "one", "two", "three"))
MANUAL = Conflict(ConflictRule.MANUAL)
PAIR, MESH = ("eu", "us"), ("eu", "us", "ap")


def mesh(names: Sequence[str], conflict: Conflict | None = None) -> list[Rule]:
    rules = [a_rule(f"{one}-to-{other}", one, other) for one, other in permutations(names, 2)]
    return [replace(rules[0], conflict=conflict), *rules[1:]]


def job(world: World, start: str, end: str) -> Job:
    return world.job(rule=f"{start}-to-{end}", to=end)


def held(world: World) -> set[Digest | None]:
    return {world.digest(name) for name in world.registries}


def pushed_everywhere(world: World) -> None:
    world.listen()
    world.push("eu", "v1", OLD)
    world.settle()
    assert held(world) == {OLD.digest}
    world.forget_requests()


def lost(world: World) -> set[Digest]:
    return {decided.lost for decided in world.ledger.conflicts}


@pytest.mark.parametrize("names", [PAIR, MESH])
@pytest.mark.parametrize("is_new", [True, False])
def test_the_push_that_was_recorded_last_ends_everywhere(
    make_world: MakeWorld, names: tuple[str, ...], is_new: bool
) -> None:
    world = make_world(*mesh(names))
    pushed_everywhere(world) if not is_new else world.listen()

    world.push("us", "v1", TWO)
    world.push("eu", "v1", ONE)
    world.settle()

    assert held(world) == {ONE.digest}
    assert world.tags_written("eu").count("v1") == 1  # the push itself
    assert all(world.tags_written(name).count("v1") <= 2 for name in names)
    assert lost(world) <= {TWO.digest}


@pytest.mark.parametrize("first", PAIR)
def test_the_content_of_the_first_registry_ends_everywhere(make_world: MakeWorld, first: str) -> None:
    order = (first, *sorted({*MESH} - {first}))
    world = make_world(*mesh(MESH, Conflict(ConflictRule.PRIORITY, order)))
    pushed_everywhere(world)

    world.push("eu", "v1", ONE)
    world.push("us", "v1", TWO)
    world.settle()

    assert held(world) == {ONE.digest if first == "eu" else TWO.digest}


def test_a_later_push_is_no_conflict_whatever_the_order(make_world: MakeWorld) -> None:
    world = make_world(*mesh(PAIR, Conflict(ConflictRule.PRIORITY, PAIR)))
    pushed_everywhere(world)

    world.push("us", "v1", TWO)
    world.settle()

    assert held(world) == {TWO.digest}
    assert lost(world) == set()


def test_what_lost_is_on_record_and_can_be_promoted(make_world: MakeWorld) -> None:
    world = make_world(*mesh(PAIR))
    pushed_everywhere(world)
    world.push("us", "v1", TWO)
    world.push("eu", "v1", ONE)
    world.settle()

    (decided,) = world.ledger.conflicts
    assert asdict(decided) | {"id": "", "at": 0.0} == {
        "id": "",
        "at": 0.0,
        "rule": "eu-to-us",
        "start": f"eu/{API}:v1",
        "chosen": ONE.digest,
        "end": f"us/{API}:v1",
        "lost": TWO.digest,
        "why": "newest",
    }
    ended = [entry for entry in world.ledger.view.ended_after("0-0", 100)[0] if entry.outcome == "copied"]
    assert [entry.reason for entry in ended][-1] == f"chosen by conflict: newest, over {TWO.digest}"
    promotion = Promotion("us", Repository(API), TWO.digest, "us", Repository(API), Tag("v1"), by="a person")
    world.ledger.promote(promotion, world.ledger.view.now())
    world.settle()
    assert held(world) == {TWO.digest}
    assert is_whole(world["eu"], API, "v1", TWO)


@pytest.mark.parametrize(("start", "end", "winner"), [("eu", "us", ONE), ("us", "eu", TWO)])
def test_a_person_chooses_by_approving_one_job(
    make_world: MakeWorld, start: str, end: str, winner: object
) -> None:
    world = make_world(*mesh(MESH, MANUAL))
    pushed_everywhere(world)
    world.push("eu", "v1", ONE)
    world.push("us", "v1", TWO)
    world.settle()
    blocked = {view.id: view for view in world.ledger.view.jobs(state=State.BLOCKED)}
    chosen = job(world, start, end).id
    assert {job(world, *PAIR).id, job(world, "us", "eu").id} <= blocked.keys()
    assert all(
        ONE.digest in (view.reason or "") and TWO.digest in (view.reason or "") for view in blocked.values()
    )
    assert world.digest("eu") == ONE.digest
    assert world.digest("us") == TWO.digest

    assert world.ledger.approve(chosen)
    world.settle()

    assert held(world) == {winner.digest}  # type: ignore[attr-defined]
    assert world.ledger.view.jobs(state=State.BLOCKED) == []


def test_a_promotion_ends_a_conflict_that_waits_for_a_person(make_world: MakeWorld) -> None:
    world = make_world(*mesh(PAIR, MANUAL))
    pushed_everywhere(world)
    world.push("eu", "v1", ONE)
    world.push("us", "v1", TWO)
    world.settle()

    promotion = Promotion("us", Repository(API), TWO.digest, "eu", Repository(API), Tag("v1"), by="a person")
    world.ledger.promote(promotion, world.ledger.view.now())
    world.settle()

    assert held(world) == {TWO.digest}
    assert world.ledger.view.jobs(state=State.BLOCKED) == []


def test_what_nobody_told_of_is_given_time_for_its_event(make_world: MakeWorld) -> None:
    world = make_world(*mesh(PAIR))
    world.push("us", "v1", TWO)
    world.push("eu", "v1", ONE)
    world.hear("eu", "v1", ONE.digest)

    view = world.run(job(world, "eu", "us"), digest=ONE.digest)
    assert view.state is State.PENDING
    assert "no event has told yet" in (view.reason or "")
    world.hear("us", "v1", TWO.digest)
    world.settle()

    assert held(world) == {TWO.digest}


def test_an_event_counts_that_comes_after_a_sweep_saw_its_content(make_world: MakeWorld) -> None:
    world = make_world(*mesh(MESH))
    world.push("us", "v1", TWO)
    world.run(job(world, "us", "ap"), action=None)  # a sweep's
    world.push("eu", "v1", ONE)
    world.hear("eu", "v1", ONE.digest)

    view = world.run(job(world, "eu", "us"), digest=ONE.digest)
    assert "no event has told yet" in (view.reason or "")
    world.hear("us", "v1", TWO.digest)
    world.settle()

    assert world.digest("us") == TWO.digest


def test_what_waits_for_a_person_is_remembered_as_long_as_anybody_looks(make_world: MakeWorld) -> None:
    world = make_world(*mesh(PAIR, MANUAL))
    pushed_everywhere(world)
    world.push("eu", "v1", ONE)
    world.push("us", "v1", TWO)
    world.settle()
    keys = [f"replicator:holding:{name}|{API}|v1" for name in PAIR]
    for key in keys:
        world.redis.expire(key, 60)

    world.run(job(world, "eu", "us"), action=None)

    assert all(world.redis.ttl(key) > 60 for key in keys)


def test_what_nobody_tells_of_is_older(make_world: MakeWorld) -> None:
    world = make_world(*mesh(PAIR))
    world.push("us", "v1", TWO)
    world.push("eu", "v1", ONE)
    world.hear("eu", "v1", ONE.digest)
    world.run(job(world, "eu", "us"), digest=ONE.digest)
    mark = f"replicator:absent:unheard|us|{API}|v1|{TWO.digest}"
    world.redis.pexpire(mark, int(world.redis.pttl(mark) - two_ways.HEARD_WITHIN_S * 1000))

    world.settle()

    assert held(world) == {ONE.digest}


@pytest.mark.parametrize("names", [PAIR, MESH])
def test_a4_without_any_record_all_regions_agree_whoever_begins(
    make_world: MakeWorld, names: tuple[str, ...]
) -> None:
    world = make_world(*mesh(names))
    pushed = [world.push(name, "v1", each) for name, each in zip(names, (ONE, TWO, THREE), strict=False)]
    world.listen()

    for start, end in permutations(names, 2):
        world.tell(job(world, start, end), action=None)
    world.settle()

    assert held(world) == {max(pushed)}


def test_a_push_that_meets_a_delete_comes_back(make_world: MakeWorld) -> None:
    world = make_world(*(replace(rule, deletion=True) for rule in mesh(PAIR)))
    pushed_everywhere(world)
    world.push("us", "v1", TWO)
    world.delete("eu", "v1")

    assert world.shown(world.work(job(world, "eu", "us"))).outcome == "unchanged"
    world.settle()

    assert held(world) == {TWO.digest}
    assert world.ledger.view.failures() == []


def test_a_push_during_the_copy_is_not_written_over(make_world: MakeWorld) -> None:
    world = make_world(*mesh(PAIR))
    pushed_everywhere(world)

    once(world["us"], "PUT", "blobs/uploads", lambda: world.push("us", "v1", TWO))
    world.push("eu", "v1", ONE)
    world.work(job(world, "eu", "us"))
    assert world.digest("us") == TWO.digest
    world.settle()

    assert held(world) == {TWO.digest}


def test_a_pair_with_an_override_that_is_off_ends_with_what_that_keeps(make_world: MakeWorld) -> None:
    forth, back = mesh(PAIR)
    world = make_world(replace(forth, override=False), back)
    pushed_everywhere(world)
    world.push("us", "v1", TWO)
    world.push("eu", "v1", ONE)

    assert world.shown(world.work(job(world, "eu", "us"))).outcome == "skipped"
    assert world.digest("us") == TWO.digest
    world.settle()

    assert held(world) == {TWO.digest}


def test_where_a_person_has_to_ask_for_the_way_back_the_source_goes_on(make_world: MakeWorld) -> None:
    forth, back = mesh(PAIR)
    world = make_world(forth, replace(back, trigger=TriggerType.MANUAL))
    pushed_everywhere(world)

    world.push("eu", "v1", ONE)
    world.push("us", "v1", TWO)
    world.settle()

    assert held(world) == {ONE.digest}

"""Plans that are carried out: exactly as they were read, or not at all."""

from dataclasses import replace

import pytest

from replicator.drift import Kind
from replicator.errors import ConfigError
from replicator.ledger import PauseKind, SweepKind, SweepState
from replicator.oci import Tag
from replicator.resync import Change, Request, Scope, Wanted, Watch, carry_out, enqueue, jobs_of_plan
from replicator.resync.watch import ASKED_AT_ONCE
from tests.fakes import images
from tests.integration.resync.kit import kinds, resynced, swept, tools_of
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import World, a_rule

DELETES = replace(a_rule(), deletion=True)


def planned(world: World, request: Request | None = None) -> list[Change]:
    _, found = swept(world, request, weighs=True)
    return [Change.of(item) for item in found if item.kind is not Kind.IN_SYNC]


def carried_out(world: World, changes: list[Change]) -> int:
    jobs = jobs_of_plan(changes, tools_of(world))
    count = sum(len(portion) for portion in enqueue(jobs, world.ledger))
    world.settle()
    return count


def test_a_plan_is_carried_out_and_nothing_else(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image([b"one"]))
    plan = planned(world)
    world.push("eu", "v2", images.image([b"later"]))

    assert carried_out(world, plan) == 1

    assert world.digest("us", "v1")
    assert world.digest("us", "v2") is None


@pytest.mark.parametrize("side", ["eu", "us"])
def test_a_world_that_moved_is_refused(make_world: MakeWorld, side: str) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image([b"one"]))
    world.push("eu", "v2", images.image([b"two"]))
    plan = planned(world)
    world.push(side, "v1", images.image([b"moved"]))

    with pytest.raises(ConfigError, match=f"nothing was done: {side}/team/api:v1 is sha256"):
        carried_out(world, plan)

    assert world.digest("us", "v2") is None


def test_rules_that_changed_are_refused(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image())
    plan = planned(world)
    world.obey(a_rule("prod", "eu", "us", filters=()), a_rule("other"))
    world.obey(replace(a_rule(), filters=a_rule().filters[:1], enabled=False))

    with pytest.raises(ConfigError, match="the rules changed since the plan was made"):
        carried_out(world, plan)


def test_a_planned_delete_keeps_its_guards(make_world: MakeWorld) -> None:
    world = make_world(DELETES)
    world.push("eu", "v1", images.image())
    carried_out(world, planned(world))
    world.delete("eu", "v1")
    plan = planned(world, Request(prune=True))

    carried_out(world, plan)

    assert [change.kind for change in plan] == [Kind.DELETE]
    assert world.digest("us", "v1") is None


# What others ask for


def taken(world: World, kind: SweepKind, request: Request) -> tuple[SweepState, str]:
    """Ask for a sweep and carry it out, as the scheduler does."""
    sweeps = world.ledger.sweeps
    asked = sweeps.ask(kind, request.json, by="a test")
    view = sweeps.take()
    assert view
    assert view.id == asked
    sweeps.end(view.id, result=carry_out(view, tools_of(world)))
    ended = sweeps.view(view.id)
    assert ended
    return ended.state, ended.result or ""


def test_a_resync_that_was_asked_for_submits_jobs(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image())

    state, result = taken(world, SweepKind.RESYNC, Request(Scope(rule="prod")))

    assert state is SweepState.DONE
    assert '"submitted": 1' in result
    world.settle()
    assert world.digest("us", "v1")


def test_a_plan_that_was_asked_for_can_be_carried_out(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image())
    taken(world, SweepKind.PLAN, Request())
    (plan_id,) = [key.split(":")[-1] for key in map(bytes.decode, world.redis.keys("replicator:sweep:*"))]

    taken(world, SweepKind.RESYNC, Request(plan=plan_id))

    world.settle()
    assert world.digest("us", "v1")


def test_a_plan_that_is_not_there_cannot_be_carried_out(make_world: MakeWorld) -> None:
    with pytest.raises(ConfigError, match="there is no plan"):
        taken(make_world(a_rule()), SweepKind.RESYNC, Request(plan="0123"))


# Watching


def test_a_watch_sees_every_job_end(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    for number in range(3):
        world.push("eu", f"v{number}", images.image([f"{number}".encode() * 100]))
    watch = Watch(world.ledger)
    for portion in enqueue(jobs_of_plan(planned(world), tools_of(world)), world.ledger):
        watch.add(portion)

    watch.look()
    assert not watch.is_over
    world.settle()
    watch.look()

    assert watch.is_over
    assert watch.destinations["us"].outcomes == {"copied": 3}
    assert watch.destinations["us"].size_bytes > 300


def test_a_watch_knows_what_needs_a_person(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image([b"gone"]))
    world["eu"].storage.shelf(world.job().repository).blobs.clear()
    watch = Watch(world.ledger)
    for portion in enqueue([Wanted(world.job())], world.ledger):
        watch.add(portion)

    world.settle()
    watch.look()

    assert watch.is_over
    assert watch.destinations["us"].outcomes == {"failed": 1}
    assert [view.reference for view in watch.halted.values()] == ["v1"]


def test_a_watch_knows_what_was_dropped(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    watch = Watch(world.ledger)
    for portion in enqueue([Wanted(world.job())], world.ledger):
        watch.add(portion)

    world.ledger.drop(world.job().id)
    watch.look()

    assert watch.destinations["us"].outcomes == {"dropped": 1}


def test_a_watch_finds_one_dropped_among_many_within_a_few_looks(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    jobs = [replace(world.job(), reference=Tag(f"v{number}")) for number in range(3 * ASKED_AT_ONCE)]
    watch = Watch(world.ledger)
    for portion in enqueue(map(Wanted, jobs), world.ledger):
        watch.add(portion)

    world.ledger.drop(jobs[-1].id)
    for _ in range(3):
        watch.look()

    assert watch.destinations["us"].outcomes == {"dropped": 1}


def test_a_watch_knows_what_holds_a_job_up(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    watch = Watch(world.ledger)
    for portion in enqueue([Wanted(world.job())], world.ledger):
        watch.add(portion)
    watch.look()
    assert watch.held_up is None

    world.ledger.pauses.pause(PauseKind.DESTINATION, "us")
    watch.look()

    assert watch.held_up
    assert watch.held_up.is_paused


def test_what_is_blocked_under_a_former_name_is_blocked(make_world: MakeWorld) -> None:
    old = replace(a_rule("old"), deletion=True, delete_cap=1)
    world = make_world(old)
    for tag in ("v1", "v2"):
        world.push("eu", tag, images.image([tag.encode()]))
    resynced(world)
    for tag in ("v1", "v2"):
        world.delete("eu", tag)
    resynced(world, Request(prune=True))
    (blocked,) = world.ledger.view.failures()

    world.obey(replace(old, name="new", was=("old",)))

    found = kinds(world, Request(prune=True))
    assert found[f"us/{blocked.repository}:{blocked.reference}"] is Kind.BLOCKED

"""Rules that meet: two-way rules come to rest without an echo, and strangers do not overwrite each other."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import pytest

from replicator.jobs import Job
from replicator.ledger import State
from replicator.oci import Digest
from replicator.rules import Destination, Rule
from tests.fakes.images import Image, image, is_whole, signature, signature_tag
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule, once

FORTH, BACK = a_rule("forth", "eu", "us"), a_rule("back", "us", "eu")
OLD, NEW, NEWER = image([b"old"]), image([b"new"]), image([b"newer"])


def forth(world: World, reference: str = "v1") -> Job:
    return world.job(reference, rule="forth", to="us")


def back(world: World, reference: str = "v1") -> Job:
    return world.job(reference, rule="back", to="eu")


@pytest.fixture
def pair(make_world: MakeWorld) -> World:
    return make_world(FORTH, BACK)


def moved_forth(world: World, pushed: Image) -> None:
    world.push("eu", "v1", pushed)
    assert world.run(forth(world), digest=pushed.digest).outcome == "copied"


def test_an_own_write_that_comes_back_is_an_echo_and_writes_nothing(pair: World) -> None:
    moved_forth(pair, NEW)

    view = pair.run(back(pair), digest=NEW.digest)

    assert view.outcome == "unchanged"
    assert pair.writes("eu") == pair.writes("us") == []


def test_an_old_echo_does_not_bring_the_older_content_back(pair: World) -> None:
    moved_forth(pair, OLD)
    pair.push("eu", "v1", NEW)

    # The echo of the first copy is late: eu has moved on, us not yet.
    view = pair.run(back(pair), digest=OLD.digest)

    assert view.outcome == "unchanged"
    assert pair.digest("eu") == NEW.digest
    assert pair.run(forth(pair), digest=NEW.digest).outcome == "copied"
    assert pair.run(back(pair), digest=NEW.digest).outcome == "unchanged"
    assert is_whole(pair["us"], API, "v1", NEW)


def test_an_echo_that_is_faster_than_the_answer_to_the_write_is_one(pair: World) -> None:
    moved_forth(pair, OLD)
    pair.push("eu", "v1", NEW)

    def echo() -> None:
        pair.push("eu", "v1", NEWER)
        pair.tell(back(pair))
        pair.work(back(pair))

    once(pair["us"], "PUT", "manifests/v1", echo)
    pair.run(forth(pair), digest=NEW.digest)
    pair.settle()

    assert pair.digest("eu") == pair.digest("us") == NEWER.digest


def test_an_old_echo_does_not_restore_what_was_deleted(pair: World) -> None:
    moved_forth(pair, OLD)
    pair.delete("eu", "v1")

    assert pair.run(back(pair), digest=OLD.digest).outcome == "unchanged"
    assert pair.digest("eu") is None


def test_a_persons_push_at_either_side_reaches_the_other(pair: World) -> None:
    moved_forth(pair, OLD)
    pair.push("us", "v1", NEW)

    assert pair.run(back(pair), digest=NEW.digest).outcome == "copied"
    assert pair.run(forth(pair), digest=NEW.digest).outcome == "unchanged"
    assert is_whole(pair["eu"], API, "v1", NEW)


def test_a_persons_rollback_at_the_destination_is_no_echo(pair: World) -> None:
    moved_forth(pair, OLD)
    moved_forth(pair, NEW)
    pair.push("us", "v1", OLD)

    view = pair.run(back(pair), digest=OLD.digest)

    assert view.outcome == "copied"
    assert pair.digest("eu") == OLD.digest
    assert pair.run(forth(pair), digest=OLD.digest).outcome == "unchanged"
    assert pair.digest("us") == OLD.digest


def test_rollbacks_to_and_fro_come_to_rest(pair: World) -> None:
    moved_forth(pair, OLD)
    for name, job, pushed in [
        ("us", back(pair), NEW),
        ("eu", forth(pair), OLD),
        ("us", back(pair), NEW),
        ("us", back(pair), OLD),
        ("eu", forth(pair), NEW),
    ]:
        pair.push(name, "v1", pushed)
        assert pair.run(job, digest=pushed.digest).outcome == "copied"
        for echo in (forth(pair), back(pair)):
            assert pair.run(echo).outcome == "unchanged"

    assert pair.digest("eu") == pair.digest("us") == NEW.digest


def test_signatures_make_no_echo_either(pair: World) -> None:
    tag = signature_tag(NEW)
    pair.push("eu", "v1", NEW)
    pair.push("eu", tag, signature(NEW))
    pair.run(forth(pair))

    for job in (back(pair), back(pair, tag), forth(pair, tag)):
        assert pair.run(job).outcome == "unchanged"
        assert pair.writes("eu") == pair.writes("us") == []


def test_an_old_echo_of_a_signature_does_not_bring_it_back(pair: World) -> None:
    tag = signature_tag(NEW)
    pair.push("eu", "v1", NEW)
    pair.push("eu", tag, signature(NEW))
    pair.run(forth(pair))
    better = signature(NEW, "a better key")
    pair.push("eu", tag, better)

    assert pair.run(back(pair, tag)).outcome == "unchanged"
    assert pair.digest("eu", tag) == better.digest
    assert pair.run(forth(pair, tag)).outcome == "copied"
    assert is_whole(pair["us"], API, tag, better)


def mesh(*names: str) -> tuple[Rule, ...]:
    return tuple(a_rule(f"{one}-to-{other}", one, other) for one, other in permutations(names, 2))


@pytest.mark.parametrize("order", list(permutations(["eu-to-us", "eu-to-ap", "us-to-ap", "ap-to-us"])))
def test_a_mesh_of_three_regions_has_no_conflict(make_world: MakeWorld, order: tuple[str, ...]) -> None:
    world = make_world(*mesh("eu", "us", "ap"))

    for pushed in (OLD, NEW):
        world.push("eu", "v1", pushed)
        for name in (*order, *order, "us-to-eu", "ap-to-eu"):
            view = world.run(world.job(rule=name, to=name.rpartition("-")[2]), action=None)
            assert view.outcome in {"copied", "unchanged", "skipped"}
        assert {world.digest(name) for name in ("eu", "us", "ap")} == {pushed.digest}


@pytest.mark.parametrize("names", [("eu", "us"), ("eu", "us", "ap")])
def test_a_push_at_any_corner_of_a_mesh_reaches_the_others(
    make_world: MakeWorld, names: tuple[str, ...]
) -> None:
    world = make_world(*mesh(*names))
    world.listen()

    for corner, pushed in [*zip((*names, *names), (OLD, NEW, NEWER, OLD, NEWER, NEW), strict=False)]:
        world.push(corner, "v1", pushed)
        world.settle()

        assert {world.digest(name) for name in names} == {pushed.digest}
    assert world.ledger.view.failures() == []


@pytest.mark.parametrize("corner", ["eu", "us"])
def test_pushes_and_rollbacks_at_one_corner_all_reach_the_others(make_world: MakeWorld, corner: str) -> None:
    world = make_world(*mesh("eu", "us", "ap"))
    world.listen()
    world.push("eu", "v1", OLD)
    world.settle()

    for pushed in (NEW, OLD, NEWER, NEW, NEWER, OLD):
        world.push(corner, "v1", pushed)
        world.settle()

        assert {world.digest(name) for name in ("eu", "us", "ap")} == {pushed.digest}


def test_pushes_that_cross_each_other_in_a_mesh_end_alike_everywhere(make_world: MakeWorld) -> None:
    world = make_world(*mesh("eu", "us", "ap"))
    world.listen()
    world.push("ap", "v1", OLD)
    world.push("us", "v1", NEW)

    for start, end in (("us", "eu"), ("ap", "us"), ("eu", "ap"), ("us", "eu")):
        world.work(world.job(rule=f"{start}-to-{end}", to=end))
    world.settle()

    assert {world.digest(name) for name in ("ap", "eu", "us")} == {NEW.digest}


def test_a_ring_of_three_regions_comes_to_rest(make_world: MakeWorld) -> None:
    world = make_world(a_rule("eu-us", "eu", "us"), a_rule("us-ap", "us", "ap"), a_rule("ap-eu", "ap", "eu"))
    world.listen()

    for corner, pushed in (("eu", OLD), ("eu", NEW), ("ap", NEWER), ("us", OLD), ("us", NEW), ("us", OLD)):
        world.push(corner, "v1", pushed)
        world.settle()

        assert {world.digest(name) for name in ("eu", "us", "ap")} == {pushed.digest}


def test_a_rule_that_was_turned_round_restores_what_was_lost(make_world: MakeWorld) -> None:
    world = make_world(FORTH)
    moved_forth(world, OLD)
    world.delete("eu", "v1")
    world.obey(BACK)

    assert world.run(back(world), action=None).outcome == "copied"
    assert is_whole(world["eu"], API, "v1", OLD)


def test_a_rule_that_was_turned_round_is_no_echo_of_what_it_was(make_world: MakeWorld) -> None:
    world = make_world(FORTH)
    moved_forth(world, OLD)
    world.push("eu", "v1", NEW)
    world.obey(BACK)

    assert world.run(back(world), action=None).outcome == "copied"
    assert world.digest("eu") == OLD.digest


def test_a_resync_of_two_way_rules_restores_what_one_side_lost(pair: World) -> None:
    moved_forth(pair, OLD)
    pair.delete("eu", "v1")

    assert pair.run(back(pair), action=None).outcome == "copied"
    assert is_whole(pair["eu"], API, "v1", OLD)


def test_a_check_of_a_job_that_was_taken_over_restores_nothing(make_world: MakeWorld) -> None:
    world = make_world(replace(FORTH, deletion=True), replace(BACK, deletion=True))
    world.listen()
    world.push("eu", "v1", OLD)
    world.work(forth(world))
    world.ledger.claim(back(world).id)  # by a worker that dies
    world.expire(back(world))
    assert world.shown(world.work(back(world))).state is State.PENDING
    world.delete("eu", "v1")
    world.work(forth(world))

    world.work(back(world))

    assert world.digest("eu") is None
    world.settle()
    assert world.digest("us") is None


# Strangers

ONE = a_rule("one", "eu", "us")
OTHER = a_rule("other", "ap", "us")


@pytest.fixture
def strangers(make_world: MakeWorld) -> World:
    world = make_world(ONE, OTHER)
    world.push("eu", "v1", OLD)
    world.push("ap", "v1", NEW)
    assert world.run(world.job(rule="one")).outcome == "copied"
    return world


def other(world: World) -> Job:
    return world.job(rule="other")


def test_two_sources_for_one_reference_are_a_conflict(strangers: World) -> None:
    view = strangers.run(other(strangers))

    assert view.state is State.BLOCKED
    assert "another rule" in (view.reason or "")
    assert strangers.digest("us") == OLD.digest
    assert strangers.writes("us") == []


def test_a_person_decides_a_conflict(strangers: World) -> None:
    strangers.run(other(strangers))

    strangers.ledger.approve(other(strangers).id)
    view = strangers.work(other(strangers))

    assert view
    assert view.outcome == "copied"
    assert strangers.digest("us") == NEW.digest


def test_a_delete_at_one_source_leaves_the_copy_from_the_other(make_world: MakeWorld) -> None:
    world = make_world(replace(ONE, deletion=True), OTHER)
    world.push("ap", "v1", NEW)
    assert world.run(other(world)).outcome == "copied"

    view = world.remove(world.job(rule="one"))

    assert view.state is State.BLOCKED
    assert view.reason == f"the destination holds {NEW.digest}, which the rule other put there from ap"
    assert world.digest("us") == NEW.digest
    world.ledger.approve(view.id)
    world.settle()
    assert world.digest("us") is None


def test_the_same_content_from_two_sources_is_no_conflict(strangers: World) -> None:
    strangers.push("ap", "v1", OLD)

    assert strangers.run(other(strangers)).outcome == "unchanged"


@pytest.mark.parametrize(
    "changed",
    [
        lambda: (OTHER,),
        lambda: (replace(ONE, enabled=False), OTHER),
        lambda: (replace(ONE, destinations=(Destination("us", "mirror"),)), OTHER),
        lambda: (ONE, OTHER, a_rule("bridge", "eu", "ap")),
        lambda: (ONE, OTHER, a_rule("bridge", "ap", "eu")),
    ],
    ids=["removed", "disabled", "moved", "bridge", "bridge-back"],
)
def test_a_rule_that_no_longer_wants_the_reference_or_is_related_is_no_stranger(
    strangers: World, changed: Callable[[], tuple[Rule, ...]]
) -> None:
    strangers.obey(*changed())

    assert strangers.run(other(strangers)).outcome == "copied"


def test_what_nobody_of_us_wrote_is_no_conflict(make_world: MakeWorld) -> None:
    world = make_world(ONE)
    theirs: Digest = world.push("us", "v1", NEWER)
    world.push("eu", "v1", OLD)

    assert world.run(world.job(rule="one")).outcome == "copied"
    assert world.digest("us") == OLD.digest != theirs

"""Retention: planned first, under the guards of deletes, and never what the rule would copy again."""

from dataclasses import replace

from replicator.demo.features import Features
from replicator.drift import Kind
from replicator.ledger import JobView, Promotion
from replicator.oci import Repository, Tag
from replicator.operate import undelete
from replicator.resync import Request
from replicator.rules import Clause, Count, Destination, Retention, TagStatus
from tests.fakes import images
from tests.integration.resync.kit import kinds, resynced
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, World, a_rule

KEEP_TWO = Clause(TagStatus.TAGGED, Count.IMAGES, 2, prefixes=("v",))
UNTAGGED_A_DAY = Clause(TagStatus.UNTAGGED, Count.DAYS, 1)
PRUNE = Request(prune=True)
DAYS_S = 3 * 86_400
ALONE = {"us": Features(tag_delete=True)}
"""A destination that deletes a tag alone."""


def keeping(*clauses: Clause) -> Destination:
    return Destination("us", retention=Retention(clauses))


def a_world(make_world: MakeWorld, *clauses: Clause) -> World:
    """A rule that does not delete, with a retention; four versions were copied, one after another."""
    world = make_world(replace(a_rule(), destinations=(keeping(*clauses),)))
    for number in range(1, 5):
        world.push("eu", f"v{number}", images.image([f"{number}".encode()]))
        resynced(world)
    return world


def ended(world: World, reference: str) -> JobView:
    return world.shown(world.ledger.view.job_view(world.job(reference).id))


def there(world: World) -> set[str]:
    with world["us"].storage.lock:
        return {str(tag) for tag in world["us"].storage.shelf(world.job().repository).tags}


def test_what_the_source_still_has_never_expires(make_world: MakeWorld) -> None:
    world = a_world(make_world, KEEP_TWO)

    assert set(kinds(world, PRUNE).values()) == {Kind.IN_SYNC}


def test_what_expired_and_is_gone_at_the_source_is_deleted(make_world: MakeWorld) -> None:
    world = a_world(make_world, KEEP_TWO)
    for number in (1, 3):
        world.delete("eu", f"v{number}")

    # Of the four, v3 and v4 are the newest two: v1 and v2 have had their time, and v2 is still at the source.
    assert kinds(world, PRUNE)["us/team/api:v1"] is Kind.DELETE
    assert kinds(world, PRUNE)["us/team/api:v3"] is Kind.EXTRA
    resynced(world, PRUNE)

    assert there(world) == {"v2", "v3", "v4"}
    assert (ended(world, "v1").outcome, ended(world, "v1").reason) == ("deleted", str(KEEP_TWO))


def test_an_event_of_a_delete_does_what_a_plan_would(make_world: MakeWorld) -> None:
    world = a_world(make_world, KEEP_TWO)
    world.delete("eu", "v1")
    world.delete("eu", "v4")

    assert world.remove(world.job("v1")).outcome == "deleted"
    assert world.remove(world.job("v4")).outcome == "skipped"


def test_a_tag_that_somebody_moved_at_the_destination_is_blocked(make_world: MakeWorld) -> None:
    world = a_world(make_world, KEEP_TWO)
    world.delete("eu", "v1")
    world.push("us", "v1", images.image([b"theirs"]))

    assert kinds(world, PRUNE)["us/team/api:v1"] is Kind.BLOCKED


def test_the_cap_holds_for_retention(make_world: MakeWorld) -> None:
    rule = replace(a_rule(), destinations=(keeping(replace(KEEP_TWO, number=1)),), delete_cap=1)
    world = make_world(rule)
    for number in range(1, 5):
        world.push("eu", f"v{number}", images.image([f"{number}".encode()]))
        resynced(world)
        world.delete("eu", f"v{number}")

    resynced(world, PRUNE)

    assert len(there(world)) == 3
    assert sum(view.state == "blocked" for view in world.ledger.view.failures()) == 2


def test_a_manifest_that_lost_its_tag_goes_after_a_day(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), destinations=(keeping(UNTAGGED_A_DAY),)))
    old = world.push("eu", "v1", images.image([b"old"]))
    resynced(world)
    world.push("eu", "v1", images.image([b"new"]))
    resynced(world)
    name = f"us/team/api@{old}"
    assert name not in kinds(world, PRUNE)

    world.redis.zincrby(f"replicator:untagged:us|{API}", -DAYS_S, old)
    assert kinds(world, PRUNE)[name] is Kind.DELETE
    resynced(world, PRUNE)

    assert world.digest("us", old) is None
    assert world.digest("us", "v1")
    assert name not in kinds(world, PRUNE)


def test_a_manifest_that_an_index_needs_stays(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), destinations=(keeping(UNTAGGED_A_DAY),)))
    index = images.multi_arch("needs its children")
    child = index.children[0]
    world.push("eu", "v1", child)
    resynced(world)
    world.push("eu", "v1", images.image([b"new"]))
    world.push("eu", "v2", index)
    resynced(world)
    world.redis.zincrby(f"replicator:untagged:us|{API}", -DAYS_S, child.digest)

    resynced(world, PRUNE)

    assert world.digest("us", child.digest)
    (blocked,) = world.ledger.view.failures()
    assert "v2 needs it" in (blocked.reason or "")


def test_a_manifest_whose_tag_alone_was_deleted_goes_after_a_day(make_world: MakeWorld) -> None:
    rule = replace(a_rule(), destinations=(keeping(UNTAGGED_A_DAY),), deletion=True)
    world = make_world(rule, features=ALONE)
    digest = world.push("eu", "v1", images.image([b"one"]))
    resynced(world)
    world.delete("eu", "v1")
    world.remove(world.job("v1"))
    assert world.digest("us", digest)

    world.redis.zincrby(f"replicator:untagged:us|{API}", -DAYS_S, digest)
    resynced(world, PRUNE)

    assert world.digest("us", digest) is None


def test_what_another_rule_put_there_is_not_this_retentions(make_world: MakeWorld) -> None:
    one = replace(a_rule("one"), destinations=(keeping(UNTAGGED_A_DAY),))
    other = replace(a_rule("other", "ap"), filters=ALL)
    world = make_world(one, other)
    world.push("eu", "v1", images.image([b"one"]))
    old = world.push("ap", "w1", images.image([b"old"]))
    resynced(world)
    world.push("ap", "w1", images.image([b"new"]))
    resynced(world)
    world.redis.zincrby(f"replicator:untagged:us|{API}", -DAYS_S, old)

    resynced(world, PRUNE)

    assert world.digest("us", old)


def test_what_was_promoted_is_no_retentions(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), destinations=(keeping(UNTAGGED_A_DAY),)))
    digest = world.push("eu", "chosen", images.image([b"chosen"]))
    order = Promotion("eu", Repository(API), digest, "us", Repository(API), Tag("v1"))
    world.ledger.promote(order, world.ledger.view.now())
    world.settle()
    world.delete("eu", "chosen")
    world.push("eu", "v1", images.image([b"new"]))
    resynced(world)
    world.redis.zincrby(f"replicator:untagged:us|{API}", -DAYS_S, digest)

    resynced(world, PRUNE)

    assert world.digest("us", digest)


def test_what_a_person_put_back_has_its_time_anew(make_world: MakeWorld) -> None:
    rule = replace(a_rule(), destinations=(keeping(UNTAGGED_A_DAY),), deletion=True)
    world = make_world(rule, features=ALONE)
    digest = world.push("eu", "v1", images.image([b"one"]))
    resynced(world)
    world.delete("eu", "v1")
    world.remove(world.job("v1"))
    world.redis.zincrby(f"replicator:untagged:us|{API}", -DAYS_S, digest)

    undelete(world.desk(), next(iter(world.ledger.deletions)))
    resynced(world, PRUNE)

    assert world.digest("us", "v1") == digest
    assert world.ledger.view.failures() == []

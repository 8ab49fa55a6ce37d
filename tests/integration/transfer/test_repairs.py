"""A job that is done without trust: what is missing although the tag looks right comes back, and nothing else moves."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from replicator.demo.features import Features
from replicator.events import Action
from replicator.jobs import Job
from replicator.ledger import REPAIR, JobView, State
from replicator.oci import Repository, Tag, referrers_tag
from replicator.rules import Signatures
from tests.fakes.images import (
    image,
    index,
    is_whole,
    multi_arch,
    push_manifest,
    referrer,
    referrers,
    signature,
    signature_tag,
)
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule, once

TOP = multi_arch()
CHILD = TOP.children[0]
LAYER = next(iter(CHILD.blobs))
SIGNATURE, SBOM = signature(TOP), referrer(TOP)
LAX = Features(content_checks=False)


def signed(world: World, *names: str) -> None:
    for name in names:
        world.push(name, "v1", TOP)
        world.push(name, signature_tag(TOP), SIGNATURE)
        world.push(name, None, SBOM)


@pytest.fixture
def world(make_world: MakeWorld) -> Iterator[World]:
    """A signed multi-arch image was copied, and the fleet remembers where everything of it is."""
    made = make_world(a_rule(), features={"us": LAX})
    signed(made, "eu")
    assert made.run(made.job()).outcome == "copied"
    made.forget_requests()
    yield made
    for registry in made.registries.values():
        registry.heal()


def repair(world: World, job: Job | None = None) -> JobView:
    return world.run(job or world.job(), REPAIR)


def is_signed(world: World) -> bool:
    return (
        world.digest("us", signature_tag(TOP)) == SIGNATURE.digest
        and is_whole(world["us"], API, signature_tag(TOP), SIGNATURE)
        and is_whole(world["us"], API, SBOM.digest, SBOM)
        and referrers(world["us"], API, TOP.digest) == {SBOM.digest}
    )


def test_an_ordinary_job_believes_a_tag_that_is_right_and_a_repair_does_not(world: World) -> None:
    world.lose_manifest("us", CHILD.digest)
    assert world.run(world.job(), None).outcome == "unchanged"

    view = repair(world)

    assert (view.outcome, view.digest) == ("copied", TOP.digest)
    assert is_whole(world["us"], API, "v1", TOP)


def test_a_missing_blob_is_sent_and_no_other(world: World) -> None:
    world["us"].storage.remove_blob(Repository(API), LAYER)

    assert repair(world).outcome == "copied"

    assert is_whole(world["us"], API, "v1", TOP)
    assert [text for text in world.asked("eu") if text.startswith("GET blobs/")] == [f"GET blobs/{LAYER}"]


def test_where_nothing_is_missing_nothing_is_written(world: World) -> None:
    view = repair(world)

    assert (view.outcome, view.digest) == ("unchanged", TOP.digest)
    assert world.writes("us") == []


def test_everything_is_looked_for_whatever_the_fleet_remembers(world: World) -> None:
    world["us"].storage.shelves[Repository(API)].blobs.clear()
    for child in TOP.children:
        world.lose_manifest("us", child.digest)

    assert repair(world).outcome == "copied"

    assert is_whole(world["us"], API, "v1", TOP)
    assert is_signed(world)


def test_a_copy_that_was_asked_for_as_a_repair_mounts_and_trusts_nothing(world: World) -> None:
    world.delete("us", "v1")

    assert repair(world).outcome == "copied"

    assert is_whole(world["us"], API, "v1", TOP)
    assert not any("mount" in entry.query for entry in world["us"].log)
    written = world.tags_written("us")
    assert written[-1] == "v1"
    assert {child.digest for child in TOP.children} <= set(written)


@pytest.mark.parametrize("what", [SIGNATURE, SBOM], ids=["signature", "referrer"])
def test_signatures_and_referrers_are_repaired(world: World, what: object) -> None:
    if what is SIGNATURE:
        world["us"].storage.remove_blob(Repository(API), next(iter(SIGNATURE.blobs)))
    else:
        world.lose_manifest("us", SBOM.digest)

    assert repair(world).outcome == "copied"

    assert is_signed(world)


def test_a_rule_that_ignores_signatures_repairs_none(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), signatures=Signatures.IGNORE), features={"us": LAX})
    signed(world, "eu")
    world.push("us", "v1", TOP)
    world.lose_manifest("us", CHILD.digest)

    assert repair(world).outcome == "copied"

    assert is_whole(world["us"], API, "v1", TOP)
    assert world.digest("us", signature_tag(TOP)) is None


def test_a_referrers_tag_that_lost_an_entry_gets_it_back(make_world: MakeWorld) -> None:
    old = Features(referrers=False)
    world = make_world(a_rule(), features={"eu": old, "us": old})
    signed(world, "eu")
    push_manifest(world["eu"], API, referrers_tag(TOP.digest), index([SBOM]))
    world.run(world.job())
    push_manifest(world["us"], API, referrers_tag(TOP.digest), index([]))

    assert repair(world).outcome == "copied"

    listed = world["us"].storage.shelves[Repository(API)].tags[referrers_tag(TOP.digest)]
    assert SBOM.digest.encode() in world["us"].storage.shelves[Repository(API)].manifests[listed].raw


def test_a_referrer_by_its_own_job_is_repaired_and_left_alone_when_it_is_whole(world: World) -> None:
    job = world.job(SBOM.digest)
    assert repair(world, job).outcome == "unchanged"
    world["us"].storage.remove_blob(Repository(API), next(iter(SBOM.blobs)))

    assert repair(world, job).outcome == "copied"

    assert is_signed(world)


# What a repair leaves alone


def test_a_repair_moves_no_tag_that_the_rule_would_not_move(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), override=False), features={"us": LAX})
    world.push("eu", "v1", TOP)
    theirs = world.push("us", "v1", image([b"theirs"]))

    view = repair(world)

    assert view.outcome == "skipped"
    assert world.digest("us") == theirs
    assert world.writes("us") == []


def test_a_conflict_blocks_a_repair_too(make_world: MakeWorld) -> None:
    one, other = a_rule("one", "eu", "us"), a_rule("other", "ap", "us")
    world = make_world(one, other)
    world.push("eu", "v1", TOP)
    ours = world.push("ap", "v1", image([b"another source"]))
    world.run(world.job(rule="other"))

    view = repair(world, world.job(rule="one"))

    assert view.state is State.BLOCKED
    assert world.digest("us") == ours


def test_what_a_person_pushed_is_made_whole_and_stays_theirs(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": LAX})
    ours = world.push("eu", "v1", image([b"ours"]))
    world.run(world.job())
    for name in ("eu", "us"):
        world.push(name, "v1", TOP)
    world.lose_manifest("us", CHILD.digest)

    assert repair(world).outcome == "copied"

    assert is_whole(world["us"], API, "v1", TOP)
    record = world.ledger.fleet.copied("us", Repository(API), Tag("v1"))
    assert record
    assert (record.digest, record.intent) == (ours, ours)


# What a repair must not miss


def test_an_event_that_comes_before_the_run_does_not_weaken_it(world: World) -> None:
    world.lose_manifest("us", CHILD.digest)
    world.tell(world.job(), REPAIR)
    world.tell(world.job(), Action.PUSH, TOP.digest)

    assert world.shown(world.work(world.job())).outcome == "copied"

    assert is_whole(world["us"], API, "v1", TOP)


def test_a_repair_that_fails_on_the_way_is_still_one_at_the_next_try(world: World) -> None:
    world["us"].storage.remove_blob(Repository(API), LAYER)
    world["eu"].fail("GET", f"blobs/{LAYER}", status=503)

    assert repair(world).state is State.PENDING
    world.end_outage("eu")
    world.settle()

    assert is_whole(world["us"], API, "v1", TOP)


def test_a_repair_whose_ledger_was_emptied_is_done_again(world: World) -> None:
    world["us"].storage.remove_blob(Repository(API), LAYER)
    once(world["us"], "PUT", "manifests/v1", world.redis.flushall)

    assert repair(world).state is State.PENDING
    world["us"].storage.remove_blob(Repository(API), LAYER)
    world.settle()

    assert is_whole(world["us"], API, "v1", TOP)


def test_bytes_that_a_registry_keeps_though_they_are_damaged_need_a_person(world: World) -> None:
    world.damage("us", LAYER, b"x" * len(CHILD.blobs[LAYER]))
    # The demo registry holds a blob once for all repositories, and keeps it while another still names it.
    world["us"].storage.add_blob(
        Repository("another"), LAYER, world["us"].storage.blob(Repository(API), LAYER)
    )

    first = repair(world)
    assert first.state is State.PENDING  # it is fetched twice, as whatever is damaged
    view = world.hurried(world.job())

    assert view.state is State.PARKED
    reason = view.reason or ""
    assert all(
        part in reason for part in (f"us/{API}:v1", LAYER, "sent again in vain", "storage", "repair again")
    ), reason
    assert len(reason) < 500

    with world["us"].storage.lock:
        for repository in (API, "another"):
            world["us"].storage.remove_blob(Repository(repository), LAYER)
    world.ledger.reopen(world.job().id)
    assert world.shown(world.work(world.job())).outcome == "copied"
    assert is_whole(world["us"], API, "v1", TOP)

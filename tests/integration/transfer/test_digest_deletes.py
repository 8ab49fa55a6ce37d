"""Deletes at registries that delete by digest only: what goes with the digest, what forbids it, and what comes back."""

import time

import pytest

from replicator.ledger import State
from replicator.oci import Repository, Tag
from replicator.transfer.deletion import TAG_DELETE
from tests.fakes.images import index, is_whole
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_deletes import DELETING, NO_TAG_DELETE, ONE, TWO, copied
from tests.integration.transfer.world import API, Killed, once


def die() -> None:
    raise Killed


def test_where_only_digests_can_be_deleted_the_digest_goes(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE))
    world.delete("eu", "v1")

    assert world.remove(world.job()).outcome == "deleted"
    assert world.digest("us") is None


def test_where_only_digests_can_be_deleted_another_tag_blocks_the_delete(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE), "v1", "v2")
    world.delete("eu", "v1")

    view = world.remove(world.job())

    assert view.state is State.BLOCKED
    assert "v2 needs it" in (view.reason or "")
    assert world.digest("us", "v1") == world.digest("us", "v2") == ONE.digest


def test_a_person_may_delete_a_digest_with_all_of_its_tags(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE), "v1", "v2")
    world.push("us", "theirs", ONE)
    world.delete("eu", "v1")
    world.remove(world.job())

    world.ledger.approve(world.job().id)
    world.settle()

    assert world.digest("us", "v1") is None
    assert world.digest("us", "theirs") is None
    # What the source still has comes back.
    assert is_whole(world["us"], API, "v2", ONE)


def test_a_tag_that_is_copied_while_its_digest_is_deleted_comes_back(make_world: MakeWorld) -> None:
    # A rename: the new tag has the digest of the old one, and is copied after the delete looked for such tags.
    world = copied(make_world(DELETING, features=NO_TAG_DELETE))
    world.ledger.fleet.learn("us", TAG_DELETE, False)
    world.push("eu", "v2", ONE)
    world.delete("eu", "v1")
    world.run(world.job(), "delete")
    time.sleep(DELETING.delete_grace_s)
    world.tell(world.job("v2"))
    once(world["us"], "GET", "/tags/list", lambda: world.work(world.job("v2")))

    world.settle()

    assert world.digest("us", "v1") is None
    assert is_whole(world["us"], API, "v2", ONE)


def test_a_tag_that_went_with_a_digest_comes_back_though_the_worker_died(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE))
    world.ledger.fleet.learn("us", TAG_DELETE, False)
    world.push("eu", "v2", ONE)
    world.delete("eu", "v1")
    world.run(world.job(), "delete")
    time.sleep(DELETING.delete_grace_s)
    world.tell(world.job("v2"))
    once(world["us"], "GET", "/tags/list", lambda: world.work(world.job("v2")))
    once(world["us"], "DELETE", "manifests/", die)
    with pytest.raises(Killed):
        world.settle()
    world.expire(world.job())

    world.settle()

    assert is_whole(world["us"], API, "v2", ONE)


def test_tags_that_all_went_at_the_source_go_together(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE), "v1", "v2")
    for tag in ("v1", "v2"):
        world.delete("eu", tag)
        world.tell(world.job(tag), "delete")

    world.settle()

    assert world.digest("us", "v1") is None
    assert world.digest("us", "v2") is None
    assert world.ledger.view.failures() == []


def test_a_tag_of_somebody_elses_that_only_looks_gone_blocks_the_delete(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE))
    world.push("us", "theirs", ONE)
    world.delete("eu", "v1")

    assert world.remove(world.job()).state is State.BLOCKED
    assert world.digest("us", "theirs") == ONE.digest


@pytest.mark.parametrize("depth", [1, 2])
def test_a_child_of_an_index_that_is_there_is_not_deleted(make_world: MakeWorld, depth: int) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE))
    around = index([ONE, TWO]) if depth == 1 else index([index([ONE])])
    copied(world, "v-all", pushed=around)
    world.delete("eu", "v1")

    assert world.remove(world.job()).state is State.BLOCKED
    assert is_whole(world["us"], API, "v-all", around)


def test_a_repository_of_very_many_tags_is_not_searched(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE))
    shelf = world["us"].storage.shelves[Repository(API)]
    shelf.tags |= {Tag(f"t{number}"): ONE.digest for number in range(1001)}
    world.delete("eu", "v1")

    view = world.remove(world.job())

    assert view.state is State.BLOCKED
    assert "too many" in (view.reason or "")

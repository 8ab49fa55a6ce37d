"""What was deleted is put back while its blobs live, and only where nothing else stands."""

from dataclasses import replace

import pytest

from replicator.errors import PermanentError
from replicator.ledger import Deletion, State
from replicator.oci import Digest, Repository
from replicator.operate import undelete
from tests.fakes.images import Image, image, index, is_whole, multi_arch
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule

DELETING = replace(a_rule(), deletion=True)
ONE, TWO = image([b"one"]), image([b"two"])


def deleted(world: World, pushed: Image = ONE) -> Deletion:
    """An image was copied, and deleted on both sides; the deletion."""
    world.push("eu", "v1", pushed)
    assert world.run(world.job()).outcome == "copied"
    world.delete("eu", "v1")
    assert world.remove(world.job()).outcome == "deleted"
    (deletion,) = world.ledger.deletions
    return deletion


def lose(world: World, digest: Digest) -> None:
    """A manifest or blob of the destination is gone, as after a garbage collection."""
    with world["us"].storage.lock:
        shelf = world["us"].storage.find(Repository(API))
        assert shelf
        shelf.manifests.pop(digest, None)
        shelf.blobs.discard(digest)


def test_a_deletion_says_what_when_and_by_which_rule(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    deletion = deleted(world)

    assert (deletion.destination, deletion.repository, deletion.reference) == ("us", API, "v1")
    assert (deletion.digest, deletion.rule, deletion.manifest_raw) == (ONE.digest, "prod", ONE.raw)
    assert deletion.at == pytest.approx(world.ledger.view.now(), abs=5)
    assert world.ledger.deletions.named(deletion.id[:12]) == [deletion]
    assert world.ledger.deletions.named("1") == [deletion]
    assert world.ledger.deletions.named("x") == world.ledger.deletions.named(f"{deletion.id}1") == []


def test_what_was_deleted_is_put_back_byte_for_byte(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    deletion = deleted(world)

    done = undelete(world.desk(), deletion)

    assert done.written == (ONE.digest,)
    assert is_whole(world["us"], API, "v1", ONE)
    assert undelete(world.desk(), deletion).written == ()


def test_what_was_put_back_is_a_persons_and_no_delete_of_ours_takes_it(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    undelete(world.desk(), deleted(world))

    view = world.remove(world.job())

    assert view.state is State.BLOCKED
    assert "which we did not put there" in (view.reason or "")
    assert is_whole(world["us"], API, "v1", ONE)


def test_a_new_push_of_the_source_is_copied_over_what_was_put_back(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    undelete(world.desk(), deleted(world))
    world.push("eu", "v1", TWO)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", TWO)


def test_something_else_that_stands_there_now_is_kept_unless_forced(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    deletion = deleted(world)
    world.push("us", "v1", TWO)

    with pytest.raises(PermanentError, match=f"us/{API}:v1 holds {TWO.digest} now"):
        undelete(world.desk(), deletion)
    assert world.digest("us") == TWO.digest

    undelete(world.desk(), deletion, force=True)
    assert is_whole(world["us"], API, "v1", ONE)


def test_a_copy_of_ours_that_is_overwritten_by_force_is_not_ours_any_more(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    deletion = deleted(world)
    world.push("eu", "v1", TWO)
    world.run(world.job())

    undelete(world.desk(), deletion, force=True)

    assert world.ledger.fleet.copied("us", Repository(API), world.job().reference) is None


def test_without_its_blobs_nothing_is_put_back_and_the_error_says_what_helps(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    deletion = deleted(world)
    gone = next(iter(ONE.blobs))
    lose(world, gone)

    with pytest.raises(PermanentError, match=f"no longer holds {gone}.* resync from the source instead"):
        undelete(world.desk(), deletion)
    assert world.digest("us") is None


def test_an_index_comes_back_with_children_that_were_deleted_too(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    both = index([multi_arch("deep"), image([b"flat"])])
    deletion = deleted(world, both)
    # The children went by jobs of their own, and each was logged.
    for child in (both.children[0], both.children[0].children[0]):
        world.ledger.fleet.log_deletion(
            "us",
            Repository(API),
            child.digest,
            rule="prod",
            digest=child.digest,
            manifest_raw=child.raw,
            media_type=child.media_type,
        )
        lose(world, child.digest)

    done = undelete(world.desk(), deletion)

    assert done.written == (both.children[0].children[0].digest, both.children[0].digest, both.digest)
    assert is_whole(world["us"], API, "v1", both)


def test_an_index_whose_child_nobody_kept_stays_deleted(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    both = multi_arch("lost")
    deletion = deleted(world, both)
    lose(world, both.children[1].digest)

    with pytest.raises(PermanentError, match=f"no longer holds {both.children[1].digest}"):
        undelete(world.desk(), deletion)
    assert world.digest("us") is None


def test_a_deletion_of_an_early_release_can_be_put_back_too(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    deletion = deleted(world)
    world.redis.delete("replicator:deleted")
    fields = {"destination": "us", "repository": API, "reference": "v1", "digest": deletion.digest}
    world.redis.xadd(
        "replicator:deleted", {**fields, "media_type": deletion.media_type, "manifest": deletion.manifest_raw}
    )
    (old,) = world.ledger.deletions

    assert old.rule is None
    assert undelete(world.desk(), old).written == (ONE.digest,)


def test_many_deletions_are_listed_the_latest_first(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    for at in range(120):
        raw = b"%d" % at
        world.ledger.fleet.log_deletion(
            "us",
            Repository(API),
            world.job(f"v{at}").reference,
            rule="prod",
            digest=Digest.of(raw),
            manifest_raw=raw,
            media_type="x",
        )

    assert [deletion.reference for deletion in world.ledger.deletions] == [
        f"v{at}" for at in range(119, -1, -1)
    ]

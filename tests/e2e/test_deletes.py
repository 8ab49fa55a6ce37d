"""A delete destroys at the destination what we put there, and nothing else."""

from concurrent.futures import ThreadPoolExecutor

from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import wait_until


def test_what_is_deleted_at_the_source_is_deleted_within_fifteen_seconds(world: World) -> None:
    kinds = {"image": images.image([b"deleted"]), "index": images.multi_arch("deleted")}
    for kind, image in kinds.items():
        world.push("eu", f"deleting/{kind}", "v1", image)
        kept = world.push("eu", f"deleting/{kind}", "v2", images.image([f"kept beside {kind}".encode()]))
        world.await_copy("us", f"deleting/{kind}", "v1", image)
        world.await_copy("us", f"deleting/{kind}", "v2", kept)

    for kind, image in kinds.items():
        world.delete("eu", f"deleting/{kind}", image)

    with ThreadPoolExecutor() as pool:
        took = pool.map(lambda kind: world.await_absence("us", f"deleting/{kind}", "v1", within_s=15), kinds)
        assert max(took) > 4  # the source was asked twice, the grace of five seconds apart
    world.replicator.settle()  # what is gone is written down a moment later
    for kind in kinds:
        assert world.head("us", f"deleting/{kind}", "v2") is not None
        assert world.replicator.outcomes(f"deleting/{kind}", "v1")[0] == "deleted"


def test_a_rule_that_does_not_delete_keeps_what_it_copied(world: World) -> None:
    image = world.push("eu", "production/kept", "v1", images.image([b"kept"]))
    world.await_copy("us", "production/kept", "v1", image)

    world.delete("eu", "production/kept", image)

    wait_until(lambda: world.replicator.outcomes("production/kept", "v1")[:1] == ["skipped"], 15)
    world.replicator.settle()
    world.await_copy("us", "production/kept", "v1", image)


def test_what_we_did_not_put_there_is_blocked_and_waits_for_a_person(world: World) -> None:
    ours, theirs = images.image([b"ours"]), images.image([b"theirs"])
    world.push("eu", "deleting/theirs", "v1", ours)
    world.await_copy("us", "deleting/theirs", "v1", ours)
    world.push("us", "deleting/theirs", "v1", theirs)

    world.delete("eu", "deleting/theirs", ours)

    wait_until(lambda: _blocked(world, "deleting/theirs"), 15, what="the delete is blocked")
    (reason,) = _blocked(world, "deleting/theirs")
    assert "which we did not put there" in reason
    assert theirs.digest in reason
    assert (world.replicator.metric("replicator_blocked_jobs", rule="deleting", destination="us") or 0) >= 1
    world.await_copy("us", "deleting/theirs", "v1", theirs)


def test_an_image_that_another_tag_of_the_destination_needs_stays(world: World) -> None:
    image = world.push("eu", "deleting/needed", "v1", images.image([b"needed"]))
    world.await_copy("us", "deleting/needed", "v1", image)
    world.push("us", "deleting/needed", "pinned-by-a-person", image)

    world.delete("eu", "deleting/needed", image)

    wait_until(lambda: _blocked(world, "deleting/needed"), 15, what="the delete is blocked")
    assert "pinned-by-a-person needs it" in _blocked(world, "deleting/needed")[0]
    world.await_copy("us", "deleting/needed", "v1", image)


def test_what_is_pushed_again_within_the_grace_is_not_deleted(world: World) -> None:
    image = world.push("eu", "deleting/again", "v1", images.image([b"pushed again"]))
    world.await_copy("us", "deleting/again", "v1", image)

    world.delete("eu", "deleting/again", image)
    world.push("eu", "deleting/again", "v1", image)

    world.replicator.settle()
    world.await_copy("us", "deleting/again", "v1", image)
    assert "deleted" not in world.replicator.outcomes("deleting/again", "v1")


def _blocked(world: World, repository: str) -> list[str]:
    found = world.replicator.api("failures")["jobs"]
    return [job["reason"] for job in found if job["repository"] == repository and job["state"] == "blocked"]

"""Two regions that follow each other hold the same and come to rest."""

from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import wait_until

PAIR = ("eu", "us")


def test_a_push_crosses_once_and_makes_no_echo(world: World) -> None:
    image = world.push("eu", "shared/app", "v1", images.multi_arch("there"))
    world.await_copy("us", "shared/app", "v1", image)
    _await_rest(world, "shared/app", "back")

    assert world.puts("us", "shared/app").count("v1") == 1
    assert world.puts("eu", "shared/app").count("v1") == 1  # the push itself


def test_a_push_on_the_other_side_crosses_back(world: World) -> None:
    image = world.push("us", "shared/other", "v1", images.image([b"from the other side"]))
    world.await_copy("eu", "shared/other", "v1", image)
    _await_rest(world, "shared/other", "there")

    assert world.puts("us", "shared/other") == ["v1"]
    assert world.puts("eu", "shared/other") == ["v1"]


def test_a_rollback_by_a_person_on_the_other_side_comes_over(world: World) -> None:
    first, second = images.image([b"good"]), images.image([b"bad"])
    for image in (first, second):
        world.push("eu", "shared/rollback", "v1", image)
        world.await_copy("us", "shared/rollback", "v1", image)
    _await_rest(world, "shared/rollback", "back")

    images.push_manifest(world.url("us"), "shared/rollback", "v1", first)

    world.await_copy("eu", "shared/rollback", "v1", first)
    _await_rest(world, "shared/rollback", "there")
    assert {world.head(region, "shared/rollback", "v1") for region in PAIR} == {first.digest}


def test_pushes_on_both_sides_at_once_end_with_the_same_on_both(world: World) -> None:
    pushed = [images.image([f"at once {number}".encode()]) for number in range(10)]

    for image, region in zip(pushed, PAIR * 5, strict=True):
        world.push(region, "shared/both", "v1", image)

    wait_until(lambda: _same(world), 20, what="both hold the same", poll_s=0.2)
    world.replicator.settle()
    assert _same(world)
    assert world.head("eu", "shared/both", "v1") in {image.digest for image in pushed}
    writes = {region: len(world.puts(region, "shared/both")) for region in PAIR}
    world.replicator.settle()
    assert {region: len(world.puts(region, "shared/both")) for region in PAIR} == writes


def test_a_delete_crosses_and_nothing_comes_back(world: World) -> None:
    image = world.push("eu", "shared/gone", "v1", images.image([b"to be deleted"]))
    world.await_copy("us", "shared/gone", "v1", image)
    _await_rest(world, "shared/gone", "back")

    world.delete("eu", "shared/gone", image)

    world.await_absence("us", "shared/gone", "v1", within_s=15)
    world.replicator.settle()
    assert [world.head(region, "shared/gone", "v1") for region in PAIR] == [None, None]


def _same(world: World) -> bool:
    here, there = (world.head(region, "shared/both", "v1") for region in PAIR)
    return here == there and world.replicator.is_settled()


def _await_rest(world: World, repository: str, rule: str) -> None:
    """Wait until the copy's own event has been looked at, and nothing waits any more."""
    wait_until(
        lambda: world.replicator.outcomes(repository, "v1", rule=rule), what=f"a job of the rule {rule}"
    )
    world.replicator.settle()

"""The runbook's second drill: the ledger is lost, its data with it, while images were on their way."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

from tests.e2e.runbook import do
from tests.e2e.world import World
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import wait_until

RULE = """\
rules:
  - name: prod-to-dr
    source: eu
    destinations: [us]
    filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]
    deletion: true
"""
OLD = images.image([b"copied before the ledger was lost"])


@pytest.fixture
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], World]]:
    """Makes a world of the test's own for a rule, with one image in both regions."""
    with ExitStack() as stack:

        def make(rule: str = RULE) -> World:
            directory = tmp_path_factory.mktemp("redis")
            world = stack.enter_context(World(directory, rule, regions=("eu", "us")))
            world.push("eu", "production/web", "v1", OLD)
            world.await_copy("us", "production/web", "v1", OLD)
            world.replicator.settle()
            return world

        yield make


def lose_with_work(world: World, *, is_remembered: bool = False) -> Image:
    """Lose the ledger, and with it the job of an image that was pushed; that image."""
    world.replicator.command("pause", "--destination", "us")
    image = world.push("eu", "production/web", "v2", images.image([b"on its way"]))
    wait_until(lambda: world.replicator.jobs("production/web"), what="there is a job")
    world.replicator.stop()
    shutil.rmtree(world.replicator.data / "redis")
    if not is_remembered:
        (world.replicator.data / "ledger-seen.json").unlink()
    world.replicator.start()
    return image


def flush(world: World) -> None:
    """Empty the Redis of a tree that runs."""
    with redis.Redis(unix_socket_path=str(world.replicator.data / "redis.sock")) as client:
        client.flushall()


def test_a_resync_finds_what_a_lost_ledger_knew(make_world: Callable[[], World]) -> None:
    world = make_world()
    image = lose_with_work(world)

    assert world.replicator.jobs("production/web") == []
    assert "1 to add, 1 in sync" in do(world.replicator, "plan", status=2).out
    assert "us: 1 copied" in do(world.replicator, "resync --wait").out
    do(world.replicator, "plan")

    world.await_copy("us", "production/web", "v2", image)


def test_a_ledger_that_is_remembered_is_made_up_for_unasked(make_world: Callable[[], World]) -> None:
    world = make_world()

    image = lose_with_work(world, is_remembered=True)

    world.await_copy("us", "production/web", "v2", image, within_s=40)
    assert "redis forgot what it was told" in world.replicator.said


def test_an_emptied_redis_serves_on_and_a_resync_needs_no_receiver(make_world: Callable[[], World]) -> None:
    world = make_world()
    flush(world)
    pushed = world.push("eu", "production/web", "v2", images.image([b"after the flush"]))
    world.await_copy("us", "production/web", "v2", pushed)
    world.replicator.settle()

    world.registries["us"].stop()
    shutil.rmtree(world.registries["us"].storage / "docker")
    world.registries["us"].start()
    receiver = world.replicator.child("receiver")
    os.kill(receiver, signal.SIGSTOP)
    try:
        do(world.replicator, "resync --wait")
    finally:
        os.kill(receiver, signal.SIGCONT)

    world.await_copy("us", "production/web", "v1", OLD)
    world.await_copy("us", "production/web", "v2", pushed)


def test_deletes_of_older_copies_wait_for_a_person(make_world: Callable[[], World]) -> None:
    world = make_world()
    flush(world)
    world.delete("eu", "production/web", OLD)

    wait_until(lambda: world.replicator.api("failures")["jobs"], 20, what="the delete is blocked")
    listed = do(world.replicator, "failures").out
    assert f"the destination holds {OLD.digest}, which we did not put there" in listed
    assert world.head("us", "production/web", "v1") == OLD.digest
    assert "0 in sync, 1 only at the destination" in do(world.replicator, "plan --prune").out
    do(world.replicator, "failures approve --all --rule prod-to-dr")

    world.await_absence("us", "production/web", "v1")


def test_a_rule_with_backfill_catches_up_by_itself(make_world: Callable[[str], World]) -> None:
    world = make_world(RULE + "    backfill: true\n")
    wait_until(lambda: "sweep ended" in world.replicator.said, 20, what="the first backfill is over")

    image = lose_with_work(world)

    world.await_copy("us", "production/web", "v2", image)

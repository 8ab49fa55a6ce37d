"""Processes that die: one of them, the head, all of them; at rest and in the middle of a copy."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from replicator.oci import Digest
from replicator.settings import Settings
from tests.e2e.product import Replicator, members
from tests.e2e.world import World
from tests.fakes import images
from tests.fakes.images import Image
from tests.fakes.raw import RawClient
from tests.integration.processes import wait_until

MIB = 1024 * 1024
LAYERS, LAYER_BYTES = 6, 48 * MIB
CHILDREN = ("receiver", "scheduler", "redis", "worker")
POOL = Settings.model_fields["concurrency"].default
"""How many jobs a worker runs at once, each in a process of its own."""
RULES = """\
rules:
  - {name: all, source: eu, destinations: [us]}
"""


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("kills"), RULES, regions=("eu", "us")) as running:
        yield running


@pytest.fixture
def world(lasting: World) -> World:
    """Two regions and a running tree. A test may leave it dead."""
    lasting.replicator.ensure()
    return lasting


def test_a_second_tree_on_the_same_data_is_refused_and_harms_nothing(world: World) -> None:
    image = world.push("eu", "second", "v1", _small("before the second"))
    world.await_copy("us", "second", "v1", image)
    world.replicator.settle()
    copied = world.replicator.metric("replicator_jobs_total", rule="all", destination="us", outcome="copied")

    done = world.replicator.up_again()

    assert (done.status, done.out) == (1, "")
    said = f"another `replicator up` (pid {world.replicator.head}) runs on {world.replicator.data}"
    assert done.err == f"error: {said}\n"
    assert copied == world.replicator.metric(
        "replicator_jobs_total", rule="all", destination="us", outcome="copied"
    )
    later = world.push("eu", "second", "v2", _small("after the second"))
    world.await_copy("us", "second", "v2", later)


def test_a_tree_that_is_told_to_stop_finishes_what_it_began(world: World) -> None:
    group, image = world.replicator.head, _push_big(world, "big/stopped", 1)

    status = world.replicator.stop()

    assert (status, members(group)) == (0, [])
    assert images.is_whole(world.url("us"), "big/stopped", "v1", image)


def test_ctrl_c_ends_a_tree_in_good_order(world: World) -> None:
    said, group = len(world.replicator.said), world.replicator.head
    pushed = [world.push("eu", "interrupted", f"v{number}", _small(f"{number}")) for number in range(10)]

    status = world.replicator.interrupt()

    assert (status, members(group)) == (0, [])
    for complaint in ("ERROR", "Traceback"):
        assert complaint not in world.replicator.said[said:]
    world.replicator.start()
    for number, image in enumerate(pushed):
        world.await_copy("us", "interrupted", f"v{number}", image)


def test_a_new_tree_takes_over_the_orphans_of_a_killed_head(world: World) -> None:
    group = world.replicator.kill_head()
    assert len(members(group)) > len(CHILDREN)
    image = world.push("eu", "orphans", "v1", _small("while there is no head"))

    world.replicator.start()

    assert members(group) == []
    world.await_copy("us", "orphans", "v1", image, within_s=30)


def test_a_tree_killed_in_the_middle_of_a_copy_finishes_it_after_a_restart(world: World) -> None:
    image = _ended_in_the_middle(world, "big/killed", world.replicator.kill)
    assert world.head("us", "big/killed", "v1") is None

    world.replicator.start()

    world.await_copy("us", "big/killed", "v1", image, within_s=35)


def test_any_single_process_may_be_killed_and_nothing_is_lost(world: World) -> None:
    replicator, pushed = world.replicator, {}

    def push(tag: str) -> None:
        pushed[tag] = world.push("eu", "single", tag, _small(tag))

    for name in (*CHILDREN, "pool"):
        wait_until(lambda: len(replicator.pool()) == POOL, 20, what="the worker's pool is complete")
        victim = replicator.pool()[0] if name == "pool" else replicator.child(name)
        for number in range(3):
            push(f"{name}-before-{number}")
        os.kill(victim, signal.SIGKILL)
        for number in range(3):
            push(f"{name}-after-{number}")
        wait_until(lambda: _is_replaced(replicator, name, victim), 20, what=f"{name} is there again")  # noqa: B023

    for tag, image in pushed.items():
        world.await_copy("us", "single", tag, image, within_s=40)
    assert replicator.api("failures")["jobs"] == []


def test_what_was_accepted_while_the_worker_was_dead_is_done_later(world: World) -> None:
    replicator = world.replicator
    # A head that cannot act restarts nothing.
    os.kill(replicator.head, signal.SIGSTOP)
    try:
        for pid in (replicator.child("worker"), *replicator.pool()):
            os.kill(pid, signal.SIGKILL)
        image = world.push("eu", "waiting", "v1", _small("waits for a worker"))
        wait_until(lambda: replicator.jobs("waiting"), what="the job is written down")
        time.sleep(1)
        assert world.head("us", "waiting", "v1") is None
    finally:
        os.kill(replicator.head, signal.SIGCONT)

    world.await_copy("us", "waiting", "v1", image, within_s=30)


def _ended_in_the_middle(world: World, repository: str, end: Callable[[], object]) -> Image:
    """Push big images until one is cut short by `end`, with some of its layers at the destination; that one."""
    for number in range(5):
        image = _push_big(world, repository, number)
        end()
        if len(_blobs_there(world, repository, image)) < len(image.blobs):
            return image
        world.replicator.start()
    raise AssertionError("every copy was complete before the tree could be ended")


def _push_big(world: World, repository: str, number: int) -> Image:
    """Push a big image and wait until the first of its layers is at the destination."""
    seed = f"{repository} {number}"
    image = images.image([images.layer_bytes(f"{seed} {layer}", LAYER_BYTES) for layer in range(LAYERS)])
    world.push("eu", repository, None, image)
    images.push_manifest(world.url("eu"), repository, "v1", image)
    wait_until(lambda: _blobs_there(world, repository, image), what="a layer is there", poll_s=0.001)
    return image


def _small(text: str) -> Image:
    return images.image([text.encode()])


def _blobs_there(world: World, repository: str, image: Image) -> list[Digest]:
    with RawClient(world.url("us")) as client:
        path = f"/v2/{repository}/blobs"
        return [digest for digest in image.blobs if client.call("HEAD", f"{path}/{digest}").status == 200]


def _is_replaced(replicator: Replicator, name: str, victim: int) -> bool:
    if name == "pool":
        return victim not in replicator.pool() and len(replicator.pool()) == POOL
    return replicator.child(name) not in (0, victim)

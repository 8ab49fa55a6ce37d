"""The runbook's first drill: a region is lost with all that it held, and rebuilt empty."""

import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.runbook import do
from tests.e2e.world import World
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import wait_until

RULES = """\
rules:
  - name: prod-to-dr
    source: eu
    destinations: [us]
    filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]
    deletion: true
"""
NAMES = ("web", "api", "worker")


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of the test's own, with three signed images for two platforms in both regions."""
    with World(tmp_path_factory.mktemp("region"), RULES, regions=("eu", "us")) as running:
        for name in NAMES:
            image = running.push("eu", f"production/{name}", "v1", signed(name))
            running.push("eu", f"production/{name}", images.signature_tag(image), images.signature(image))
        await_all(running)
        running.replicator.settle()
        yield running


def signed(name: str) -> Image:
    """An image for two platforms; its signature is pushed beside it."""
    return images.multi_arch(name, size_bytes=200_000)


def await_all(world: World) -> None:
    """Wait until all images and signatures are there, with every byte below them."""
    for name in NAMES:
        image = signed(name)
        world.await_copy("us", f"production/{name}", "v1", image)
        tag = images.signature_tag(image)
        world.await_copy("us", f"production/{name}", tag, images.signature(image))


def lose(world: World) -> None:
    """`rm -rf` what the registry `us` stores."""
    for entry in world.registries["us"].storage.iterdir():
        shutil.rmtree(entry)


def rebuild(world: World) -> None:
    """Lose it, and have an empty one in its place."""
    world.registries["us"].stop()
    lose(world)
    world.registries["us"].start()


def test_a_lost_region_is_whole_again_by_one_command(world: World) -> None:
    rebuild(world)

    plan = do(world.replicator, "plan --destination us", status=2).out
    assert "+ eu/production/web:v1 -> us/production/web:v1 (586." in plan
    assert "prod-to-dr: eu -> us: 3 to add, 0 in sync, 1.7 MiB to move" in plan
    resync = do(world.replicator, "resync --destination us --wait").out
    verify = do(world.replicator, "verify --deep --destination us").out

    assert "us: 3 copied; 1.7 MiB moved\n3 jobs ended within " in resync
    assert "6 references, 6 proved by 15 manifests, 21 blobs, 3 signatures (1.7 MiB), 0 defects" in verify
    await_all(world)


def test_a_push_during_the_recovery_arrives_first(world: World) -> None:
    for number in range(20):
        world.push("eu", f"production/many-{number}", "v1", images.image([f"one of many, {number}".encode()]))
    world.replicator.settle()
    do(world.replicator, "pause --destination us --reason 'being rebuilt'")
    rebuild(world)

    assert "23 jobs submitted" in do(world.replicator, "resync --destination us").out
    image = world.push("eu", "production/web", "v2", images.image([b"pushed meanwhile"]))
    wait_until(lambda: world.replicator.jobs("production/web"), what="the push has a job")
    do(world.replicator, "resume --destination us")

    world.await_copy("us", "production/web", "v2", image)
    world.replicator.settle()
    ended = world.replicator.api("jobs?limit=1000&state=done")["jobs"][::-1]
    recovered = [(job["repository"], job["reference"]) for job in ended[-24:]]
    assert recovered.index(("production/web", "v2")) < 10


def test_a_registry_that_was_not_restarted_lies_until_it_is(world: World) -> None:
    lose(world)

    # It remembers blobs that are gone, and takes manifests that it will not be able to show.
    assert "us: 3 copied" in do(world.replicator, "resync --destination us --wait").out
    assert world.head("us", "production/web", "v1") is None
    assert "6 in sync" in do(world.replicator, "plan --destination us").out
    verify = do(world.replicator, "verify --deep --destination us", status=2).out
    assert f"us/production/web:v1 is absent, expected {signed('web').digest}\n" in verify
    assert "6 references, 0 proved by 0 manifests, 0 blobs, 0 signatures (0 B), 6 defects" in verify

    world.registries["us"].stop()
    world.registries["us"].start()

    assert "mended: 6 references" in do(world.replicator, "verify --deep --repair --destination us").out
    assert "0 defects" in do(world.replicator, "verify --deep --destination us").out
    await_all(world)

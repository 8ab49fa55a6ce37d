"""The runbook's fifth drill: the source's disk is damaged, and a destination still has the image."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.oci import Digest
from tests.e2e.runbook import do
from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import wait_until

RULES = """\
rules:
  - name: prod-to-dr
    source: eu
    destinations: [us, ap]
    filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]

  # Runs by command only, when eu has to be mended.
  - name: restore-eu
    source: us
    destinations: [eu]
    trigger: {type: manual}
    filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]
"""
LAYER = images.layer_bytes("a layer to be damaged")
IMAGE = images.image([LAYER, images.layer_bytes("another")])


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of the test's own, where `us` has the image, and `ap` waits for it."""
    with World(tmp_path_factory.mktemp("damaged"), RULES) as running:
        running.replicator.command("pause", "--destination", "ap")
        running.push("eu", "production/web", "v1", IMAGE)
        running.await_copy("us", "production/web", "v1", IMAGE)
        yield running


def blob(world: World, digest: Digest) -> Path:
    """The file of the registry `eu` that holds a blob or a manifest."""
    return world.registries["eu"].blob(digest)


def resume(world: World) -> None:
    """Let `ap` be served."""
    world.replicator.command("resume", "--destination", "ap")


def restart(world: World) -> None:
    """End the registry `eu`, and start it anew."""
    world.registries["eu"].stop()
    world.registries["eu"].start()


def test_a_damaged_blob_goes_nowhere_and_comes_back_from_another_region(world: World) -> None:
    blob(world, Digest.of(LAYER)).write_bytes(LAYER[::-1])

    resume(world)
    wait_until(lambda: world.replicator.api("failures")["jobs"], 30, what="the damage is noticed")
    listed = do(world.replicator, "failures").out
    assert "eu/production/web:v1 -> ap/production/web:v1" in listed
    assert f"{Digest.of(LAYER)} at eu: the bytes hash to sha256:" in listed, listed
    assert world.head("ap", "production/web", "v1") is None
    damage = do(world.replicator, "verify --deep --rule restore-eu", status=2).out
    assert str(Digest.of(LAYER)) in damage

    blob(world, Digest.of(LAYER)).unlink()
    restart(world)
    assert "mended: 1 reference" in do(world.replicator, "verify --deep --repair --rule restore-eu").out

    world.await_copy("ap", "production/web", "v1", IMAGE)
    world.await_copy("eu", "production/web", "v1", IMAGE)
    world.replicator.settle()
    assert "nothing waits for a person" in do(world.replicator, "failures").out
    do(world.replicator, "verify --deep")


def test_a_truncated_manifest_goes_nowhere_and_comes_back_from_another_region(world: World) -> None:
    blob(world, IMAGE.digest).write_bytes(IMAGE.raw[:100])

    resume(world)
    wait_until(
        lambda: any(job["reason"] for job in world.replicator.jobs("production/web")), 30, what="a try failed"
    )
    listed = do(world.replicator, "jobs").out
    assert "eu/production/web:v1 -> ap/production/web:v1" in listed
    assert "answered 500" in listed
    assert world.head("ap", "production/web", "v1") is None

    blob(world, IMAGE.digest).unlink()
    restart(world)
    do(world.replicator, "promote us/production/web:v1 eu/production/web")
    do(world.replicator, "resync --since 3d --wait")

    world.await_copy("ap", "production/web", "v1", IMAGE)
    world.await_copy("eu", "production/web", "v1", IMAGE)

"""What an operator does about failures, by command, on real registries."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from replicator.oci import Digest
from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import wait_until


def failure(world: World, repository: str) -> dict[str, Any]:
    """The one failure of a repository, as soon as it is listed."""
    found: list[dict[str, Any]] = []

    def is_listed() -> bool:
        done = world.replicator.command("failures", "list", "--repository", repository, "--json")
        assert done.status == 0, done
        found[:] = done.json()["jobs"]
        return bool(found)

    wait_until(is_listed, 20, what=f"a failure of {repository} is listed")
    (one,) = found
    return one


def said(world: World, *arguments: str) -> str:
    done = world.replicator.command(*arguments)
    assert done.status == 0, done
    return done.out


@pytest.fixture
def resumed(world: World) -> Iterator[World]:
    """The world, with nothing paused afterwards."""
    yield world
    for pause in world.replicator.api("status")["pauses"]:
        world.replicator.command("resume", f"--{pause['kind']}", pause["name"])


def test_a_blocked_delete_is_listed_shown_approved_and_done(world: World) -> None:
    ours, theirs = images.image([b"ours, to be approved"]), images.image([b"theirs, to be approved"])
    world.push("eu", "deleting/approved", "v1", ours)
    world.await_copy("us", "deleting/approved", "v1", ours)
    world.replicator.settle()
    world.push("us", "deleting/approved", "v1", theirs)
    world.delete("eu", "deleting/approved", ours)

    job = failure(world, "deleting/approved")
    assert job["sentence"] == (
        f"waits for a person's approval: the destination holds {theirs.digest}, which we did not put there"
    )
    card = said(world, "failures", "show", job["id"])
    assert "eu/deleting/approved:v1" in card
    assert "deletes us/deleting/approved:v1 although replicator did not put there what it holds now" in card
    assert job["trace_id"] in card
    assert theirs.digest in said(world, "failures", "approve", job["id"])

    world.await_absence("us", "deleting/approved", "v1", within_s=20)
    world.replicator.settle()
    assert world.replicator.outcomes("deleting/approved", "v1")[0] == "deleted"


def test_a_parked_job_is_retried_once_its_cause_is_mended(resumed: World) -> None:
    world = resumed
    layer = images.layer_bytes("to be damaged")
    image = images.image([layer])
    said(world, "pause", "--rule", "careful")
    world.push("eu", "careful/mended", "v1", image)
    stored = world.registries["eu"].blob(Digest.of(layer))
    stored.write_bytes(layer[::-1])
    said(world, "resume", "--rule", "careful")

    job = failure(world, "careful/mended")
    assert (job["state"], job["attempts"]) == ("parked", 2)
    assert world.head("us", "careful/mended", "v1") is None
    stored.write_bytes(layer)
    assert said(world, "failures", "retry", job["id"][:10]).endswith("us/careful/mended:v1: due now\n")

    world.await_copy("us", "careful/mended", "v1", image)


def test_nothing_arrives_at_a_paused_destination_until_it_is_resumed(resumed: World) -> None:
    world = resumed
    image = images.image([b"pushed during a pause"])
    said(world, "pause", "--destination", "us", "--reason", "the disk is full")

    world.push("eu", "production/paused", "v1", image)
    world.await_copy("ap", "production/paused", "v1", image)

    assert world.head("us", "production/paused", "v1") is None
    (job,) = world.replicator.jobs("production/paused")
    assert (job["state"], job["is_paused"], job["attempts"]) == ("pending", True, 0)
    assert "paused: destination us since" in said(world, "status")
    assert (world.replicator.metric("replicator_pending_jobs", rule="production", destination="us") or 0) == 1
    wait_until(lambda: "the disk is full" in world.replicator.said, what="the scheduler says so")
    said(world, "resume", "--destination", "us")
    world.await_copy("us", "production/paused", "v1", image)


def test_a_deleted_image_is_put_back_and_can_be_pulled(world: World) -> None:
    image = world.push("eu", "deleting/regretted", "v1", images.multi_arch("regretted"))
    world.await_copy("us", "deleting/regretted", "v1", image)
    world.delete("eu", "deleting/regretted", image)
    world.await_absence("us", "deleting/regretted", "v1")
    world.replicator.settle()

    (deletion,) = [
        one
        for one in world.replicator.command("undelete", "--json").json()["deletions"]
        if (one["repository"], one["reference"]) == ("deleting/regretted", "v1")
    ]
    assert (deletion["digest"], deletion["rule"], deletion["destination"]) == (image.digest, "deleting", "us")
    assert f"us/deleting/regretted:v1 holds {image.digest} again" in said(world, "undelete", deletion["id"])

    world.await_copy("us", "deleting/regretted", "v1", image)
    world.replicator.settle()
    world.await_copy("us", "deleting/regretted", "v1", image)


def test_the_export_is_made_while_everything_runs(world: World) -> None:
    image = world.push("eu", "production/exported", "v1", images.image([b"exported"]))
    world.await_copy("us", "production/exported", "v1", image)
    world.replicator.settle()

    document = world.replicator.command("export").json()

    records = {
        (one["destination"], one["repository"], one["reference"]): one["record"] for one in document["copied"]
    }
    assert records["us", "production/exported", "v1"]["digest"] == image.digest


def test_the_commands_need_no_receiver(resumed: World) -> None:
    world = resumed
    receiver = world.replicator.child("receiver")
    os.kill(receiver, signal.SIGSTOP)
    try:
        for command in (
            ("failures",),
            ("jobs",),
            ("undelete",),
            ("pause", "--rule", "idle"),
            ("resume", "--rule", "idle"),
        ):
            said(world, *command)
    finally:
        os.kill(receiver, signal.SIGCONT)

"""A rule with a key: what cosign signed with it is copied as soon as it is signed, and nothing is shown before."""

from collections.abc import Iterator

import pytest

from replicator.oci import referrers_tag
from tests.e2e.world import World
from tests.fakes import images
from tests.fakes.cosign import SIGNED, Made
from tests.integration.processes import wait_until

RULES = """\
rules:
  - name: signed-only
    source: eu
    destinations: [us]
    filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]
    keys: [cosign.pub]
"""
MADE = Made.of("p256")
WAITS_S = 4.0
"""Longer than the first looks: what comes after them waits for nobody's next one."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world with the key beside its rules, shared by the tests of this file."""
    made = World(tmp_path_factory.mktemp("unsigned"), RULES, regions=("eu", "us"))
    made.replicator.write_rules("cosign.pub", MADE.pem)
    with made as running:
        yield running


def waits(world: World, repository: str) -> None:
    """The image is pushed, and its job waits for longer than anybody looks again by itself soon."""
    world.push("eu", repository, "v1", SIGNED)

    def is_waiting() -> bool:
        jobs = world.replicator.jobs(repository, state="pending")
        return any("waits to be signed" in (job["reason"] or "") for job in jobs)

    wait_until(is_waiting, what="the job waits")
    with pytest.raises(AssertionError):
        wait_until(lambda: world.head("us", repository, "v1"), WAITS_S, poll_s=0.2)


def test_a_late_signature_under_a_tag_starts_the_copy_at_once(world: World) -> None:
    waits(world, "production/tag")

    world.push("eu", "production/tag", images.signature_tag(SIGNED), MADE.simple)

    assert world.await_copy("us", "production/tag", "v1", SIGNED) < WAITS_S
    world.replicator.settle()
    world.await_copy("us", "production/tag", images.signature_tag(SIGNED), MADE.simple)


def test_a_late_bundle_starts_the_copy_and_an_attestation_before_it_does_not(world: World) -> None:
    repository, listing = "production/bundle", referrers_tag(SIGNED.digest)
    waits(world, repository)
    world.push("eu", repository, listing, images.index([MADE.attestation], platforms=[]))
    wait_until(lambda: world.replicator.outcomes(repository, listing) == ["skipped"], what="it was looked at")
    assert world.head("us", repository, "v1") is None

    both = images.index([MADE.attestation, MADE.bundle], platforms=[])
    world.push("eu", repository, listing, both)

    assert world.await_copy("us", repository, "v1", SIGNED) < WAITS_S
    for follower in (MADE.attestation, MADE.bundle):
        world.await_copy("us", repository, follower.digest, follower)


def test_a_signature_by_somebody_else_is_a_failure_that_says_so(world: World) -> None:
    repository = "production/stranger"
    world.push("eu", repository, images.signature_tag(SIGNED), Made.of("rsa").simple)
    world.push("eu", repository, "v1", SIGNED)

    def said() -> bool:
        return "none of the rule's keys made it" in world.replicator.command("failures").out

    wait_until(said, 30, what="the failure is told", poll_s=0.5)
    assert world.head("us", repository, "v1") is None

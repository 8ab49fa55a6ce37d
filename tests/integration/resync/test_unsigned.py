"""Comparisons by rules that require signatures: what waits for one is missing, and no resync shows it."""

from dataclasses import replace

import pytest

from replicator.drift import Kind
from replicator.ledger import State
from replicator.resync import enqueue, jobs_of
from replicator.rules import Signatures
from tests.fakes.images import image, signature, signature_tag
from tests.integration.resync.kit import kinds, swept
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule

pytestmark = pytest.mark.integration

SIGNED, UNSIGNED = image([b"signed"]), image([b"unsigned"])


def resynced(world: World) -> dict[str, str]:
    """Submit what differs, and try each job once: what became of it."""
    _, found = swept(world)
    jobs = [job for portion in enqueue(jobs_of(found), world.ledger) for job in portion]
    views = {job.reference: world.shown(world.hurried(job)) for job in jobs}
    return {str(reference): view.outcome or view.state for reference, view in views.items()}


def test_a_resync_copies_what_is_signed_and_the_rest_stays_missing(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), signatures=Signatures.REQUIRE, signature_wait_s=0.05))
    world.push("eu", "v1", UNSIGNED)
    world.push("eu", "v2", SIGNED)
    world.push("eu", signature_tag(SIGNED), signature(SIGNED))

    assert resynced(world) == {"v1": State.PENDING, "v2": "copied"}
    assert kinds(world) == {
        f"us/{API}:v1": Kind.ADD,
        f"us/{API}:v2": Kind.IN_SYNC,
        f"us/{API}:{signature_tag(SIGNED)}": Kind.IN_SYNC,
    }


def test_a_resync_finds_a_signature_of_which_nobody_told(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), signatures=Signatures.REQUIRE, signature_wait_s=0.0))
    world.push("eu", "v1", UNSIGNED)
    assert resynced(world) == {"v1": State.PARKED}
    assert resynced(world) == {"v1": State.PARKED}

    world.push("eu", signature_tag(UNSIGNED), signature(UNSIGNED))

    assert resynced(world) == {"v1": "copied"}

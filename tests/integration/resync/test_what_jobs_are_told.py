"""What a comparison saw saves its jobs requests, and never costs them the truth."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from replicator.resync import Request, enqueue, jobs_of
from tests.fakes.images import Image, image, signature, signature_tag
from tests.integration.resync.kit import only, resynced, swept
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule, once

pytestmark = pytest.mark.integration

TOP = image([b"top"])
NEWER = image([b"newer"])


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(a_rule())


def submitted(world: World, request: Request | None = None) -> None:
    """A comparison has submitted its jobs, and nobody has begun with them."""
    _, found = swept(world, request)
    assert list(enqueue(jobs_of(found), world.ledger))


def submitted_to(world: World, destination: str, afterwards: Callable[[], object]) -> None:
    """A comparison saw the tag at the source and not at the destination, where it came from; then something happens."""
    world.push("eu", "v1", TOP)
    submitted(world, only(destination=destination))
    world.delete("eu", "v1")
    afterwards()


def sign(world: World, subject: Image) -> None:
    """A signature is pushed, its event heard, and its job tried."""
    tag = signature_tag(subject)
    world.push("eu", tag, signature(subject))
    world.tell(world.job(tag), "push")
    world.work(world.job(tag))


def test_a_resync_lists_each_side_once_and_asks_for_nothing_that_the_listings_told(world: World) -> None:
    for tag in ("v1", "v2", "v3"):
        world.push("eu", tag, image([b"shared", tag.encode()]))
    world.forget_requests()

    resynced(world)

    reads = [text for text in world.asked("us") if text.startswith(("GET", "HEAD"))]
    assert reads == ["GET tags/list"]
    asked = world.asked("eu")
    assert asked.count("GET tags/list") == 1
    assert len([text for text in asked if text.startswith("HEAD manifests/v")]) == 3  # once, after the write
    assert len([text for text in asked if text.startswith("GET manifests/v")]) == 3


def test_a_signature_that_was_there_comes_before_the_tag(world: World) -> None:
    world.push("eu", "v1", TOP)
    world.push("eu", signature_tag(TOP), signature(TOP))

    resynced(world)

    written = world.tags_written("us")
    assert written.index(signature_tag(TOP)) < written.index("v1")


def test_a_signature_whose_job_comes_first_is_seen_by_the_job_of_its_subject(world: World) -> None:
    world.push("eu", "v1", TOP)
    submitted(world)
    sign(world, TOP)

    world.work(world.job())

    written = world.tags_written("us")
    assert written.index(signature_tag(TOP)) < written.index("v1")


def test_a_signature_that_comes_while_its_subject_is_copied_follows(world: World) -> None:
    world.push("eu", "v1", TOP)
    submitted(world)
    world["us"].before.append(lambda request: request.method == "PUT" and not signed and signed_now())
    signed: list[bool] = []

    def signed_now() -> None:
        signed.append(True)
        sign(world, TOP)

    world.work(world.job())
    world.settle()

    assert world.digest("us", signature_tag(TOP)) == world.digest("eu", signature_tag(TOP))


def test_what_we_wrote_since_the_comparison_is_looked_at(make_world: MakeWorld) -> None:
    world = make_world(a_rule("prod"), a_rule("twin"))
    world.push("eu", "v1", TOP)
    submitted(world)
    world.work(world.job(rule="twin"))
    world.forget_requests()

    world.work(world.job(rule="prod"))

    assert world.asked("us") == ["HEAD manifests/v1"]


def test_a_signature_that_comes_between_the_two_listings_is_not_missed(world: World) -> None:
    world.push("eu", "v1", TOP)
    once(world["us"], "GET", "tags/list", lambda: sign(world, TOP))
    submitted(world)

    world.work(world.job())

    written = world.tags_written("us")
    assert written.index(signature_tag(TOP)) < written.index("v1")


def test_where_the_content_came_from_the_destination_that_is_looked_at(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), a_rule("back", "us", "eu"))
    submitted_to(world, "us", lambda: world.push("us", "v1", TOP))
    world.run(world.job(rule="back", to="eu"))
    world.push("us", "v1", NEWER)

    world.work(world.job())

    assert world.digest("us", "v1") == NEWER.digest


def test_where_override_is_off_the_destination_is_looked_at_all_the_same(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), override=False))
    world.push("eu", "v1", TOP)
    submitted(world)
    world.push("us", "v1", NEWER)

    world.work(world.job())

    assert world.digest("us", "v1") == NEWER.digest


def test_an_event_takes_back_what_the_comparison_saw(world: World) -> None:
    world.push("eu", "v1", TOP)
    submitted(world)
    world.tell(world.job(), "push", TOP.digest)
    world.forget_requests()

    world.work(world.job())

    assert "HEAD manifests/v1" in world.asked("us")
    assert world.digest("us", "v1") == TOP.digest


def test_the_repository_of_the_destination_may_be_another(make_world: MakeWorld) -> None:
    rule = a_rule()
    there = replace(rule.destinations[0], namespace="mirror")
    world = make_world(replace(rule, destinations=(there,)))
    world.push("eu", "v1", TOP)

    resynced(world)

    assert world.digest("us", "v1", repository=f"mirror/{API}") == TOP.digest

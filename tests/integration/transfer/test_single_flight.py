"""Many workers, one blob, one destination: one upload, and the others mount it."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace

import pytest

from replicator.jobs import Job
from replicator.ledger import Ledger
from replicator.ledger.flights import FLIGHT_S
from replicator.oci import Digest
from replicator.rules import Signatures
from replicator.transfer import bring_in_line
from replicator.transfer.blobs import WAIT_S
from tests.fakes.images import image, is_whole, layer_bytes
from tests.integration.ledger.kit import located
from tests.integration.processes import wait_until
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import World, a_rule

UNSIGNED = replace(a_rule(), signatures=Signatures.IGNORE)
SHARED = layer_bytes("shared", 2_000_000)
SMALL = layer_bytes("small", 2_000)
REPOSITORIES = [f"team/app{number}" for number in range(6)]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world(UNSIGNED)
    for repository in REPOSITORIES:
        made.push("eu", "v1", image([SHARED, SMALL, layer_bytes(repository)]), repository=repository)
    made.forget_requests()
    return made


@contextmanager
def workers(world: World, jobs: Sequence[Job], *, processes: bool) -> Iterator[list[Job]]:
    """Try these jobs at once, each in a thread; with `processes` each with a ledger of its own, as processes have."""
    for job in jobs:
        world.tell(job)
    ledgers = [Ledger.connect(world.redis_url) if processes else world.ledger for _ in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [
            pool.submit(bring_in_line, job.id, world.tools(ledger=ledger))
            for job, ledger in zip(jobs, ledgers, strict=True)
        ]
        yield list(jobs)
        wait(running)
        for future in running:
            future.result()
    if processes:
        for ledger in ledgers:
            ledger.close()


def jobs_of(world: World) -> list[Job]:
    return [world.job(repository=repository) for repository in REPOSITORIES]


def uploads(world: World, content: bytes) -> int:
    """How often the destination was sent these bytes."""
    digest = Digest.of(content)
    return sum(
        entry.method == "PUT" and entry.query.get("digest") == digest and entry.status == 201
        for entry in world["us"].log
    )


def reads(world: World, content: bytes) -> int:
    return len(world["eu"].requests("GET", f"/blobs/{Digest.of(content)}"))


def slow(world: World, content: bytes, delay_s: float = 0.2) -> None:
    """The source takes its time with that blob."""
    world["eu"].fail("GET", f"/blobs/{Digest.of(content)}", times=float("inf"), delay=delay_s)


@pytest.mark.parametrize("processes", [False, True])
def test_one_job_uploads_and_the_others_mount(world: World, processes: bool) -> None:
    slow(world, SHARED)
    slow(world, SMALL)

    with workers(world, jobs_of(world), processes=processes):
        pass

    for content in (SHARED, SMALL):
        assert uploads(world, content) == reads(world, content) == 1
    for repository in REPOSITORIES:
        assert is_whole(world["us"], repository, "v1", image([SHARED, SMALL, layer_bytes(repository)]))


def test_two_tags_of_one_repository_ask_once_for_what_they_share(world: World) -> None:
    world.push("eu", "v2", image([SHARED, layer_bytes("v2")]), repository=REPOSITORIES[0])
    world.forget_requests()
    slow(world, SHARED)

    with workers(world, [world.job(tag, repository=REPOSITORIES[0]) for tag in ("v1", "v2")], processes=True):
        pass

    asked = [entry for entry in world["us"].requests("POST") if entry.query.get("mount") == Digest.of(SHARED)]
    assert len(asked) == 1


def test_a_small_blob_is_told_before_a_large_one_is_there(world: World) -> None:
    slow(world, SHARED, 1.0)

    with workers(world, jobs_of(world)[:2], processes=True):
        wait_until(lambda: located(world.ledger, "us", [Digest.of(SMALL)]), 0.8)

    assert uploads(world, SMALL) == 1


def test_who_waits_brings_its_other_blobs_first(world: World) -> None:
    slow(world, SHARED, 1.0)
    own = [Digest.of(layer_bytes(repository)) for repository in REPOSITORIES[:3]]

    with workers(world, jobs_of(world)[:3], processes=True):
        wait_until(lambda: len(located(world.ledger, "us", own)) == 3, 0.8)

    assert uploads(world, SHARED) == 1


def test_a_leader_that_fails_is_followed_by_another_at_once(world: World) -> None:
    world["eu"].fail("GET", f"/blobs/{Digest.of(SHARED)}", status=404, delay=0.3)
    began = time.monotonic()

    with workers(world, jobs_of(world), processes=True):
        pass

    assert time.monotonic() - began < FLIGHT_S
    assert uploads(world, SHARED) == 1
    assert reads(world, SHARED) == 2
    assert sum(world.digest("us", repository=repository) is not None for repository in REPOSITORIES) == 5


def test_a_leader_that_was_killed_is_followed_within_seconds(world: World) -> None:
    hold(world, SHARED, FLIGHT_S)
    began = time.monotonic()

    world.run(world.job(repository=REPOSITORIES[0]))

    assert time.monotonic() - began < FLIGHT_S + 1
    assert world.digest("us", repository=REPOSITORIES[0])


def hold(world: World, content: bytes, seconds: float) -> None:
    """Another process brings that blob, and will not be heard of again."""
    world.redis.set(f"replicator:flight:us|{Digest.of(content)}", "somebody", px=int(seconds * 1000))


def test_who_waited_long_goes_back_to_the_queue(world: World) -> None:
    hold(world, SHARED, 60)
    job = world.job(repository=REPOSITORIES[0])

    view = world.run(job)

    assert view.state == "pending"
    assert view.attempts == 0
    assert "another job still brings" in view.reason
    assert not world.tags_written("us")
    world.redis.delete(f"replicator:flight:us|{Digest.of(SHARED)}")
    assert world.hurried(job).outcome == "copied"


def test_who_loses_its_lease_stops_waiting(world: World) -> None:
    hold(world, SHARED, 60)
    job = world.job(repository=REPOSITORIES[0])
    world.tell(job)
    worker = threading.Thread(target=bring_in_line, args=(job.id, world.tools(lease_s=0.6)))
    worker.start()
    wait_until(lambda: located(world.ledger, "us", [Digest.of(SMALL)]), 2)

    world.expire(job)
    worker.join(WAIT_S - 1)

    assert not worker.is_alive()
    assert not world.tags_written("us")


def test_a_registry_without_mounts_gets_the_blob_for_each_repository(world: World) -> None:
    world["us"].fail("POST", "mount=", times=float("inf"), status=405)

    with workers(world, jobs_of(world), processes=True):
        pass

    assert uploads(world, SHARED) == len(REPOSITORIES)


def test_what_was_given_up_is_forgotten(world: World) -> None:
    world["us"].fail("PUT", "/blobs/", status=403)

    world.run(world.job(repository=REPOSITORIES[0]))

    assert not world.redis.keys("replicator:flight:*")


def test_what_many_repositories_share_is_asked_for_once_in_each(world: World) -> None:
    for repository in REPOSITORIES:
        world.push("eu", "v2", image([SHARED, layer_bytes(f"{repository} 2")]), repository=repository)
    world.forget_requests()

    for tag in ("v1", "v2"):
        for repository in REPOSITORIES:
            world.tell(world.job(tag, repository=repository))
            world.work(world.job(tag, repository=repository))

    asked = [entry for entry in world["us"].requests("POST") if entry.query.get("mount") == Digest.of(SHARED)]
    assert len(asked) == len(REPOSITORIES)
    assert uploads(world, SHARED) == 1


def test_jobs_of_one_repository_mount_what_they_share_once(world: World) -> None:
    tags = ["v1", "v2", "v3", "v4"]
    for tag in tags[1:]:
        world.push("eu", tag, image([SHARED, layer_bytes(tag)]), repository=REPOSITORIES[0])
    world.run(world.job(repository=REPOSITORIES[1]))
    world.forget_requests()
    world["us"].fail("POST", f"mount={Digest.of(SHARED)}", times=float("inf"), delay=0.2)

    with workers(world, [world.job(tag, repository=REPOSITORIES[0]) for tag in tags], processes=False):
        pass

    asked = [entry for entry in world["us"].requests("POST") if entry.query.get("mount") == Digest.of(SHARED)]
    assert [entry.query["from"] for entry in asked] == [REPOSITORIES[1]]
    assert all(world.digest("us", tag, repository=REPOSITORIES[0]) for tag in tags)

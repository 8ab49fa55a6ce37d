"""Doorbells for several jobs: each ends by itself, and none outlives the process that heard it."""

import signal
import threading
from dataclasses import replace

import pytest

from replicator.jobs import Job
from replicator.ledger import Claim, Refusal, State
from replicator.oci import Digest
from replicator.transfer import answer
from replicator.transfer.tools import JOBS_AT_ONCE
from tests.fakes.images import image
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import World, a_rule

pytestmark = pytest.mark.integration


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(a_rule())


TAGS = ("v1", "v2", "v3", "v4", "v5", "v6")


def wanted(world: World) -> list[Job]:
    """Jobs for six images of one repository, which all share a layer."""
    for tag in TAGS:
        world.push("eu", tag, image([b"shared", tag.encode()]))
    jobs = [world.job(tag) for tag in TAGS]
    for job in jobs:
        world.tell(job)
    return jobs


def test_every_job_of_a_doorbell_is_done(world: World) -> None:
    jobs = wanted(world)

    answer([job.id for job in jobs], world.tools())

    assert world.ledger.view.jobs(state=State.PENDING) == []
    for tag in TAGS:
        assert world.digest("us", tag) == world.digest("eu", tag)


def test_a_job_that_fails_holds_up_none_of_the_others(world: World) -> None:
    jobs = wanted(world)
    world["eu"].fail("GET", "/manifests/v3", status=500, times=99)

    answer([job.id for job in jobs], world.tools())

    assert [view.id for view in world.ledger.view.jobs(state=State.PENDING)] == [world.job("v3").id]
    assert [tag for tag in TAGS if world.digest("us", tag)] == ["v1", "v2", "v4", "v5", "v6"]


def test_what_is_gone_or_held_by_another_is_left_alone(world: World) -> None:
    jobs = wanted(world)
    held = world.ledger.claim(jobs[0].id)
    assert isinstance(held, Claim)

    answer([world.job("never-asked").id, *(job.id for job in jobs)], world.tools())

    assert [tag for tag in TAGS if world.digest("us", tag)] == ["v2", "v3", "v4", "v5", "v6"]
    assert world.ledger.renew(held)


def test_what_a_doorbell_has_not_begun_in_time_is_given_back(world: World) -> None:
    jobs = wanted(world)
    let_go = threading.Event()
    world["eu"].before.append(lambda _: let_go.wait(10))
    threading.Timer(0.6, let_go.set).start()

    answer([job.id for job in jobs], replace(world.tools(), begins_within_s=0.2))

    assert [tag for tag in TAGS if world.digest("us", tag)] == list(TAGS[:JOBS_AT_ONCE])
    claims = [world.ledger.claim(job.id) for job in jobs[JOBS_AT_ONCE:]]
    assert [claim.attempts for claim in claims if isinstance(claim, Claim)] == [1, 1]


def test_a_process_that_is_told_to_stop_gives_back_what_it_did_not_begin(world: World) -> None:
    jobs = wanted(world)
    let_go = threading.Event()
    world["eu"].before.append(lambda _: let_go.wait(10))
    tools = world.tools()

    def stop(*_: object) -> None:
        raise SystemExit

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(SystemExit):
            answer([job.id for job in jobs], tools)
        claims = [world.ledger.claim(job.id) for job in jobs]
    finally:
        signal.signal(signal.SIGALRM, before)
        let_go.set()
        tools.desks.shutdown(cancel_futures=True)

    # What had begun may have been writing: it is looked at once more when its lease has run out.
    assert claims[:JOBS_AT_ONCE] == [Refusal.LEASED] * JOBS_AT_ONCE
    assert [claim.attempts for claim in claims[JOBS_AT_ONCE:] if isinstance(claim, Claim)] == [1, 1]
    assert [tag for tag in TAGS if world.digest("us", tag)] == []


def test_jobs_of_a_doorbell_ask_once_for_a_blob_that_another_repository_has(world: World) -> None:
    other = image([b"shared"])
    world.push("eu", "v1", other, repository="team/other")
    world.run(world.job(repository="team/other"))
    jobs = wanted(world)
    world.forget_requests()

    answer([job.id for job in jobs], world.tools())

    mounts = [entry for entry in world["us"].log if entry.query.get("mount") == Digest.of(b"shared")]
    assert [entry.query["from"] for entry in mounts] == ["team/other"]
    assert world.ledger.view.jobs(state=State.PENDING) == []

"""Redis that goes away and comes back, in every manner, under all roles."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.asking import Answers, asking
from tests.chaos.roles import Fleet
from tests.fakes.strait import Strait
from tests.integration.processes import RedisServer, wait_until

pytestmark = pytest.mark.integration

ANSWERS_WITHIN_S = 2.0
RESUMES_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("away") / "redis", port=0) as running:
        yield running


@pytest.fixture(scope="module")
def strait(server: RedisServer) -> Iterator[Strait]:
    """What stands between the roles and Redis."""
    assert server.port
    with Strait(server.port) as running:
        yield running


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, strait: Strait) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet"), strait.url.replace("http", "redis")) as running:
        yield running


def outlived(
    fleet: Fleet, name: str, begin: Callable[[], object], end: Callable[[], object], away_s: float
) -> Answers:
    """What senders were told around an outage. All that was pushed before, during and after it is copied in time."""
    pushed = {f"{name}-before": fleet.push(f"{name}-before")}
    with asking(fleet) as answers:
        wait_until(lambda: answers.taken, what="a notification is taken")
        begin()
        pushed[f"{name}-during"] = fleet.push(f"{name}-during")
        time.sleep(away_s)
        end()
        taken = len(answers.taken)
        wait_until(lambda: len(answers.taken) > taken, 15, what="the receiver takes notifications again")
    pushed[f"{name}-after"] = fleet.push(f"{name}-after")

    for tag, image in pushed.items():
        fleet.await_copy(tag, image, RESUMES_WITHIN_S)
    assert answers.slowest_s < ANSWERS_WITHIN_S
    assert all(role.is_running for role in fleet.roles.values())
    wait_until(lambda: fleet.api("status")["inbox"]["length"] == 0, what="every notification is routed")
    return answers


def test_r2_a_killed_redis_costs_no_event(fleet: Fleet, server: RedisServer) -> None:
    answers = outlived(fleet, "killed", server.kill, server.start, 5)

    assert set(answers.statuses) == {202, 503}
    # However long it takes, Celery is back soon after Redis.
    assert set(re.findall(r"Trying again in (\S+) seconds", fleet.roles["worker"].said)) == {"2.00"}


@pytest.mark.parametrize(
    "away_s", [8.0, pytest.param(60.0, marks=pytest.mark.chaos)], ids=["shortly", "for a minute"]
)
def test_q9_a_frozen_redis_leaves_no_worker_deaf(fleet: Fleet, server: RedisServer, away_s: float) -> None:
    answers = outlived(fleet, f"frozen-{away_s:.0f}", server.suspend, server.resume, away_s)

    assert set(answers.statuses) == {202, 503}


def test_q9_connections_that_died_unnoticed_leave_no_worker_deaf(fleet: Fleet, strait: Strait) -> None:
    def swallow() -> None:
        strait.hold()
        strait.forget()

    outlived(fleet, "silent", swallow, strait.heal, 3)


def test_q9_twenty_restarts_leave_no_worker_deaf(fleet: Fleet, server: RedisServer) -> None:
    def restart_often() -> None:
        for _ in range(20):
            server.kill()
            server.start()
            time.sleep(0.2)

    outlived(fleet, "restarted", restart_often, lambda: None, 0)


def test_r3_a_full_redis_ends_no_worker(fleet: Fleet, server: RedisServer) -> None:
    with server.client() as client:
        answers = outlived(
            fleet,
            "full",
            lambda: client.config_set("maxmemory", 1),
            lambda: client.config_set("maxmemory", 0),
            8,
        )

    assert set(answers.statuses) == {202, 503}


def test_q17_scripts_that_redis_forgets_all_the_time_are_loaded_again(
    fleet: Fleet, server: RedisServer
) -> None:
    over = threading.Event()

    def forget() -> None:
        with server.client() as client:
            while not over.wait(0.2):
                client.script_flush()

    forgetting = threading.Thread(target=forget)
    forgetting.start()
    try:
        pushed = {f"forgotten-{number}": fleet.push(f"forgotten-{number}") for number in range(10)}
        for tag, image in pushed.items():
            fleet.await_copy(tag, image)
    finally:
        over.set()
        forgetting.join()


def test_q10_a_redis_that_kept_nothing_is_made_up_for_by_itself(tmp_path: Path) -> None:
    settings = {"appendonly": "no"}
    with RedisServer(tmp_path / "redis", port=0, settings=settings) as server:
        (tmp_path / "fleet").mkdir()
        with Fleet(tmp_path / "fleet", server.url) as fleet:
            before = fleet.push("before")
            fleet.await_copy("before", before)
            fleet.roles["worker"].suspend()
            lost = fleet.push("lost")
            wait_until(lambda: fleet.api("jobs")["jobs"], what="there is a job to lose")

            server.kill()
            server.start()
            fleet.roles["worker"].resume()

            fleet.await_copy("lost", lost, 60)

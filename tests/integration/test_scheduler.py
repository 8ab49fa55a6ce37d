"""The scheduler's loops, on a real Redis."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.jobs import Job
from replicator.ledger import Submission
from replicator.oci import Repository, Tag
from replicator.runtime import Runtime
from replicator.settings import Settings
from tests.integration.processes import RedisServer, wait_until
from tests.unit.rulefiles.kit import rule, write
from workers.loops import run_scheduler


@pytest.fixture
def runtime(redis_server: RedisServer, tmp_path: Path) -> Iterator[Runtime]:
    """Of a scheduler whose rules have the destinations `us` and `ap`."""
    rules = write(tmp_path / "rules", {"r.yaml": rule(destinations="[us, ap]")})
    made = Runtime(Settings.load(redis_url=redis_server.url, rules=rules, data=tmp_path / "data"))
    stop = threading.Event()
    thread = threading.Thread(target=run_scheduler, args=(made, stop))
    thread.start()
    yield made
    stop.set()
    thread.join()
    made.close()


def test_nobody_is_rung_for_what_no_worker_serves(runtime: Runtime, redis_server: RedisServer) -> None:
    jobs = [Job("r", destination, Repository("team/api"), Tag("v1")) for destination in ("us", "ap")]
    runtime.ledger.heartbeat("one", 4, ["us"])
    runtime.ledger.submit([Submission(job, since=100.0) for job in jobs])

    with redis_server.client() as redis:
        wait_until(lambda: redis.llen("dst.us"), 5)
        assert redis.llen("dst.ap") == 0
        runtime.ledger.heartbeat("two", 4, ["ap"])
        wait_until(lambda: redis.llen("dst.ap"), 5)


def test_fewer_slots_than_destinations_are_warned_of_once(
    runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    def warnings() -> list[tuple[object, object]]:
        return [
            (vars(item)["slots"], vars(item)["destinations"])
            for item in caplog.records
            if item.message == "fewer slots than destinations"
        ]

    runtime.ledger.heartbeat("one", 1)
    wait_until(warnings, 5)
    runtime.ledger.heartbeat("two", 1)
    runtime.ledger.heartbeat("three", 5, ["us"])
    wait_until(lambda: runtime.ledger.slots() == 7)

    for _ in range(3):
        runtime.ledger.wait(0.6)
    assert warnings() == [(1, 2)]

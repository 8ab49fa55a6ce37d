"""The scheduler's loops, on a real Redis."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator import operate
from replicator.errors import ConfigError, LedgerUnavailable, ReplicatorError
from replicator.jobs import Job
from replicator.ledger import Ledger, PauseKind, Submission, SweepKind, SweepState
from replicator.oci import Repository, Tag
from replicator.resync import Loss
from replicator.runtime import Runtime
from replicator.settings import Settings
from tests.integration.processes import RedisServer, wait_until
from tests.unit.rulefiles.kit import rule, write
from workers.loops import run_scheduler
from workers.sweeps import ask_for_due, fail, run
from workers.watch import make_watcher


@pytest.fixture
def runtime(redis_server: RedisServer, tmp_path: Path) -> Iterator[Runtime]:
    """Of a scheduler whose rules have the destinations `us` and `ap`."""
    rules = write(tmp_path / "rules", {"r.yaml": rule(destinations="[us, ap]", was="former")})
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


def test_a_destination_that_did_not_answer_is_tried_with_one_job(
    runtime: Runtime, redis_server: RedisServer
) -> None:
    jobs = [Job("r", "us", Repository(f"team/app{at}"), Tag("v1")) for at in range(40)]
    runtime.ledger.availability.mark_down("us")
    runtime.ledger.submit([Submission(job, since=100.0) for job in jobs])
    runtime.ledger.heartbeat("one", 8, ["us"])

    with redis_server.client() as redis:
        wait_until(lambda: redis.llen("dst.us"), 5)
        time.sleep(1.0)
        assert redis.llen("dst.us") == redis.zcard("replicator:inflight:us") == 1

        runtime.ledger.availability.mark_up("us")
        wait_until(lambda: redis.zcard("replicator:inflight:us") == 8, 5)


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


def test_a_pause_is_logged_once_and_its_end_too(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    def said() -> list[tuple[str, object, object]]:
        return [
            (item.message, vars(item)["kind"], vars(item)["subject"])
            for item in caplog.records
            if item.message in ("paused", "resumed")
        ]

    runtime.ledger.pauses.pause(PauseKind.DESTINATION, "us", "disk")
    wait_until(said, 5)
    for _ in range(3):
        runtime.ledger.wait(0.6)
    runtime.ledger.pauses.resume(PauseKind.DESTINATION, "us")

    wait_until(lambda: len(said()) == 2, 5)
    assert said() == [("paused", "destination", "us"), ("resumed", "destination", "us")]


def test_nobody_is_rung_for_a_paused_rule_until_it_is_resumed(
    runtime: Runtime, redis_server: RedisServer
) -> None:
    runtime.ledger.heartbeat("one", 4)
    runtime.ledger.pauses.pause(PauseKind.RULE, "r")
    job = Job("r", "us", Repository("team/api"), Tag("v1"))
    runtime.ledger.submit([Submission(job, since=100.0)])

    with redis_server.client() as redis:
        wait_until(lambda: redis.zscore("replicator:due:us", job.id) == 1e11, 5)
        assert redis.llen("dst.us") == 0
        operate.resume(runtime.desk, PauseKind.RULE, "r")
        wait_until(lambda: redis.llen("dst.us"), 5)


def test_a_rule_that_was_renamed_while_it_was_paused_is_paused(
    runtime: Runtime, redis_server: RedisServer
) -> None:
    runtime.ledger.heartbeat("one", 4)
    runtime.ledger.pauses.pause(PauseKind.RULE, "former", "disk")
    wait_until(lambda: len(runtime.ledger.pauses.all()) == 2, 5)
    job = Job("r", "us", Repository("team/api"), Tag("v1"))
    runtime.ledger.submit([Submission(job, since=100.0)])

    with redis_server.client() as redis:
        wait_until(lambda: redis.zscore("replicator:due:us", job.id) == 1e11, 5)
        assert redis.llen("dst.us") == 0
        operate.resume(runtime.desk, PauseKind.RULE, "former")
        wait_until(lambda: redis.llen("dst.us"), 5)
    assert runtime.ledger.pauses.all() == []


def test_a_backfill_that_could_not_read_everything_is_made_again(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    rules = write(tmp_path / "rules", {"r.yaml": rule(backfill="true").replace("https", "http")})
    for name in ("eu", "us", "ap"):
        text = (rules / "r.yaml").read_text().replace(f"{name}.example.com", "127.0.0.1:1")
        (rules / "r.yaml").write_text(text)
    settings = Settings.load(redis_url=redis_server.url, rules=rules, data=tmp_path / "data")
    runtime = Runtime(settings)
    sweeps = runtime.ledger.sweeps
    ask_for_due(runtime)
    taken = sweeps.take()
    assert taken

    run(settings, taken.id)

    view = sweeps.view(taken.id)
    assert view
    assert (view.state, view.postponed) == (SweepState.WAITING, 1)
    assert "eu" in (view.error or "")
    ask_for_due(runtime)
    assert [waiting.id for waiting in sweeps.open()] == [taken.id]
    runtime.close()


def test_a_redis_that_forgot_has_all_compared_that_events_were_about(
    runtime: Runtime, redis_server: RedisServer
) -> None:
    sweeps = runtime.ledger.sweeps

    def asked() -> list[tuple[str, bool]]:
        return [(view.by, view.is_owed) for view in sweeps.open()]

    with redis_server.client() as redis:
        wait_until(lambda: redis.hget("replicator:epoch", "count") == b"2", 10)
        assert asked() == []
        redis.flushall()

        wait_until(asked, 10, what="a comparison is asked for")
        assert asked() == [(Loss.LEDGER, True)]
        # All was in line before, or on its way: what is repaired now was lost.
        assert redis.hexists("replicator:asked", "caught-up|r|us")
        # Once for one loss.
        wait_until(lambda: int(redis.hget("replicator:epoch", "count") or 0) >= 3, 10)
        assert asked() == [(Loss.LEDGER, True)]


def test_a_scheduler_knows_after_a_restart_what_redis_knew(redis_server: RedisServer, tmp_path: Path) -> None:
    rules = write(tmp_path / "rules", {"r.yaml": rule()})
    runtime = Runtime(Settings.load(redis_url=redis_server.url, rules=rules, data=tmp_path / "data"))
    stop = threading.Event()
    stop.set()
    make_watcher(runtime, stop)()
    make_watcher(runtime, stop)()
    assert runtime.ledger.sweeps.open() == []
    with redis_server.client() as redis:
        redis.flushall()

    make_watcher(runtime, stop)()

    assert [view.by for view in runtime.ledger.sweeps.open()] == [Loss.LEDGER]
    runtime.close()


@pytest.mark.parametrize("kept", ["", "{}", None])
def test_a_scheduler_without_memory_takes_redis_as_it_is(
    redis_server: RedisServer, tmp_path: Path, kept: str | None
) -> None:
    rules = write(tmp_path / "rules", {"r.yaml": rule()})
    data = tmp_path / "data"
    if kept is None:
        data.write_text("no directory")
    else:
        write(data, {"ledger-seen.json": kept})
    runtime = Runtime(Settings.load(redis_url=redis_server.url, rules=rules, data=data))
    stop = threading.Event()
    stop.set()
    watch = make_watcher(runtime, stop)

    watch()
    watch()

    assert runtime.ledger.sweeps.open() == []
    runtime.close()


def test_a_comparison_ends_with_the_scheduler_that_is_killed(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        text = rule(backfill="true").replace("https://eu.example.com", address)
        rules = write(tmp_path / "rules", {"r.yaml": text})
        environment = {
            **os.environ,
            "REPLICATOR_REDIS_URL": redis_server.url,
            "REPLICATOR_RULES": str(rules),
            "REPLICATOR_DATA": str(tmp_path / "data"),
        }
        with subprocess.Popen([sys.executable, "-m", "workers", "scheduler"], env=environment) as scheduler:
            silent.settimeout(20)
            connection, _ = silent.accept()
            scheduler.kill()

            connection.settimeout(10)
            while connection.recv(65536):
                pass
            connection.close()


@pytest.mark.parametrize(
    ("is_owed", "error", "state"),
    [
        (True, LedgerUnavailable("Redis is full"), SweepState.WAITING),
        (True, ConfigError("there is no rule r"), SweepState.FAILED),
        (False, LedgerUnavailable("Redis is full"), SweepState.FAILED),
    ],
    ids=["owed", "in vain", "asked for"],
)
def test_a_comparison_that_failed_is_made_again_if_it_is_owed_and_that_may_help(
    redis_server: RedisServer, is_owed: bool, error: ReplicatorError, state: SweepState
) -> None:
    sweeps = Ledger.connect(redis_server.url).sweeps
    sweeps.ask(SweepKind.RESYNC, "{}", by="a test", is_owed=is_owed)
    taken = sweeps.take()
    assert taken

    fail(sweeps, taken, error)

    view = sweeps.view(taken.id)
    assert view
    assert (view.state, view.error) == (state, str(error))

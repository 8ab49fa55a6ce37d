"""A worker process of its own, on a real Redis, without registries."""

import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from replicator.broker import TASK, Bell, make_app
from replicator.jobs import Job
from replicator.ledger import Ledger, Submission
from replicator.oci import Repository, Tag
from replicator.transfer import Tools
from tests.integration.processes import Process, RedisServer, wait_until
from tests.unit.rulefiles.kit import rule, write
from workers.tasks import offer


class WorkerProcess(Process):
    """`python -m workers worker` with two slots and a rule from `eu` to `us`."""

    def __init__(self, directory: Path, redis_url: str, arguments: Sequence[str] = ()) -> None:
        super().__init__(directory)
        write(directory / "rules", {"r.yaml": rule()})
        self._redis_url = redis_url
        self._arguments = arguments

    def _command(self) -> list[str]:
        variables = {"REDIS_URL": self._redis_url, "CONCURRENCY": "2", "DATA": str(self.directory / "data")}
        return [
            "env",
            *(f"REPLICATOR_{name}={value}" for name, value in variables.items()),
            *(sys.executable, "-m", "workers", "worker", *self._arguments),
        ]

    def _answers(self) -> bool:
        ledger = Ledger.connect(self._redis_url)
        try:
            return ledger.slots() > 0
        finally:
            ledger.close()


@pytest.fixture
def ledger(redis_server: RedisServer) -> Iterator[Ledger]:
    made = Ledger.connect(redis_server.url)
    yield made
    made.close()


def never_ends() -> Tools:
    time.sleep(60)
    raise AssertionError("it was left alone for a minute")


def answer_for_a_second() -> None:
    app = make_app("memory://")
    offer(app, never_ends, limit_s=1)
    app.tasks[TASK]("an id")


def test_a_process_that_is_at_a_doorbell_for_too_long_dies_of_it() -> None:
    process = multiprocessing.get_context("spawn").Process(target=answer_for_a_second)
    process.start()

    process.join(30)

    assert process.exitcode == -signal.SIGALRM


def test_jobs_of_a_destination_that_no_rule_has_any_more_end(
    redis_server: RedisServer, ledger: Ledger, stack: ExitStack, tmp_path: Path
) -> None:
    job = Job("r", "gone", Repository("team/api"), Tag("v1"))
    ledger.submit([Submission(job, since=time.time() - 600)])
    stack.enter_context(WorkerProcess(tmp_path / "worker", redis_server.url))

    Bell(make_app(redis_server.url)).ring("gone", [[job.id]])

    wait_until(lambda: ledger.job(job.id) is None, 5)

"""Real workers at one reference: doorbells that are doubled, and one that is frozen for longer than its lease."""

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.broker import Bell, make_app
from replicator.jobs import SILENT_DEATHS_BEFORE_PARKING
from replicator.ledger import State
from tests.chaos.line import RULE, Line, small
from tests.fakes.images import Image
from tests.fakes.sluice import Cut
from tests.integration.processes import RedisServer, wait_until
from tests.integration.transfer.test_resume import OneWorker

pytestmark = pytest.mark.integration

ELSEWHERE = {
    "Q3": "tests/e2e/test_kills.py::test_a_tree_killed_in_the_middle_of_a_copy_finishes_it_after_a_restart",
}
KEYS, DOUBLES = 5, 10
WORKERS_LEASE_S = 2.0
"""As `OneWorker` has it."""


class Scheduler(OneWorker):
    """`python -m workers scheduler` with the same rules."""

    def _command(self) -> list[str]:
        return [*super()._command()[:-1], "scheduler"]

    def _answers(self) -> bool:
        return True


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    directory = tmp_path_factory.mktemp("line")
    rule = replace(RULE, name="r", deletion=False)
    with (
        RedisServer(directory / "redis", appendfsync="no") as redis,
        Line(directory, redis, rule=rule) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def worker(line: Line) -> Iterator[OneWorker]:
    with OneWorker(line.directory / "worker", line.redis.url, line.urls["eu"], line.urls["us"]) as made:
        yield made


@pytest.fixture
def bell(line: Line) -> Bell:
    return Bell(make_app(line.redis.url))


class Frozen:
    """A child of a real worker's pool that stands still at a request for `old`, while others bring `new`."""

    def __init__(self, line: Line, worker: OneWorker, repository: str) -> None:
        self.line = line
        self.repository = repository
        self.job = line.job(repository)
        self.old, self.new = small(f"{repository} old"), small(f"{repository} new")
        self._child = child_of(worker)
        line.forget()
        line.push("eu", repository, "v1", self.old)
        line.tell(self.job, digest=self.old.digest)

    @contextmanager
    def still(self) -> Iterator[None]:
        """It stands still until another has taken over and brought the newer content; then it goes on."""
        os.kill(self._child, signal.SIGSTOP)
        try:
            self.line.push("eu", self.repository, "v1", self.new)
            self.line.tell(self.job, digest=self.new.digest)
            wait_until(self._is_overtaken, 20, what="another worker takes over")
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGCONT)

    def kill(self) -> None:
        os.kill(self._child, signal.SIGKILL)

    def await_its_write(self) -> None:
        wait_until(
            lambda: self.line.digest("us", self.repository) == self.old.digest, what="the old tag is back"
        )

    def ends_right(self) -> bool:
        self.line.settle()
        return self.line.is_whole(self.repository, self.new)

    def writes(self) -> list[str]:
        return self.line.sluices["us"].passed("PUT", f"^/v2/{self.repository}/manifests/")

    def _is_overtaken(self) -> bool:
        self.line.work(self.job)
        return self.line.is_whole(self.repository, self.new)


def test_q7_a_worker_that_freezes_before_its_write_and_wakes_too_late_writes_nothing(
    line: Line, worker: OneWorker, bell: Bell
) -> None:
    frozen = Frozen(line, worker, "frozen/before")
    last_blob = line.sluices["us"].hold("PUT", "/blobs/uploads/", nth=2, after=True)
    bell.ring("us", [[frozen.job.id]])
    last_blob.await_it()

    with frozen.still():
        last_blob.let_go()

    assert frozen.ends_right()
    assert len(frozen.writes()) == 1


def test_q7_a_worker_that_freezes_in_its_write_and_wakes_too_late_has_it_mended(
    line: Line, worker: OneWorker, bell: Bell
) -> None:
    frozen = Frozen(line, worker, "frozen/within")
    write = line.sluices["us"].hold("PUT", "/frozen/within/manifests/v1$")
    bell.ring("us", [[frozen.job.id]])
    write.await_it()

    with frozen.still():
        write.let_go()
        frozen.await_its_write()

    wait_until(lambda: line.ledger.view.jobs(state=State.PENDING), what="the job comes again")
    assert frozen.ends_right()


def test_q7_a_write_of_a_frozen_worker_that_is_killed_has_it_mended(
    line: Line, worker: OneWorker, bell: Bell
) -> None:
    frozen = Frozen(line, worker, "frozen/killed")
    write = line.sluices["us"].hold("PUT", "/frozen/killed/manifests/v1$")
    bell.ring("us", [[frozen.job.id]])
    write.await_it()

    with frozen.still():
        frozen.kill()
        write.let_go()
        frozen.await_its_write()

    assert frozen.ends_right()


def test_q6_doubled_doorbells_two_dispatchers_and_two_workers_make_one_copy(
    line: Line, worker: OneWorker, bell: Bell, tmp_path: Path
) -> None:
    pushed: dict[str, Image] = {f"doubled/{number}": small(f"doubled {number}") for number in range(KEYS)}
    jobs = {repository: line.job(repository) for repository in pushed}
    with ExitStack() as stack:
        for made in (Scheduler, Scheduler, OneWorker):
            directory = tmp_path / f"{made.__name__}-{len(list(tmp_path.iterdir()))}"
            stack.enter_context(made(directory, line.redis.url, line.urls["eu"], line.urls["us"]))
        for repository, image in pushed.items():
            line.push("eu", repository, "v1", image)
            line.tell(jobs[repository], digest=image.digest)
        for _ in range(DOUBLES):
            bell.ring("us", [[job.id] for job in jobs.values()])

        for repository, image in pushed.items():
            wait_until(lambda: line.is_whole(repository, image), 30, what=repository)  # noqa: B023
        wait_until(lambda: not line.ledger.view.jobs(state=State.PENDING), 30, what="nothing is left to do")
        with line.redis.client() as redis:
            wait_until(lambda: not redis.llen("dst.us"), 30, what="every doorbell was answered")

    log = line.registries["us"].log.read_text()
    for repository, image in pushed.items():
        assert len(re.findall(rf'"PUT /v2/{repository}/manifests/v1 HTTP/1.1" 201', log)) == 1
        assert len(re.findall(rf'"PUT /v2/{repository}/blobs/uploads/\S+ HTTP/1.1" 201', log)) == len(
            image.blobs
        )


def test_q5_a_doorbell_that_comes_again_during_a_long_copy_begins_no_second_one(
    line: Line, worker: OneWorker, bell: Bell
) -> None:
    job, pushed = line.job("long/copy"), small("long copy")
    line.forget()
    line.push("eu", "long/copy", "v1", pushed)
    line.tell(job, digest=pushed.digest)
    blob = line.sluices["eu"].hold("GET", "/long/copy/blobs/")
    bell.ring("us", [[job.id]])
    blob.await_it()

    # For longer than a lease, and for as often as a broker would that takes its message for lost.
    began = time.monotonic()
    while time.monotonic() - began < 1.5 * WORKERS_LEASE_S:
        bell.ring("us", [[job.id]])
        line.work(job)
        time.sleep(0.1)
    blob.let_go()

    wait_until(lambda: not line.ledger.job(job.id), 20, what="the copy is done")
    assert line.is_whole("long/copy", pushed)
    assert len(line.writes()) == 2 * len(pushed.blobs) + 1


def test_q2_a_job_that_always_kills_its_child_is_parked_and_stops_nobody_else(
    line: Line, worker: OneWorker, bell: Bell
) -> None:
    deadly, pushed = line.job("deadly"), small("deadly")
    line.forget()
    line.push("eu", "deadly", "v1", pushed)
    line.tell(deadly, digest=pushed.digest)
    deaths: list[int] = []

    def die(_: object) -> None:
        deaths.append(child_of(worker))
        worker.kill_child()
        raise Cut

    line.sluices["eu"].at("GET", "/deadly/manifests/", die, times=100)
    with line.redis.client() as redis:
        # The first deaths, which are like the last ones.
        redis.hset(f"replicator:job:{deadly.id}", "attempts", SILENT_DEATHS_BEFORE_PARKING - 3)

    def ring() -> None:
        known = len(deaths)
        bell.ring("us", [[deadly.id]])
        wait_until(lambda: len(deaths) > known or is_parked(), 20, what="another death, or the end of them")
        line.expire(deadly)

    def is_parked() -> bool:
        return line.shown(deadly).state is State.PARKED

    for number in range(4):
        assert not is_parked()
        ring()
        copy(line, bell, f"lively/{number}")

    assert is_parked()
    assert len(deaths) == 3
    assert "without a word" in (line.shown(deadly).reason or "")
    assert line.sluices["us"].passed("*", "/deadly/") == []


def copy(line: Line, bell: Bell, repository: str) -> None:
    """A worker copies something else."""
    job, pushed = line.job(repository), small(repository)
    line.push("eu", repository, "v1", pushed)
    line.tell(job, digest=pushed.digest)
    bell.ring("us", [[job.id]])
    wait_until(lambda: line.is_whole(repository, pushed), 20, what=f"{repository} is copied")


def child_of(worker: OneWorker) -> int:
    """The only child of the worker's pool, once there is one."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
    wait_until(lambda: children.read_text().split(), 20, what="the pool has a child")
    return int(children.read_text().split()[0])

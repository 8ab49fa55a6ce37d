"""Any history of pushes, deletes, events, workers and their deaths ends in line, and shows nothing partial on the way.

They are the same every time, but `HISTORIES=5000 pytest tests/chaos/test_histories.py` tells others, and more of them.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import hypothesis.strategies as st
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from replicator.demo.features import Features
from replicator.events import Action, Event
from replicator.jobs import Job, jobs_for
from replicator.ledger import Ledger, State, Submission
from replicator.oci import Digest, Repository, Tag
from replicator.rules import Registry, RegistryType, RuleSet, Signatures
from replicator.transfer import blobs, reading
from tests.chaos.stepwise import Fate, Worker
from tests.fakes.images import delete, image, index, layer_bytes, push
from tests.integration.processes import RedisServer
from tests.integration.transfer.world import API, VERSIONS, Watched, a_rule, forget_last_look

pytestmark = pytest.mark.integration

HISTORIES = int(os.environ.get("HISTORIES", "150"))
STEPS = 50
RESTS_WITHIN_S = 20.0
WORKERS = 2
RULE = replace(
    a_rule("prod", "eu", filters=VERSIONS),
    deletion=True,
    delete_grace_s=0.005,
    signatures=Signatures.IGNORE,
)
ONE, OTHER = image([layer_bytes("shared"), b"one"]), image([layer_bytes("shared"), b"other"])
IMAGES = {made.digest: made for made in (ONE, OTHER, index([ONE, OTHER]))}
TAGS = ("v1", "v2")
PICK = st.integers(0, 5)
"""Which of several. It is drawn whether there are any or not: what Hypothesis draws must not depend on the time."""
RULES = RuleSet(
    {name: Registry(name, RegistryType.DISTRIBUTION, f"http://{name}.test") for name in ("eu", "us")}, (RULE,)
)


class History(RuleBasedStateMachine):
    """One history. Hypothesis chooses what happens next; the class attributes are the same for all."""

    redis_url: str

    def __init__(self) -> None:
        super().__init__()
        self.redis = redis.Redis.from_url(self.redis_url)
        self.redis.flushall()
        self.ledger = Ledger.connect(self.redis_url, redispatch_s=0.001)
        self.workers: list[Worker] = []
        self.events: list[Event] = []
        self.late: list[Callable[[], object]] = []
        self.is_unheard = False
        self.shown: dict[str, set[Digest]] = {tag: set() for tag in TAGS}

    @initialize(tag_delete=st.booleans())
    def begin(self, tag_delete: bool) -> None:
        self.registries = {"eu": Watched(), "us": Watched(Features(tag_delete=tag_delete))}
        self.registries["us"].after.append(lambda _: self.check())

    # At the source

    @rule(tag=st.sampled_from(TAGS), pushed=st.sampled_from([*IMAGES]))
    def push(self, tag: str, pushed: Digest) -> None:
        push(self.registries["eu"], API, tag, IMAGES[pushed])
        self.shown[tag].add(pushed)
        self.events.append(Event("eu", Action.PUSH, Repository(API), Tag(tag), pushed))

    @rule(tag=st.sampled_from(TAGS))
    def delete(self, tag: str) -> None:
        if held := self.digest("eu", tag):
            delete(self.registries["eu"], API, tag)
            self.events.append(Event("eu", Action.DELETE, Repository(API), Tag(tag), held))

    # Events

    @rule(which=PICK, again=st.booleans())
    def deliver(self, which: int, again: bool) -> None:
        """In any order, and perhaps not for the last time."""
        if self.events:
            number = which % len(self.events)
            self.tell(self.events[number] if again else self.events.pop(number))

    @rule()
    def lose(self) -> None:
        if self.events:
            self.events.pop()
            self.is_unheard = True

    @rule()
    def sweep(self) -> None:
        """A comparison finds that everything may differ."""
        now = self.ledger.view.now()
        self.ledger.submit([Submission(self.job(tag), now, is_urgent=False) for tag in TAGS])

    # Workers

    @rule(tag=st.sampled_from(TAGS))
    def hear(self, tag: str) -> None:
        """A doorbell: the right one, one that is doubled, or one that was on its way for long."""
        if len(self.workers) < WORKERS:
            self.workers.append(self.worker(self.job(tag)))
            self.bury()

    @rule(which=PICK, steps=st.integers(1, 12))
    def work(self, which: int, steps: int) -> None:
        for worker in self.one(which):
            for _ in range(steps):
                worker.step()
        self.bury()

    @rule(which=PICK, fate=st.sampled_from([fate for fate in Fate if fate is not Fate.PASS]))
    def fail(self, which: int, fate: Fate) -> None:
        """Something happens to a worker's next request."""
        for worker in self.one(which):
            worker.step(fate)
        self.bury()

    @rule(which=PICK)
    def write(self, which: int) -> None:
        """A worker works on until it is about to write a manifest, or to delete one."""
        for worker in self.one(which):
            while not (worker.is_done or re.match(r"PUT \S+/manifests/|DELETE", worker.wants)):
                worker.step()
        self.bury()

    @rule(which=PICK, trips=st.integers(0, 5))
    def lay_fuse(self, which: int, trips: int) -> None:
        """A worker dies at one of its next round trips to the ledger."""
        for worker in self.one(which):
            worker.fuse = trips

    @rule(which=PICK)
    def land(self, which: int) -> None:
        """What was on its way takes effect."""
        if self.late:
            self.late.pop(which % len(self.late))()

    # Time

    @rule(tag=st.sampled_from(TAGS))
    def expire(self, tag: str) -> None:
        """The lease of a job is over; whoever held it was dead, or frozen for that long."""
        job = self.job(tag)
        for worker in self.workers:
            if worker.job == job:
                worker.lose_lease()
        key = f"replicator:job:{job.id}"
        if token := self.redis.hget(key, "token"):
            self.redis.hset(key, "lease_until", "0")
            self.redis.zrem("replicator:inflight:us", job.id)
            self.come_due(job.id)
            for lock in self.redis.keys("replicator:lock:*"):
                if self.redis.get(lock) == token:
                    self.redis.delete(lock)

    @rule()
    def wait(self) -> None:
        """Back-offs are over."""
        for view in self.ledger.view.jobs(state=State.PENDING):
            if self.redis.exists(f"replicator:job:{view.id}"):
                self.redis.hset(f"replicator:job:{view.id}", "not_before", "0")

    def hurry(self, job_id: str) -> None:
        """What waits for its time has come, a last look too."""
        self.come_due(job_id)
        forget_last_look(self.redis, job_id)

    def come_due(self, job_id: str) -> None:
        for queue in ("due", "low"):
            if self.redis.zscore(f"replicator:{queue}:us", job_id):
                self.redis.zadd(f"replicator:{queue}:us", {job_id: 0})

    # What has to hold

    def check(self) -> None:
        """Every tag of the destination is whole, and shows what the source showed there once."""
        shelf = self.registries["us"].storage.find(Repository(API))
        if shelf is None:
            return
        for tag, digest in shelf.tags.items():
            assert digest in self.shown[tag], f"{tag} never was {digest}"
            for manifest in (IMAGES[digest], *IMAGES[digest].children):
                assert manifest.digest in shelf.manifests, f"{tag} lacks a manifest"
                assert not shelf.missing(shelf.manifests[manifest.digest]), f"{tag} is not whole"

    def teardown(self) -> None:
        try:
            if hasattr(self, "registries"):
                self.rest()
        finally:
            for worker in self.workers:
                worker.is_dead = True
                worker.step(Fate.DIE)
                worker.close()
            self.ledger.close()
            self.redis.close()

    def rest(self) -> None:
        """Everybody ends what they began, what was on its way arrives, and time passes: then all is in line."""
        for event in self.events:
            self.tell(event)
        for worker in self.workers:
            worker.fuse = None
            worker.finish()
        self.bury()
        for tag in TAGS:
            self.expire(tag)
        self.work_off(self.due)
        while self.late:
            self.late.pop()()
        if self.is_unheard:
            self.sweep()
        self.work_off(self.pending)

        self.check()
        for tag in TAGS:
            if self.digest("us", tag) != self.digest("eu", tag):
                assert self.is_kept(tag), (
                    f"{tag} is {self.digest('us', tag)} and not {self.digest('eu', tag)}"
                )
        writes = self.writes()
        self.sweep()
        self.work_off(self.pending)
        assert self.writes() == writes, "what is in line is written again"

    def work_off(self, jobs: Callable[[], list[str]]) -> None:
        """Do all that the dispatcher rings for, until it rings for nothing more."""
        deadline = time.monotonic() + RESTS_WITHIN_S
        while found := jobs():
            assert time.monotonic() < deadline, self.ledger.view.jobs(state=State.PENDING)
            for job_id in found:
                job = self.ledger.job(job_id)
                if job:
                    worker = self.worker(job)
                    worker.finish()
                    worker.close()
            time.sleep(0.003)

    def due(self) -> list[str]:
        """What is due without anybody's waiting for long."""
        self.wait()
        return [job_id for bell in self.ledger.dispatch("us", 9, most=1) for job_id in bell]

    def pending(self) -> list[str]:
        """All that is to be done, however late."""
        for view in self.ledger.view.jobs(state=State.PENDING):
            self.hurry(view.id)
        return self.due()

    def is_kept(self, tag: str) -> bool:
        """Whether a person has to decide: its digest cannot be deleted alone."""
        view = self.ledger.view.job_view(self.job(tag).id)
        return (
            view is not None
            and view.state is State.BLOCKED
            and not self.registries["us"].features.tag_delete
            and self.digest("eu", tag) is None
        )

    # Short cuts

    def job(self, tag: str) -> Job:
        return Job("prod", "us", Repository(API), Tag(tag))

    def worker(self, job: Job) -> Worker:
        return Worker(job, redis_url=self.redis_url, rules=RULES, registries=self.registries, late=self.late)

    def tell(self, event: Event) -> None:
        now = self.ledger.view.now()
        self.ledger.submit(
            [Submission(job, now, event.action, event.digest) for job in jobs_for(event, RULES)]
        )

    def digest(self, name: str, tag: str) -> Digest | None:
        shelf = self.registries[name].storage.find(Repository(API))
        return shelf.tags.get(Tag(tag)) if shelf else None

    def writes(self) -> int:
        return sum(entry.method not in {"GET", "HEAD"} for entry in self.registries["us"].log)

    def bury(self) -> None:
        """Workers that ended are no more; what they were bringing is anybody's again, as it is two seconds later."""
        ended = [worker for worker in self.workers if worker.is_done]
        for worker in ended:
            worker.close()
            self.workers.remove(worker)
        if any(worker.is_dead for worker in ended):
            for key in self.redis.keys("replicator:flight:*"):
                self.redis.delete(key)

    def one(self, which: int) -> list[Worker]:
        """One of the workers, if there are any."""
        return self.workers[which % len(self.workers) :][:1] if self.workers else []


@pytest.fixture
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("redis"), binary="valkey-server", appendfsync="no") as server:
        yield server.url


def test_any_history_ends_in_line_and_shows_nothing_partial(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One thread a worker, and no real time: so that a history can be told again.
    monkeypatch.setattr(blobs, "SLOW_S", float("inf"))
    monkeypatch.setattr(blobs, "WAIT_S", 0.01)
    monkeypatch.setattr(reading, "FRESH_PUSH_S", 0.0)
    monkeypatch.setattr(reading, "FRESH_DELETE_S", 0.0)
    monkeypatch.setattr(History, "redis_url", redis_url, raising=False)
    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            derandomize="HISTORIES" not in os.environ,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

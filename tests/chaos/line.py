"""One rule between two real registries, with a sluice before each, a real ledger, and a worker in the test's hands."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import pytest

from replicator.jobs import Job
from replicator.ledger import JobView, Ledger, State, Submission
from replicator.oci import Digest, Repository, Tag
from replicator.registry import RegistryClient, connect
from replicator.rules import Registry, RegistryType, Rule, RuleSet, Signatures
from replicator.transfer import Leases, Tools, bring_in_line
from tests.fakes import images
from tests.fakes.images import Image, image, layer_bytes
from tests.fakes.sluice import Deed, Sluice
from tests.integration.processes import DockerRegistry, Notify, RedisServer
from tests.integration.transfer.world import ALL, a_rule, forget_last_look

LEASE_S = 20.0
SETTLES_WITHIN_S = 30.0
BEFORE_AND_AFTER = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])
RULE = replace(a_rule(filters=ALL), deletion=True, signatures=Signatures.IGNORE)
"""Everything of `eu` is brought to `us`, deletes too."""


class Line:
    """Registries `eu` and `us`; people use them directly, jobs through the sluices."""

    def __init__(
        self,
        directory: Path,
        redis: RedisServer,
        *,
        rule: Rule = RULE,
        notify: Notify = (),
        cached: bool = True,
    ) -> None:
        """`cached` False is a destination that keeps nothing of its blobs in memory."""
        self.directory = directory
        self.redis = redis
        self.rule = rule
        self.registries = {
            "eu": DockerRegistry(directory / "eu", notify=notify),
            "us": DockerRegistry(directory / "us", cached=cached),
        }
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for registry in self.registries.values():
                starting.enter_context(registry)
            self.sluices = {
                name: starting.enter_context(Sluice(registry.url))
                for name, registry in self.registries.items()
            }
            self.ledger = Ledger.connect(self.redis.url)
            starting.callback(self.ledger.close)
            self.tools = starting.enter_context(tools(self.ledger, self.urls, self.rule))
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def urls(self) -> dict[str, str]:
        """Where jobs find the registries."""
        return {name: sluice.url for name, sluice in self.sluices.items()}

    # People

    def push(self, name: str, repository: str, tag: str, image: Image) -> Digest:
        return images.push(self.registries[name].url, repository, tag, image)

    def delete(self, name: str, repository: str, digest: Digest) -> None:
        """Delete a manifest with all of its tags: 2.8 knows no other way."""
        images.delete(self.registries[name].url, repository, digest)

    def digest(self, name: str, repository: str, tag: str = "v1") -> Digest | None:
        return images.head(self.registries[name].url, repository, tag)

    def is_whole(self, repository: str, image: Image, tag: str = "v1") -> bool:
        """Whether the destination holds this very image, down to the last byte."""
        return images.is_whole(self.registries["us"].url, repository, tag, image)

    # Jobs

    def job(self, repository: str, tag: str = "v1") -> Job:
        return Job(self.rule.name, "us", Repository(repository), Tag(tag))

    def tell(self, job: Job, action: str | None = "push", digest: Digest | None = None) -> None:
        """An event, or with no action a resync, asks for the job."""
        self.ledger.submit([Submission(job, self.ledger.view.now(), action, digest)])

    def work(self, job: Job) -> None:
        """A worker hears the doorbell."""
        bring_in_line(job.id, self.tools)

    def settle(self) -> None:
        """Work until nothing is pending, without waiting for back-offs."""
        deadline = time.monotonic() + SETTLES_WITHIN_S
        while pending := self.ledger.view.jobs(state=State.PENDING):
            assert time.monotonic() < deadline, pending
            for view in pending:
                self._hurry(view.id)
                bring_in_line(view.id, self.tools)
            time.sleep(0.005)

    def shown(self, job: Job) -> JobView:
        view = self.ledger.view.job_view(job.id)
        assert view
        return view

    def expire(self, job: Job) -> None:
        """The lease runs out now."""
        self._set(job.id, "lease_until")

    def _hurry(self, job_id: str) -> None:
        self._set(job_id, "not_before")

    def _set(self, job_id: str, name: str) -> None:
        with self.redis.client() as client:
            if client.exists(f"replicator:job:{job_id}"):
                client.hset(f"replicator:job:{job_id}", name, "0")
                forget_last_look(client, job_id)

    # Requests

    def forget(self) -> None:
        """Nothing is to happen any more, and nothing has passed."""
        for sluice in self.sluices.values():
            sluice.forget()

    def at_request(self, number: int, deed: Deed, *, after: bool) -> "Count":
        """`deed` is done at the `number`-th request that comes to either registry."""
        count = Count(number, deed)
        for sluice in self.sluices.values():
            sluice.at("*", "", count, times=MOST_REQUESTS, after=after)
        return count

    def writes(self, name: str = "us") -> list[str]:
        """The requests that changed something, or tried to."""
        return [text for text in self.sluices[name].passed() if not text.startswith(("GET", "HEAD"))]


MOST_REQUESTS = 60
"""More than any one of these jobs needs."""


class Count:
    """Does `deed` at the `number`-th call; `is_over` says whether that came."""

    def __init__(self, number: int, deed: Deed) -> None:
        self._left = number
        self._deed = deed
        self.is_over = False

    def __call__(self, passage: object) -> None:
        self._left -= 1
        if self._left == 0:
            self.is_over = True
            self._deed(passage)  # type: ignore[arg-type]


@contextmanager
def tools(
    ledger: Ledger, urls: Mapping[str, str], rule: Rule, *, lease_s: float = LEASE_S
) -> Iterator[Tools]:
    """What a worker needs for that rule between registries at `urls`."""
    described = {name: Registry(name, RegistryType.DISTRIBUTION, url) for name, url in urls.items()}
    rules = RuleSet(described, (rule,))
    with ExitStack() as stack:
        clients: dict[str, RegistryClient] = {}
        for name, each in described.items():
            clients[name] = connect(each)
            stack.callback(clients[name].close)
        yield Tools(ledger, lambda: rules, clients.__getitem__, Leases(ledger, lease_s=lease_s))


class Mortal:
    """A worker process that tries one job, and may be killed over it."""

    def __init__(self, line: Line, job: Job, *, lease_s: float = LEASE_S) -> None:
        self._process = _FORKS.Process(
            target=_work, args=(line.redis.url, line.urls, line.rule, job.id, lease_s), daemon=True
        )
        self._process.start()

    def kill(self) -> None:
        """End it with SIGKILL, wherever it is."""
        self._process.kill()
        self._process.join()


def _work(redis_url: str, urls: Mapping[str, str], rule: Rule, job_id: str, lease_s: float) -> None:
    ledger = Ledger.connect(redis_url, lease_s=lease_s)
    with tools(ledger, urls, rule, lease_s=lease_s) as made:
        bring_in_line(job_id, made)


def tries(name: str, *, after: bool) -> Iterator[tuple[int, str]]:
    """The number of a request, and a repository for each; whoever gets one that never comes is done."""
    for number in range(1, MOST_REQUESTS):
        yield number, f"{name}/{'after' if after else 'before'}-{number}"
    pytest.fail("a job takes too many requests")


def small(seed: str) -> Image:
    return image([layer_bytes(seed)])


def pushing(line: Line, repository: str, pushed: Image) -> Callable[[object], None]:
    def push(_: object) -> None:
        line.push("eu", repository, "v1", pushed)

    return push


def deleting(line: Line, repository: str, pushed: Image) -> Callable[[object], None]:
    return lambda _: line.delete("eu", repository, pushed.digest)

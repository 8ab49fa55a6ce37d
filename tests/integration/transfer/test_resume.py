"""Uploads of large blobs that broke off go on where they stood: real registries, real workers, real deaths."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from replicator.broker import Bell, make_app
from replicator.demo.server import serve
from replicator.jobs import Job
from replicator.ledger import Ledger, Submission
from replicator.oci import Repository, Tag
from tests.fakes.images import image, is_whole, push
from tests.fakes.registry import FakeRegistry
from tests.fakes.strait import Strait
from tests.integration.processes import DockerRegistry, Process, RedisServer, wait_until
from tests.unit.rulefiles.kit import write

MIB = 1024 * 1024
LAYER = os.urandom(64 * MIB)
IMAGE = image([LAYER])
JOB = Job("r", "us", Repository("team/api"), Tag("v1"))
RULES = """\
registries:
  eu: {{type: distribution, url: "{eu}", webhook: {{anonymous: true}}}}
  us: {{type: distribution, url: "{us}", webhook: {{anonymous: true}}}}
rules:
  - {{name: r, source: eu, destinations: [us], signatures: ignore, filters: [{{type: name, value: "**"}}]}}
"""


class OneWorker(Process):
    """`python -m workers worker` with a single child."""

    def __init__(self, directory: Path, redis_url: str, eu: str, us: str) -> None:
        super().__init__(directory)
        write(directory / "rules", {"r.yaml": RULES.format(eu=eu, us=us)})
        self._redis_url = redis_url

    def kill_child(self) -> None:
        """SIGKILL for the pool's child, which runs the jobs."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)

    def _command(self) -> list[str]:
        variables = {
            "REDIS_URL": self._redis_url,
            "CONCURRENCY": "1",
            "LEASE_S": "2",
            "DATA": str(self.directory / "data"),
        }
        return [
            "env",
            *(f"REPLICATOR_{name}={value}" for name, value in variables.items()),
            *(sys.executable, "-m", "workers", "worker"),
        ]

    def _answers(self) -> bool:
        ledger = Ledger.connect(self._redis_url)
        try:
            return ledger.slots() > 0
        finally:
            ledger.close()


@dataclass
class Scene:
    """Two straits with a registry behind each, a worker between them, and the job's doorbell."""

    from_eu: Strait
    to_us: Strait
    worker: OneWorker
    ledger: Ledger
    bell: Bell

    def begin(self) -> None:
        self.ledger.submit([Submission(JOB, since=self.ledger.view.now())])
        self.bell.ring("us", [[JOB.id]])

    def reach(self, share: float) -> None:
        """Wait until so much went over, and a moment more: most of the time passes between two requests."""
        wait_until(lambda: self.sent() > share, 30)
        time.sleep(0.1)

    def is_over(self) -> bool:
        self.bell.ring("us", [[JOB.id]])
        return self.ledger.job(JOB.id) is None

    def sent(self) -> float:
        """The share of the layer that went to the destination so far."""
        return self.to_us.up_bytes / len(LAYER)

    def read(self) -> float:
        """How often the layer was read from the source."""
        return self.from_eu.down_bytes / len(LAYER)

    def ended(self) -> str:
        """Wait for the end of the job; what the worker wrote in its log."""
        wait_until(self.is_over, 60, poll_s=0.5)
        return self.worker.log.read_text()


@pytest.fixture
def a_scene(redis_server: RedisServer, stack: ExitStack, tmp_path: Path) -> Callable[..., Scene]:
    """Makes a scene with a slow way from the source, or to the destination, which is at `port`."""

    def make(port: int, **limits: float) -> Scene:
        eu = stack.enter_context(DockerRegistry(tmp_path / "eu"))
        push(eu.url, "team/api", "v1", IMAGE)
        from_eu = stack.enter_context(Strait(eu.port, down_per_s=limits.get("down_per_s", 0)))
        to_us = stack.enter_context(Strait(port, up_per_s=limits.get("up_per_s", 0)))
        worker = stack.enter_context(OneWorker(tmp_path / "worker", redis_server.url, from_eu.url, to_us.url))
        ledger = Ledger.connect(redis_server.url)
        stack.callback(ledger.close)
        return Scene(from_eu, to_us, worker, ledger, Bell(make_app(redis_server.url)))

    return make


@pytest.fixture
def us(stack: ExitStack, tmp_path: Path) -> DockerRegistry:
    """The destination, which forgets an upload that is cut within a request."""
    return stack.enter_context(DockerRegistry(tmp_path / "us"))


@pytest.fixture
def scene(a_scene: Callable[..., Scene], us: DockerRegistry) -> Scene:
    """A slow source."""
    return a_scene(us.port, down_per_s=16 * MIB)


@pytest.mark.parametrize("share", [0.35, 0.65])
def test_a_killed_worker_is_followed_from_where_the_upload_stood(
    scene: Scene, us: DockerRegistry, share: float
) -> None:
    scene.begin()
    scene.reach(share)

    scene.worker.kill_child()

    assert "resumed=1" in scene.ended()
    assert scene.sent() < 1.4
    assert scene.read() < 1.4
    assert is_whole(us.url, "team/api", "v1", IMAGE)


def test_a_registry_that_restarts_finds_the_upload_where_it_stood(scene: Scene, us: DockerRegistry) -> None:
    scene.begin()
    scene.reach(0.4)

    us.kill()
    scene.to_us.cut()
    time.sleep(1.5)
    us.start()

    assert "resumed=1" in scene.ended()
    assert scene.sent() < 1.4
    assert is_whole(us.url, "team/api", "v1", IMAGE)


def test_a_reset_between_chunks_costs_nothing(scene: Scene, us: DockerRegistry) -> None:
    scene.begin()
    scene.reach(0.4)

    scene.to_us.cut()

    assert "outcome=copied" in scene.ended()
    assert scene.sent() < 1.1
    assert scene.read() < 1.1
    assert is_whole(us.url, "team/api", "v1", IMAGE)


def test_a_registry_that_keeps_what_came_is_gone_on_with_within_a_request(
    a_scene: Callable[..., Scene], stack: ExitStack
) -> None:
    us = FakeRegistry()
    scene = a_scene(stack.enter_context(serve(us)).port, up_per_s=24 * MIB)
    scene.begin()
    scene.reach(0.5)

    scene.worker.kill_child()

    assert "resumed=1" in scene.ended()
    assert scene.sent() < 1.4
    assert scene.read() < 1.6
    assert is_whole(us, "team/api", "v1", IMAGE)

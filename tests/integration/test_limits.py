"""Limits of a registry, with several processes that know nothing of each other at one registry that counts."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from replicator.demo.messages import Request, Response
from replicator.demo.server import serve
from replicator.errors import NotYet, RateLimited
from replicator.ledger import Budget, Ledger, connect
from replicator.oci import Descriptor, Digest, Repository, Tag
from replicator.registry import RegistryClient
from replicator.rules import Limits, Registry, RegistryType
from tests import judges
from tests.fakes.images import layer_bytes, push_blob
from tests.fakes.raw import RawClient
from tests.fakes.registry import FakeRegistry
from tests.integration.processes import DockerRegistry, Process, RedisServer, free_port

API = Repository("team/api")
MIB = 1024 * 1024
BLOB = layer_bytes("a blob", MIB)
LEASE_S = 1.5
SPAWN = multiprocessing.get_context("spawn")
STARTS_WITHIN_S = 60


class Counting(FakeRegistry):
    """Notes when each request came, from whom, and how many ran at once."""

    def __init__(self, *, takes_s: float = 0.0) -> None:
        super().__init__()
        self.takes_s = takes_s
        self.most = 0
        self.arrivals: list[tuple[float, str]] = []
        self._running = 0
        self._lock = threading.Lock()

    def handle(self, request: Request) -> Response:
        with self._lock:
            self.arrivals.append((time.monotonic(), request.path))
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            time.sleep(self.takes_s)
            return super().handle(request)
        finally:
            with self._lock:
                self._running -= 1


class Nginx(Process):
    """nginx before a registry, which it lets have 20 requests a second and a few more; the rest are 429."""

    def __init__(self, directory: Path, upstream: str) -> None:
        super().__init__(directory)
        self._binary = judges.need("nginx")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._requests = directory / "requests"
        (directory / "nginx.conf").write_text(
            f"""daemon off; pid {directory}/pid; error_log {directory}/errors; user root;
            events {{}}
            http {{
              log_format times '$msec $status $uri'; access_log {self._requests} times;
              limit_req_zone all zone=all:1m rate=20r/s; limit_req_status 429;
              client_body_temp_path {directory}/bodies; proxy_temp_path {directory}/proxied;
              server {{
                listen 127.0.0.1:{self.port};
                location /v2/ {{
                  limit_req zone=all burst=5 nodelay; add_header Retry-After 1 always; proxy_pass {upstream};
                }}
              }}
            }}"""
        )

    @property
    def log_of_requests(self) -> list[tuple[float, int]]:
        """When each request for a manifest was answered, and how."""
        lines = [line.split() for line in self._requests.read_text().splitlines() if "/manifests/" in line]
        return [(float(at), int(status)) for at, status, _ in lines]

    def _command(self) -> list[str]:
        return [str(self._binary), "-p", str(self.directory), "-c", "nginx.conf"]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), RawClient(self.url) as client:
            return client.call("GET", "/").status == 404
        return False


@contextmanager
def client_of(redis_url: str, url: str, limits: Limits) -> Iterator[RegistryClient]:
    redis = connect(redis_url)
    described = Registry("eu", RegistryType.DISTRIBUTION, url, limits=limits)
    client = RegistryClient(described, gate=Budget(redis, "eu", limits, lease_s=LEASE_S))
    yield client
    client.close()
    redis.close()


def ask(client: RegistryClient, name: str) -> int:
    """One small request; 1 if it was made."""
    try:
        client.head_manifest(API, Tag(name))
    except (NotYet, RateLimited):
        time.sleep(0.02)
        return 0
    return 1


def read(client: RegistryClient, name: str) -> int:
    """One blob; its bytes."""
    with client.open_blob(API, Descriptor("application/octet-stream", Digest.of(BLOB), len(BLOB))) as chunks:
        return sum(len(chunk) for chunk in chunks)


def write(client: RegistryClient, name: str) -> int:
    """One blob that nobody has; its bytes."""
    content = os.urandom(MIB)
    upload = client.start_upload(API, Digest.of(content))
    assert upload
    client.finish_upload(
        upload, Descriptor("application/octet-stream", Digest.of(content), MIB), iter([content])
    )
    return MIB


def work(
    where: tuple[str, str, Limits], doing: str, seconds: float, together: Barrier, done: "Queue[int]"
) -> None:
    """What each process does: the same thing again and again, in three threads."""
    counts = [0, 0, 0]
    with client_of(*where) as client:
        together.wait(STARTS_WITHIN_S)
        end = time.monotonic() + seconds

        def run(number: int) -> None:
            while time.monotonic() < end:
                counts[number] += globals()[doing](client, f"{os.getpid()}")

        threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    done.put(sum(counts))


def together(redis_url: str, url: str, limits: Limits, *doing: str, seconds: float) -> list[int]:
    """What so many processes got done within about that time."""
    barrier, done = SPAWN.Barrier(len(doing)), SPAWN.Queue()
    where = (redis_url, url, limits)
    processes = [SPAWN.Process(target=work, args=(where, verb, seconds, barrier, done)) for verb in doing]
    for process in processes:
        process.start()
    counts = [done.get(timeout=STARTS_WITHIN_S + 10 * seconds) for _ in processes]
    for process in processes:
        process.join()
    return counts


def test_no_more_requests_run_at_once_than_the_registry_bears(redis_server: RedisServer) -> None:
    registry = Counting(takes_s=0.01)
    with serve(registry) as server:
        counts = together(redis_server.url, server.url, Limits(concurrency=3), *["ask"] * 3, seconds=2)

    assert 1 < registry.most <= 3
    assert min(counts) > sum(counts) / 20, "each has its turn"


def test_no_more_requests_are_sent_in_a_second_than_the_registry_bears(redis_server: RedisServer) -> None:
    registry = Counting()
    with serve(registry) as server:
        together(redis_server.url, server.url, Limits(requests_per_second=20), *["ask"] * 3, seconds=3)

    times = [at for at, _ in registry.arrivals]
    # A portion is two requests; each process may hold one back, and use it late.
    passed = times[-1] - times[0]
    assert 20 * passed * 0.5 <= len(times) <= 20 * passed + 2 * 4
    for start in times:
        assert sum(start <= at < start + 1 for at in times) <= 20 + 2 * 4


def test_reading_and_writing_share_the_link_of_the_registry(redis_server: RedisServer) -> None:
    registry = Counting()
    push_blob(registry, API, BLOB)
    limits = Limits(bandwidth=4 * MIB)
    began = time.monotonic()
    with serve(registry) as server:
        counts = together(redis_server.url, server.url, limits, "read", "write", "read", seconds=3)
    passed = registry.arrivals[-1][0] - registry.arrivals[0][0]

    assert all(counts)
    # Nine streams end the blob that they are at; a portion is 0.4 MiB.
    assert 4 * MIB * 3 * 0.5 <= sum(counts) <= 4 * MIB * (passed + 1) + 9 * MIB
    assert time.monotonic() - began > (sum(counts) - 9 * MIB) / (4 * MIB)


def test_one_refusal_stops_all_until_the_time_is_over(redis_server: RedisServer) -> None:
    registry = Counting()
    registry.fail("HEAD", "manifests", nth=60, status=429, headers={"Retry-After": "2"})
    with serve(registry) as server:
        together(redis_server.url, server.url, Limits(), *["ask"] * 3, seconds=4)

    answered = [entry.status for entry in registry.log]
    assert answered.count(429) == 1
    at = registry.arrivals[59][0]
    after = [came - at for came, _ in registry.arrivals if came > at]
    # Within a tenth of a second all know of it, on a machine that has time for them.
    assert [came for came in after if 0.5 < came < 1.9] == []
    assert [came for came in after if came > 2.0]
    assert len({name for came, name in registry.arrivals if came > at + 2.0}) == 3, "all go on"


def hang(where: tuple[str, str, Limits]) -> None:
    """Two requests that are not answered, until somebody kills the process."""
    with client_of(*where) as client:
        threads = [threading.Thread(target=ask, args=(client, f"hang{number}")) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_a_process_that_is_killed_frees_its_places(redis_server: RedisServer) -> None:
    registry, limits = Counting(), Limits(concurrency=2)
    registry.fail("HEAD", "hang", times=2, delay=15)
    with serve(registry) as server, client_of(redis_server.url, server.url, limits) as client:
        process = SPAWN.Process(target=hang, args=((redis_server.url, server.url, limits),))
        process.start()
        while len(registry.arrivals) < 2:
            time.sleep(0.02)
        time.sleep(2 * LEASE_S)
        with redis_server.client() as redis:
            assert redis.zcard("replicator:slots:eu") == 2, "they are renewed"

        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        began = time.monotonic()
        assert ask(client, "other") == 1

    assert time.monotonic() - began < LEASE_S + 5


@pytest.mark.parametrize("limits", [Limits(), Limits(concurrency=4)], ids=["", "cap"])
def test_many_refusals_at_once_halve_the_window_once(redis_server: RedisServer, limits: Limits) -> None:
    registry = Counting(takes_s=0.2)
    registry.fail("HEAD", "manifests", times=10, status=429, headers={"Retry-After": "1"})
    ledger = Ledger.connect(redis_server.url)
    with serve(registry) as server, client_of(redis_server.url, server.url, limits) as client:
        threads = [threading.Thread(target=ask, args=(client, f"v{number}")) for number in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert registry.requests("HEAD")[0].status == 429
    assert ledger.budgets.windows({"eu": limits}) == {"eu": 2 if limits.concurrency else 16}
    ledger.close()


def test_a_proxy_that_limits_requests_never_has_to_refuse_one_within_them(
    redis_server: RedisServer, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    with Nginx(tmp_path / "nginx", docker_registry.url) as nginx:
        together(redis_server.url, nginx.url, Limits(requests_per_second=15), *["ask"] * 3, seconds=3)
        log = nginx.log_of_requests

    assert {status for _, status in log} == {404}
    assert len(log) > 15


def test_a_proxy_that_refused_requests_is_left_alone_by_all(
    redis_server: RedisServer, docker_registry: DockerRegistry, tmp_path: Path
) -> None:
    with Nginx(tmp_path / "nginx", docker_registry.url) as nginx:
        together(redis_server.url, nginx.url, Limits(), *["ask"] * 3, seconds=4)
        log = nginx.log_of_requests

    refused = [at for at, status in log if status == 429]
    assert refused
    assert len(log) > len(refused) + 10
    for at in refused:
        assert [came for came, _ in log if at + 0.4 < came < at + 0.95] == []

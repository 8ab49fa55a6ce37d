"""Destinations that are away, each in its own way, behind one `replicator up`: frozen, out of disk, with a certificate
that expired, without an address. Nothing is parked for it, nobody waits for another, and all is in line by itself once
the destination is well.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.e2e.product import Replicator
from tests.e2e.world import SECRET
from tests.fakes import images
from tests.fakes.images import Image, layer_bytes
from tests.integration.processes import DockerRegistry, free_port, wait_until

ELSEWHERE = {
    "C8": "tests/integration/test_limits.py::test_a_proxy_that_refused_requests_is_left_alone_by_all",
    "C14": "tests/conformance/test_e_manifest_writes.py::"
    "test_e9_an_immutable_tag_that_holds_something_else_is_set_aside_at_once",
}

IN_LINE_WITHIN_S = 60.0
"""What is promised of a destination that comes back."""
RULE = """\
  - name: to-{name}
    source: eu
    destinations: [{name}]
    filters: [{{type: name, value: "{name}/**"}}]"""
DISK = 3 * 1024 * 1024
LONG_AGO, FAR = datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


class Regions:
    """A source, and a rule for each destination, which takes the repositories below its name."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        headers = {"Authorization": f"Bearer {SECRET}"}
        notify = [(f"http://127.0.0.1:{port}/webhooks/eu", headers)]
        self.authority = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca_file)
        self.tls = directory / "server.pem", directory / "server.key"
        self.certify(datetime.now(UTC) - timedelta(minutes=1))
        self.eu = DockerRegistry(directory / "eu", notify=notify)
        self.there = {
            "frozen": DockerRegistry(directory / "frozen"),
            "full": DockerRegistry(directory / "full"),
            "expired": DockerRegistry(directory / "expired", tls=self.tls),
            "unnamed": DockerRegistry(directory / "unnamed"),
        }
        self.urls = {name: registry.url for name, registry in self.there.items()}
        self.urls["unnamed"] = "http://no-such-host.invalid:5000"
        self.replicator = Replicator(directory / "replicator", port=port)
        self.describe()

    def certify(self, until: datetime) -> None:
        """What `expired` shows from its next start on."""
        leaf = self.authority.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=until)
        leaf.cert_chain_pems[0].write_to_path(self.tls[0])
        leaf.private_key_pem.write_to_path(self.tls[1])

    def describe(self) -> None:
        """The rule file, as things are."""
        more = {"expired": f", tls: {{ca_file: {self.ca_file}}}", "unnamed": ", insecure: true"}
        lines = [f"  eu: {{type: distribution, url: {self.eu.url}, webhook: {{secret: {SECRET}}}}}"]
        lines += [
            f"  {name}: {{type: distribution, url: {url}{more.get(name, '')}}}"
            for name, url in self.urls.items()
        ]
        rules = [RULE.format(name=name) for name in self.urls]
        self.replicator.write_rules("rules.yaml", "\n".join(["registries:", *lines, "rules:", *rules]))

    def push(self, name: str, tag: str, image: Image) -> Image:
        """Push for one of the destinations."""
        images.push(self.eu.url, f"{name}/app", tag, image)
        return image

    def is_there(self, name: str, tag: str, image: Image) -> bool:
        """Whether all of it arrived."""
        return images.is_whole(self.there[name].url, f"{name}/app", tag, image)

    def reasons(self, name: str) -> list[str]:
        """Why the jobs of a destination wait."""
        return [job["reason"] or "" for job in self.replicator.jobs(f"{name}/app")]

    def failures(self) -> object:
        """What waits for a person."""
        return self.replicator.api("failures")["jobs"]


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Regions]:
    made = Regions(tmp_path_factory.mktemp("regions"))
    with contextlib.ExitStack() as stack:
        stack.callback(made.replicator.close)
        for registry in (made.eu, *made.there.values()):
            if registry is not made.there["expired"]:
                stack.enter_context(registry)
        stack.callback(made.there["expired"].close)
        made.there["expired"].begin()  # nobody who verifies can tell when it answers
        stack.enter_context(made.replicator)
        yield made


def test_c9_a_frozen_destination_delays_nobody_and_loses_nothing(regions: Regions) -> None:
    frozen = regions.there["frozen"]
    first = regions.push("frozen", "first", images.image([b"before"]))
    wait_until(lambda: regions.is_there("frozen", "first", first), 20)
    frozen.suspend()
    try:
        pushed = {f"v{at}": images.image([f"frozen {at}".encode()]) for at in range(60)}
        for tag, image in pushed.items():
            regions.push("frozen", tag, image)
        waits = []
        for at in range(20):
            other = regions.push("full", f"meanwhile{at}", images.image([f"meanwhile {at}".encode()]))
            waits.append(wait_until(lambda: regions.is_there("full", f"meanwhile{at}", other), 20))  # noqa: B023
        available = regions.replicator.metric("replicator_registry_available", registry="full")
    finally:
        frozen.resume()

    assert sorted(waits)[len(waits) // 2] < 1.0
    assert max(waits) < 5.0
    assert available == 1.0
    for tag, image in pushed.items():
        wait_until(lambda: regions.is_there("frozen", tag, image), IN_LINE_WITHIN_S, what=tag)  # noqa: B023
    assert regions.failures() == []


def test_c10_a_destination_without_space_takes_all_once_it_has_some(regions: Regions) -> None:
    full = regions.there["full"]
    with _tmpfs(full.storage, DISK):
        # Not beside the large one: this registry may leave an empty file for a tag that it had no space for, and
        # answers 500 for it ever after.
        small = regions.push("full", "small", images.image([b"small"]))
        wait_until(lambda: regions.is_there("full", "small", small), IN_LINE_WITHIN_S)
        large = regions.push("full", "large", images.image([layer_bytes("large", 2 * DISK)]))
        wait_until(lambda: any("answered 500" in reason for reason in regions.reasons("full")), 20)
        assert not regions.is_there("full", "large", large)
        subprocess.run(["mount", "-o", f"remount,size={20 * DISK}", full.storage], check=True)

        wait_until(lambda: regions.is_there("full", "large", large), IN_LINE_WITHIN_S)
        assert regions.is_there("full", "small", small)
        assert regions.failures() == []


def test_c15_a_certificate_that_expired_is_waited_for_until_a_fresh_one_comes(regions: Regions) -> None:
    image = regions.push("expired", "v1", images.image([b"expired"]))
    wait_until(lambda: any("certificate" in reason for reason in regions.reasons("expired")), 20)
    assert regions.replicator.metric("replicator_registry_available", registry="expired") == 0.0
    assert regions.failures() == []

    regions.there["expired"].stop()
    regions.certify(FAR)
    regions.there["expired"].begin()

    wait_until(lambda: not regions.replicator.jobs("expired/app"), IN_LINE_WITHIN_S)
    assert regions.replicator.outcomes("expired/app", "v1") == ["copied"]
    assert regions.there["expired"].blob(image.digest).exists()


def test_c16_a_destination_whose_name_does_not_resolve_is_waited_for(regions: Regions) -> None:
    image = regions.push("unnamed", "v1", images.image([b"unnamed"]))
    wait_until(lambda: any("no answer" in reason for reason in regions.reasons("unnamed")), 20)
    assert regions.replicator.metric("replicator_registry_available", registry="unnamed") == 0.0
    assert regions.failures() == []

    regions.urls["unnamed"] = regions.there["unnamed"].url
    regions.describe()

    wait_until(lambda: regions.is_there("unnamed", "v1", image), IN_LINE_WITHIN_S)


@contextlib.contextmanager
def _tmpfs(place: Path, size: int) -> Iterator[None]:
    """The directory is a file system of its own, so small."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)

"""Repairs of a real docker-registry whose storage lost or damaged files, as disks and bad backups do."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from replicator.jobs import Job
from replicator.ledger import REPAIR, JobView, Ledger, State, Submission
from replicator.oci import Digest, Repository, Tag
from replicator.registry import RegistryClient, connect
from replicator.rules import Destination, Registry, RegistryType, Rule, RuleSet
from replicator.transfer import Leases, Tools, bring_in_line
from replicator.transfer.proof import Origin, Prover
from tests.fakes import images
from tests.integration.processes import DockerRegistry, wait_until

API = Repository("team/api")
TOP = images.multi_arch()
CHILD = TOP.children[0]
LAYER = next(iter(CHILD.blobs))
SIGNATURE = images.signature(TOP)
JOB = Job("prod", "us", API, Tag("v1"))


class Pair:
    """A source and a destination that hold the same, and a worker between them."""

    def __init__(self, ledger: Ledger, source: DockerRegistry, destination: DockerRegistry) -> None:
        self.ledger = ledger
        self.us = destination
        described = {
            name: Registry(name, RegistryType.DISTRIBUTION, server.url)
            for name, server in (("eu", source), ("us", destination))
        }
        self.clients: dict[str, RegistryClient] = {
            name: connect(registry) for name, registry in described.items()
        }
        rules = RuleSet(described, (Rule("prod", "eu", (Destination("us"),)),))
        self.tools = Tools(ledger, lambda: rules, self.clients.__getitem__, Leases(ledger, lease_s=20.0))
        images.push(source.url, API, "v1", TOP)
        images.push(source.url, API, images.signature_tag(TOP), SIGNATURE)

    def close(self) -> None:
        for client in self.clients.values():
            client.close()

    def run(self, action: str | None) -> JobView:
        self.ledger.submit([Submission(JOB, self.ledger.view.now(), action)])
        return self.work()

    def work(self) -> JobView:
        bring_in_line(JOB.id, self.tools)
        view = self.ledger.view.job_view(JOB.id)
        assert view
        return view

    def file_of(self, digest: Digest) -> Path:
        """Where the registry keeps these bytes."""
        return self.us.storage / "docker/registry/v2/blobs/sha256" / digest.hex[:2] / digest.hex / "data"

    def is_whole(self) -> bool:
        return images.is_whole(self.us.url, API, "v1", TOP) and images.is_whole(
            self.us.url, API, images.signature_tag(TOP), SIGNATURE
        )

    def is_proved(self) -> bool:
        """Whether a proof of every byte finds nothing."""
        origin = Origin(self.clients["eu"], API)
        prover = Prover(self.clients["us"], API, origin, deep=True)
        return not prover.prove(Tag("v1"), TOP.digest).defects

    def run_until_parked(self) -> str:
        """The reason why a repair was given up, after the second try."""
        assert self.run(REPAIR).state is State.PENDING
        wait_until(lambda: self.work().state is State.PARKED, what="the repair is parked")
        view = self.ledger.view.job_view(JOB.id)
        assert view
        assert view.attempts == 2
        return view.reason or ""

    def restart(self) -> None:
        """What the registry keeps in memory of its files is gone."""
        self.us.stop()
        self.us.start()


@pytest.fixture
def pair(tmp_path: Path, stack: ExitStack, ledger: Ledger) -> Iterator[Pair]:
    source, destination = (stack.enter_context(DockerRegistry(tmp_path / name)) for name in ("eu", "us"))
    made = Pair(ledger, source, destination)
    assert made.run("push").outcome == "copied"
    yield made
    made.close()


LOST = {
    "layer": [LAYER],
    "all blobs": [*CHILD.blobs],
    "child": [CHILD.digest],
    "child and layer": [CHILD.digest, LAYER],
    "index": [TOP.digest],
    "signature": [next(iter(SIGNATURE.blobs)), SIGNATURE.digest],
}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_files_that_are_gone_come_back(pair: Pair, lost: list[Digest]) -> None:
    for digest in lost:
        pair.file_of(digest).unlink()
    pair.restart()
    assert not pair.is_proved()

    assert pair.run(REPAIR).outcome == "copied"

    assert pair.is_whole()
    assert pair.is_proved()


def test_a_blob_that_only_the_registry_s_cache_knows_comes_back(pair: Pair) -> None:
    pair.file_of(LAYER).unlink()

    assert pair.run(REPAIR).outcome == "copied"

    assert pair.is_whole()


@pytest.mark.parametrize("digest", [TOP.digest, CHILD.digest], ids=["index", "child"])
def test_a_manifest_that_only_the_registry_s_cache_knows_needs_a_restart(pair: Pair, digest: Digest) -> None:
    pair.file_of(digest).unlink()

    reason = pair.run_until_parked()
    assert "restart the registry if it caches" in reason
    assert digest in reason

    pair.restart()
    pair.ledger.reopen(JOB.id)
    assert pair.work().outcome == "copied"
    assert pair.is_whole()


DAMAGED = {
    "layer cut": (LAYER, b"cut"),
    "layer of the same size": (LAYER, b"x" * len(CHILD.blobs[LAYER])),
    "child that is still JSON": (
        CHILD.digest,
        CHILD.raw.replace(b"rootfs", b"rootfz").replace(b"size", b"sizf", 1),
    ),
    "child that is no JSON": (CHILD.digest, CHILD.raw[:100]),
    "index that is still JSON": (TOP.digest, TOP.raw.replace(b"amd64", b"arm64")),
    "index that is no JSON": (TOP.digest, b""),
}


@pytest.mark.parametrize(("digest", "content"), DAMAGED.values(), ids=DAMAGED)
def test_damage_that_the_registry_keeps_is_parked_until_a_person_has_removed_it(
    pair: Pair, digest: Digest, content: bytes
) -> None:
    pair.file_of(digest).write_bytes(content)
    pair.restart()

    reason = pair.run_until_parked()
    assert "remove its data from that registry's storage" in reason
    assert "us" in reason

    pair.file_of(digest).unlink()
    pair.restart()
    pair.ledger.reopen(JOB.id)
    assert pair.work().outcome == "copied"
    assert pair.is_whole()
    assert pair.is_proved()

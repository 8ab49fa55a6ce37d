"""Pushes of one tag in several regions, with a line that is cut: one content everywhere, and little is written.

The regions are real registries behind straits. While `us` is cut off its events wait in its registry, so that they are
recorded last, though people pushed in all regions within the same seconds.
"""

import json
import time
from collections.abc import Iterator, Mapping

import pytest

from replicator.oci import Digest
from tests.chaos.divided import Divided
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import wait_until

ELSEWHERE = {"R11": "tests/e2e/test_two_ways.py::test_a_push_crosses_once_and_makes_no_echo"}

PAIR, MESH = ("eu", "us"), ("ap", "eu", "us")
RULES = """
rules:
  - {name: there, source: eu, destinations: [us], filters: [{type: name, value: "pair/**"}]}
  - {name: back, source: us, destinations: [eu], filters: [{type: name, value: "pair/**"}]}
  - {name: mesh-eu, source: eu, destinations: [us, ap], filters: [{type: name, value: "mesh/**"}]}
  - {name: mesh-us, source: us, destinations: [eu, ap], filters: [{type: name, value: "mesh/**"}]}
  - {name: mesh-ap, source: ap, destinations: [eu, us], filters: [{type: name, value: "mesh/**"}]}
  - name: ranked-eu
    source: eu
    destinations: [us]
    filters: [{type: name, value: "ranked/**"}]
    conflict: priority
  - {name: ranked-us, source: us, destinations: [eu], filters: [{type: name, value: "ranked/**"}]}
  - name: asking-eu
    source: eu
    destinations: [us]
    filters: [{type: name, value: "asking/**"}]
    conflict: manual
  - {name: asking-us, source: us, destinations: [eu], filters: [{type: name, value: "asking/**"}]}
  - name: deleting-eu
    source: eu
    destinations: [us]
    filters: [{type: name, value: "deleting/**"}]
    deletion: true
    delete_grace: 1s
  - name: deleting-us
    source: us
    destinations: [eu]
    filters: [{type: name, value: "deleting/**"}]
    deletion: true
    delete_grace: 1s
"""
REGIONS = {"pair": PAIR, "mesh": MESH, "ranked": PAIR}
WINNERS = {"pair": "us", "mesh": "us", "ranked": "eu"}
"""Whose push ends everywhere if `us` is cut off meanwhile: its events are recorded last; `eu` has the priority."""


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Divided]:
    with Divided(tmp_path_factory.mktemp("divided"), RULES, MESH) as running:
        yield running


def repositories(kind: str, number: int, name: str) -> list[str]:
    return [f"{kind}/{name}/{each}" for each in range(number)]


def image_of(region: str, repository: str) -> Image:
    return images.image([f"{region} {repository}".encode()])


def pushes(name: str, number: int, kinds: tuple[str, ...]) -> dict[str, list[tuple[str, Image]]]:
    """What is pushed in each region: its own image to every repository that it shares."""
    return {
        region: [
            (repository, image_of(region, repository))
            for kind in kinds
            if region in REGIONS[kind]
            for repository in repositories(kind, number, name)
        ]
        for region in MESH
    }


def differences(divided: Divided, expected: Mapping[str, Digest]) -> dict[str, set[Digest | None]]:
    """What does not end as it should, by repository."""
    held = {
        repository: divided.held(repository, REGIONS[repository.partition("/")[0]]) for repository in expected
    }
    return {repository: found for repository, found in held.items() if found != {expected[repository]}}


def writes(divided: Divided, expected: Mapping[str, Digest]) -> dict[str, int]:
    """How often a region was written to by us in one conflict, at most, by kind of rule."""
    most = dict.fromkeys(REGIONS, 0)
    for region in MESH:
        for repository, count in divided.puts(region).items():
            kind = repository.partition("/")[0]
            if repository in expected and region in REGIONS[kind]:
                most[kind] = max(most[kind], count - 1)  # a person's
    return most


def meet(divided: Divided, number: int, *, name: str, cut_s: float, within_s: float) -> dict[str, object]:
    """Push in all regions at once while `us` is cut off; what came of it."""
    pushed = pushes(name, number, ("pair", "mesh", "ranked"))
    expected = {
        repository: image_of(WINNERS[kind], repository).digest
        for kind in REGIONS
        for repository in repositories(kind, number, name)
    }
    divided.cut("us")
    began = time.monotonic()
    took_s = divided.push(pushed)
    time.sleep(max(0.0, cut_s - (time.monotonic() - began)))
    divided.mend("us")
    mended = time.monotonic()
    wait_until(lambda: not differences(divided, expected), within_s, what="all regions agree", poll_s=1.0)
    agreed_s = time.monotonic() - mended
    divided.settle(within_s)
    assert differences(divided, expected) == {}
    return {
        "conflicts": len(expected),
        "pushed within s": round(took_s, 1),
        "agreed s after the cut": round(agreed_s, 1),
        "writes in a region": writes(divided, expected),
    }


def test_a2_pushes_at_once_end_alike_in_all_regions_after_a_cut(divided: Divided) -> None:
    found = meet(divided, 17, name="short", cut_s=5.0, within_s=120.0)

    print(json.dumps(found))  # noqa: T201 - the figures of a run
    assert all(count <= 2 for count in found["writes in a region"].values())


@pytest.mark.chaos
def test_a2_five_hundred_conflicts_and_a_cut_of_a_minute(divided: Divided) -> None:
    found = meet(divided, 167, name="long", cut_s=60.0, within_s=600.0)

    print(json.dumps(found))  # noqa: T201 - the figures of a run
    assert found["conflicts"] == 501
    assert all(count <= 2 for count in found["writes in a region"].values())


def test_a2_without_a_cut_the_push_that_was_recorded_last_ends_everywhere(divided: Divided) -> None:
    names = repositories("pair", 25, "same-second")
    divided.push({region: [(name, image_of(region, name)) for name in names] for region in PAIR})
    divided.settle(120.0)

    lost = lost_digests(divided)
    for name in names:
        (end,) = divided.held(name, PAIR)
        winner, loser = PAIR if end == image_of("eu", name).digest else PAIR[::-1]
        assert end == image_of(winner, name).digest
        # What nobody saw was written over between a last look and a write.
        if image_of(loser, name).digest in lost:
            assert recorded_at(divided, name, loser) <= recorded_at(divided, name, winner), name
    assert all(divided.puts(region)[name] <= 2 for region in PAIR for name in names)


def lost_digests(divided: Divided) -> set[str]:
    with divided.redis() as client:
        return {fields["lost"] for _, fields in client.xrange("replicator:conflicts")}


def recorded_at(divided: Divided, repository: str, region: str) -> float:
    with divided.redis() as client:
        found = client.zscore(
            f"replicator:heard:{region}|{repository}|v1", image_of(region, repository).digest
        )
    return float(found or 0.0)


def test_a1_an_event_costs_each_destination_one_write_and_its_echo_none(divided: Divided) -> None:
    divided.push({"eu": [(name, image_of("eu", name)) for name in repositories("mesh", 20, "echo")]})

    divided.settle(120.0)

    for region in MESH:
        counts = divided.puts(region)
        assert {counts[name] for name in repositories("mesh", 20, "echo")} == {1}, region


def test_a3_a_push_that_meets_a_delete_comes_back(divided: Divided) -> None:
    names = repositories("deleting", 10, "meets")
    divided.push({"eu": [(name, images.image([b"old", name.encode()])) for name in names]})
    divided.settle(60.0)

    divided.cut("us")
    divided.push({"us": [(name, image_of("us", name)) for name in names]})
    for name in names:
        images.delete(divided.registries["eu"].url, name, images.image([b"old", name.encode()]).digest)
    time.sleep(2.0)
    divided.mend("us")
    divided.settle(120.0)

    assert {name: divided.held(name, PAIR) for name in names} == {
        name: {image_of("us", name).digest} for name in names
    }


def test_a3_a_delete_that_meets_nothing_new_is_done(divided: Divided) -> None:
    name = "deleting/alone"
    pushed = image_of("eu", name)
    divided.push({"eu": [(name, pushed)]})
    divided.settle(60.0)

    images.delete(divided.registries["eu"].url, name, pushed.digest)

    wait_until(lambda: divided.held(name, PAIR) == {None}, 60.0, what="it is gone in both", poll_s=0.5)


def test_a4_without_any_memory_all_regions_agree_and_nothing_is_deleted(divided: Divided) -> None:
    names = repositories("mesh", 10, "forgotten")
    pushed = {region: [(name, image_of(region, name)) for name in names] for region in MESH}
    divided.cut("us")
    divided.cut("ap")
    divided.push(pushed)
    with divided.redis() as client:
        client.flushall()
    divided.mend("us")
    divided.mend("ap")
    divided.settle(120.0)

    assert divided.replicator.command("resync", "--wait", "--all").status == 0
    divided.settle(120.0)

    for name in names:
        (end,) = divided.held(name, MESH)
        assert end in {image_of(region, name).digest for region in MESH}
    assert not [line for region in MESH for line in _deletes(divided, region)]


def _deletes(divided: Divided, region: str) -> list[str]:
    log = divided.registries[region].log.read_text().splitlines()
    return [line for line in log if '"DELETE /v2/mesh/' in line]


def test_a2_a_person_sees_both_and_chooses(divided: Divided) -> None:
    name = "asking/app"
    divided.cut("us")
    divided.push({region: [(name, image_of(region, name))] for region in PAIR})
    time.sleep(1.0)
    divided.mend("us")
    wait_until(lambda: len(_blocked(divided, name)) == 2, 60.0, what="both jobs wait", poll_s=0.5)
    both = {image_of(region, name).digest for region in PAIR}
    assert all(digest in job["reason"] for job in _blocked(divided, name) for digest in both)
    assert divided.held(name, PAIR) == both
    chosen = next(job for job in _blocked(divided, name) if job["rule"] == "asking-us")

    assert divided.replicator.command("failures", "approve", chosen["id"]).status == 0

    us = {image_of("us", name).digest}
    wait_until(lambda: divided.held(name, PAIR) == us, 60.0, what="the choice is everywhere", poll_s=0.5)
    wait_until(lambda: not _blocked(divided, name), 60.0, what="nothing waits any more", poll_s=0.5)


def _blocked(divided: Divided, repository: str) -> list[dict[str, str]]:
    return divided.replicator.jobs(repository, state="blocked")

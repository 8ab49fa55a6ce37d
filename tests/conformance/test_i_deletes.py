"""I: deletes. Nothing goes that the source still has, or that somebody at the destination still needs."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.demo.features import Features
from replicator.drift import Kind
from replicator.ledger import Ledger, State
from replicator.oci import OCI_INDEX, Digest, Repository, referrers_tag
from replicator.resync import Request
from tests.conformance.bridge import Bridge
from tests.fakes.images import (
    Image,
    delete,
    head,
    index,
    is_whole,
    multi_arch,
    push,
    push_manifest,
    referrer,
    tags,
)
from tests.fakes.raw import RawClient
from tests.integration.processes import DockerRegistry
from tests.integration.resync.kit import kinds, resynced
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_deletes import DELETING, NO_TAG_DELETE, ONE, TWO, copied
from tests.integration.transfer.test_signatures import OLD_STYLE
from tests.integration.transfer.world import ALL, API, World, once

NOT_OURS = {
    "I12": "A rule's `deletion` makes no difference between who deleted at the source, a person or a retention of the "
    "registry: notifications of most registries do not tell, and the rule's cap and grace guard against both.",
}

SBOM, SCAN = referrer(ONE), referrer(ONE, b"clean", kind="scan")
LIST = referrers_tag(ONE.digest)
OLD_AND_PLAIN = replace(OLD_STYLE, tag_delete=False)


@pytest.fixture
def bridge(ledger: Ledger, tmp_path: Path, stack: ExitStack) -> Iterator[Bridge]:
    """Two of Debian's docker-registry, which delete by digest only, under a rule that deletes."""
    eu, us = (stack.enter_context(DockerRegistry(tmp_path / name)).url for name in ("eu", "us"))
    with Bridge(ledger, eu, us, rule=replace(DELETING, filters=ALL)) as made:
        yield made


def removed(bridge: Bridge, reference: str) -> str:
    """A delete event asks for the job, which is tried until it is done or stopped; how it ended."""

    view = bridge.run(reference, action="delete")
    while view.state is State.PENDING:
        time.sleep(0.05)
        view = bridge.work(reference)
    return view.outcome or view.state


@pytest.mark.parametrize("deleted", ["v1", "v2"])
def test_i1_a_deleted_tag_leaves_its_digest_to_the_other_tags(make_world: MakeWorld, deleted: str) -> None:
    world = copied(make_world(DELETING), "v1", "v2")
    world.delete("eu", deleted)

    assert world.remove(world.job(deleted)).outcome == "deleted"

    (other,) = {"v1", "v2"} - {deleted}
    assert world.digest("us", deleted) is None
    assert is_whole(world["us"], API, other, ONE)


def test_i1_where_only_digests_go_a_docker_registry_keeps_both_tags(bridge: Bridge) -> None:
    eu, us = bridge.urls
    push(eu, API, "v1", ONE)
    push_manifest(eu, API, "v2", ONE)
    for tag in ("v1", "v2"):
        bridge.run(tag)
    push(eu, API, "v1", TWO)
    delete(eu, API, TWO.digest)  # the one way there to take a tag from a digest that another tag has

    assert removed(bridge, "v1") == State.BLOCKED
    assert head(us, API, "v1") == head(us, API, "v2") == ONE.digest


def test_i3_a_delete_event_before_a_push_of_the_same_tag_ends_as_pushed(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world.run(world.job(), "delete")
    time.sleep(DELETING.delete_grace_s)
    world.push("eu", "v1", TWO)

    # The push's event is older than the delete's, by arrival.
    world.tell(world.job(), "push", TWO.digest)
    world.tell(world.job(), "delete")
    world.settle()

    assert is_whole(world["us"], API, "v1", TWO)


def test_i3_a_push_during_the_delete_ends_as_pushed(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    once(world["us"], "DELETE", "manifests/v1", lambda: world.push("eu", "v1", TWO))

    world.remove(world.job())

    assert is_whole(world["us"], API, "v1", TWO)


def test_i4_a_delete_event_for_what_the_source_has_deletes_nothing(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))

    view = world.remove(world.job())

    assert view.outcome == "unchanged"
    assert world.digest("us") == ONE.digest
    assert not any("DELETE" in text for text in world.writes("us"))


@pytest.mark.parametrize("fault", [{"status": 401}, {"status": 503}, {"status": 500}, {"reset": True}])
def test_i5_a_source_that_does_not_answer_deletes_nothing(
    make_world: MakeWorld, fault: dict[str, object]
) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world["eu"].fail("*", "manifests/v1", times=float("inf"), **fault)

    world.tell(world.job(), "delete")
    for _ in range(3):
        time.sleep(DELETING.delete_grace_s)
        world.ledger.reopen(world.job().id)
        world.end_outage("eu")
        world.work(world.job())

    assert world.digest("us") == ONE.digest
    assert world.shown(world.ledger.view.job_view(world.job().id)).outcome is None


def test_i6_more_deletes_than_the_cap_wait_for_a_person(make_world: MakeWorld) -> None:
    world = copied(make_world(replace(DELETING, delete_cap=2)), "v1", "v2", "v3", "v4")
    for tag in ("v1", "v2", "v3", "v4"):
        world.delete("eu", tag)

    resynced(world, Request(prune=True))

    blocked = world.ledger.view.failures()
    assert [view.state for view in blocked] == [State.BLOCKED, State.BLOCKED]
    assert sorted(tag for tag in ("v1", "v2", "v3", "v4") if world.digest("us", tag)) == sorted(
        view.reference for view in blocked
    )
    for view in blocked:
        world.ledger.approve(view.id)
    world.settle()
    assert all(world.digest("us", tag) is None for tag in ("v1", "v2", "v3", "v4"))


@pytest.mark.parametrize("status", [202, 200, 204, 404])
@pytest.mark.parametrize("features", [{}, NO_TAG_DELETE], ids=["tags", "digests"])
def test_i7_every_answer_that_means_gone_is_a_success(
    make_world: MakeWorld, features: dict[str, Features], status: int
) -> None:
    world = copied(make_world(DELETING, features=features))
    world.delete("eu", "v1")
    by = ONE.digest if features else "v1"
    world["us"].fail("DELETE", f"manifests/{by}", times=float("inf"), status=status, after=True)

    assert world.remove(world.job()).outcome == "deleted"
    assert world.digest("us") is None


def listed(world: World) -> list[Digest]:
    digest = world.digest("us", LIST)
    assert digest
    return [item.digest for item in world["us"].storage.shelves[Repository(API)].manifests[digest].children]


def with_referrers(world: World) -> World:
    for each in (SBOM, SCAN):
        world.push("eu", None, each)
    return copied(world)


@pytest.mark.parametrize("there", [OLD_STYLE, OLD_AND_PLAIN], ids=["tags", "digests"])
def test_i9_a_deleted_referrer_is_struck_from_the_list(make_world: MakeWorld, there: Features) -> None:
    world = with_referrers(make_world(DELETING, features={"us": there}))
    world.delete("eu", SBOM.digest)

    assert world.remove(world.job(SBOM.digest)).outcome == "deleted"

    assert world.digest("us", SBOM.digest) is None
    assert listed(world) == [SCAN.digest]
    assert is_whole(world["us"], API, "v1", ONE)


def test_i9_the_last_referrer_leaves_an_empty_list(make_world: MakeWorld) -> None:
    world = with_referrers(make_world(DELETING, features={"us": OLD_STYLE}))
    for each in (SBOM, SCAN):
        world.delete("eu", each.digest)
        assert world.remove(world.job(each.digest)).outcome == "deleted"

    assert listed(world) == []


def test_i9_a_referrer_that_a_tag_needs_stays_in_the_list(make_world: MakeWorld) -> None:
    world = with_referrers(make_world(DELETING, features={"us": OLD_STYLE}))
    world.push("us", "theirs", SBOM)
    world.delete("eu", SBOM.digest)

    assert world.remove(world.job(SBOM.digest)).state is State.BLOCKED

    assert set(listed(world)) == {SBOM.digest, SCAN.digest}


def test_i9_a_referrer_that_the_registry_keeps_is_listed_again(make_world: MakeWorld) -> None:
    world = with_referrers(make_world(DELETING, features={"us": OLD_STYLE}))
    world["us"].fail("DELETE", f"manifests/{SBOM.digest}", times=float("inf"), status=412)
    world.delete("eu", SBOM.digest)

    assert world.remove(world.job(SBOM.digest)).state is State.BLOCKED

    assert set(listed(world)) == {SBOM.digest, SCAN.digest}


def test_i9_what_stands_in_the_place_of_the_list_is_left_alone(make_world: MakeWorld) -> None:
    world = with_referrers(make_world(DELETING))
    theirs = world.push("us", LIST, TWO)
    world.delete("eu", SBOM.digest)

    assert world.remove(world.job(SBOM.digest)).outcome == "deleted"

    assert world.digest("us", LIST) == theirs


def test_i9_a_docker_registry_s_list_loses_the_entries_one_by_one(bridge: Bridge) -> None:
    eu, us = bridge.urls
    push(eu, API, "v1", ONE)
    for each in (SBOM, SCAN):
        push(eu, API, None, each)
    push_manifest(eu, API, LIST, index([SBOM, SCAN]))
    bridge.run("v1")
    left = []

    for each in (SBOM, SCAN):
        delete(eu, API, each.digest)
        assert removed(bridge, each.digest) == "deleted"
        left.append(_entries(us))

    assert left == [[SCAN.digest], []]
    assert head(us, API, SBOM.digest) is None
    assert is_whole(us, API, "v1", ONE)


def _entries(url: str) -> list[str]:
    with RawClient(url) as client:
        answer = client.call("GET", f"/v2/{API}/manifests/{LIST}", headers={"Accept": OCI_INDEX})
    assert answer.status == 200, answer
    return [entry["digest"] for entry in answer.json()["manifests"]]


@pytest.mark.parametrize(("order", "state"), [("child first", State.BLOCKED), ("index first", State.DONE)])
def test_i10_a_child_of_an_index_that_a_tag_holds_stays(
    make_world: MakeWorld, order: str, state: State
) -> None:
    # What came with its index was never copied by its own digest: then its deletion is nobody's job at all.
    world = make_world(replace(DELETING, filters=ALL))
    pushed = multi_arch()
    child: Image = pushed.children[0]
    world.push("eu", "v1", pushed)
    for reference in (child.digest, "v1") if order == "child first" else ("v1", child.digest):
        world.run(world.job(reference))
    world.lose_manifest("eu", child.digest)

    view = world.remove(world.job(child.digest))

    assert view.state is state
    assert "v1 needs it" in (view.reason or "") or view.outcome == "skipped"
    assert is_whole(world["us"], API, "v1", pushed)


def test_i10_a_docker_registry_s_child_of_a_live_index_stays(bridge: Bridge) -> None:
    eu, us = bridge.urls
    pushed = multi_arch()
    child = pushed.children[0]
    push(eu, API, "v1", pushed)
    for reference in (child.digest, "v1"):
        bridge.run(reference)
    delete(eu, API, child.digest)

    assert removed(bridge, child.digest) == State.BLOCKED
    assert is_whole(us, API, "v1", pushed)


@pytest.mark.parametrize("status", [400, 409, 412])
@pytest.mark.parametrize("kind", ["digest", "tag"])
def test_i10_what_the_registry_says_is_needed_waits_for_a_person(
    make_world: MakeWorld, status: int, kind: str
) -> None:
    world = make_world(replace(DELETING, filters=ALL), features=NO_TAG_DELETE)
    reference = ONE.digest if kind == "digest" else "v1"
    world.push("eu", None if kind == "digest" else reference, ONE)
    world.run(world.job(reference))
    body = json.dumps({"errors": [{"code": "PRECONDITION", "message": "an index needs it"}]}).encode()
    world["us"].fail("DELETE", f"manifests/{ONE.digest}", times=float("inf"), status=status, body=body)
    world.delete("eu", reference)

    view = world.remove(world.job(reference))

    assert view.state is State.BLOCKED
    assert f"answered {status}" in (view.reason or "")
    assert world.digest("us", reference) == ONE.digest


def test_i11_a_repository_that_is_gone_is_found_by_a_comparison_and_held_by_the_cap(
    make_world: MakeWorld,
) -> None:
    world = copied(make_world(replace(DELETING, delete_cap=1)), "v1", "v2")
    world.push("eu", "v1", ONE, repository="team/other")
    world.run(world.job(repository="team/other"))
    del world["eu"].storage.shelves[Repository(API)]

    found = kinds(world, Request(prune=True))
    resynced(world, Request(prune=True))

    assert found == {
        "us/team/api:v1": Kind.DELETE,
        "us/team/api:v2": Kind.DELETE,
        "us/team/other:v1": Kind.IN_SYNC,
    }
    (blocked,) = world.ledger.view.failures()
    assert blocked.state is State.BLOCKED
    assert tags(world["us"], API) == {blocked.reference}


@pytest.mark.parametrize("there", [Features(), OLD_STYLE], ids=["to-api", "to-tag"])
def test_i9_a_list_that_goes_at_the_source_says_nothing_of_the_destination_s(
    make_world: MakeWorld, there: Features
) -> None:
    world = make_world(replace(DELETING, filters=ALL), features={"eu": OLD_STYLE, "us": there})
    world.push("eu", None, SBOM)
    push_manifest(world["eu"], API, LIST, index([SBOM]))
    copied(world)
    world.delete("eu", LIST)

    assert world.remove(world.job(LIST)).outcome == "skipped"
    assert world.digest("us", SBOM.digest) == SBOM.digest
    assert (world.digest("us", LIST) is None) == there.referrers


def test_i9_a_referrer_that_is_deleted_while_its_subject_is_copied_goes_too(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    world.push("eu", None, SBOM)
    world.push("eu", "v1", ONE)

    def deleted() -> None:
        world.delete("eu", SBOM.digest)
        world.tell(world.job(SBOM.digest), "delete", SBOM.digest)
        for _ in range(2):
            world.work(world.job(SBOM.digest))
            time.sleep(DELETING.delete_grace_s)

    once(world["us"], "PUT", f"manifests/{ONE.digest}", deleted)
    world.run(world.job())
    world.settle()

    assert is_whole(world["us"], API, "v1", ONE)
    assert world.digest("us", SBOM.digest) is None

"""F: indexes: their children, what is missing of them, and indexes of which only some platforms are copied."""

import json
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from replicator.demo.features import Features
from replicator.demo.server import serve
from replicator.ledger import Ledger, State
from replicator.oci import OCI_INDEX, OCI_MANIFEST, Digest, Repository, Tag, referrers_tag
from replicator.rules import Rule
from replicator.transfer.proof import Prover
from replicator.transfer.selection import Selection
from tests import judges
from tests.conformance.bridge import Bridge
from tests.fakes.images import (
    OCI_LAYER,
    Image,
    entry,
    head,
    image,
    index,
    index_of,
    is_whole,
    layer_bytes,
    multi_arch,
    push,
    push_manifest,
    referrer,
)
from tests.fakes.registry import FakeRegistry
from tests.integration.processes import DockerRegistry
from tests.integration.resync.kit import kinds, resynced
from tests.integration.resync.test_verify import defects
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_platforms import AMD, ONE, REBUILDS, SPARSE, TOP, A, B, C, part
from tests.integration.transfer.world import API, World, a_rule, once

LAX = {"us": Features(content_checks=False)}
CHILD = image([b"a child"])


def blob_entry(content: bytes, kind: str = OCI_LAYER) -> dict[str, object]:
    return {"mediaType": kind, "digest": Digest.of(content), "size": len(content)}


def raw_index(*entries: dict[str, object]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def nested(depth: int) -> Image:
    made = CHILD
    for _ in range(depth):
        made = index([made])
    return made


def real(ledger: Ledger, stack: ExitStack, directory: Path, rule: Rule) -> Bridge:
    """Two of Debian's docker-registry, which take no sparse index, and a rule between them."""
    eu, us = (stack.enter_context(DockerRegistry(directory / name)).url for name in ("eu", "us"))
    return stack.enter_context(Bridge(ledger, eu, us, rule=rule))


def pulled_by_skopeo(url: str, directory: Path, *options: str) -> Path:
    """What skopeo, which believes no digest, has pulled."""
    source = f"docker://{url.partition('//')[2]}/{API}:v1"
    command = [str(judges.need("skopeo")), "copy", "--insecure-policy", "--src-tls-verify=false", *options]
    subprocess.run([*command, source, f"dir:{directory}"], check=True, capture_output=True)
    return directory


# Children


def test_f2_a_child_that_the_index_is_refused_for_is_copied_and_the_index_with_it(
    make_world: MakeWorld,
) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", index([CHILD]))
    world.run(world.job())
    wider = index([CHILD, image([b"new"])])
    world.push("eu", "v2", wider)
    # It goes right after we saw that it is there.
    once(world["us"], "HEAD", f"/manifests/{CHILD.digest}", lambda: world.lose_manifest("us", CHILD.digest))

    first = world.run(world.job("v2"))
    assert (first.state, world.digest("us", "v2")) == (State.PENDING, None)
    assert str(CHILD.digest) not in world.asked("eu")

    assert world.hurried(world.job("v2")).outcome == "copied"
    assert is_whole(world["us"], API, "v2", wider)


def test_f3_children_come_first_where_the_registry_would_not_ask_for_them(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features=LAX)
    top = multi_arch()
    world.push("eu", "v1", top)

    world.run(world.job())

    assert world.tags_written("us") == [*[child.digest for child in top.children], "v1"]
    assert is_whole(world["us"], API, "v1", top)


def test_f3_a_hole_that_somebody_else_made_is_found_and_mended(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features=LAX)
    top = multi_arch()
    world.push("eu", "v1", top)
    push_manifest(world["us"], API, "v1", top)

    assert world.run(world.job()).outcome == "unchanged"
    assert len(defects(world, deep=True)) == len(top.children)

    world.tell(world.job(), "repair")
    world.settle()
    assert defects(world, deep=True) == []


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_f4_indexes_in_indexes_are_copied(make_world: MakeWorld, depth: int) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", nested(depth))

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", nested(depth))


def test_f4_indexes_in_indexes_are_copied_to_a_real_registry(
    ledger: Ledger, tmp_path: Path, stack: ExitStack
) -> None:
    bridge = real(ledger, stack, tmp_path, a_rule())
    push(bridge.urls[0], API, "v1", nested(3))

    assert bridge.run().outcome == "copied"
    assert is_whole(bridge.urls[1], API, "v1", nested(3))


@pytest.mark.parametrize("rule", [a_rule(), ONE], ids=["all", "platforms"])
def test_f4_beyond_all_sense_is_refused(make_world: MakeWorld, rule: Rule) -> None:
    world = make_world(rule)
    world.push("eu", "v1", nested(5))

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert "nested more than 4 deep" in (view.reason or "")


@pytest.mark.parametrize("rule", [a_rule(), ONE], ids=["all", "platforms"])
def test_f4_too_many_children_are_refused(make_world: MakeWorld, rule: Rule) -> None:
    world = make_world(rule, features={"eu": Features(content_checks=False)})
    entries = [
        {"mediaType": OCI_MANIFEST, "digest": Digest.of(str(number).encode()), "size": 9}
        for number in range(3000)
    ]
    raw = raw_index(*entries)
    push_manifest(world["eu"], API, "v1", Image(raw, OCI_INDEX))
    world["eu"].fail(
        "GET",
        "/manifests/sha256",
        times=float("inf"),
        status=404,
        body=b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}',
    )

    view = world.run(world.job())

    assert view.outcome is None
    assert len(world["eu"].requests("GET", "/manifests/")) < 1100


def test_f5_a_list_that_names_its_own_subject_ends(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"eu": Features(referrers=False), "us": Features(referrers=False)})
    world.push("eu", "v1", CHILD)
    push_manifest(world["eu"], API, referrers_tag(CHILD.digest), index([CHILD, CHILD]))

    world.run(world.job())
    world.settle()

    assert is_whole(world["us"], API, "v1", CHILD)
    assert len(world["eu"].log) < 30


def test_f5_a_list_that_names_itself_ends(make_world: MakeWorld) -> None:
    # The list of the list's own referrers holds the list.
    world = make_world(a_rule(), features={"eu": Features(referrers=False), "us": Features(referrers=False)})
    sbom = referrer(CHILD)
    listing = index([sbom])
    world.push("eu", "v1", CHILD)
    world.push("eu", referrers_tag(CHILD.digest), listing)
    for subject in (listing, sbom):
        push_manifest(world["eu"], API, referrers_tag(subject.digest), listing)

    world.run(world.job())
    world.settle()

    assert is_whole(world["us"], API, "v1", CHILD)
    assert len(world["eu"].log) < 40


def test_f6_a_child_of_an_unknown_type_is_a_manifest_if_it_can_be_read_as_one(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    strange = {
        "mediaType": "application/vnd.example.new+json",
        "digest": CHILD.digest,
        "size": len(CHILD.raw),
    }
    raw = raw_index(strange)
    world.push("eu", "v1", Image(raw, OCI_INDEX, children=(CHILD,)))

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, CHILD.digest, CHILD)


@pytest.mark.parametrize("rule", [a_rule(), ONE], ids=["all", "platforms"])
def test_f6_a_child_of_an_unknown_type_is_a_blob_if_it_is_no_manifest(
    make_world: MakeWorld, rule: Rule
) -> None:
    world = make_world(rule)
    content = layer_bytes("a blob")
    raw = raw_index(blob_entry(content, "application/vnd.example.new"))
    world.push("eu", "v1", Image(raw, OCI_INDEX, {Digest.of(content): content}))

    assert world.run(world.job()).outcome == "copied"
    assert world["us"].storage.blob(Repository(API), Digest.of(content))


@pytest.mark.parametrize("rule", [a_rule(), ONE], ids=["all", "platforms"])
def test_f7_the_children_of_an_index_that_is_there_are_not_visited(make_world: MakeWorld, rule: Rule) -> None:
    world = make_world(rule, features=SPARSE)
    for name in ("eu", "us"):
        world.push(name, "v1", TOP)

    assert world.run(world.job()).outcome == "unchanged"
    assert (world.asked("eu"), world.asked("us")) == (["GET manifests/v1"], ["HEAD manifests/v1"])


@pytest.mark.parametrize("rule", [a_rule(), ONE], ids=["all", "platforms"])
@pytest.mark.parametrize("child", [CHILD, index([CHILD])], ids=["image", "index"])
def test_f11_a_child_with_another_size_than_the_index_says_is_refused(
    make_world: MakeWorld, rule: Rule, child: Image
) -> None:
    world = make_world(rule)
    raw = raw_index({**child.descriptor(), "size": len(child.raw) + 1})
    world.push("eu", "v1", Image(raw, OCI_INDEX, children=(child,)))

    view = world.run(world.job())

    assert view.outcome is None
    assert f"has {len(child.raw) + 1} bytes" in (view.reason or "")
    assert world.tags_written("us") == []


# Platforms


@pytest.fixture
def rebuilt(make_world: MakeWorld) -> World:
    """A world whose destination takes no sparse index, after the copy of one of three platforms."""
    world = make_world(REBUILDS)
    world.push("eu", "v1", TOP)
    assert world.run(world.job()).outcome == "copied"
    return world


def test_f8_one_of_three_platforms_is_a_new_index_and_both_digests_are_kept(rebuilt: World) -> None:
    made = part(TOP, AMD)

    assert is_whole(rebuilt["us"], API, "v1", made)
    record = rebuilt.ledger.fleet.copied("us", Repository(API), Tag("v1"))
    assert record
    assert (record.made_from, record.digest, record.platforms) == (TOP.digest, made.digest, (AMD,))


def test_f8_the_next_run_does_nothing(rebuilt: World) -> None:
    view = rebuilt.run(rebuilt.job())

    assert (view.outcome, view.digest) == ("unchanged", part(TOP, AMD).digest)
    assert (rebuilt.asked("eu"), rebuilt.asked("us")) == (["GET manifests/v1"], ["HEAD manifests/v1"])
    assert resynced(rebuilt) == []


def test_f8_the_next_run_does_nothing_even_without_a_ledger(rebuilt: World) -> None:
    rebuilt.redis.flushall()

    assert rebuilt.run(rebuilt.job(), action=None).outcome == "unchanged"
    assert resynced(rebuilt) == []
    assert rebuilt.writes("us") == []


def test_f8_a_real_registry_takes_no_sparse_index_and_the_rebuilt_one(
    ledger: Ledger, tmp_path: Path, stack: ExitStack
) -> None:
    made = part(TOP, AMD)
    bridge = real(ledger, stack, tmp_path, REBUILDS)
    source, destination = bridge.urls
    push(source, API, "v1", TOP)

    assert bridge.run().digest == made.digest

    assert ledger.fleet.capability("us", "sparse-index") is False
    assert is_whole(destination, API, "v1", made)
    assert [head(destination, API, child.digest) is None for child in (A, B, C)] == [False, True, True]
    assert bridge.run().outcome == "unchanged"
    client, repository = bridge.clients, Repository(API)
    selection = Selection(client["eu"], repository, (AMD,))
    proof = Prover(client["us"], repository, deep=True, selection=selection).prove(Tag("v1"), made.digest)
    assert proof.defects == ()
    directory = pulled_by_skopeo(destination, tmp_path / "pulled", "--all", "--preserve-digests")
    assert (directory / "manifest.json").read_bytes() == made.raw


def test_f8_a_real_registry_blocks_where_the_rule_does_not_say_to_rebuild(
    ledger: Ledger, tmp_path: Path, stack: ExitStack
) -> None:
    bridge = real(ledger, stack, tmp_path, ONE)
    push(bridge.urls[0], API, "v1", TOP)

    view = bridge.run()

    assert view.state is State.BLOCKED
    assert "us takes no index that names images which are not there" in (view.reason or "")
    assert head(bridge.urls[1], API, "v1") is None


def test_f8_who_pulls_a_platform_of_a_sparse_index_notices_nothing(
    ledger: Ledger, tmp_path: Path, stack: ExitStack
) -> None:
    source = stack.enter_context(serve(FakeRegistry())).url
    destination = stack.enter_context(serve(FakeRegistry(SPARSE["us"]))).url
    bridge = stack.enter_context(Bridge(ledger, source, destination, rule=ONE))
    push(source, API, "v1", TOP)

    assert bridge.run().digest == TOP.digest

    options = ("--override-os=linux", "--override-arch=amd64", "--preserve-digests")
    directory = pulled_by_skopeo(destination, tmp_path / "pulled", *options)
    assert (directory / "manifest.json").read_bytes() == A.raw


def test_f12_a_child_that_the_source_lacks_fails_the_copy_and_is_named(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"eu": Features(sparse_indexes=True)})
    world.push("eu", None, A)
    push_manifest(world["eu"], API, "v1", TOP)

    first, then = world.run(world.job()), world.hurried(world.job())

    assert (first.state, then.state) == (State.PENDING, State.PARKED)
    assert f"the index names {B.digest}, which is not there" in (then.reason or "")
    assert world.digest("us") is None


def test_f12_platforms_that_the_source_has_are_copied_all_the_same(make_world: MakeWorld) -> None:
    world = make_world(ONE, features={**SPARSE, "eu": Features(sparse_indexes=True)})
    for child in (A, TOP.children[3]):
        world.push("eu", None, child)
    push_manifest(world["eu"], API, "v1", TOP)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, A.digest, A)
    assert set(kinds(world).values()) == {"in_sync"}
    assert defects(world) == []


def test_f12_an_index_that_lacks_a_child_may_be_named_by_another(make_world: MakeWorld) -> None:
    world = make_world(ONE, features={**SPARSE, "eu": Features(sparse_indexes=True)})
    world.push("eu", None, A)
    inner = index_of(entry(A, "linux/amd64"), entry(C, "linux/s390x"))
    push_manifest(world["eu"], API, None, inner)
    push_manifest(world["eu"], API, "v1", index_of(entry(inner)))

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, A.digest, A)

"""What a proof finds, and what it takes for an error instead of a finding."""

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from replicator.demo.features import Features
from replicator.errors import PermanentError, TemporaryError, Unavailable
from replicator.oci import Digest, Repository, Tag, referrers_tag
from replicator.transfer.defects import DefectKind, Proof
from replicator.transfer.proof import Origin, Prover
from tests.fakes.images import (
    Image,
    image,
    index,
    layer_bytes,
    multi_arch,
    push_manifest,
    referrer,
    signature,
    signature_tag,
)
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule

TOP = multi_arch()
CHILD = TOP.children[0]
LAYER = next(iter(CHILD.blobs))
SIGNATURE, SBOM = signature(TOP), referrer(TOP)
LAX = Features(content_checks=False)


@pytest.fixture
def world(make_world: MakeWorld) -> Iterator[World]:
    """Source and destination hold the same signed multi-arch image, whole."""
    made = make_world(a_rule(), features={"us": LAX})
    for name in ("eu", "us"):
        made.push(name, "v1", TOP)
        made.push(name, signature_tag(TOP), SIGNATURE)
        made.push(name, None, SBOM)
    made.forget_requests()
    yield made
    for registry in made.registries.values():
        registry.heal()


def prover(world: World, *, deep: bool = False, seen: set[bytes] | None = None) -> Prover:
    client = world.tools().client
    origin = Origin(client("eu"), Repository(API))
    return Prover(client("us"), Repository(API), origin, deep=deep, seen=seen if seen is not None else set())


def prove(world: World, reference: str = "v1", *, expected: Image = TOP, deep: bool = False) -> Proof:
    return prover(world, deep=deep).prove(Tag(reference), expected.digest)


def kinds(proof: Proof) -> list[DefectKind]:
    return [defect.kind for defect in proof.defects]


def test_a_whole_copy_has_no_defects_and_everything_is_counted(world: World) -> None:
    blobs = {**TOP.all_blobs, **SIGNATURE.blobs, **SBOM.blobs}
    manifests = [TOP, *TOP.children, SIGNATURE, SBOM]

    proof = prove(world)

    assert proof == Proof(
        manifests=len(manifests),
        blobs=len(blobs),
        size_bytes=sum(map(len, blobs.values())) + sum(len(item.raw) for item in manifests),
        signatures=2,
    )
    assert world.writes("us") == world.writes("eu") == []
    assert not any(text.startswith("GET blobs/") for text in world.asked("us"))


def test_without_an_origin_nothing_is_said_of_signatures(world: World) -> None:
    world.delete("us", signature_tag(TOP))

    proof = Prover(world.tools().client("us"), Repository(API)).prove(Tag("v1"), TOP.digest)

    assert (proof.signatures, proof.defects) == (0, ())
    assert world.asked("eu") == []


def test_an_absent_tag_is_a_defect(world: World) -> None:
    world.delete("us", "v1")

    proof = prove(world)

    assert kinds(proof) == [DefectKind.ABSENT]
    assert proof.defects[0].sentence == f"us/{API}:v1 is absent, expected {TOP.digest}"


def test_a_tag_that_holds_something_else_is_a_defect(world: World) -> None:
    other = world.push("us", "v1", image())

    proof = prove(world)

    assert kinds(proof) == [DefectKind.WRONG_DIGEST]
    assert proof.defects[0].sentence == f"us/{API}:v1 holds {other}, expected {TOP.digest}"


def test_a_tag_that_holds_a_kind_we_do_not_copy_holds_something_else(world: World) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    body = b'{"schemaVersion": 1, "fsLayers": []}'
    headers = {"Content-Type": kind, "Docker-Content-Digest": Digest.of(body)}
    world["us"].fail("*", "manifests/v1", times=2, status=200, headers=headers, body=body)

    assert kinds(prove(world)) == [DefectKind.WRONG_DIGEST]


def test_a_missing_child_is_named(world: World) -> None:
    world.lose_manifest("us", CHILD.digest)

    proof = prove(world)

    assert kinds(proof) == [DefectKind.MISSING_CHILD]
    assert proof.defects[0].sentence == f"us/{API}:v1: the child {CHILD.digest} is absent"


def test_a_child_of_a_child_is_looked_at_as_well(world: World) -> None:
    nested = index([TOP, image()])
    world.push("us", "nested", nested)
    world.lose_manifest("us", CHILD.digest)

    assert kinds(prove(world, "nested", expected=nested)) == [DefectKind.MISSING_CHILD]


def test_a_child_whose_size_the_index_gets_wrong_is_a_defect(world: World) -> None:
    document = TOP.document
    document["manifests"][0]["size"] += 1
    wrong = Image(str(document).replace("'", '"').encode(), TOP.media_type, {}, TOP.children)
    world.push("us", "wrong", wrong)

    assert kinds(prove(world, "wrong", expected=wrong)) == [DefectKind.WRONG_SIZE]


@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
def test_a_missing_blob_is_named(world: World, deep: bool) -> None:
    world["us"].storage.remove_blob(Repository(API), LAYER)

    proof = prove(world, deep=deep)

    assert kinds(proof) == [DefectKind.MISSING_BLOB]
    assert proof.defects[0].sentence == f"us/{API}:v1: the blob {LAYER} is absent"
    assert proof.defects[0].digest == LAYER


def test_a_missing_blob_that_two_children_share_is_one_defect(world: World) -> None:
    (shared,) = TOP.children[0].blobs.keys() & TOP.children[1].blobs.keys()
    world["us"].storage.remove_blob(Repository(API), shared)

    assert kinds(prove(world)) == [DefectKind.MISSING_BLOB]


@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
def test_a_blob_of_another_size_is_a_defect(world: World, deep: bool) -> None:
    world.damage("us", LAYER, b"cut")

    proof = prove(world, deep=deep)

    assert kinds(proof) == [DefectKind.WRONG_SIZE]
    assert "has 3 bytes, expected" in proof.defects[0].sentence


def test_only_a_deep_proof_finds_bytes_that_went_bad(world: World) -> None:
    world.damage("us", LAYER, b"x" * len(CHILD.blobs[LAYER]))

    assert kinds(prove(world)) == []
    proof = prove(world, deep=True)

    assert kinds(proof) == [DefectKind.CORRUPT]
    assert LAYER in proof.defects[0].sentence
    assert f"us/{API}:v1" in proof.defects[0].sentence


def test_a_manifest_whose_bytes_went_bad_is_a_defect(world: World) -> None:
    storage = world["us"].storage
    with storage.lock:
        shelf = storage.shelves[Repository(API)]
        shelf.manifests[CHILD.digest] = replace(
            shelf.manifests[CHILD.digest], raw=CHILD.raw.replace(b"2", b"3", 1)
        )

    assert kinds(prove(world)) == [DefectKind.CORRUPT]


def test_a_deep_proof_reads_and_counts_each_blob_once(world: World) -> None:
    blobs = {**TOP.all_blobs, **SIGNATURE.blobs, **SBOM.blobs}

    proof = prove(world, deep=True)

    read = [text for text in world.asked("us") if text.startswith("GET blobs/")]
    assert proof.defects == ()
    assert len(read) == len(set(read)) == len(blobs) == proof.blobs


def test_a_deep_proof_of_a_large_blob_stays_small_in_memory(world: World) -> None:
    size = 24_000_000
    large = image([layer_bytes("large", size)])
    world.push("us", "large", large)
    proving = prover(world, deep=True)

    tracemalloc.start()
    try:
        proof = proving.prove(Tag("large"), large.digest)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert proof.defects == ()
    assert peak < size / 4


def test_foreign_layers_are_not_asked_for(world: World) -> None:
    plain = image([b"here"])
    document = plain.document
    foreign = {
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": Digest.of(b"elsewhere"),
        "size": 9,
        "urls": ["https://elsewhere.example.com/layer"],
    }
    document["layers"].append(foreign)
    with_foreign = Image(str(document).replace("'", '"').encode(), plain.media_type, plain.blobs)
    world.push("us", "foreign", with_foreign)

    assert prove(world, "foreign", expected=with_foreign).defects == ()


# Signatures and referrers


def test_a_missing_signature_is_named(world: World) -> None:
    world.delete("us", signature_tag(TOP))

    proof = prove(world)

    assert kinds(proof) == [DefectKind.MISSING_SIGNATURE]
    assert f"the signature {signature_tag(TOP)} is absent" in proof.defects[0].sentence


def test_a_signature_that_differs_is_named(world: World) -> None:
    world.push("us", signature_tag(TOP), signature(TOP, "somebody else"))

    assert kinds(prove(world)) == [DefectKind.WRONG_SIGNATURE]


def test_the_signature_of_a_child_has_to_be_there_too(world: World) -> None:
    world.push("eu", signature_tag(CHILD), signature(CHILD))

    assert kinds(prove(world)) == [DefectKind.MISSING_SIGNATURE]


def test_a_signature_must_be_whole(world: World) -> None:
    world["us"].storage.remove_blob(Repository(API), next(iter(SIGNATURE.blobs)))

    assert kinds(prove(world)) == [DefectKind.MISSING_BLOB]


def test_a_missing_referrer_is_named_and_one_of_it_as_well(world: World) -> None:
    world.lose_manifest("us", SBOM.digest)

    proof = prove(world)
    assert kinds(proof) == [DefectKind.MISSING_SIGNATURE]
    assert f"the referrer {SBOM.digest} is absent" in proof.defects[0].sentence

    world.push("us", None, SBOM)
    world.push("eu", None, referrer(SBOM))
    assert kinds(prove(world)) == [DefectKind.MISSING_SIGNATURE]


def test_a_referrer_that_nobody_would_find_is_a_defect(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": Features(referrers=False)})
    for name in ("eu", "us"):
        world.push(name, "v1", TOP)
        world.push(name, None, SBOM)

    assert kinds(prove(world)) == [DefectKind.UNLISTED_REFERRER]

    push_manifest(world["us"], API, referrers_tag(TOP.digest), index([SBOM]))
    assert kinds(prove(world)) == []


def test_what_the_source_lists_and_does_not_have_is_not_missed(make_world: MakeWorld) -> None:
    old = Features(referrers=False, content_checks=False)
    world = make_world(a_rule(), features={"eu": old, "us": old})
    for name in ("eu", "us"):
        world.push(name, "v1", TOP)
    push_manifest(world["eu"], API, referrers_tag(TOP.digest), index([SBOM]))

    assert kinds(prove(world)) == []


# What is no finding


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("eu", "GET", "tags/list"),
        ("eu", "GET", "referrers/"),
        ("eu", "HEAD", "manifests/"),
        ("us", "GET", "manifests/"),
        ("us", "HEAD", "blobs/"),
        ("us", "GET", "referrers/"),
    ],
)
@pytest.mark.parametrize(
    ("status", "error"), [(503, Unavailable), (500, TemporaryError), (403, PermanentError)]
)
def test_a_registry_that_does_not_answer_is_an_error(
    world: World, name: str, method: str, path: str, status: int, error: type[Exception]
) -> None:
    world[name].fail(method, path, times=float("inf"), status=status)

    with pytest.raises(error):
        prove(world)


def test_a_deep_reading_that_breaks_off_is_an_error_and_no_damage(world: World) -> None:
    world["us"].fail("GET", f"blobs/{LAYER}", times=float("inf"), status=503)

    with pytest.raises(Unavailable):
        prove(world, deep=True)


def test_indexes_nested_without_end_are_refused(world: World) -> None:
    nested = TOP
    for number in range(6):
        nested = index([nested], annotations={"level": str(number)})
    world.push("us", "deep", nested)

    with pytest.raises(PermanentError, match="nested"):
        prove(world, "deep", expected=nested)


# What was proved already


def test_what_was_proved_in_this_run_is_not_asked_for_again(world: World) -> None:
    other = index([CHILD])
    world.push("us", "v2", other)
    seen: set[bytes] = set()
    prover(world, seen=seen).prove(Tag("v1"), TOP.digest)
    world.forget_requests()

    proof = prover(world, seen=seen).prove(Tag("v2"), other.digest)

    assert (proof.manifests, proof.blobs, proof.defects) == (1, 0, ())
    assert world.asked("us") == ["GET manifests/v2"]


def test_a_tag_of_what_was_proved_is_still_looked_at(world: World) -> None:
    proving = prover(world)
    proving.prove(Tag("v1"), TOP.digest)

    proof = proving.prove(Tag("other"), TOP.digest)

    assert kinds(proof) == [DefectKind.ABSENT]


def test_a_defect_is_told_for_every_reference_that_it_hurts(world: World) -> None:
    world.push("us", "v2", TOP)
    world["us"].storage.remove_blob(Repository(API), LAYER)
    proving = prover(world)

    proofs = [proving.prove(Tag(tag), TOP.digest) for tag in ("v1", "v2")]

    assert [kinds(proof) for proof in proofs] == [[DefectKind.MISSING_BLOB]] * 2


def test_what_a_shallow_proof_saw_a_deep_one_reads(world: World) -> None:
    seen: set[bytes] = set()
    world.damage("us", LAYER, b"x" * len(CHILD.blobs[LAYER]))

    assert prover(world, seen=seen).prove(Tag("v1"), TOP.digest).defects == ()

    assert kinds(prover(world, seen=seen, deep=True).prove(Tag("v1"), TOP.digest)) == [DefectKind.CORRUPT]


def test_threads_may_share_a_prover(world: World) -> None:
    tags = [f"v{number}" for number in range(20)]
    for tag in tags:
        world.push("us", tag, TOP)
    proving = prover(world, deep=True)

    with ThreadPoolExecutor(8) as pool:
        proofs = list(pool.map(lambda tag: proving.prove(Tag(tag), TOP.digest), tags))

    assert [proof.defects for proof in proofs] == [()] * len(tags)

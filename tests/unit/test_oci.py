"""Names, digests and manifests: what is taken, what is refused, and that bytes are never written anew."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.errors import Corrupt, Unsupported
from replicator.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Platform,
    Repository,
    Tag,
    companion_subject,
    companion_tags,
    index_of,
    is_referrers_tag,
    named,
    parse_manifest,
    parse_reference,
    referrers_tag,
    relisted,
)

HEX = "ab" * 32
SHA256 = Digest(f"sha256:{HEX}")
SHA512 = Digest(f"sha512:{'cd' * 64}")
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": SHA256, "size": 7}
CONFIG = {"mediaType": OCI_CONFIG, "digest": f"sha256:{'12' * 32}", "size": 3}
IMAGE = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
CHILD = {"mediaType": OCI_MANIFEST, "digest": SHA256, "size": 5}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [CHILD]}


def dumped(document: object) -> bytes:
    return json.dumps(document).encode()


# Names


@pytest.mark.parametrize("text", ["a", "team/api", "a--b/c__d/e.f", "0/1-2", "a" * 255, "library/a_b"])
def test_a_repository_name_of_the_spec_is_taken(text: str) -> None:
    assert Repository(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/a", "a/", "a//b", "A", "a/B", "-a", "a-", "a..b", "a___b", "a.-b", "a b", "a\n", "a" * 256, "ä"],
)
def test_other_text_is_no_repository_name(text: str) -> None:
    with pytest.raises(ValueError, match="not a repository name"):
        Repository(text)


@pytest.mark.parametrize("text", ["v1", "_", "V1.2-rc_3", "0", "a" * 128])
def test_a_tag_of_the_spec_is_taken(text: str) -> None:
    assert Tag(text) == text


@pytest.mark.parametrize("text", ["", ".v1", "-v1", "v1\n", "v:1", "v/1", "v 1", "a" * 129, "ü"])
def test_other_text_is_no_tag(text: str) -> None:
    with pytest.raises(ValueError, match="not a tag"):
        Tag(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        f"sha256:{HEX.upper()}",
        f"sha256:{HEX}0",
        f"sha256:{HEX[1:]}",
        f"sha512:{HEX}",
        f"md5:{HEX}",
        f"SHA256:{HEX}",
        f"sha256:{HEX}\n",
    ],
)
def test_other_text_is_no_digest(text: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        Digest(text)


def test_a_digest_knows_its_parts() -> None:
    assert (SHA256.algorithm, SHA256.hex) == ("sha256", HEX)
    assert (SHA512.algorithm, SHA512.hex) == ("sha512", "cd" * 64)


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_a_digest_of_bytes_is_what_hashlib_says(data: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)

    assert digest.hex == hashlib.new(algorithm, data).hexdigest()
    assert Digest(digest) == digest


def test_a_reference_with_a_colon_is_a_digest_and_any_other_a_tag() -> None:
    assert type(parse_reference(SHA256)) is Digest
    assert type(parse_reference("v1")) is Tag
    with pytest.raises(ValueError, match="not a digest"):
        parse_reference("v1:x")


@given(st.text(max_size=20))
def test_a_reference_is_the_text_it_was_parsed_from(text: str) -> None:
    try:
        reference = parse_reference(text)
    except ValueError:
        return

    assert reference == text


def test_a_tag_is_named_after_a_colon_and_a_digest_after_an_at_sign() -> None:
    assert named("team/api", "v1") == "team/api:v1"
    assert named("team/api", SHA256) == f"team/api@{SHA256}"


# Companions


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
def test_a_companion_tag_names_its_subject(suffix: str) -> None:
    assert companion_subject(f"sha256-{HEX}{suffix}") == SHA256


@pytest.mark.parametrize(
    "tag",
    [
        "v1",
        f"sha256-{HEX}.txt",
        f"sha256-{HEX}.sig.sig",
        f"sha256-{HEX[1:]}.sig",
        f"sha256-{HEX}0.sig",
        f"sha256-{HEX.upper()}.sig",
        f"sha256:{HEX}",
        f"x-sha256-{HEX}",
        f"sha512-{HEX}",
    ],
)
def test_an_ordinary_tag_has_no_subject(tag: str) -> None:
    assert companion_subject(tag) is None


def test_the_companions_of_a_digest_name_it() -> None:
    tags = companion_tags(SHA256)

    assert [tag.rpartition(".")[2] for tag in tags] == ["sig", "att", "sbom"]
    assert {companion_subject(tag) for tag in tags} == {SHA256}


def test_the_companion_tags_of_a_sha512_digest_would_be_too_long() -> None:
    assert companion_tags(SHA512) == ()


def test_the_referrers_tag_holds_at_most_64_digits() -> None:
    assert referrers_tag(SHA256) == f"sha256-{HEX}"
    assert referrers_tag(SHA512) == f"sha512-{'cd' * 32}"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        (f"sha256-{HEX}", True),
        (f"sha512-{HEX}", True),
        (f"sha512-{HEX}00", False),
        (f"sha256-{HEX}.sig", False),
        ("v1", False),
    ],
)
def test_a_list_of_referrers_has_a_tag_of_its_own(tag: str, expected: bool) -> None:
    assert is_referrers_tag(tag) is expected


# Manifests


def test_an_image_points_to_its_config_and_each_layer_once() -> None:
    manifest = parse_manifest(dumped(IMAGE | {"layers": [LAYER, LAYER]}), OCI_MANIFEST)

    assert [blob.digest for blob in manifest.blobs] == [CONFIG["digest"], SHA256]
    assert (manifest.children, manifest.subject, manifest.is_index) == ((), None, False)
    assert manifest.artifact_type == OCI_CONFIG


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_points_to_its_children(media_type: str) -> None:
    manifest = parse_manifest(dumped(INDEX | {"mediaType": media_type}), media_type)

    assert manifest.is_index
    assert [child.digest for child in manifest.children] == [SHA256]
    assert (manifest.blobs, manifest.artifact_type) == ((), None)


def test_an_artifact_has_type_subject_and_annotations() -> None:
    more = {"artifactType": "a/b", "subject": CHILD, "annotations": {"k": "v"}}
    manifest = parse_manifest(dumped(IMAGE | more), OCI_MANIFEST)

    assert (manifest.artifact_type, manifest.subject) == ("a/b", SHA256)
    descriptor = manifest.descriptor
    assert (descriptor.digest, descriptor.size_bytes) == (manifest.digest, len(manifest.raw))
    assert (descriptor.media_type, descriptor.artifact_type) == (OCI_MANIFEST, "a/b")
    assert descriptor.annotations == {"k": "v"}


@pytest.mark.parametrize(
    ("declared", "sent", "expected"),
    [
        (OCI_MANIFEST, OCI_MANIFEST, OCI_MANIFEST),
        (OCI_MANIFEST, f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST),
        (OCI_MANIFEST, "application/json", OCI_MANIFEST),
        (OCI_MANIFEST, "", OCI_MANIFEST),
        (None, OCI_MANIFEST, OCI_MANIFEST),
        (None, OCI_MANIFEST.upper(), OCI_MANIFEST),
        (None, DOCKER_MANIFEST, DOCKER_MANIFEST),
        (None, "text/plain", OCI_MANIFEST),
    ],
)
def test_the_media_type_is_what_the_document_or_else_the_answer_says(
    declared: str | None, sent: str, expected: str
) -> None:
    document = {key: value for key, value in IMAGE.items() if key != "mediaType"}
    if declared:
        document["mediaType"] = declared

    assert parse_manifest(dumped(document), sent).media_type == expected


def test_an_index_without_any_type_is_known_by_its_list() -> None:
    assert parse_manifest(dumped({"manifests": []}), "application/json").media_type == OCI_INDEX


@pytest.mark.parametrize(
    ("document", "sent"),
    [
        (IMAGE, DOCKER_MANIFEST),
        (IMAGE | {"mediaType": 7}, OCI_MANIFEST),
        (IMAGE | {"manifests": []}, OCI_MANIFEST),
        (IMAGE | {"layers": None}, OCI_MANIFEST),
        (IMAGE | {"layers": [[]]}, OCI_MANIFEST),
        (IMAGE | {"layers": ["text"]}, OCI_MANIFEST),
        (IMAGE | {"layers": [LAYER | {"size": -1}]}, OCI_MANIFEST),
        (IMAGE | {"layers": [LAYER | {"size": True}]}, OCI_MANIFEST),
        (IMAGE | {"layers": [LAYER | {"size": "7"}]}, OCI_MANIFEST),
        (IMAGE | {"layers": [LAYER | {"digest": "sha256:../../etc"}]}, OCI_MANIFEST),
        (IMAGE | {"layers": [LAYER | {"size": 2**63}]}, OCI_MANIFEST),
        (IMAGE | {"layers": [LAYER | {"urls": 3}]}, OCI_MANIFEST),
        (IMAGE | {"config": None}, OCI_MANIFEST),
        (IMAGE | {"subject": {"digest": "x", "size": 1}}, OCI_MANIFEST),
        ({"mediaType": OCI_MANIFEST, "layers": []}, OCI_MANIFEST),
        ({"mediaType": OCI_INDEX}, OCI_INDEX),
        ({"mediaType": OCI_INDEX, "manifests": None}, OCI_INDEX),
        ([], OCI_MANIFEST),
        ("text", OCI_MANIFEST),
    ],
)
def test_a_malformed_manifest_is_corrupt(document: object, sent: str) -> None:
    with pytest.raises(Corrupt):
        parse_manifest(dumped(document), sent)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_bytes_that_are_no_json_are_corrupt(raw: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_manifest(raw, OCI_MANIFEST)


@pytest.mark.parametrize(
    ("document", "sent"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws"),
        (IMAGE | {"mediaType": "application/vnd.example+json"}, OCI_MANIFEST + "x"),
        ({}, "text/html"),
        ({"config": {}}, ""),
    ],
)
def test_what_is_no_manifest_that_we_know_is_unsupported(document: object, sent: str) -> None:
    with pytest.raises(Unsupported):
        parse_manifest(dumped(document), sent)


def test_a_manifest_of_nothing_but_brackets_is_not_read() -> None:
    for piece in (b"[],", b"{},", b"1,"):
        with pytest.raises(Unsupported, match="more than 200000 values"):
            parse_manifest(b'{"layers": [' + piece * 200_001 + b"1]}", OCI_MANIFEST)


@pytest.mark.parametrize(
    "document",
    [
        IMAGE | {"mediaType": "x\x1b" * 10_000},
        IMAGE | {"layers": [LAYER | {"size": "x\x1b" * 10_000}]},
        IMAGE | {"layers": [LAYER | {"size": {"x": ["y"] * 10_000}}]},
        IMAGE | {"layers": [LAYER | {"digest": "x\x1b" * 10_000}]},
    ],
)
@pytest.mark.parametrize("sent", [OCI_MANIFEST, "", "x" * 10_000])
def test_a_message_quotes_little_of_a_manifest(document: object, sent: str) -> None:
    with pytest.raises((Corrupt, Unsupported)) as caught:
        parse_manifest(dumped(document), sent)

    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_manifest_is_checked_against_the_digest_that_was_asked_for(algorithm: str) -> None:
    raw = dumped(IMAGE)
    expected = Digest.of(raw, algorithm)

    assert parse_manifest(raw, OCI_MANIFEST, expected=expected).digest == expected
    with pytest.raises(Corrupt, match="expected"):
        parse_manifest(raw + b" ", OCI_MANIFEST, expected=expected)


@pytest.mark.parametrize(
    ("media_type", "urls", "is_foreign"),
    [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", ["https://elsewhere"], True),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", ["https://elsewhere"], True),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", [], False),
        ("application/vnd.oci.image.layer.v1.tar+gzip", ["https://elsewhere"], False),
        ("application/vnd.oci.image.layer.v1.tar+gzip", None, False),
    ],
)
def test_a_layer_is_foreign_where_type_and_urls_say_so(
    media_type: str, urls: list[str] | None, is_foreign: bool
) -> None:
    layer: dict[str, Any] = LAYER | {"mediaType": media_type, "urls": urls}
    manifest = parse_manifest(dumped(IMAGE | {"layers": [layer]}), OCI_MANIFEST)

    assert manifest.blobs[1].is_foreign is is_foreign


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["mediaType", "config", "layers", "manifests", "subject", "artifactType", "annotations"]
PARTS = st.sampled_from([LAYER, CONFIG, CHILD, [LAYER], [CHILD], OCI_MANIFEST, OCI_INDEX]) | JSON


@given(st.dictionaries(st.sampled_from(KEYS), PARTS), st.sampled_from([OCI_MANIFEST, OCI_INDEX, "", "x"]))
def test_any_document_is_a_valid_manifest_or_one_of_two_errors(document: object, sent: str) -> None:
    raw = dumped(document)
    try:
        manifest = parse_manifest(raw, sent)
    except (Corrupt, Unsupported):
        return

    assert (manifest.raw, manifest.digest) == (raw, Digest.of(raw))
    assert not (manifest.blobs and manifest.children)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"os": "linux", "architecture": "arm64"}, Platform("linux", "arm64")),
        ({"os": "linux", "architecture": "arm", "variant": "v7"}, Platform("linux", "arm", "v7")),
        ({"os": "windows", "architecture": "amd64", "os.version": "10.0"}, Platform("windows", "amd64")),
        ({"os": "linux"}, None),
        ({"architecture": "arm64"}, None),
        ({"os": "linux", "architecture": ["arm64"]}, None),
        ("linux/arm64", None),
        (None, None),
    ],
)
def test_an_index_may_say_which_platform_an_entry_is_for(said: object, expected: Platform | None) -> None:
    index = parse_manifest(dumped(INDEX | {"manifests": [CHILD | {"platform": said}]}), OCI_INDEX)

    assert index.children[0].platform == expected


def test_a_platform_reads_as_rules_write_it() -> None:
    assert str(Platform("linux", "arm", "v7")) == "linux/arm/v7"
    assert str(Platform("linux", "amd64")) == "linux/amd64"


# Indexes of our own

DESCRIPTORS = st.builds(
    Descriptor,
    media_type=st.sampled_from([OCI_MANIFEST, OCI_INDEX]),
    digest=st.binary(max_size=4).map(Digest.of),
    size_bytes=st.integers(0, 2**40),
    artifact_type=st.none() | st.just("application/vnd.example"),
    annotations=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
)


@given(st.lists(DESCRIPTORS, max_size=4))
def test_an_index_of_ours_says_what_went_in(descriptors: list[Descriptor]) -> None:
    index = parse_manifest(index_of(descriptors), OCI_INDEX)

    assert list(index.children) == descriptors
    assert [item.annotations for item in index.children] == [item.annotations for item in descriptors]


@given(st.lists(DESCRIPTORS, unique_by=lambda item: item.digest, max_size=4), st.data())
def test_an_index_that_is_changed_keeps_all_else(descriptors: list[Descriptor], data: st.DataObject) -> None:
    before = json.loads(index_of(descriptors)) | {"annotations": {"made": "elsewhere"}}
    before["manifests"] = [
        entry | {"data": "aGVsbG8=", "platform": {"os": "linux"}} for entry in before["manifests"]
    ]
    gone = {item.digest for item in descriptors if data.draw(st.booleans())}
    added = Descriptor(OCI_MANIFEST, Digest.of(b"added"), 5)

    after = json.loads(relisted(json.dumps(before).encode(), added=[added], gone=gone))

    kept = [entry for entry in before["manifests"] if entry["digest"] not in gone]
    assert after.pop("manifests")[:-1] == kept
    assert after == {key: value for key, value in before.items() if key != "manifests"}

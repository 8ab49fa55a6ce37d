"""What the OCI distribution spec asks of a registry, asked of ours without a socket; and its switches."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from replicator.demo.features import Features
from replicator.demo.registry import Registry
from replicator.oci import OCI_INDEX, Digest
from tests.fakes import images
from tests.fakes.raw import Answer, RawClient


def client(features: Features | None = None) -> RawClient:
    return RawClient(Registry(features))


def put(raw: RawClient, image: images.Image, reference: str, content_type: str | None = None) -> Answer:
    headers = {"Content-Type": content_type or image.media_type}
    return raw.call("PUT", f"/v2/a/b/manifests/{reference}", headers=headers, body=image.raw)


def test_a_nested_index_reads_back() -> None:
    pushed = images.index([images.multi_arch(), images.image()])
    raw = client()

    images.push(raw, "a/b", "v1", pushed)

    copy = images.read_back(raw, "a/b", "v1")
    assert copy.raw == pushed.raw
    assert copy.digests >= {pushed.digest, *pushed.all_blobs}


def test_a_sha512_digest_is_understood() -> None:
    raw = client()
    content = b"hashed with sha512"
    digest = Digest.of(content, "sha512")

    images.push_blob(raw, "a/b", content, digest=digest)

    assert raw.call("GET", f"/v2/a/b/blobs/{digest}").body == content


def test_large_blobs_leave_memory_and_read_the_same() -> None:
    raw = client()
    content = images.layer_bytes("large", 3_000_000)

    digest = images.push_blob(raw, "a/b", content)

    assert raw.call("GET", f"/v2/a/b/blobs/{digest}").body == content
    part = raw.call("GET", f"/v2/a/b/blobs/{digest}", headers={"Range": "bytes=2000001-2999998"})
    assert part.body == content[2_000_001:2_999_999]
    assert part.headers["content-range"] == "bytes 2000001-2999998/3000000"


@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=-30", 206, b"0123456789"),
        ("bytes=5-100", 206, b"56789"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
    ],
)
def test_ranges(sent: str, status: int, body: bytes) -> None:
    raw = client()
    digest = images.push_blob(raw, "a/b", b"0123456789")

    answer = raw.call("GET", f"/v2/a/b/blobs/{digest}", headers={"Range": sent})

    assert (answer.status, answer.body) == (status, body)


@pytest.mark.parametrize("sent", ["bytes=10-", "bytes=7-3", "bytes=-0"])
def test_a_range_beyond_the_end_is_416(sent: str) -> None:
    raw = client()
    digest = images.push_blob(raw, "a/b", b"0123456789")

    answer = raw.call("GET", f"/v2/a/b/blobs/{digest}", headers={"Range": sent})

    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */10")


def test_deleting_a_tag_leaves_its_manifest_and_other_tags() -> None:
    raw = client()
    pushed = images.image()
    for tag in ("one", "two"):
        images.push(raw, "a/b", tag, pushed)

    images.delete(raw, "a/b", "one")

    assert images.tags(raw, "a/b") == {"two"}
    assert images.head(raw, "a/b", pushed.digest) == pushed.digest


def test_without_deletes_nothing_is_deleted() -> None:
    raw = client(Features(deletes=False))
    pushed = images.image()
    images.push(raw, "a/b", "v1", pushed)

    for path in (f"manifests/{pushed.digest}", "manifests/v1", f"blobs/{next(iter(pushed.blobs))}"):
        answer = raw.call("DELETE", f"/v2/a/b/{path}")
        assert (answer.status, answer.error_codes) == (405, ["UNSUPPORTED"])


def test_a_repository_keeps_its_name_when_its_last_tag_goes() -> None:
    raw = client()
    images.push(raw, "a/b", "v1", images.image())
    images.delete(raw, "a/b", "v1")

    assert raw.call("GET", "/v2/a/b/tags/list").json() == {"name": "a/b", "tags": []}


def test_a_blob_stays_for_the_repositories_that_still_hold_it() -> None:
    raw = client()
    for repository in ("one", "two"):
        digest = images.push_blob(raw, repository, b"shared")

    raw.call("DELETE", f"/v2/one/blobs/{digest}")

    assert raw.call("HEAD", f"/v2/one/blobs/{digest}").status == 404
    assert raw.call("GET", f"/v2/two/blobs/{digest}").body == b"shared"


def test_tags_come_in_pages_with_links() -> None:
    raw = client()
    for number in range(5):
        images.push(raw, "a/b", f"v{number}", images.image())
    path, found = "/v2/a/b/tags/list?n=2", []

    while path:
        answer = raw.call("GET", path)
        found.append(answer.json()["tags"])
        path = answer.headers.get("link", "").partition(">")[0].lstrip("<")

    assert found == [["v0", "v1"], ["v2", "v3"], ["v4"]]


def test_page_sizes_are_clamped_and_checked() -> None:
    raw = client(Features(page_limit=2))
    for number in range(3):
        images.push(raw, "a/b", f"v{number}", images.image())

    assert raw.call("GET", "/v2/a/b/tags/list?n=100").json()["tags"] == ["v0", "v1"]
    assert raw.call("GET", "/v2/a/b/tags/list?n=0").json()["tags"] == []
    assert raw.call("GET", "/v2/a/b/tags/list?last=v1").json()["tags"] == ["v2"]
    assert raw.call("GET", "/v2/a/b/tags/list?n=many").error_codes == ["PAGINATION_NUMBER_INVALID"]


def test_a_subject_is_acknowledged_and_lists_its_referrers() -> None:
    raw = client()
    subject = images.image()
    sbom, report = images.referrer(subject), images.referrer(subject, b"all well", kind="report")
    images.push(raw, "a/b", "v1", subject)
    for referrer in (sbom, report):
        images.push(raw, "a/b", None, referrer)

    answer = put(raw, sbom, sbom.digest)
    listed = raw.call("GET", f"/v2/a/b/referrers/{subject.digest}")
    filtered = raw.call(
        "GET", f"/v2/a/b/referrers/{subject.digest}?artifactType=application/vnd.example.sbom.v1%2Bjson"
    )

    assert answer.headers["oci-subject"] == subject.digest
    assert listed.headers["content-type"] == OCI_INDEX
    assert {item["digest"] for item in listed.json()["manifests"]} == {sbom.digest, report.digest}
    assert filtered.headers["oci-filters-applied"] == "artifactType"
    assert filtered.json()["manifests"] == [
        sbom.descriptor(artifactType="application/vnd.example.sbom.v1+json", annotations={"kind": "sbom"})
    ]


def test_referrers_come_in_pages_too() -> None:
    raw = client(Features(page_limit=1))
    subject = images.image()
    for kind in ("sbom", "report"):
        images.push(raw, "a/b", None, images.referrer(subject, kind=kind))

    first = raw.call("GET", f"/v2/a/b/referrers/{subject.digest}")
    second = raw.call("GET", first.headers["link"].partition(">")[0].lstrip("<"))

    digests = {item["digest"] for page in (first, second) for item in page.json()["manifests"]}
    assert len(digests) == 2
    assert "link" not in second.headers


def test_a_subject_may_be_missing_and_then_has_referrers_all_the_same() -> None:
    raw = client()
    subject = images.image()
    referrer = images.referrer(subject)

    images.push(raw, "a/b", None, referrer)

    assert images.referrers(raw, "a/b", subject.digest) == {referrer.digest}
    assert images.referrers(raw, "a/b", referrer.digest) == set()


def test_without_the_referrers_api_there_is_neither_list_nor_header() -> None:
    raw = client(Features(referrers=False))
    subject = images.image()
    referrer = images.referrer(subject)
    images.push(raw, "a/b", None, referrer)

    assert images.referrers(raw, "a/b", subject.digest) is None
    assert "oci-subject" not in put(raw, referrer, referrer.digest).headers


def test_every_missing_piece_is_named() -> None:
    raw = client()
    pushed = images.image([b"one", b"two"])
    images.push_blob(raw, "a/b", b"one")

    answer = put(raw, pushed, "v1")

    named = {error["detail"]["digest"] for error in answer.json()["errors"]}
    assert named == set(pushed.blobs) - {Digest.of(b"one")}
    assert images.head(raw, "a/b", "v1") is None


def test_without_content_checks_anything_is_taken() -> None:
    raw = client(Features(content_checks=False))

    assert put(raw, images.multi_arch(), "v1").status == 201


def test_a_sparse_index_is_taken_by_some_and_an_image_without_its_blobs_by_none_of_these() -> None:
    raw = client(Features(sparse_indexes=True))

    assert put(raw, images.multi_arch(), "v1").status == 201
    assert put(raw, images.image(), "v2").status == 400
    assert put(client(), images.multi_arch(), "v1").status == 400


def test_a_manifest_whose_type_contradicts_it_is_refused() -> None:
    answer = put(client(), images.image(), "v1", content_type=OCI_INDEX)

    assert (answer.status, answer.error_codes) == (400, ["MANIFEST_INVALID"])


def test_a_manifest_over_the_limit_is_413() -> None:
    answer = put(client(Features(manifest_limit_bytes=100)), images.image(), "v1")

    assert (answer.status, answer.error_codes) == (413, ["SIZE_INVALID"])


def test_a_blob_over_the_limit_is_413() -> None:
    raw = client(Features(blob_limit_bytes=10))
    location = raw.call("POST", "/v2/a/b/blobs/uploads/").headers["location"]

    answer = raw.call("PATCH", location, body=b"more than ten bytes")

    assert (answer.status, answer.error_codes) == (413, ["SIZE_INVALID"])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/Upper/manifests/v1", "NAME_INVALID"),
        ("/v2/a..b/tags/list", "NAME_INVALID"),
        ("/v2/a/manifests/-dash", "TAG_INVALID"),
        ("/v2/a/manifests/sha256:1234", "DIGEST_INVALID"),
        ("/v2/a/blobs/sha256:1234", "DIGEST_INVALID"),
        ("/v2/a/referrers/sha256:1234", "DIGEST_INVALID"),
    ],
)
def test_what_breaks_a_grammar_is_400(path: str, code: str) -> None:
    answer = client().call("GET", path)

    assert (answer.status, answer.error_codes) == (400, [code])


def test_unknown_paths_and_methods_are_refused() -> None:
    raw = client()

    assert raw.call("GET", "/v1/a").status == 404
    assert raw.call("POST", "/v2/a/manifests/v1").status == 405


def test_a_type_that_the_client_does_not_accept_is_404() -> None:
    raw = client()
    images.push(raw, "a/b", "v1", images.multi_arch())

    answer = raw.call("GET", "/v2/a/b/manifests/v1", headers={"Accept": "application/json"})

    assert (answer.status, answer.error_codes) == (404, ["MANIFEST_UNKNOWN"])


def test_a_blob_may_come_with_its_post() -> None:
    raw = client()
    digest = Digest.of(b"small")

    answer = raw.call("POST", f"/v2/a/b/blobs/uploads/?digest={digest}", body=b"small")

    assert answer.status == 201
    assert raw.call("GET", answer.headers["location"]).body == b"small"


def test_where_single_posts_are_off_the_answer_is_an_open_upload() -> None:
    raw = client(Features(single_post=False))
    digest = Digest.of(b"small")

    answer = raw.call("POST", f"/v2/a/b/blobs/uploads/?digest={digest}", body=b"small")

    assert answer.status == 202
    ended = raw.call("PUT", f"{answer.headers['location']}&digest={digest}", body=b"small")
    assert ended.status == 201


def test_where_mounts_are_off_the_answer_is_an_open_upload() -> None:
    raw = client(Features(mounts=False))
    digest = images.push_blob(raw, "one", b"layer")

    assert raw.call("POST", f"/v2/two/blobs/uploads/?mount={digest}&from=one").status == 202


def test_a_chunk_out_of_order_is_416_and_says_where_to_go_on() -> None:
    raw = client()
    location = raw.call("POST", "/v2/a/b/blobs/uploads/").headers["location"]
    location = raw.call("PATCH", location, body=b"01234").headers["location"]

    answer = raw.call("PATCH", location, headers={"Content-Range": "7-8"}, body=b"78")

    assert (answer.status, answer.headers["range"]) == (416, "0-4")


def test_an_upload_belongs_to_its_repository_and_keeps_its_location() -> None:
    raw = client()
    location = raw.call("POST", "/v2/a/b/blobs/uploads/").headers["location"]

    assert raw.call("PATCH", location.replace("a/b", "c/d"), body=b"x").error_codes == ["BLOB_UPLOAD_UNKNOWN"]
    assert raw.call("PATCH", location.partition("?")[0], body=b"x").error_codes == ["BLOB_UPLOAD_INVALID"]
    assert raw.call("PATCH", location, body=b"x").status == 202


def test_locations_may_be_absolute() -> None:
    raw = client(Features(absolute_locations=True))

    location = raw.call("POST", "/v2/a/b/blobs/uploads/").headers["location"]

    assert location.startswith("http://registry.test/v2/a/b/blobs/uploads/")


def test_manifests_may_come_without_their_digest_header() -> None:
    raw = client(Features(digest_header=False))
    images.push(raw, "a/b", "v1", images.image())

    assert "docker-content-digest" not in raw.call("HEAD", "/v2/a/b/manifests/v1").headers


def in_parallel(work: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))


def test_many_threads_may_push_at_once() -> None:
    registry = Registry()

    in_parallel(lambda number: images.push(registry, "a/b", f"v{number}", images.image([b"%d" % number])))

    assert len(images.tags(registry, "a/b")) == 40
    assert registry.storage.open_uploads == 0
    for number in range(40):
        images.read_back(registry, "a/b", f"v{number}")

"""Our own registry and docker-registry judged by the same checks, so that what passes with ours means something."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from replicator.demo.features import Features
from replicator.demo.registry import Registry
from replicator.demo.server import serve
from replicator.oci import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Digest
from tests.fakes import images
from tests.fakes.raw import Answer, RawClient
from tests.integration.processes import DockerRegistry

NOWHERE = Digest.of(b"nobody pushed this")


@pytest.fixture(scope="module", params=["own", "docker-registry"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param == "own":
            # As 2.8 is: newer things are judged by the spec, in the unit tests.
            yield stack.enter_context(serve(Registry(Features(referrers=False, tag_delete=False)))).url
        else:
            directory = tmp_path_factory.mktemp("docker-registry")
            yield stack.enter_context(DockerRegistry(directory)).url


@pytest.fixture
def client(url: str) -> Iterator[RawClient]:
    with RawClient(url) as raw:
        yield raw


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """A repository for each test, since a registry serves them all."""
    name: str = request.node.originalname
    return "checks/" + name.removeprefix("test_").replace("_", "-")


def start_upload(client: RawClient, repository: str, query: str = "") -> Answer:
    answer = client.call("POST", f"/v2/{repository}/blobs/uploads/{query}")
    assert answer.status in {201, 202}, answer
    return answer


def closing(location: str, digest: Digest) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


def test_the_base_answers(client: RawClient) -> None:
    answer = client.call("GET", "/v2/")

    assert answer.status == 200
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize(
    "pushed",
    [
        pytest.param(images.image([b"one", b"two"]), id="image"),
        pytest.param(images.docker_image(), id="docker image"),
        pytest.param(images.multi_arch(), id="index"),
        pytest.param(images.multi_arch(media_type=DOCKER_LIST), id="docker list"),
        pytest.param(images.index([images.multi_arch(), images.image()]), id="nested index"),
        pytest.param(images.artifact(), id="artifact"),
        pytest.param(images.chart(), id="chart"),
        pytest.param(images.image([b""]), id="empty layer"),
    ],
)
def test_what_is_pushed_reads_back(client: RawClient, repository: str, pushed: images.Image) -> None:
    images.push(client, repository, "v1", pushed)

    copy = images.read_back(client, repository, "v1")

    assert (copy.raw, copy.media_type) == (pushed.raw, pushed.media_type)
    assert images.is_whole(client, repository, "v1", pushed)


def test_a_manifest_has_the_same_headers_by_tag_and_digest(client: RawClient, repository: str) -> None:
    pushed = images.image()
    images.push(client, repository, "v1", pushed)

    for reference in ("v1", pushed.digest):
        for method in ("GET", "HEAD"):
            path = f"/v2/{repository}/manifests/{reference}"
            answer = client.call(method, path, headers=images.ACCEPT)

            assert answer.status == 200
            assert answer.headers["docker-content-digest"] == pushed.digest
            assert answer.headers["content-type"] == OCI_MANIFEST
            assert answer.headers["content-length"] == str(len(pushed.raw))
            assert answer.body == (pushed.raw if method == "GET" else b"")


def test_an_unknown_manifest_is_404(client: RawClient, repository: str) -> None:
    images.push(client, repository, "v1", images.image())

    for reference in ("v2", NOWHERE):
        answer = client.call("GET", f"/v2/{repository}/manifests/{reference}", headers=images.ACCEPT)

        assert (answer.status, answer.error_codes) == (404, ["MANIFEST_UNKNOWN"])


def test_the_tag_answers_304_for_what_the_client_has(client: RawClient, repository: str) -> None:
    pushed = images.image()
    images.push(client, repository, "v1", pushed)

    headers = {**images.ACCEPT, "If-None-Match": f'"{pushed.digest}"'}
    for method in ("GET", "HEAD"):
        answer = client.call(method, f"/v2/{repository}/manifests/v1", headers=headers)

        assert (answer.status, answer.body) == (304, b"")


def test_a_tag_moves(client: RawClient, repository: str) -> None:
    first, second = images.image([b"first"]), images.image([b"second"])

    images.push(client, repository, "v1", first)
    images.push(client, repository, "v1", second)

    assert images.head(client, repository, "v1") == second.digest
    assert images.head(client, repository, first.digest) == first.digest


def test_a_manifest_without_its_content_is_refused_by_name(client: RawClient, repository: str) -> None:
    pushed = images.image([b"never pushed"])

    path = f"/v2/{repository}/manifests/v1"
    answer = client.call("PUT", path, headers={"Content-Type": pushed.media_type}, body=pushed.raw)

    assert answer.status == 400
    assert set(answer.error_codes) == {"MANIFEST_BLOB_UNKNOWN"}
    details = str([error["detail"] for error in answer.json()["errors"]])
    assert all(digest in details for digest in pushed.blobs)


def test_an_index_without_its_children_is_refused(client: RawClient, repository: str) -> None:
    pushed = images.multi_arch("no children")

    path = f"/v2/{repository}/manifests/v1"
    answer = client.call("PUT", path, headers={"Content-Type": OCI_INDEX}, body=pushed.raw)

    assert answer.status == 400
    assert set(answer.error_codes) == {"MANIFEST_BLOB_UNKNOWN"}


def test_a_manifest_under_a_foreign_digest_is_refused(client: RawClient, repository: str) -> None:
    pushed = images.image()
    images.push(client, repository, "v1", pushed)

    path = f"/v2/{repository}/manifests/{NOWHERE}"
    answer = client.call("PUT", path, headers={"Content-Type": pushed.media_type}, body=pushed.raw)

    assert (answer.status, answer.error_codes) == (400, ["DIGEST_INVALID"])


def test_a_manifest_that_is_no_json_is_refused(client: RawClient, repository: str) -> None:
    path = f"/v2/{repository}/manifests/v1"
    answer = client.call("PUT", path, headers={"Content-Type": DOCKER_MANIFEST}, body=b"{nonsense")

    assert (answer.status, answer.error_codes) == (400, ["MANIFEST_INVALID"])


def test_a_blob_with_another_digest_is_refused(client: RawClient, repository: str) -> None:
    location = start_upload(client, repository).headers["location"]

    answer = client.call("PUT", closing(location, NOWHERE), body=b"something else")

    assert (answer.status, answer.error_codes) == (400, ["DIGEST_INVALID"])
    assert client.call("HEAD", f"/v2/{repository}/blobs/{NOWHERE}").status == 404


def test_a_blob_may_come_in_chunks(client: RawClient, repository: str) -> None:
    content = images.layer_bytes("chunks", 30_000)
    location = start_upload(client, repository).headers["location"]

    for start in (0, 10_000, 20_000):
        chunk = content[start : start + 10_000]
        headers = {"Content-Range": f"{start}-{start + 9_999}", "Content-Type": "application/octet-stream"}
        answer = client.call("PATCH", location, headers=headers, body=chunk)
        assert answer.status == 202, answer
        assert answer.headers["range"] == f"0-{start + 9_999}"
        location = answer.headers["location"]
    answer = client.call("PUT", closing(location, Digest.of(content)))

    assert answer.status == 201, answer
    assert client.call("GET", f"/v2/{repository}/blobs/{Digest.of(content)}").body == content


def test_a_blob_may_come_without_its_length(client: RawClient, repository: str) -> None:
    content = images.layer_bytes("transfer coding", 300_000)
    location = start_upload(client, repository).headers["location"]

    pieces = (content[start : start + 70_000] for start in range(0, len(content), 70_000))
    answer = client.call("PATCH", location, body=pieces)
    answer = client.call("PUT", closing(answer.headers["location"], Digest.of(content)))

    assert answer.status == 201, answer
    assert client.call("GET", f"/v2/{repository}/blobs/{Digest.of(content)}").body == content


def test_an_upload_tells_how_far_it_got(client: RawClient, repository: str) -> None:
    location = start_upload(client, repository).headers["location"]
    location = client.call("PATCH", location, body=b"0123456789").headers["location"]

    answer = client.call("GET", location)

    assert answer.status == 204
    assert answer.headers["range"] == "0-9"
    assert answer.headers["location"]


def test_a_cancelled_upload_is_unknown(client: RawClient, repository: str) -> None:
    location = start_upload(client, repository).headers["location"]

    assert client.call("DELETE", location).status == 204

    answer = client.call("PUT", closing(location, Digest.of(b"x")), body=b"x")
    assert (answer.status, answer.error_codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


def test_a_blob_is_mounted_from_another_repository(client: RawClient, repository: str) -> None:
    digest = images.push_blob(client, "checks/elsewhere", b"a layer of somebody else")

    answer = start_upload(client, repository, f"?mount={digest}&from=checks/elsewhere")

    assert answer.status == 201
    assert client.call("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200


def test_a_mount_of_what_is_not_there_opens_an_upload(client: RawClient, repository: str) -> None:
    content = b"a layer that nobody has"

    answer = start_upload(client, repository, f"?mount={Digest.of(content)}&from=checks/nowhere")

    assert answer.status == 202
    ended = client.call("PUT", closing(answer.headers["location"], Digest.of(content)), body=content)
    assert ended.status == 201


def test_part_of_a_blob_is_served(client: RawClient, repository: str) -> None:
    content = images.layer_bytes("ranges", 600_000)
    path = f"/v2/{repository}/blobs/{images.push_blob(client, repository, content)}"

    tail = client.call("GET", path, headers={"Range": "bytes=599000-"})
    middle = client.call("GET", path, headers={"Range": "bytes=1000-299999"})

    assert (tail.status, tail.body) == (206, content[599_000:])
    assert tail.headers["content-range"] == "bytes 599000-599999/600000"
    assert (middle.status, middle.body) == (206, content[1000:300_000])


def test_an_unknown_blob_is_404(client: RawClient, repository: str) -> None:
    answer = client.call("GET", f"/v2/{repository}/blobs/{NOWHERE}")

    assert (answer.status, answer.error_codes) == (404, ["BLOB_UNKNOWN"])


def test_a_blob_of_another_repository_is_404(client: RawClient, repository: str) -> None:
    digest = images.push_blob(client, "checks/elsewhere", b"not shared")
    images.push(client, repository, "v1", images.image())

    assert client.call("HEAD", f"/v2/{repository}/blobs/{digest}").status == 404


def test_tags_are_listed(client: RawClient, repository: str) -> None:
    for tag in ("v1", "v2", "latest"):
        images.push(client, repository, tag, images.image())

    assert images.tags(client, repository) == {"v1", "v2", "latest"}


def test_the_tags_of_an_unknown_repository_are_404(client: RawClient) -> None:
    answer = client.call("GET", "/v2/checks/nobody/tags/list")

    assert (answer.status, answer.error_codes) == (404, ["NAME_UNKNOWN"])


def test_the_catalog_names_repositories(client: RawClient, repository: str) -> None:
    images.push(client, repository, "v1", images.image())

    assert repository in client.call("GET", "/v2/_catalog?n=1000").json()["repositories"]


def test_a_deleted_digest_takes_its_tags_along(client: RawClient, repository: str) -> None:
    kept, gone = images.image([b"kept"]), images.image([b"gone"])
    images.push(client, repository, "kept", kept)
    for tag in ("gone-1", "gone-2"):
        images.push(client, repository, tag, gone)

    images.delete(client, repository, gone.digest)

    assert images.head(client, repository, "gone-1") is None
    assert images.head(client, repository, gone.digest) is None
    assert images.tags(client, repository) == {"kept"}


def test_a_tag_cannot_be_deleted(client: RawClient, repository: str) -> None:
    images.push(client, repository, "v1", images.image())

    answer = client.call("DELETE", f"/v2/{repository}/manifests/v1")

    assert (answer.status, answer.error_codes) == (400, ["DIGEST_INVALID"])
    assert images.tags(client, repository) == {"v1"}


def test_there_is_no_referrers_api(client: RawClient, repository: str) -> None:
    subject = images.image()
    images.push(client, repository, "v1", subject)
    referrer = images.referrer(subject)
    for content in referrer.blobs.values():
        images.push_blob(client, repository, content)

    path = f"/v2/{repository}/manifests/{referrer.digest}"
    answer = client.call("PUT", path, headers={"Content-Type": referrer.media_type}, body=referrer.raw)

    assert answer.status == 201
    assert "oci-subject" not in answer.headers
    assert images.referrers(client, repository, subject.digest) is None


def test_a_digest_deleted_twice_is_404(client: RawClient, repository: str) -> None:
    pushed = images.image([b"deleted twice"])
    images.push(client, repository, "v1", pushed)
    images.delete(client, repository, pushed.digest)

    assert client.call("DELETE", f"/v2/{repository}/manifests/{pushed.digest}").status == 404


def test_a_deleted_blob_is_gone(client: RawClient, repository: str) -> None:
    digest = images.push_blob(client, repository, b"a blob to delete")

    assert client.call("DELETE", f"/v2/{repository}/blobs/{digest}").status == 202
    assert client.call("HEAD", f"/v2/{repository}/blobs/{digest}").status == 404


def test_a_manifest_over_the_limit_is_refused(client: RawClient, repository: str) -> None:
    huge = images.image(annotations={"padding": "x" * (4 * 1024 * 1024)})
    for content in huge.blobs.values():
        images.push_blob(client, repository, content)

    path = f"/v2/{repository}/manifests/v1"
    answer = client.call("PUT", path, headers={"Content-Type": huge.media_type}, body=huge.raw)

    assert answer.status in {400, 413}


def test_an_invalid_name_is_refused(client: RawClient) -> None:
    answer = client.call("GET", "/v2/Checks/Upper/manifests/v1")

    assert answer.status in {400, 404}


def test_a_connection_serves_many_requests(url: str) -> None:
    with RawClient(url) as raw:
        for number in range(50):
            assert raw.call("GET", f"/v2/checks/x{number}/manifests/v1").status == 404

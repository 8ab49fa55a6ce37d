import json

import httpx
import pytest

from replicator.errors import (
    Corrupt,
    Denied,
    InUse,
    ManifestInvalid,
    MissingContent,
    PermanentError,
    RateLimited,
    ReplicatorError,
    TagImmutable,
    TemporaryError,
    TooLarge,
    Unavailable,
    Unsupported,
)
from replicator.oci import OCI_INDEX, OCI_MANIFEST, Digest
from replicator.registry import ManifestHead
from tests.unit.registry.scripted import API, MANIFEST, RAW, V1, Answer, Script, client_of, refusal

PATH = "/v2/payments/api/manifests/v1"
BY_DIGEST = f"/v2/payments/api/manifests/{MANIFEST.digest}"
OTHER = Digest.of(b"another manifest")
GOOD = {
    "Content-Type": OCI_MANIFEST,
    "Docker-Content-Digest": MANIFEST.digest,
    "Content-Length": str(len(RAW)),
}
HEAD = ManifestHead(MANIFEST.digest, OCI_MANIFEST, len(RAW))
SHA512 = Digest.of(RAW, "sha512")


def without(name: str, **more: str) -> dict[str, str]:
    return {key: value for key, value in GOOD.items() if key != name} | more


def test_a_head_says_what_a_tag_is() -> None:
    script = Script(
        {f"HEAD {PATH}": httpx.Response(200, headers=GOOD | {"Content-Type": f"{OCI_MANIFEST}; charset=x"})}
    )

    assert client_of(script).head_manifest(API, V1) == HEAD
    assert len(script.log) == 1


@pytest.mark.parametrize(
    "head",
    [
        httpx.Response(200, headers=without("Docker-Content-Digest")),
        httpx.Response(
            200, headers=without("Docker-Content-Digest") | {"Docker-Content-Digest": "sha256:short"}
        ),
        httpx.Response(200, headers=without("Content-Length")),
        httpx.Response(200, headers=without("Content-Type")),
        httpx.Response(405),
    ],
)
def test_a_head_that_says_too_little_is_followed_by_a_get(head: httpx.Response) -> None:
    script = Script({f"HEAD {PATH}": head, f"GET {PATH}": httpx.Response(200, headers=GOOD, content=RAW)})

    assert client_of(script).head_manifest(API, V1) == HEAD
    assert script.log[0].headers["accept"] == script.log[1].headers["accept"]


@pytest.mark.parametrize("body", [b"", b"<html>not here</html>", b'{"errors": [{"code": "NAME_UNKNOWN"}]}'])
def test_a_404_of_any_kind_is_absence(body: bytes) -> None:
    client = client_of(Script({f"GET {PATH}": httpx.Response(404, content=body)}))

    assert client.head_manifest(API, V1) is None
    assert client.get_manifest(API, V1) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, PermanentError),
        (401, Denied),
        (403, Denied),
        (412, PermanentError),
        (429, RateLimited),
        (500, TemporaryError),
        (502, Unavailable),
        (503, Unavailable),
    ],
)
def test_nothing_but_a_404_is_absence(status: int, expected: type[ReplicatorError]) -> None:
    client = client_of(
        Script({f"HEAD {PATH}": httpx.Response(status), f"GET {PATH}": httpx.Response(status)})
    )

    for read in (client.head_manifest, client.get_manifest):
        with pytest.raises(expected) as caught:
            read(API, V1)
        assert type(caught.value) is expected


def test_a_manifest_is_read_byte_for_byte() -> None:
    script = Script({f"GET {PATH}": httpx.Response(200, headers=GOOD, content=RAW)})

    found = client_of(script).get_manifest(API, V1)

    assert found == MANIFEST
    assert found.raw == RAW


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [
        pytest.param(BY_DIGEST, {"Content-Type": OCI_MANIFEST}, RAW + b" ", id="other bytes by digest"),
        pytest.param(PATH, without("Content-Length"), RAW + b" ", id="other bytes by tag"),
        pytest.param(PATH, GOOD | {"Content-Type": OCI_INDEX}, RAW, id="another type"),
        pytest.param(PATH, {"Content-Type": OCI_MANIFEST}, b"<html>", id="no JSON"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_corrupt(
    path: str, headers: dict[str, str], content: bytes
) -> None:
    client = client_of(Script({f"GET {path}": httpx.Response(200, headers=headers, content=content)}))

    with pytest.raises(Corrupt, match="reading payments/api"):
        client.get_manifest(API, MANIFEST.digest if path == BY_DIGEST else V1)


def test_docker_schema_1_is_unsupported() -> None:
    schema1 = json.dumps({"schemaVersion": 1, "fsLayers": []}).encode()
    headers = {"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}
    client = client_of(Script({f"GET {PATH}": httpx.Response(200, headers=headers, content=schema1)}))

    with pytest.raises(Unsupported, match="reading payments/api:v1 at eu"):
        client.get_manifest(API, V1)


def test_the_digest_of_a_tag_takes_one_head() -> None:
    said = {"Docker-Content-Digest": MANIFEST.digest}
    script = Script({f"HEAD {PATH}": httpx.Response(200, headers=said)})

    assert client_of(script).digest_of(API, V1) == MANIFEST.digest
    assert script.lines == [f"HEAD {PATH}"]
    assert "if-none-match" not in script.log[0].headers


def test_a_known_digest_is_asked_for_and_may_be_unchanged() -> None:
    script = Script({f"HEAD {PATH}": httpx.Response(304)})

    assert client_of(script).digest_of(API, V1, known=MANIFEST.digest) == MANIFEST.digest
    assert script.log[0].headers["if-none-match"] == f'"{MANIFEST.digest}"'
    assert script.log[0].headers["accept"].startswith(OCI_INDEX)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(304, headers=GOOD), MANIFEST.digest),
        (httpx.Response(200, headers=GOOD | {"Docker-Content-Digest": OTHER}), OTHER),
        (httpx.Response(404), None),
    ],
)
def test_a_known_digest_is_only_a_hint(answer: httpx.Response, expected: Digest | None) -> None:
    client = client_of(Script({f"HEAD {PATH}": answer}))

    assert client.digest_of(API, V1, known=MANIFEST.digest) == expected


@pytest.mark.parametrize("head", [httpx.Response(200), httpx.Response(405), httpx.Response(501)])
def test_a_digest_that_no_head_tells_is_read(head: httpx.Response) -> None:
    get = httpx.Response(200, headers={"Content-Type": OCI_MANIFEST}, content=RAW)
    script = Script({f"HEAD {PATH}": head, f"GET {PATH}": get})

    assert client_of(script).digest_of(API, V1, known=OTHER) == MANIFEST.digest
    assert "if-none-match" not in script.log[1].headers
    assert client_of(Script({f"HEAD {PATH}": head})).digest_of(API, V1) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(304, headers={"Docker-Content-Digest": OTHER}), Corrupt),
        (httpx.Response(401), Denied),
        (httpx.Response(403), Denied),
        (httpx.Response(429), RateLimited),
        (httpx.Response(500), TemporaryError),
        (httpx.Response(502), Unavailable),
    ],
)
def test_a_digest_that_is_not_told_is_never_absent(answer: Answer, expected: type[Exception]) -> None:
    client = client_of(Script({f"HEAD {PATH}": answer, f"GET {PATH}": answer}))

    with pytest.raises(expected, match="looking at payments/api:v1 at eu"):
        client.digest_of(API, V1, known=MANIFEST.digest)


def test_an_unchanged_that_nobody_asked_for_is_an_error() -> None:
    with pytest.raises(PermanentError, match=r"answered 304$"):
        client_of(Script({f"HEAD {PATH}": httpx.Response(304, headers=GOOD)})).digest_of(API, V1)


def test_a_digest_holds_itself_or_nothing() -> None:
    script = Script({f"HEAD /v2/payments/api/manifests/{OTHER}": httpx.Response(200, headers=GOOD)})

    with pytest.raises(Corrupt):
        client_of(script).digest_of(API, OTHER)


def test_a_digest_is_never_asked_whether_it_is_still_itself() -> None:
    script = Script({f"HEAD {BY_DIGEST}": httpx.Response(404)})

    assert client_of(script).digest_of(API, MANIFEST.digest, known=MANIFEST.digest) is None
    assert "if-none-match" not in script.log[0].headers


def test_a_head_by_digest_that_names_another_is_corrupt() -> None:
    headers = GOOD | {"Docker-Content-Digest": OTHER}
    client = client_of(Script({f"HEAD {BY_DIGEST}": httpx.Response(200, headers=headers)}))

    with pytest.raises(Corrupt):
        client.head_manifest(API, MANIFEST.digest)


def test_a_head_by_a_sha512_digest_may_name_the_sha256_one() -> None:
    client = client_of(
        Script({f"HEAD /v2/payments/api/manifests/{SHA512}": httpx.Response(200, headers=GOOD)})
    )

    found = client.head_manifest(API, SHA512)

    assert found
    assert found.digest == SHA512


def test_a_write_that_names_our_digest_is_proven() -> None:
    script = Script({f"PUT {PATH}": httpx.Response(201, headers=GOOD)})

    assert client_of(script).put_manifest(API, V1, MANIFEST) is False

    [request] = script.log
    assert request.content == RAW
    assert request.headers["content-type"] == OCI_MANIFEST


def test_a_registry_that_keeps_referrers_says_so() -> None:
    script = Script({f"PUT {PATH}": httpx.Response(201, headers=GOOD | {"OCI-Subject": OTHER})})

    assert client_of(script).put_manifest(API, V1, MANIFEST) is True


@pytest.mark.parametrize(
    "put",
    [
        httpx.Response(201),
        httpx.Response(201, headers={"Docker-Content-Digest": "nonsense"}),
        httpx.Response(200, headers=GOOD),
        httpx.Response(202, headers=GOOD),
        httpx.Response(204),
    ],
)
def test_a_write_that_proves_nothing_is_looked_up(put: httpx.Response) -> None:
    script = Script(
        {f"PUT {PATH}": put, f"HEAD {PATH}": [httpx.Response(404), httpx.Response(200, headers=GOOD)]}
    )

    assert client_of(script).put_manifest(API, V1, MANIFEST) is False
    assert [request.method for request in script.log] == ["PUT", "HEAD", "HEAD"]


def test_a_write_that_does_not_show_is_tried_again_later() -> None:
    script = Script({f"PUT {PATH}": httpx.Response(200)})

    with pytest.raises(TemporaryError, match="does not hold"):
        client_of(script).put_manifest(API, V1, MANIFEST)


def test_a_write_that_is_stored_as_something_else_is_corrupt() -> None:
    script = Script({f"PUT {PATH}": httpx.Response(201, headers=GOOD | {"Docker-Content-Digest": OTHER})})

    with pytest.raises(Corrupt, match="expected"):
        client_of(script).put_manifest(API, V1, MANIFEST)


def test_a_write_may_be_acknowledged_by_a_digest_of_another_algorithm() -> None:
    script = Script({f"PUT {PATH}": httpx.Response(201, headers=GOOD | {"Docker-Content-Digest": SHA512})})

    client_of(script).put_manifest(API, V1, MANIFEST)

    assert len(script.log) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(400, "MANIFEST_BLOB_UNKNOWN"), MissingContent),
        (refusal(404, "MANIFEST_BLOB_UNKNOWN"), MissingContent),
        (refusal(404, "BLOB_UNKNOWN"), MissingContent),
        (refusal(400, "MANIFEST_UNKNOWN"), MissingContent),
        (refusal(404, "NAME_UNKNOWN"), PermanentError),
        (refusal(400, "MANIFEST_INVALID"), ManifestInvalid),
        (refusal(415, "MANIFEST_INVALID"), ManifestInvalid),
        (refusal(400, "TAG_INVALID"), TagImmutable),
        (refusal(409, "TAG_IMMUTABLE"), TagImmutable),
        (refusal(412, "PRECONDITION"), TagImmutable),
        (refusal(403, "DENIED"), Denied),
        (httpx.Response(413), TooLarge),
        (httpx.Response(500), TemporaryError),
    ],
)
def test_a_refused_write_says_what_is_the_matter(answer: Answer, expected: type[ReplicatorError]) -> None:
    client = client_of(Script({f"PUT {PATH}": answer}))

    with pytest.raises(expected) as caught:
        client.put_manifest(API, V1, MANIFEST)
    assert type(caught.value) is expected


def test_a_digest_is_no_immutable_tag() -> None:
    client = client_of(Script({f"PUT {BY_DIGEST}": refusal(412, "PRECONDITION")}))

    with pytest.raises(PermanentError) as caught:
        client.put_manifest(API, MANIFEST.digest, MANIFEST)
    assert type(caught.value) is PermanentError


def test_an_immutable_tag_that_holds_our_manifest_is_in_line() -> None:
    script = Script(
        {f"PUT {PATH}": refusal(400, "TAG_INVALID"), f"HEAD {PATH}": httpx.Response(200, headers=GOOD)}
    )

    assert client_of(script).put_manifest(API, V1, MANIFEST) is None


@pytest.mark.parametrize(("status", "expected"), [(202, True), (200, True), (204, True), (404, False)])
def test_a_deletion_is_done_or_was_not_needed(status: int, expected: bool) -> None:
    client = client_of(Script({f"DELETE {PATH}": httpx.Response(status)}))

    assert client.delete_manifest(API, V1) is expected


@pytest.mark.parametrize("answer", [httpx.Response(400), httpx.Response(405), refusal(400, "UNSUPPORTED")])
def test_a_tag_that_cannot_be_deleted_is_unsupported(answer: httpx.Response) -> None:
    client = client_of(Script({f"DELETE {PATH}": answer}))

    with pytest.raises(Unsupported):
        client.delete_manifest(API, V1)


@pytest.mark.parametrize(
    ("status", "expected"), [(400, InUse), (403, Denied), (405, Unsupported), (409, InUse), (412, InUse)]
)
def test_a_digest_that_must_stay_says_why(status: int, expected: type[ReplicatorError]) -> None:
    client = client_of(Script({f"DELETE {BY_DIGEST}": httpx.Response(status)}))

    with pytest.raises(expected) as caught:
        client.delete_manifest(API, MANIFEST.digest)
    assert type(caught.value) is expected

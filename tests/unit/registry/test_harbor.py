import base64

import httpx
import pytest
from pydantic import SecretStr

from replicator.errors import Denied, InUse, PermanentError, TemporaryError, Unsupported
from replicator.oci import OCI_MANIFEST, Repository
from replicator.registry import RegistryClient
from replicator.rules.registries import Credential, RegistryType
from tests.unit.registry.scripted import API, HOST, MANIFEST, V1, Script, client_of, registry

HARBOR = registry(kind=RegistryType.HARBOR)
DEEP = Repository("payments/team/api")
ARTIFACT = f"/api/v2.0/projects/payments/repositories/api/artifacts/{MANIFEST.digest}"
TAG = "/api/v2.0/projects/payments/repositories/api/artifacts/v1/tags/v1"
THERE = {"Content-Type": OCI_MANIFEST, "Docker-Content-Digest": MANIFEST.digest, "Content-Length": "9"}


def harbor(script: Script) -> RegistryClient:
    return client_of(script, HARBOR)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"labels": [{"id": 1, "name": "released"}, {"name": "signed"}]}, frozenset({"released", "signed"})),
        ({"labels": None}, frozenset()),
        ({}, frozenset()),
    ],
)
def test_labels_are_read_from_harbors_api(document: object, expected: frozenset[str]) -> None:
    script = Script({f"GET {ARTIFACT}": httpx.Response(200, json=document)})

    assert harbor(script).labels(API, MANIFEST.digest) == expected


def test_slashes_of_a_repository_are_escaped_twice() -> None:
    script = Script({})

    with pytest.raises(TemporaryError):
        harbor(script).labels(DEEP, MANIFEST.digest)
    assert "/projects/payments/repositories/team%252Fapi/artifacts/sha256:" in script.lines[0]


def test_another_registry_has_no_labels() -> None:
    script = Script({})

    assert client_of(script).labels(API, MANIFEST.digest) is None
    assert script.log == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(404), TemporaryError),
        (httpx.Response(403), Denied),
        (httpx.Response(200, content=b"<html>"), PermanentError),
        (httpx.Response(200, json=[1]), PermanentError),
        (httpx.Response(200, json={"labels": [{"id": 1}]}), PermanentError),
    ],
)
def test_labels_that_cannot_be_had_fail(answer: httpx.Response, expected: type[Exception]) -> None:
    with pytest.raises(expected, match="reading the labels of"):
        harbor(Script({f"GET {ARTIFACT}": answer})).labels(API, MANIFEST.digest)


def test_harbors_api_gets_the_password_where_the_registry_gets_tokens() -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="https://{HOST}/service/token"'}
    script = Script(
        {"GET /v2/": httpx.Response(401, headers=challenge), f"DELETE {TAG}": httpx.Response(200)}
    )
    described = registry(kind=RegistryType.HARBOR, credential=Credential("robot$eu", SecretStr("sesame")))

    assert client_of(script, described).delete_manifest(API, V1) is True
    assert script.log[-1].headers["authorization"] == "Basic " + base64.b64encode(b"robot$eu:sesame").decode()


def test_a_digest_is_deleted_by_the_registrys_own_api() -> None:
    script = Script({f"DELETE /v2/payments/api/manifests/{MANIFEST.digest}": httpx.Response(202)})

    assert harbor(script).delete_manifest(API, MANIFEST.digest) is True


def test_a_tag_that_was_gone_is_told_from_an_api_that_is_not_there() -> None:
    assert harbor(Script({})).delete_manifest(API, V1) is False

    script = Script({"HEAD /v2/payments/api/manifests/v1": httpx.Response(200, headers=THERE)})
    with pytest.raises(Unsupported):
        harbor(script).delete_manifest(API, V1)


def test_a_tag_that_must_stay_says_why() -> None:
    with pytest.raises(InUse):
        harbor(Script({f"DELETE {TAG}": httpx.Response(412)})).delete_manifest(API, V1)

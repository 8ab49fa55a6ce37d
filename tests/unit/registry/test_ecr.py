"""Whose an ECR host is, and what is said where a missing repository cannot be created."""

import sys

import pytest

from replicator.errors import PermanentError
from replicator.registry.ecr import Home, home_of
from replicator.rules.registries import RegistryType
from tests.unit.registry.scripted import API, MANIFEST, V1, Script, blob, client_of, refusal, registry

ACCOUNT = "123456789012"
HOST = f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com"
UPLOADS, MANIFESTS = f"POST /v2/{API}/blobs/uploads/", f"PUT /v2/{API}/manifests/{V1}"


@pytest.mark.parametrize(
    ("host", "home"),
    [
        (HOST, Home(ACCOUNT, "eu-west-1")),
        (f"{ACCOUNT}.dkr.ecr.us-gov-west-1.amazonaws.com", Home(ACCOUNT, "us-gov-west-1")),
        (f"{ACCOUNT}.dkr.ecr-fips.us-east-1.amazonaws.com", Home(ACCOUNT, "us-east-1", is_fips=True)),
        (f"{ACCOUNT}.dkr.ecr.cn-north-1.amazonaws.com.cn", Home(ACCOUNT, "cn-north-1")),
        (f"{ACCOUNT}.dkr-ecr.eu-west-1.on.aws", Home(ACCOUNT, "eu-west-1", is_dual_stack=True)),
        (f"{ACCOUNT}.dkr-ecr-fips.us-east-1.on.aws", Home(ACCOUNT, "us-east-1", True, True)),
        (
            f"{ACCOUNT}.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
            Home(ACCOUNT, "cn-north-1", False, True),
        ),
        (f"{ACCOUNT}.dkr.ecr.us-iso-east-1.c2s.ic.gov", Home(ACCOUNT, "us-iso-east-1")),
        (f"{ACCOUNT}.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", Home(ACCOUNT, "us-isob-east-1")),
        ("12345.dkr.ecr.eu-west-1.amazonaws.com", None),
        (f"{ACCOUNT}.dkr.ecr.amazonaws.com", None),
        (f"{HOST}.example.com", None),
        (f"evil.{HOST}", None),
        (HOST.replace("ecr.", "ecr.example.com/"), None),
        ("public.ecr.aws", None),
        ("images.example.com", None),
    ],
)
def test_a_host_says_account_and_region(host: str, home: Home | None) -> None:
    assert home_of(host) == home


def missing(host: str, kind: RegistryType = RegistryType.ECR) -> tuple[Script, str]:
    """The requests of a push to a registry that misses the repository, and the error that it ends with."""
    script = Script({UPLOADS: refusal(404, "NAME_UNKNOWN"), MANIFESTS: refusal(404, "NAME_UNKNOWN")})
    client = client_of(script, registry(kind=kind, url=f"https://{host}"))
    with pytest.raises(PermanentError) as raised:
        client.start_upload(API, blob(b"layer").digest)
    return script, str(raised.value)


def test_a_host_that_names_no_account_is_an_error_that_says_so() -> None:
    script, said = missing("images.example.com")

    assert said == (
        "creating payments/api at eu: the repository does not exist, and images.example.com names no account and"
        " region of ECR to create it in"
    )
    assert len(script.log) == 1


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.config", None)

    script, said = missing(HOST)

    assert said == (
        "creating payments/api at eu: the repository does not exist, and creating it needs the extra `aws`"
        " (pip install replicator[aws])"
    )
    assert len(script.log) == 1


@pytest.mark.parametrize("kind", [kind for kind in RegistryType if kind is not RegistryType.ECR])
def test_no_other_registry_gets_a_repository(kind: RegistryType) -> None:
    script, said = missing(HOST, kind)

    assert said.startswith("uploading payments/api@sha256:")
    assert "answered 404 (NAME_UNKNOWN" in said
    assert len(script.log) == 1


def test_reads_create_nothing() -> None:
    path = f"/v2/{API}/manifests/{V1}"
    script = Script({f"{method} {path}": refusal(404, "NAME_UNKNOWN") for method in ("HEAD", "GET")})
    client = client_of(script, registry(kind=RegistryType.ECR, url="https://images.example.com"))

    assert client.head_manifest(API, V1) is client.get_manifest(API, V1) is None
    assert client.has_blob(API, blob(b"layer")) is False


def test_a_manifest_that_comes_first_asks_for_the_repository_as_well() -> None:
    script = Script({MANIFESTS: refusal(404, "NAME_UNKNOWN")})
    client = client_of(script, registry(kind=RegistryType.ECR, url="https://images.example.com"))

    with pytest.raises(PermanentError, match="names no account"):
        client.put_manifest(API, V1, MANIFEST)

import time

import httpx
import pytest

from replicator.errors import PermanentError
from replicator.registry.addresses import url_of
from replicator.registry.challenges import Challenge, challenges, realm_url
from replicator.registry.heads import Headers
from replicator.rules.registries import RegistryType
from tests.unit.registry.scripted import registry

BEARER = Challenge(
    "bearer",
    {"realm": "https://a.example.com/token", "service": "a", "scope": "repository:a/b:pull,push"},
)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            ['Bearer realm="https://a.example.com/token",service="a",scope="repository:a/b:pull,push"'],
            [BEARER],
        ),
        (
            ['BEARER Realm = "https://a.example.com/token" , service=a, scope="repository:a/b:pull,push"'],
            [BEARER],
        ),
        (
            [
                'Basic realm="x, y", Bearer realm="https://a.example.com/token",service=a,scope="repository:a/b:pull,push"'
            ],
            [Challenge("basic", {"realm": "x, y"}), BEARER],
        ),
        (
            ["Negotiate", 'Basic realm="a \\"b\\""'],
            [Challenge("negotiate"), Challenge("basic", {"realm": 'a "b"'})],
        ),
        (["Negotiate, Basic realm=a"], [Challenge("negotiate"), Challenge("basic", {"realm": "a"})]),
        (['Bearer realm="one",realm="two"'], [Challenge("bearer", {"realm": "one"})]),
        (['realm="nobody\'s"'], []),
        ([", ,;=,"], []),
        ([], []),
    ],
)
def test_challenges_are_read_however_they_are_written(headers: list[str], expected: list[Challenge]) -> None:
    found = challenges(Headers([("WWW-Authenticate", text) for text in headers]))

    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        'Bearer realm="' + "\\" * 100_000,
        "a " * 100_000,
        "a=" * 100_000,
        '"' * 100_000,
        "0" * 8000,
        "a_" * 4000,
    ],
)
def test_a_hostile_challenge_takes_no_time(text: str) -> None:
    began = time.thread_time()

    challenges(Headers([("WWW-Authenticate", text)]))

    assert time.thread_time() - began < 0.1


@pytest.mark.parametrize(
    ("url", "kind", "realm"),
    [
        ("https://registry.example.com", RegistryType.HARBOR, "https://registry.example.com/service/token"),
        (
            "https://registry.example.com:5000",
            RegistryType.DISTRIBUTION,
            "https://registry.example.com:5001/token",
        ),
        ("http://127.0.0.1:5000", RegistryType.DISTRIBUTION, "http://127.0.0.1:5001/token"),
        ("https://registry-1.docker.io", RegistryType.DOCKERHUB, "https://auth.docker.io/token"),
        ("https://eu.gcr.io", RegistryType.GAR, "https://gcr.io/v2/token"),
        ("https://registry.gitlab.com", RegistryType.GITLAB, "https://gitlab.com/jwt/auth"),
        ("https://registry.example.com", RegistryType.GITLAB, "https://gitlab.example.com/jwt/auth"),
    ],
)
def test_a_known_token_server_is_trusted(url: str, kind: RegistryType, realm: str) -> None:
    assert str(realm_url(registry(kind=kind, url=url), url_of(httpx.URL(url)), realm)) == realm


@pytest.mark.parametrize(
    "realm",
    [
        "https://evil.example.net/token",
        "https://registry.example.com.evil.net/token",
        "https://evil.example.com/token",
        "https://registry.example.com@evil.net/token",
        "https://user:pass@registry.example.com/token",
        "https://registry.example.com\\@evil.net/token",
        "http://registry.example.com/token",
        "http://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/token",
        "https://[::1]/token",
        "ftp://registry.example.com/token",
        "//registry.example.com/token",
        "/token",
        "https://",
        "https://registry.example.com:99999999/",
        "",
    ],
)
def test_another_token_server_is_refused(realm: str) -> None:
    with pytest.raises(PermanentError, match="token server"):
        realm_url(registry(), url_of(httpx.URL("https://registry.example.com")), realm)


@pytest.mark.parametrize(
    ("url", "realm"),
    [
        ("https://10.0.0.1", "https://10.0.0.2/token"),
        ("https://1.0.0.1", "https://2.0.0.1/token"),
        ("https://gitlab.com", "https://evil.com/token"),
        ("https://registry.example.com", "https://notexample.com/token"),
    ],
)
def test_a_gitlab_has_siblings_by_name_alone(url: str, realm: str) -> None:
    with pytest.raises(PermanentError, match="token server"):
        realm_url(registry(kind=RegistryType.GITLAB, url=url), url_of(httpx.URL(url)), realm)

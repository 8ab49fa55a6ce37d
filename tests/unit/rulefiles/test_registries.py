from pathlib import Path

import pytest

from replicator.rules import Registry
from tests.unit.rulefiles.kit import assert_mistake, loaded, registry


def the_registry(directory: Path, **more: str) -> Registry:
    return loaded(directory, {"r.yaml": registry(**more)}).rules.registries["eu"]


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://EU.example.com/", "https://eu.example.com"),
        ("https://eu.example.com:8443/prefix/v/", "https://eu.example.com:8443/prefix/v"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("http://127.1.2.3", "http://127.1.2.3"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("https://registry", "https://registry"),
    ],
)
def test_a_url_is_kept_in_one_spelling(tmp_path: Path, url: str, kept: str) -> None:
    assert the_registry(tmp_path, url=f'"{url}"').url == kept


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("registry.example.com", "a URL begins with https:// or http://"),
        ("ftp://example.com", "a URL begins with https:// or http://"),
        ("https://", "a URL needs a host name"),
        ("https://-x.example.com", "a URL needs a host name"),
        ("https://me:hunter2@example.com", "a URL must not hold a user name or password"),
        ("https://example.com?a=hunter2", "a URL must not have a query or a fragment"),
        ("https://example.com#", "a URL must not have a query or a fragment"),
        ("https://example.com:0", "a URL's port is a number from 1 to 65535"),
        ("https://example.com:", "a URL's port is a number from 1 to 65535"),
        ("https://example.com:99999", "a URL's port is a number from 1 to 65535"),
        ("https://exa mple.com", "a URL must not hold spaces or control characters"),
        ("https://example.com/a/../b", "a URL's path may hold letters, digits and ._~/%+- only"),
        ("https://[::1", "not a URL"),
        ("http://eu.example.com", "plain http beyond this machine needs insecure: true"),
        ("http://localhost.example.com", "plain http beyond this machine needs insecure: true"),
        ("http://10.0.0.1", "plain http beyond this machine needs insecure: true"),
    ],
)
def test_a_bad_url_is_told_without_showing_it(tmp_path: Path, url: str, expected: str) -> None:
    assert_mistake(tmp_path, registry(url=f'§"{url}"'), f"url: {expected}")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"type": "§harbour"},
            "type: 'harbour' is not one of distribution, harbor, dockerhub, quay, ghcr, gitlab, ecr, "
            "ecr-public, gar, acr, zot, artifactory, nexus (did you mean 'harbor'?)",
        ),
        ({"§near": "eu"}, "near is not supported yet"),
        ({"limits": "{requests_per_second: §0}"}, "requests_per_second: must be at least 1"),
        (
            {"limits": "{requests_per_second: §0.5}"},
            "requests_per_second: must be a whole decimal number, without quotes",
        ),
        (
            {"limits": "{bandwidth: §50Mbit}"},
            "bandwidth: a size is a number and its unit: 800KB, 50MiB or 1.5 GiB",
        ),
        ({"limits": "{bandwidth: §10KiB}"}, "bandwidth: must be at least 64KiB"),
        ({"limits": "{bandwidth: §1000}"}, "bandwidth: must be at least 65536"),
        ({"limits": "{bandwidth: §-1}"}, "bandwidth: must be at least 65536"),
        ({"limits": "{bandwidth: §1.5}"}, 'bandwidth: must be text; write it in quotes: "1.5"'),
        ({"limits": "{bandwidth: §true}"}, 'bandwidth: must be text; write it in quotes: "true"'),
        ({"limits": "{bandwidth: §[1]}"}, "bandwidth: must be text, not a list; what begins with [ needs quotes"),
        ({"limits": "{concurrency: §0}"}, "concurrency: must be at least 1"),
        ({"limits": "{concurrency: §1_0}"}, "concurrency: must be a whole decimal number, without quotes"),
        ({"limits": "{§concurency: 1}"}, "unknown key 'concurency' (did you mean 'concurrency'?)"),
        ({"insecure": "§yes"}, "insecure: must be true or false, without quotes"),
        ({"proxy": '§"http://u:hunter2@proxy"'}, "proxy: a URL must not hold a user name or password"),
        ({"tls": "§{key_file: k}"}, "tls: key_file needs cert_file"),
        ({"tls": "{ca_file: §5}"}, 'ca_file: must be text; write it in quotes: "5"'),
        (
            {"tls": "§{verify: true}", "insecure": "true"},
            "tls: insecure: true and verify: true contradict each other",
        ),
        ({"webhook": "§{}"}, "webhook: a webhook needs one of secret, secret_file and anonymous: true"),
        (
            {"webhook": "§{secret: s, anonymous: true}"},
            "webhook: a webhook needs one of secret, secret_file and anonymous: true",
        ),
        ({"webhook": "{secret: §12345}"}, "secret: must be text; write it in quotes"),
        ({"webhook": "{secret: §[]}"}, "secret: must not be empty"),
        ({"webhook": '{secret: [a, §""]}'}, "must not be empty"),
        ({"webhook": "{secret: [§12345]}"}, "must be text; write it in quotes"),
        (
            {"credential": "§{type: basic, access_key: k}"},
            "credential: a credential needs either access_secret or access_secret_file",
        ),
        (
            {"credential": "§{type: basic, access_key: k, access_secret: s, access_secret_file: f}"},
            "credential: a credential needs either access_secret or access_secret_file",
        ),
        ({"credential": "§{access_key: k, access_secret: s}"}, "type is missing"),
        (
            {"credential": "{type: §basc, access_key: k, access_secret: s}"},
            "credential type: 'basc' is not one of basic (did you mean 'basic'?)",
        ),
        (
            {"credential": "{type: basic, access_key: k, access_secret: §12345}"},
            "access_secret: must be text; write it in quotes",
        ),
        ({"credential": '{type: basic, access_key: k, access_secret: §""}'}, "access_secret: must not be empty"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_registry_is_told_once_and_at_its_place(
    tmp_path: Path, more: dict[str, str], expected: str
) -> None:
    assert_mistake(tmp_path, registry(**more), expected)


@pytest.mark.parametrize("kind", ["docker-config", "helper", "ecr", "google", "azure", "token"])
def test_a_credential_of_a_later_version_is_refused_as_such(tmp_path: Path, kind: str) -> None:
    text = registry(credential=f"{{type: §{kind}, region: eu-west-1}}")

    assert_mistake(tmp_path, text, f"credential type: {kind} is not supported yet")


def test_a_registry_name_is_judged_at_its_key(tmp_path: Path) -> None:
    message = "e|u: a name has at most 128 letters, digits, '.', '_', ':' and '-', and begins with a letter or digit"

    assert_mistake(tmp_path, registry().replace("eu:", '§"e|u":'), message)


def test_a_key_without_a_value_is_a_mistake_at_the_key(tmp_path: Path) -> None:
    for key in ("credential", "webhook", "limits", "insecure"):
        message = f"{key}: has no value; give it one or remove the key"
        assert_mistake(tmp_path, registry(**{f"§{key}": ""}), message)


def test_tls_and_proxy_are_kept(tmp_path: Path) -> None:
    found = the_registry(
        tmp_path, tls="{ca_file: a, cert_file: b, key_file: c}", proxy="http://proxy.example.com:3128"
    )

    assert (found.tls.ca_file, found.tls.cert_file, found.tls.key_file) == ("a", "b", "c")
    assert found.tls.verify
    assert found.proxy == "http://proxy.example.com:3128"
    assert not found.insecure


@pytest.mark.parametrize(
    ("more", "verify"),
    [
        ({"url": "http://eu.example.com", "insecure": "true"}, True),
        ({"insecure": "true"}, False),
        ({"tls": "{verify: false}"}, False),
    ],
)
def test_an_insecure_registry_is_known_as_such(tmp_path: Path, more: dict[str, str], verify: bool) -> None:
    found = the_registry(tmp_path, **more)

    assert found.insecure
    assert found.tls.verify is verify


def test_plain_http_on_this_machine_is_not_insecure(tmp_path: Path) -> None:
    assert not the_registry(tmp_path, url="http://localhost:5000", insecure="true").insecure

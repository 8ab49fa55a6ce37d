from dataclasses import replace
from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.registry import connect
from replicator.registry.connections import base_url, open_transport
from replicator.rules.registries import TLS, RegistryType
from tests.unit.registry.scripted import registry


@pytest.mark.parametrize(
    ("url", "kind", "expected"),
    [
        ("https://registry.example.com", RegistryType.HARBOR, "https://registry.example.com"),
        ("https://registry.example.com:443/", RegistryType.HARBOR, "https://registry.example.com"),
        ("http://[::1]:5000/some/path", RegistryType.NEXUS, "http://[::1]:5000/some/path"),
        ("https://docker.io", RegistryType.DOCKERHUB, "https://registry-1.docker.io"),
        ("https://index.docker.io", RegistryType.DOCKERHUB, "https://registry-1.docker.io"),
    ],
)
def test_a_registrys_base_is_where_its_api_is(url: str, kind: RegistryType, expected: str) -> None:
    assert str(base_url(registry(url=url, kind=kind))).rstrip("/") == expected


@pytest.mark.parametrize(
    "url",
    [
        "registry.example.com",
        "ftp://a.example.com",
        "https://",
        "https://user:pass@a.example.com",
        "http://a:b:c",
    ],
)
def test_a_url_that_is_none_is_a_mistake_in_the_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match="registry eu"):
        base_url(registry(url=url))


def test_tls_files_that_cannot_be_read_are_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("no certificate")

    for name in ("absent.pem", "junk.pem"):
        with pytest.raises(ConfigError, match="registry eu"):
            connect(replace(registry(), tls=TLS(ca_file=str(tmp_path / name))))


def test_a_proxy_that_is_none_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="proxy"):
        open_transport(replace(registry(), proxy="gopher://proxy.example.com"), with_certificate=True)


def test_a_proxy_is_taken_from_the_configuration() -> None:
    open_transport(replace(registry(), proxy="http://proxy.example.com:3128"), with_certificate=True).close()

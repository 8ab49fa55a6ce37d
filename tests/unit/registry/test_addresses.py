import pytest

from replicator.errors import ConfigError
from replicator.registry.addresses import base_url
from replicator.rules.registries import RegistryType
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

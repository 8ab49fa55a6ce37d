import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicator.errors import ConfigError
from replicator.registry.addresses import URL, Origin, base_url, url_of
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


@given(st.text(alphabet="/.:?#%2Fe@a-_~&=[]\\ ;äx", max_size=24), st.booleans())
@example("/v2/a/blobs/uploads/u?_state=abc%3D", True)
@example("//elsewhere/v2/", False)
@example("/v2/../x", False)
@example("@elsewhere/x", True)
@example(":99/x", True)
def test_what_is_plain_is_what_httpx_reads(text: str, is_whole: bool) -> None:
    url = URL(Origin("http", "eu.test", 5000), "/v2/a/blobs/uploads/")
    location = f"http://eu.test:5000{text}" if is_whole else text

    plain = url.beside(location)

    assert plain in (None, _as_httpx_reads(url, location))


def test_a_location_as_registries_send_them_is_plain() -> None:
    url = URL(Origin("https", "eu.test"), "/v2/a/blobs/uploads/")
    target = "/v2/a/blobs/uploads/6f1c?_state=eyJhIjoiYiJ9-_%3D%3D&x=1"

    assert url.beside(f"https://eu.test{target}") == url.beside(target) == url.at(target)
    assert url.beside(f"http://eu.test{target}") is None


def _as_httpx_reads(url: URL, location: str) -> URL | None:
    try:
        return url_of(url.join(location))
    except (httpx.InvalidURL, ValueError):
        return None

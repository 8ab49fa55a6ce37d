from dataclasses import replace
from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.registry import connect
from replicator.registry.addresses import URL, Origin
from replicator.registry.connections import dialer_of
from replicator.rules.registries import TLS
from tests.unit.registry.scripted import registry

PLAIN = URL(Origin("http", "registry.example.com", 5000), "/v2/")
SECURE = URL(Origin("https", "registry.example.com"), "/v2/")


def test_tls_files_that_cannot_be_read_are_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("no certificate")

    for name in ("absent.pem", "junk.pem"):
        with pytest.raises(ConfigError, match="registry eu"):
            connect(replace(registry(), tls=TLS(ca_file=str(tmp_path / name))))


@pytest.mark.parametrize(
    "proxy",
    [
        "gopher://proxy.example.com",
        "https://proxy.example.com",
        "http://",
        "proxy.example.com:3128",
        "http://a:b:c",
    ],
)
def test_a_proxy_that_is_none_is_a_mistake_in_the_configuration(proxy: str) -> None:
    with pytest.raises(ConfigError, match="registry eu: its proxy"):
        dialer_of(replace(registry(), proxy=proxy), with_certificate=True)


def test_a_proxy_is_told_the_whole_of_a_plain_url_and_who_asks() -> None:
    described = replace(registry(), proxy="http://user:p%40ss@proxy.example.com:3128")

    dialer = dialer_of(described, with_certificate=True)

    target, fields = dialer.line(PLAIN)
    assert target == "http://registry.example.com:5000/v2/"
    assert fields == {"Proxy-Authorization": "Basic dXNlcjpwQHNz"}
    assert dialer.line(SECURE) == ("/v2/", {})


def test_without_a_proxy_a_request_names_the_path() -> None:
    assert dialer_of(registry(), with_certificate=True).line(PLAIN) == ("/v2/", {})

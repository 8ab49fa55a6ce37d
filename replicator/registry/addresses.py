"""Where requests may go: URLs as the origin that a credential belongs to, and what is asked for there.

A URL of ours is plain, already quoted ASCII and costs little to make. What strangers send (a `Location`, a realm) is
read and resolved by httpx first, and checked before it becomes one.
"""

import functools
import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple

import httpx

from replicator.errors import ConfigError
from replicator.rules.registries import Registry, RegistryType

# One slash, then only what needs no quoting and what httpx keeps as it is; no segment of dots, no empty query.
_PLAIN = re.compile(r"/(?!/)(?!.*/\.)(?!\.)(?:[A-Za-z0-9._~/=&?+,:@!$'()*-]|%[0-9A-Fa-f]{2})*(?<!\?)")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
# Docker Hub's names in references and in old configuration files; its API lives at another host.
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "hub.docker.com"})
_DOCKER_HUB_API = "registry-1.docker.io"
# Where AWS over IPv6 and Alibaba Cloud have the metadata service that others have at a link-local address.
_METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})


class Origin(NamedTuple):
    """Scheme, host and port: what a credential belongs to. A default port counts as none."""

    scheme: str
    host: str
    port: int | None = None

    @property
    def authority(self) -> str:
        """Host and port as a URL and a `Host` header write them."""
        return _authority(self)

    @property
    def socket_address(self) -> tuple[str, int]:
        """The host and port to connect to."""
        return self.host, self.port or (443 if self.scheme == "https" else 80)


@functools.lru_cache(maxsize=256)
def _authority(origin: Origin) -> str:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port is None else f"{host}:{origin.port}"


@dataclass(frozen=True, slots=True)
class URL:
    """An http(s) URL: `target` is its path and query, quoted, as a request line writes them."""

    origin: Origin
    target: str

    @property
    def path(self) -> str:
        """Everything before the query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """Everything after the first question mark."""
        return self.target.partition("?")[2]

    def at(self, target: str) -> "URL":
        """Another target at the same origin."""
        return URL(self.origin, target)

    def beside(self, location: str) -> "URL | None":
        """What `location` is if it is plain, as most are: a path and query at this very origin, nothing to resolve.

        A registry names one for each blob, hundreds of characters long: httpx takes 0.5 ms and more to read it.
        """
        target = location.removeprefix(f"{self.origin.scheme}://{self.origin.authority}")
        return self.at(target) if _PLAIN.fullmatch(target) else None

    def join(self, location: str) -> httpx.URL:
        """What `location` is relative to this one (RFC 3986). Raises httpx.InvalidURL or ValueError."""
        return httpx.URL(str(self)).join(location)

    def __str__(self) -> str:
        return f"{self.origin.scheme}://{self.origin.authority}{self.target}"


def url_of(read: httpx.URL) -> URL:
    """`read` as one of ours, without its fragment and user info."""
    origin = Origin(read.scheme, read.raw_host.decode("ascii"), read.port)
    return URL(origin, read.raw_path.decode("ascii"))


def base_url(registry: Registry) -> URL:
    """The URL below which `/v2/` lies, without a slash at its end. Raises ConfigError for no absolute http(s) URL."""
    try:
        url = httpx.URL(registry.url.rstrip("/"))
    except httpx.InvalidURL as exc:
        raise ConfigError(f"registry {registry.name}: its url is not a URL") from exc
    if url.userinfo or not is_reachable(url):
        raise ConfigError(f"registry {registry.name}: its url must be http(s)://host[:port][/path]")
    if registry.type is RegistryType.DOCKERHUB and url.host in _DOCKER_HUB:
        url = url.copy_with(host=_DOCKER_HUB_API)
    base = url_of(url)
    return base.at(base.path.rstrip("/"))


def is_reachable(url: httpx.URL) -> bool:
    """True for http(s) to a host and port that can exist. Sockets answer others with exceptions of all kinds."""
    host = url.raw_host.decode("ascii").removesuffix(".")
    is_port = url.port is None or 0 < url.port < 65536
    return url.scheme in {"http", "https"} and is_port and len(host) < 254 and _is_host(host)


def _is_host(host: str) -> bool:
    # "127.1" and "0x7f000001" are addresses to a resolver but not to a check for addresses: taken in full form only.
    if ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]):
        return address_of(host) is not None
    return all(_LABEL.fullmatch(label) for label in host.split("."))


def address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that `host` is, if it is no name. An IPv4 address in IPv6 clothes is that IPv4 address."""
    try:
        address = ipaddress.ip_address(host.removesuffix("."))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_inward(host: str) -> bool:
    """True for the names and addresses of loopback, and of link-local: there clouds keep the secrets of a machine."""
    address = address_of(host.partition("%")[0])
    if address is None:
        name = host.removesuffix(".")
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_link_local or address.is_unspecified or address in _METADATA

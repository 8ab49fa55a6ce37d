"""Where a registry is and how a connection to it is made: base URL, TLS, proxy."""

import functools
import ipaddress
import re
import ssl

import httpx

from replicator.errors import ConfigError
from replicator.rules.registries import TLS, Registry, RegistryType

_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=32, keepalive_expiry=30.0)
# Docker Hub's names in references and in old configuration files; its API lives at another host.
_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "hub.docker.com"})
_DOCKER_HUB_API = "registry-1.docker.io"


def base_url(registry: Registry) -> httpx.URL:
    """The URL below which `/v2/` lies. Raises ConfigError for one that is no absolute http(s) URL."""
    try:
        url = httpx.URL(registry.url.rstrip("/"))
    except httpx.InvalidURL as exc:
        raise ConfigError(f"registry {registry.name}: its url is not a URL") from exc
    if url.userinfo or not is_reachable(url):
        raise ConfigError(f"registry {registry.name}: its url must be http(s)://host[:port][/path]")
    if registry.type is RegistryType.DOCKERHUB and url.host in _DOCKER_HUB:
        return url.copy_with(host=_DOCKER_HUB_API)
    return url


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


def open_transport(registry: Registry, *, with_certificate: bool) -> httpx.HTTPTransport:
    """A pool of HTTP/1.1 connections as `registry` asks for, with its client certificate or without.

    Raises ConfigError for TLS files that cannot be read and for a proxy that makes no sense.
    """
    try:
        context = _context(registry.tls, with_certificate=with_certificate)
    except OSError as exc:  # ssl.SSLError is one too
        raise ConfigError(f"registry {registry.name}: its tls files cannot be used: {exc}") from exc
    try:
        return httpx.HTTPTransport(verify=context, trust_env=False, limits=_LIMITS, proxy=registry.proxy)
    except (ValueError, ImportError, httpx.InvalidURL) as exc:
        raise ConfigError(f"registry {registry.name}: its proxy cannot be used") from exc


@functools.cache
def _usual_context() -> ssl.SSLContext:
    # Reading the roots takes 40 ms; most registries need no more than these. Nobody may change this one.
    return _new_context(TLS(), with_certificate=False)


def _context(tls: TLS, *, with_certificate: bool) -> ssl.SSLContext:
    return _usual_context() if tls == TLS() else _new_context(tls, with_certificate=with_certificate)


def _new_context(tls: TLS, *, with_certificate: bool) -> ssl.SSLContext:
    context = httpx.create_ssl_context(verify=tls.verify, trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.verify:
        # Beside the usual roots: what the machine trusts, and the registry's own authority.
        context.load_default_certs()
        if tls.ca_file:
            context.load_verify_locations(cafile=tls.ca_file)
    if tls.cert_file and with_certificate:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context

"""How a connection to a registry is made: TLS, certificates, proxy."""

import base64
import functools
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

import httpx

from replicator.errors import ConfigError
from replicator.registry.addresses import URL, Origin, base_url, is_inward, is_reachable, url_of
from replicator.registry.channel import USUAL, Channel, Patience
from replicator.registry.heads import Malformed, request_head
from replicator.rules.registries import TLS, Registry

_NOTHING: Mapping[str, str] = {}


class Unreachable(OSError):
    """No connection could be made."""


class Astray(Exception):
    """A name that a registry sent us to belongs to an address that only this machine can reach."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, and what it wants to be told of us."""

    origin: Origin
    fields: Mapping[str, str]


class Dialer:
    """Makes connections, directly or through a proxy. Other people's hosts get to see no certificate of ours.

    With `home`, the registry's own origin, no other name than that leads to an address that only this machine can
    reach. A look at the name is not enough: whoever owns it decides what it means, anew for each look.
    """

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        proxy: Proxy | None,
        *,
        home: Origin | None = None,
        patience: Patience = USUAL,
    ) -> None:
        self._context = context
        self._proxy = proxy
        self._home = home
        self.patience = patience

    def dial(self, origin: Origin) -> Channel:
        """A new connection that requests for `origin` can be sent on. Raises Unreachable or Astray."""
        try:
            return self._dialled(origin)
        except (OSError, UnicodeError, Malformed) as exc:
            raise Unreachable(str(exc)) from exc

    def line(self, url: URL) -> tuple[str, Mapping[str, str]]:
        """How a request names `url`, and what headers its way adds: a proxy is told the whole of a plain one."""
        if self._proxy is None or url.origin.scheme == "https":
            return url.target, _NOTHING
        return str(url), self._proxy.fields

    def _dialled(self, origin: Origin) -> Channel:
        there = self._proxy.origin if self._proxy else origin
        connection = socket.create_connection(there.socket_address, timeout=self.patience.connect_s)
        try:
            self._check(connection, origin)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if origin.scheme == "https":
                if self._proxy:
                    self._tunnel(connection, origin, self._proxy)
                connection.settimeout(self.patience.connect_s)
                connection = self._context().wrap_socket(
                    connection, server_hostname=origin.host.rstrip("."), suppress_ragged_eofs=False
                )
            return Channel(origin, connection, patience=self.patience)
        except BaseException:
            connection.close()
            raise

    def _check(self, connection: socket.socket, origin: Origin) -> None:
        # A proxy looks names up by itself: what it must not reach is for whoever runs it to say.
        if self._home is None or self._home == origin or self._proxy or is_inward(self._home.host):
            return
        if is_inward(connection.getpeername()[0]):
            raise Astray(origin.host[:100])

    def _tunnel(self, connection: socket.socket, origin: Origin, proxy: Proxy) -> None:
        host, port = origin.socket_address
        there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        channel = Channel(proxy.origin, connection, patience=self.patience)
        answer = channel.ask("CONNECT", request_head("CONNECT", there, {"Host": there, **proxy.fields}), None)
        if not 200 <= answer.status < 300:
            raise Unreachable(f"the proxy answered {answer.status}")
        if not channel.is_spent:
            raise Malformed("the proxy said more than that there is a connection")


def dialer_of(registry: Registry, *, with_certificate: bool) -> Dialer:
    """Makes connections as `registry` asks for, with its client certificate or without.

    Raises ConfigError for TLS files that cannot be read and for a proxy that makes no sense.
    """
    try:
        context = _trust(registry, with_certificate=with_certificate)
    except OSError as exc:  # ssl.SSLError is one too
        raise ConfigError(f"registry {registry.name}: its tls files cannot be used: {exc}") from exc
    proxy = _proxy(registry) if registry.proxy else None
    return Dialer(context, proxy, home=base_url(registry).origin)


def _proxy(registry: Registry) -> Proxy:
    with suppress(httpx.InvalidURL):
        url = httpx.URL(registry.proxy or "")
        if url.scheme == "http" and is_reachable(url):
            name, _, password = url.userinfo.decode("ascii").partition(":")
            pair = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")
            return Proxy(url_of(url).origin, {"Proxy-Authorization": f"Basic {pair}"} if name else {})
    raise ConfigError(f"registry {registry.name}: its proxy cannot be used, it must be http://host[:port]")


@functools.cache
def _usual_context() -> ssl.SSLContext:
    # Reading the roots takes 40 ms; most registries need no more than these. Nobody may change this one.
    return tls_context(TLS(), with_certificate=False)


def _trust(registry: Registry, *, with_certificate: bool) -> Callable[[], ssl.SSLContext]:
    if registry.tls != TLS():
        context = tls_context(registry.tls, with_certificate=with_certificate)
        return lambda: context
    if registry.url.startswith("https:"):
        _usual_context()  # now, and not after a fork; a plain registry may never need it
    return _usual_context


def tls_context(tls: TLS, *, with_certificate: bool) -> ssl.SSLContext:
    """What a connection is secured by. Raises OSError for files that cannot be read."""
    context = httpx.create_ssl_context(verify=tls.verify, trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # Some releases of Python (3.11.2, Debian 12) would take a connection that somebody cut for the end of a body.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if tls.verify:
        # Beside the usual roots: what the machine trusts, and the registry's own authority.
        context.load_default_certs()
        if tls.ca_file:
            context.load_verify_locations(cafile=tls.ca_file)
    if tls.cert_file and with_certificate:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context

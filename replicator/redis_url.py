"""Where Redis is: the URL of a server, or of the Sentinels that know which of several is the primary just now.

    redis://[USER:PASSWORD@]HOST[:PORT][/DB]                                  rediss:// is the same over TLS
    unix://[USER:PASSWORD@]/PATH[?db=DB]
    redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DB]       rediss+sentinel:// over TLS

Only the last form is taken apart here: no library that we use reads it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

SERVERS = ("redis://", "rediss://", "unix://")
SENTINELS = ("redis+sentinel://", "rediss+sentinel://")
SENTINEL_PORT = 26379
TLS_FILES = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""What a URL may say of TLS; that the server's certificate is verified is not for it to say."""
_LOGIN = frozenset({"sentinel_username", "sentinel_password"})


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels of a service. `username` and `password` are for its servers, the other login for them."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_login: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_tls: bool = False
    tls_files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str) -> Self | None:
        """What a Sentinel URL says, None for the URL of a server. Raises ValueError, which never quotes the URL."""
        if not url.startswith(SENTINELS):
            return None
        # Several hosts are no host to urlsplit: with a literal address of IPv6 among them it refuses the URL.
        scheme, _, rest = url.partition("://")
        authority = re.split("[/?#]", rest, maxsplit=1)[0]
        parts = urlsplit(f"//host{rest.removeprefix(authority)}")
        login, _, places = authority.rpartition("@")
        username, _, password = login.partition(":")
        service, _, database = parts.path.strip("/").partition("/")
        if not service:
            raise ValueError("a Sentinel URL names the service: .../SERVICE or .../SERVICE/DB")
        if database and not database.isdecimal():
            raise ValueError("the database after the service must be a number")
        query = dict(parse_qsl(parts.query))
        if not query.keys() <= TLS_FILES | _LOGIN:
            # What it says else may be part of a password.
            raise ValueError(f"a Sentinel URL takes no options but {', '.join(sorted(TLS_FILES | _LOGIN))}")
        return cls(
            hosts=tuple(_host(place) for place in places.split(",")),
            service=unquote(service),
            database=int(database or 0),
            username=unquote(username) or None,
            password=unquote(password) or None,
            sentinel_login={
                name.removeprefix("sentinel_"): value for name, value in query.items() if name in _LOGIN
            },
            is_tls=scheme == "rediss+sentinel",
            tls_files={name: value for name, value in query.items() if name in TLS_FILES},
        )


def check(url: str) -> str:
    """The URL, if it is one that we can use. Raises ValueError, which never quotes it."""
    if not url.startswith(SERVERS + SENTINELS):
        raise ValueError(f"must begin with {', '.join(SERVERS + SENTINELS[:-1])} or {SENTINELS[-1]}")
    Sentinels.of(url)
    return url


def _host(place: str) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError("the port of a Sentinel must be a number up to 65535") from exc
    if not parts.hostname:
        raise ValueError("a Sentinel URL names at least one host, and none that is empty")
    return parts.hostname, port or SENTINEL_PORT

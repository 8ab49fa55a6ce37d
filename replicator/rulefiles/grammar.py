"""The small grammars of rule files: names, addresses, durations, sizes. Each check raises ValueError in plain words."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"
URL_PATTERN = "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$"
DURATION_PATTERN = "^[0-9]+(\\.[0-9]+)?(ms|s|m|h)$"
INTERVAL_PATTERN = "^(off|[0-9]+(\\.[0-9]+)?(ms|s|m|h))$"
SIZE_PATTERN = "^[0-9]+(\\.[0-9]+)? ?([KMGT]i?)?B$"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\Z")
_PATH = re.compile(r"[A-Za-z0-9._~/%+-]*\Z")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)\Z")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DAY_S = 86_400.0
_SHORTEST_INTERVAL_S = 1.0
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([KMGT]i?)?B\Z")
_UNITS: dict[str, int] = {"": 1, **{unit: 1000**n for n, unit in enumerate("KMGT", 1)}}
_UNITS |= {f"{unit}i": 1024**n for n, unit in enumerate("KMGT", 1)}


def name(text: str) -> str:
    """`text`, if it can name a registry or a rule: it goes into keys, metrics and paths."""
    if not _NAME.match(text):
        raise ValueError(
            "a name has at most 128 letters, digits, '.', '_', ':' and '-', and begins with a letter or digit"
        )
    return text


def seconds(text: str) -> float:
    """The length of a duration such as `5s`, `500ms` or `1m`, of at most a day."""
    found = _DURATION.match(text)
    if not found:
        raise ValueError("a duration is a number and its unit: 500ms, 5s, 1m or 2h")
    length_s = float(found[1]) * _SECONDS[found[2]]
    if length_s > _DAY_S:
        raise ValueError("a duration of more than 24h")
    return length_s


def interval_s(text: str) -> float | None:
    """How often `text` wants something: a duration of a second or more; None for never (`off`, `0s`)."""
    if text == "off":
        return None
    length_s = seconds(text)
    if 0 < length_s < _SHORTEST_INTERVAL_S:
        raise ValueError("an interval of less than 1s")
    return length_s or None


def size_bytes(text: str) -> int:
    """The bytes of a size such as `50MiB`, `1.5 GiB` or `800KB`."""
    found = _SIZE.match(text)
    if not found:
        raise ValueError("a size is a number and its unit: 800KB, 50MiB or 1.5 GiB")
    return round(float(found[1]) * _UNITS[found[2] or ""])


def url(text: str) -> str:
    """`text` with scheme and host in lower case and no trailing slash, if it is the address of a registry."""
    # The text is in no message: it may hold a password where none may be.
    parts = _split(text)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("a URL begins with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("a URL must not hold a user name or password")
    if "?" in text or "#" in text:
        raise ValueError("a URL must not have a query or a fragment")
    host, port = host_of(text)
    if not _is_host(host):
        raise ValueError("a URL needs a host name")
    if not _PATH.match(parts.path) or ".." in parts.path:
        raise ValueError("a URL's path may hold letters, digits and ._~/%+- only")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def host_of(text: str) -> tuple[str, int | None]:
    """Host and port, if any, that a URL names."""
    parts = _split(text)
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError("a URL's port is a number from 1 to 65535") from exc
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("a URL's port is a number from 1 to 65535")
    return parts.hostname or "", port


def is_clear_text(text: str) -> bool:
    """Whether a URL is plain http to another machine."""
    return text.lower().startswith("http://") and not _is_loopback(host_of(text)[0])


def _split(text: str) -> SplitResult:
    # urlsplit drops tabs and newlines silently.
    if any(sign.isspace() or not sign.isprintable() for sign in text):
        raise ValueError("a URL must not hold spaces or control characters")
    try:
        return urlsplit(text)
    except ValueError as exc:
        raise ValueError("not a URL") from exc


def _is_host(host: str) -> bool:
    return bool(_HOST.match(host)) or _address(host) is not None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None

"""What an answer or a broken connection means, as one of our errors.

Decided by status, OCI error code and exception type, never by the words of a message (OCI 1.1, "Error Codes"). What a
registry says is quoted only cut, cleaned of control characters and of anything that looks like a credential.
"""

import json
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from replicator.errors import (
    Denied,
    PermanentError,
    RateLimited,
    ReplicatorError,
    TemporaryError,
    TooLarge,
    Unavailable,
    Unsupported,
    Untrusted,
)
from replicator.limits import RETRY_AFTER_DEFAULT_S
from replicator.oci import Digest, named
from replicator.registry.addresses import URL
from replicator.registry.connections import Astray
from replicator.registry.heads import Headers, Malformed, Unsendable
from replicator.registry.transport import Busy

BROKEN = (OSError, Malformed, Unsendable, Busy, Astray)
"""What a transport raises where there is no answer, or no whole one."""

# 520-524 are Cloudflare's way of saying that the registry behind it did not answer.
_AWAY = frozenset({408, 499, 502, 503, 504, 520, 521, 522, 523, 524})
_NOT_OFFERED = frozenset({405, 501})
# Unusable upload sessions and mangled transfers: the blob is sent again from the start.
_START_OVER = frozenset(
    {"BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "SIZE_INVALID", "RANGE_INVALID"}
)
_RETRY_AFTER_MAX_S = 3600.0
_QUOTED_CHARACTERS = 200

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# An Authorization value, a URL's user info and a URL's query, where storage hosts keep their signatures.
_SECRETS = re.compile(r"(?i)\b(?:basic|bearer)\s+[^\s\"']+|//[^/\s@]+@|\?[^\s\"'>]+")


@dataclass(frozen=True, slots=True)
class Topic:
    """What a request is about, for messages: `doing` is a gerund such as `reading`."""

    doing: str
    registry: str
    repository: str = ""
    reference: str = ""

    def __str__(self) -> str:
        name = named(self.repository, self.reference) if self.reference else self.repository
        return f"{self.doing} {name} at {self.registry}" if name else f"{self.doing} {self.registry}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `url` is where it came from, after redirects: what a relative `Location` is relative to."""

    status: int
    headers: Headers
    body: bytes
    url: URL

    @property
    def is_success(self) -> bool:
        """True for any 2xx: registries use 200, 201, 202 and 204 loosely."""
        return 200 <= self.status < 300

    @property
    def codes(self) -> frozenset[str]:
        """The OCI error codes of the body; none for a body in another format."""
        return frozenset(str(item.get("code", "")).upper() for item in _items(self.body))

    @property
    def digests(self) -> frozenset[Digest]:
        """The digests that the errors' details name: what is missing (OCI 1.1 leaves the form of `detail` open)."""
        details = [item.get("detail") for item in _items(self.body)]
        named = [detail.get("digest") if isinstance(detail, dict) else detail for detail in details]
        return frozenset(digest for text in named if (digest := _digest(text)))


def failure(answer: Answer, topic: Topic, *, quote: bool = True) -> ReplicatorError:
    """The error that an answer stands for. `quote` False keeps the registry's own words out of the message."""
    message = f"{topic}: {_said(answer, quote=quote)}"
    wait_s = retry_after(answer.headers)
    status = answer.status
    if status == 429:
        return RateLimited(message, registry=topic.registry, retry_after=wait_s or RETRY_AFTER_DEFAULT_S)
    if status in _AWAY:
        return Unavailable(message, registry=topic.registry, retry_after=wait_s)
    if status in _NOT_OFFERED or "UNSUPPORTED" in answer.codes:
        return Unsupported(message)
    # A plain 500 is no sign of an outage: distribution answers it while a tag is being moved.
    if status >= 500 or status == 416 or answer.codes & _START_OVER:
        return TemporaryError(message, retry_after=wait_s)
    if status in {401, 403}:
        return Denied(message)
    if status == 413:
        # nginx's own limit is 1 MiB, and its answer has no words but these.
        return TooLarge(
            f"{message}: larger than it takes, or a proxy before it (nginx: client_max_body_size)"
        )
    if 300 <= status < 400 and status != 304:
        return PermanentError(
            f"{message}, a redirect that must not be followed: is the registry's URL right?"
        )
    return PermanentError(message)


def broken(exc: Exception, topic: Topic) -> ReplicatorError:
    """The error that an exception of a transport stands for; the caller raises it from `exc`."""
    name = type(exc).__name__
    if isinstance(exc, Unsendable):
        return PermanentError(f"{topic}: the request could not be made ({name}: {exc})")
    if isinstance(exc, Astray):
        return PermanentError(f"{topic}: sent on to {exc}, an address that only this machine can reach")
    if isinstance(exc, Busy):
        return TemporaryError(f"{topic}: no free connection in time")
    certificate = _certificate_error(exc)
    if certificate:
        words = f"{topic}: the TLS certificate is not trusted: {clean(certificate)}"
        return Untrusted(words, registry=topic.registry)
    return Unavailable(f"{topic}: no answer ({name}: {clean(str(exc))})", registry=topic.registry)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` asks for, between 1 and 3600; None where it is absent or makes no sense."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text[:9])
    else:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return min(max(wait_s, 1.0), _RETRY_AFTER_MAX_S)


def clean(text: str) -> str:
    """A stranger's words, fit for a message: short, on one line, without what looks like a credential."""
    cut = text[: 4 * _QUOTED_CHARACTERS]
    return _SECRETS.sub("***", _CONTROL.sub(" ", cut))[:_QUOTED_CHARACTERS].strip()


def _said(answer: Answer, *, quote: bool) -> str:
    words = [
        clean(f"{item.get('code', '')}: {item.get('message', '')}" if quote else str(item.get("code", "")))
        for item in _items(answer.body)[:3]
    ]
    said = "; ".join(word for word in words if word)
    return f"answered {answer.status} ({said})" if said else f"answered {answer.status}"


def _digest(text: object) -> Digest | None:
    try:
        return Digest(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _items(body: bytes) -> list[dict[str, object]]:
    if body.lstrip()[:1] != b"{":
        return []
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    errors = document.get("errors") if isinstance(document, dict) else None
    return [item for item in errors if isinstance(item, dict)] if isinstance(errors, list) else []


def _certificate_error(exc: BaseException | None) -> str:
    # A stand-in or a dialer raises from ssl: the type at the end of the chain decides.
    for _ in range(8):
        if exc is None:
            return ""
        if isinstance(exc, ssl.SSLCertVerificationError):
            return str(exc)
        exc = exc.__cause__ or exc.__context__
    return ""

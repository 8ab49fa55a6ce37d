"""What a hostile registry puts into the heads of its answers: challenges, places, next pages, ranges, waits.

A client with a credential asks, and is answered by what was made up. Whatever that is, the credential is shown to the
registry's own host alone, nobody but a redirected read leaves for another, and there is an end to it.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
from pydantic import SecretStr

from replicator.errors import ReplicatorError
from replicator.oci import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, Repository, Tag
from replicator.registry import RegistryClient
from replicator.rules import Credential, Registry, RegistryType
from tests.fuzz import manifests
from tests.fuzz.engine import Target
from tests.fuzz.spoiling import NASTY_TEXTS, scratched, some

HOST, OTHER = "registry.example.com", "evil.example.net"
KEY, SECRET, TOKEN = "robot", "secret-canary", "token-canary"
API, V1 = Repository("payments/api"), Tag("v1")
CONTENT = b"content" * 40
BLOB = Descriptor("application/octet-stream", Digest.of(CONTENT), len(CONTENT))
_REQUESTS = 60
_MESSAGE_CHARACTERS = 1000
_KINDS = (
    *(
        RegistryType.DISTRIBUTION,
        RegistryType.DISTRIBUTION,
        RegistryType.HARBOR,
        RegistryType.GITLAB,
        RegistryType.QUAY,
    ),
    *(RegistryType.GAR, RegistryType.DOCKERHUB, RegistryType.ECR_PUBLIC),
)

_HOSTS = (
    *(
        HOST,
        HOST,
        HOST,
        OTHER,
        f"{HOST}.{OTHER}",
        f"{HOST}@{OTHER}",
        f"{HOST}:443",
        f"{HOST}:8443",
        f"{HOST}.",
        "127.0.0.1",
    ),
    *(
        "169.254.169.254",
        "[::1]",
        "0x7f.1",
        "2130706433",
        "localhost",
        "a" * 300,
        "",
        "é.example",
        f"{OTHER}\\@{HOST}",
    ),
    *(
        "storage.example.net",
        "gitlab.example.com",
        "auth.docker.io",
        "user:pass@storage.example.net",
        f"{OTHER}#@{HOST}",
    ),
)
_SCHEMES = (
    "https://",
    "https://",
    "https://",
    "http://",
    "//",
    "",
    "ftp://",
    "file://",
    "HTTPS://",
    "https:",
    "javascript:",
)
_PATHS = (
    *(
        "/v2/payments/api/blobs/uploads/1?_state=x%3D",
        "/token",
        "",
        "/",
        "/v2/payments/api/tags/list?last=v1&n=100",
    ),
    *(
        "/../../etc",
        "/a b",
        "/%",
        "/%zz",
        "/%00",
        "/?",
        "/#f",
        "/x" * 3000,
        "?a=b",
        "..",
        "/v2//x",
        "/\x7f",
        "/é",
    ),
)
_WORDS = (
    *(
        "Bearer",
        "Basic",
        "bEaReR",
        "Digest",
        "Negotiate",
        "realm",
        "service",
        "scope",
        "error",
        "=",
        '"',
        "\\",
        ",",
        ", ",
    ),
    *(
        " ",
        "\t",
        ";",
        "'",
        "repository:payments/api:pull,push",
        "insufficient_scope",
        "rel=next",
        'rel="next"',
        "<",
        ">",
    ),
    *(
        "bytes",
        "0-0",
        "0-279",
        "0-",
        "-1",
        "280",
        "*/280",
        "bytes 5-279/280",
        "bytes=0-1",
        "100;w=21600",
        "999999999999999999",
    ),
    *(
        "Wed, 21 Oct 2015 07:28:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "1e9",
        "NaN",
        "0",
        "120",
        '299 - "old"',
        "é",
    ),
)


@dataclass(frozen=True)
class Said:
    """One answer."""

    status: int
    headers: tuple[tuple[str, bytes], ...]
    body: bytes


@dataclass(frozen=True)
class Input:
    """A registry, what it is asked, and what it answers in turn, the last of it for ever."""

    kind: RegistryType
    call: int
    answers: tuple[Said, ...]


@dataclass
class Hostile(httpx.BaseTransport):
    """Answers, and notes who was asked with what."""

    answers: list[Said]
    asked: list[httpx.Request] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        assert len(self.asked) < 2 * _REQUESTS, "there is no end to it"
        if len(self.asked) > _REQUESTS:
            # A listing may have a thousand pages; we have seen enough.
            raise httpx.ConnectError("hung up")
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return httpx.Response(said.status, headers=said.headers, stream=httpx.ByteStream(said.body))


def _read(client: RegistryClient) -> None:
    with client.open_blob(API, BLOB) as pieces:
        for _ in pieces:
            pass


def _upload(client: RegistryClient) -> None:
    upload = client.start_upload(API, BLOB.digest)
    if upload:
        with suppress(ReplicatorError):
            upload = client.send_chunk(upload, [CONTENT[:100]])
        if found := client.look_up_upload(upload):
            client.finish_upload(found, BLOB, [CONTENT[found.offset :]])


CALLS: tuple[Callable[[RegistryClient], object], ...] = (
    lambda client: client.head_manifest(API, V1),
    lambda client: client.get_manifest(API, V1),
    lambda client: client.tags(API),
    lambda client: client.listing(API),
    lambda client: list(client.repositories()),
    lambda client: client.referrers(API, BLOB.digest),
    lambda client: client.labels(API, BLOB.digest),
    lambda client: client.put_manifest(API, V1, manifests._SUBJECT),
    lambda client: client.delete_manifest(API, V1),
    lambda client: client.ping(),
    _read,
    _upload,
)


def _url(rng: random.Random) -> str:
    return some(rng, _SCHEMES) + some(rng, _HOSTS) + some(rng, _PATHS)


def _challenge(rng: random.Random) -> str:
    good = f'Bearer realm="{_url(rng)}",service="s",scope="repository:payments/api:pull"'
    return some(rng, (good, good, f'Basic realm="x", {good}', 'Basic realm="x"', _junk(rng)))


def _link(rng: random.Random) -> str:
    return some(rng, (f'<{_url(rng)}>; rel="next"', f"<{some(rng, _PATHS)}>; rel=next", _junk(rng)))


def _junk(rng: random.Random) -> str:
    text = "".join(some(rng, some(rng, (_WORDS, _WORDS, NASTY_TEXTS))) for _ in range(rng.randrange(1, 8)))
    return text if rng.random() < 0.97 else (text * 4000)[:16_000]


def _digest(rng: random.Random) -> str:
    return some(rng, (str(BLOB.digest), str(manifests._SUBJECT.digest), "sha256:" + "A" * 64, _junk(rng)))


HEADERS: tuple[tuple[str, Callable[[random.Random], str]], ...] = (
    ("WWW-Authenticate", _challenge),
    ("WWW-Authenticate", _challenge),
    ("Location", _url),
    ("Location", _url),
    ("Link", _link),
    ("Range", _junk),
    ("Content-Range", _junk),
    ("Retry-After", _junk),
    ("Docker-Content-Digest", _digest),
    ("OCI-Chunk-Min-Length", _junk),
    ("OCI-Subject", _digest),
    ("RateLimit-Remaining", _junk),
    ("RateLimit-Limit", _junk),
    ("Warning", _junk),
    ("ETag", _junk),
    ("X-Total-Count", _junk),
    ("Content-Length", _junk),
    (
        "Content-Type",
        lambda rng: some(rng, (OCI_MANIFEST, OCI_INDEX, "text/html", "application/json", _junk(rng))),
    ),
    ("Content-Encoding", lambda rng: some(rng, ("gzip", "br", "identity", _junk(rng)))),
)
_STATUSES = (
    200,
    200,
    200,
    201,
    202,
    204,
    206,
    301,
    302,
    307,
    308,
    304,
    400,
    401,
    401,
    401,
    403,
    404,
    405,
    416,
    429,
    500,
    503,
)
_BODIES = (
    *(
        b"",
        b"{}",
        b"[]",
        b'{"token": "token-canary"}',
        b'{"token": "token-canary", "expires_in": 1e400}',
        b'{"tags": ["v1"]}',
    ),
    *(
        b'{"repositories": ["a/b", "../x", 1]}',
        b'{"errors": [{"code": "NAME_UNKNOWN", "message": "no"}]}',
        b"<html>",
        CONTENT,
    ),
    *(
        CONTENT[:100],
        b"[" * 50_000,
        b'{"manifest": {"sha256:x": {"tag": ["v1"]}}, "tags": ["v1"]}',
        b'{"labels": [{"name": "a"}]}',
    ),
)


def make(rng: random.Random) -> Input:
    """A conversation."""
    answers = tuple(_said(rng) for _ in range(rng.randrange(1, 6)))
    return Input(some(rng, _KINDS), rng.randrange(len(CALLS)), answers)


def _said(rng: random.Random) -> Said:
    headers = tuple(
        (name, write(rng).encode("utf-8", "replace").translate(None, b"\r\n\x00"))
        for name, write in rng.sample(HEADERS, rng.randrange(1, 7))
    )
    body = some(rng, _BODIES) if rng.random() < 0.8 else manifests.make(rng)[0][:100_000]
    if rng.random() < 0.1:
        body = scratched(rng, body)
    return Said(some(rng, _STATUSES), headers, body)


def check(fed: Input) -> None:
    """Raises for a credential shown to somebody else, a write elsewhere, or any exception but ours."""
    hostile = Hostile(list(fed.answers))
    described = Registry("eu", fed.kind, f"https://{HOST}", credential=Credential(KEY, SecretStr(SECRET)))
    client = RegistryClient(described, transport=hostile)
    try:
        CALLS[fed.call](client)
    except ReplicatorError as exc:
        text = str(exc)
        assert len(text) < _MESSAGE_CHARACTERS
        assert text.isprintable()
        assert SECRET not in text
        assert TOKEN not in text
    finally:
        client.close()
    for request in hostile.asked:
        _assert_discreet(fed.kind, request)


def _assert_discreet(kind: RegistryType, request: httpx.Request) -> None:
    host = request.url.host
    own = {HOST} | _ALSO_ITS_OWN.get(kind, set())
    assert "authorization" not in request.headers or host in own, f"the credential went to {host}"
    assert host in own or request.method in {"GET", "HEAD"}, f"{request.method} to {host}"
    assert request.url.scheme == "https", request.url.scheme
    assert SECRET not in str(request.url)
    assert TOKEN not in str(request.url)


_ALSO_ITS_OWN = {
    RegistryType.GITLAB: {"gitlab.example.com"},
    RegistryType.DOCKERHUB: {"auth.docker.io"},
    RegistryType.GAR: {"gcr.io"},
}

TARGET = Target("answers", make, check, 200_000)

"""Credentials and connections go to the registry's own host, whatever it says: S6, S7, S8, S20, S21, S30."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from replicator.errors import PermanentError, ReplicatorError
from replicator.registry import RegistryClient, connect
from replicator.registry.addresses import is_inward
from replicator.rules import Registry, RegistryType
from replicator.rules.registries import TLS
from tests.fakes.peer import Peer, Talk
from tests.security.strangers import (
    BASIC,
    CANARIES,
    STRANGERS_HOST,
    TOKEN,
    Guarded,
    Listener,
    Names,
    answer,
    client_at,
)
from tests.unit.registry.scripted import API, MANIFEST, V1, blob

ELSEWHERE = {"S21": "tests/conformance/test_l_addresses.py::test_l7_the_environments_proxy_is_not_used"}

CONTENT = b"a blob"
BLOB = blob(CONTENT)
MANIFESTS = "/v2/payments/api/manifests/v1"
BLOBS = f"/v2/payments/api/blobs/{BLOB.digest}"
UPLOADS = "/v2/payments/api/blobs/uploads/"


@pytest.fixture
def stranger(stack: ExitStack) -> Listener:
    listener = Listener(host=STRANGERS_HOST)
    stack.enter_context(listener.peer)
    return listener


def heard_by(stack: ExitStack, said: Guarded) -> Listener:
    registry = Listener(said)
    stack.enter_context(registry.peer)
    return registry


# S6: a realm decides where the password goes

REALMS = [
    "http://evil.test:{port}/token",
    "https://evil.test:{port}/token",
    "http://registry.test.evil.test:{port}/token",
    "http://registry.test@evil.test:{port}/token",
    "http://registry.test:{port}@evil.test:{port}/token",
    "http://evil.test:{port}\\\\@registry.test/token",
    "//evil.test:{port}/token",
    "http:evil.test:{port}/token",
    "http:///evil.test:{port}/token",
    "http://evil.test:{port}#@registry.test/token",
    "http://evil.test:{port}?@registry.test/token",
    "http://registry.test%2eevil.test:{port}/token",
    "http://registry.test%00.evil.test:{port}/token",
    "http://registry.testevil.test:{port}/token",
    "http://evil。test:{port}/token",
    "http://127.0.0.2:{port}/token",
    "http://2130706434:{port}/token",
    "http://0x7f000002:{port}/token",
    "http://0177.0.0.2:{port}/token",
    "http://[::ffff:127.0.0.2]:{port}/token",
    "ftp://registry.test:{port}/token",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
]


@pytest.mark.parametrize("realm", REALMS)
def test_s6_no_realm_elsewhere_gets_a_byte(
    stack: ExitStack, stranger: Listener, monkeypatch: pytest.MonkeyPatch, realm: str
) -> None:
    Names(monkeypatch, registry="127.0.0.1")
    said = Guarded(f'Bearer realm="{realm.format(port=stranger.port)}",service="s"')
    registry = heard_by(stack, said)
    client = stack.enter_context(closing(client_at(f"http://registry.test:{registry.port}")))

    with pytest.raises(PermanentError, match="token server"):
        client.head_manifest(API, V1)

    assert stranger.peer.connections == 0
    assert not registry.knows(*CANARIES)


def test_s6_a_token_server_sends_the_password_nowhere(stack: ExitStack, stranger: Listener) -> None:
    there = f"Location: http://{STRANGERS_HOST}:{stranger.port}/token"
    for status in (301, 302, 303, 307, 308):
        said = Guarded(answers={"GET /token": answer(status, there)})
        registry = heard_by(stack, said)
        said.challenge = f'Bearer realm="http://127.0.0.1:{registry.port}/token",service="s"'
        client = stack.enter_context(closing(client_at(f"http://127.0.0.1:{registry.port}")))

        with pytest.raises(PermanentError):
            client.head_manifest(API, V1)

        assert registry.knows(BASIC)
        assert stranger.peer.connections == 0


# S7: redirects, places of uploads, next pages

PLACES = ["http://{there}/x", "//{there}/x", "http://{here}@{there}/x", "http://{there}/v2/?x={here}"]


def reads(client: RegistryClient) -> Iterator[Callable[[], object]]:
    yield lambda: client.get_manifest(API, V1)
    yield lambda: client.head_manifest(API, V1)
    yield lambda: client.has_blob(API, BLOB)
    yield lambda: opened(client)
    yield lambda: client.tags(API)


def writes(client: RegistryClient) -> Iterator[Callable[[], object]]:
    yield lambda: client.put_manifest(API, V1, MANIFEST)
    yield lambda: client.delete_manifest(API, MANIFEST.digest)
    yield lambda: client.start_upload(API, BLOB.digest)


def opened(client: RegistryClient) -> bytes:
    with client.open_blob(API, BLOB) as pieces:
        return b"".join(pieces)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_s7_whoever_a_read_is_sent_on_to_learns_no_credential(
    stack: ExitStack, stranger: Listener, status: int, place: str, scheme: str
) -> None:
    stranger.said = lambda _: answer(401, 'WWW-Authenticate: Basic realm="x"')
    said = Guarded()
    registry = heard_by(stack, said)
    here, there = f"127.0.0.1:{registry.port}", f"{STRANGERS_HOST}:{stranger.port}"
    said.challenge = f'{scheme} realm="http://{here}/token"'
    said.answers["GET /v2/p"] = said.answers["HEAD /v2/p"] = answer(
        status, f"Location: {place.format(here=here, there=there)}"
    )
    client = stack.enter_context(closing(client_at(f"http://{here}")))

    for read in reads(client):
        # Who asks whether a blob is there is told no by a 404, others by an error.
        with suppress(ReplicatorError):
            assert not read()

    assert bool(stranger.heads) is ("@" not in place)
    assert registry.knows(BASIC if scheme == "Basic" else TOKEN)
    assert not stranger.knows(*CANARIES, "uthorization", "ookie")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", PLACES)
def test_s7_a_write_is_sent_on_to_nobody(
    stack: ExitStack, stranger: Listener, status: int, place: str
) -> None:
    said = Guarded()
    registry = heard_by(stack, said)
    here, there = f"127.0.0.1:{registry.port}", f"{STRANGERS_HOST}:{stranger.port}"
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        said.answers[method] = answer(status, f"Location: {place.format(here=here, there=there)}")
    client = stack.enter_context(closing(client_at(f"http://{here}")))

    for write in writes(client):
        with pytest.raises(ReplicatorError):
            write()

    assert stranger.peer.connections == 0


@pytest.mark.parametrize("place", PLACES)
def test_s7_neither_an_upload_nor_a_listing_goes_on_elsewhere(
    stack: ExitStack, stranger: Listener, place: str
) -> None:
    said = Guarded()
    registry = heard_by(stack, said)
    here, there = f"127.0.0.1:{registry.port}", f"{STRANGERS_HOST}:{stranger.port}"
    url = place.format(here=here, there=there)
    said.answers[f"POST {UPLOADS}"] = answer(202, f"Location: {url}")
    said.answers["GET /v2/payments/api/tags/list"] = answer(
        200, f'Link: <{url}>; rel="next"', body=b'{"tags": ["v1"]}'
    )
    client = stack.enter_context(closing(client_at(f"http://{here}")))

    for call in (lambda: client.start_upload(API, BLOB.digest), lambda: client.tags(API)):
        with pytest.raises(PermanentError):
            call()

    assert stranger.peer.connections == 0


# S8: a name means what its owner says, anew each time


def test_s8_a_name_that_leads_inward_is_sent_nothing(
    stack: ExitStack, stranger: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(monkeypatch, registry="127.0.0.1")
    there = f"Location: http://rebound.test:{stranger.port}/latest/meta-data"
    registry = heard_by(stack, Guarded(answers={"GET /v2/p": answer(307, there)}))
    client = stack.enter_context(closing(client_at(f"http://registry.test:{registry.port}")))

    with pytest.raises(PermanentError, match=r"rebound\.test, an address that only this machine can reach"):
        client.get_manifest(API, V1)

    # What counts is the address that it is connected to: a look before that may be told another one.
    assert names.asked.count("rebound.test") == 1
    assert stranger.heads == []


# S30: what is refused inward, and what must not be


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("localhost", True),
        ("registry.localhost.", True),
        # Registries inside a company, and their storage, live here.
        ("10.0.0.5", False),
        ("172.16.1.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("fd12:3456::1", False),
        ("203.0.113.7", False),
        ("localhost.example.com", False),
        ("registry.internal", False),
    ],
)
def test_s30_only_what_this_machine_alone_can_reach_is_inward(host: str, expected: bool) -> None:
    assert is_inward(host) is expected


def test_s30_a_registry_of_this_machine_may_keep_its_blobs_on_it(
    stack: ExitStack, stranger: Listener
) -> None:
    stranger.said = lambda _: answer(200, body=CONTENT)
    there = f"Location: http://{STRANGERS_HOST}:{stranger.port}/x"
    registry = heard_by(stack, Guarded(answers={f"GET {BLOBS}": answer(307, there)}))
    client = stack.enter_context(closing(client_at(f"http://127.0.0.1:{registry.port}")))

    assert opened(client) == CONTENT


# S20: who cannot prove who he is gets no request


@pytest.mark.parametrize("wrong", ["expired", "not yet", "another host", "unknown signer"])
def test_s20_a_certificate_that_proves_nothing_is_told_nothing(
    stack: ExitStack, tmp_path: Path, wrong: str
) -> None:
    ours, now = trustme.CA(), datetime.now(UTC)
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    signer = trustme.CA() if wrong == "unknown signer" else ours
    host = "other.example" if wrong == "another host" else "127.0.0.1"
    ends = now - timedelta(days=1) if wrong == "expired" else None
    begins = now + timedelta(days=1) if wrong == "not yet" else None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    signer.issue_cert(host, not_before=begins, not_after=ends).configure_cert(context)
    heads: list[bytes] = []

    def play(talk: Talk) -> None:
        with suppress(OSError):
            heads.append(talk.head())

    peer = stack.enter_context(Peer(play, tls=context))
    trust = TLS(ca_file=str(tmp_path / "ca.pem"))
    client = stack.enter_context(closing(connect(Registry("eu", RegistryType.HARBOR, peer.url, tls=trust))))

    with pytest.raises(PermanentError, match="certificate is not trusted"):
        client.ping()

    peer.wait_for_silence()
    assert [head for head in heads if head] == []

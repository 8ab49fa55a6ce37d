"""Connections that fail (protocol cases K9 to K12): before they exist, and between two requests."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import trustme

from replicator.errors import PermanentError, TemporaryError, Unavailable
from replicator.oci import OCI_MANIFEST, Tag
from replicator.registry import RegistryClient, connect
from replicator.rules import Registry, RegistryType
from replicator.rules.registries import TLS
from tests.fakes.peer import Peer, Talk
from tests.unit.registry.scripted import API, MANIFEST, RAW, V1, blob

NOT_OURS = {
    "K11": "We speak HTTP/1.1 alone, and offer nothing else in the handshake: there are no streams to be reset and no "
    "GOAWAY. A connection that breaks in the middle of a blob is B7 and B11.",
}

CONTENT = bytes(300_000)
FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
OPENED = b"HTTP/1.1 202 Accepted\r\nLocation: /v2/payments/api/blobs/uploads/1\r\nContent-Length: 0\r\n\r\n"
ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
WRITTEN = (
    b"HTTP/1.1 201 Created\r\nDocker-Content-Digest: %b\r\nContent-Length: 0\r\n\r\n"
    % MANIFEST.digest.encode()
)
READ = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (
    OCI_MANIFEST.encode(),
    len(RAW),
    RAW,
)


def at(url: str, tls: TLS | None = None) -> RegistryClient:
    return connect(Registry("eu", RegistryType.DISTRIBUTION, url, tls=tls or TLS()))


def test_k9_a_name_that_nobody_knows_may_be_known_later() -> None:
    with closing(at("http://registry.invalid")) as client, pytest.raises(Unavailable):
        client.ping()


def test_k9_a_host_that_refuses_may_take_us_later() -> None:
    with Peer(lambda _: None) as peer:
        pass

    with closing(at(peer.url)) as client, pytest.raises(Unavailable):
        client.ping()


def test_k9_a_handshake_that_fails_may_succeed_later(stack: ExitStack) -> None:
    peer = stack.enter_context(Peer(lambda talk: talk.say(b"this is no TLS\r\n" * 10)))

    with closing(at(peer.url.replace("http:", "https:"))) as client, pytest.raises(Unavailable):
        client.ping()


def test_k9_an_old_tls_is_no_handshake(stack: ExitStack, tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    peer = stack.enter_context(Peer(lambda talk: talk.say(FINE), tls=context))

    with closing(at(peer.url, TLS(ca_file=str(tmp_path / "ca.pem")))) as client, pytest.raises(Unavailable):
        client.ping()


def test_k9_an_unknown_certificate_stays_unknown_until_somebody_acts(stack: ExitStack) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    peer = stack.enter_context(Peer(lambda talk: talk.say(FINE), tls=context))

    with closing(at(peer.url)) as client, pytest.raises(PermanentError, match="certificate"):
        client.ping()


class Race:
    """A registry that keeps the first connection for one request, and hangs up as it gets the next.

    It gives its answers in turn, the last of them for ever.
    """

    def __init__(self, *answers: bytes, is_reset: bool = False) -> None:
        self._answers = [*answers]
        self._is_reset = is_reset
        self.heads: list[str] = []

    def __call__(self, talk: Talk) -> None:
        while head := talk.head().decode():
            self.heads.append(head.split("\r\n")[0])
            length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
            if talk.number == 0 and len(self.heads) == 2:
                if self._is_reset:
                    talk.reset()
                return
            talk.body(length)
            talk.say(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_k12_a_read_that_meets_the_end_of_its_connection_is_made_again(
    method: str, is_reset: bool, stack: ExitStack
) -> None:
    race = Race(FINE, ABSENT if method == "HEAD" else READ, is_reset=is_reset)
    peer = stack.enter_context(Peer(race))

    with closing(at(peer.url)) as client:
        client.ping()
        found = client.head_manifest(API, V1) if method == "HEAD" else client.get_manifest(API, V1)

    assert found == (None if method == "HEAD" else MANIFEST)
    assert race.heads == ["GET /v2/ HTTP/1.1", *[f"{method} /v2/payments/api/manifests/v1 HTTP/1.1"] * 2]
    assert peer.connections == 2


def test_k12_a_post_and_a_manifest_that_meet_it_are_sent_again(stack: ExitStack) -> None:
    opening, writing = Race(FINE, OPENED), Race(FINE, WRITTEN)

    with closing(at(stack.enter_context(Peer(opening)).url)) as client:
        client.ping()
        assert client.start_upload(API, blob(CONTENT).digest)
    with closing(at(stack.enter_context(Peer(writing)).url)) as client:
        client.ping()
        client.put_manifest(API, V1, MANIFEST)

    assert [line.split()[0] for line in opening.heads] == ["GET", "POST", "POST"]
    assert [line.split()[0] for line in writing.heads] == ["GET", "PUT", "PUT"]


def test_k12_a_blob_that_meets_it_is_never_sent_twice_by_itself(stack: ExitStack) -> None:
    """Its bytes come from a stream that was used up: the job is what tries again."""
    race = Race(OPENED, ABSENT)
    peer = stack.enter_context(Peer(race))
    taken: list[int] = []

    def content() -> Iterator[bytes]:
        for start in range(0, len(CONTENT), 100_000):
            taken.append(start)
            yield CONTENT[start : start + 100_000]

    with closing(at(peer.url)) as client:
        upload = client.start_upload(API, blob(CONTENT).digest)
        assert upload
        with pytest.raises(TemporaryError):
            client.finish_upload(upload, blob(CONTENT), content())

    assert [line.split()[0] for line in race.heads][:2] == ["POST", "PUT"]
    assert taken == sorted(set(taken))


def test_k12_a_connection_that_ended_while_idle_is_not_even_tried(stack: ExitStack) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(FINE)

    peer = stack.enter_context(Peer(play))

    with closing(at(peer.url)) as client:
        for _ in range(4):
            client.ping()
            peer.wait_for_silence()

    assert peer.connections == 4


def answering_absent(talk: Talk) -> None:
    while talk.head():
        talk.say(ABSENT)


def test_k12_a_registry_that_restarts_costs_no_request_an_error(stack: ExitStack) -> None:
    peer = stack.enter_context(Peer(answering_absent))

    with closing(at(peer.url)) as client, ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            found = pool.map(lambda number: client.head_manifest(API, Tag(f"v{number}")), range(12))
            assert [*found] == [None] * 12
            peer.cut()

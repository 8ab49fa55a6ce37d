"""Our HTTP over real sockets, against a peer that says anything at any time."""

import itertools
import ssl
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import pytest
import trustme

from replicator.errors import ReplicatorError, TemporaryError, Unavailable
from replicator.oci import Digest, Repository, Tag
from replicator.registry import RegistryClient, connect
from replicator.registry.addresses import URL, Origin
from replicator.registry.channel import USUAL, Patience
from replicator.registry.connections import Dialer, Unreachable, tls_context
from replicator.registry.heads import Malformed, Unsendable
from replicator.registry.transport import Busy, Connections, Request, Response
from replicator.rules.registries import TLS, Registry, RegistryType
from tests.fakes.peer import Peer, Play, Talk

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!"
BIG_BYTES = 64 * 1024 * 1024
PIECE = bytes(1024 * 1024)
HASTY = Patience(connect_s=0.5, read_s=0.5, write_s=0.5, turn_s=0.5)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trust(authority: trustme.CA, tmp_path: Path) -> ssl.SSLContext:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tls_context(TLS(ca_file=str(tmp_path / "ca.pem")), with_certificate=False)


class Ours(Protocol):
    """Makes our side, which is closed when the test ends."""

    def __call__(
        self, *, patience: Patience = USUAL, clock: Callable[[], float] = time.monotonic
    ) -> Connections: ...


@pytest.fixture
def connections(trust: ssl.SSLContext, stack: ExitStack) -> Ours:
    def make(*, patience: Patience = USUAL, clock: Callable[[], float] = time.monotonic) -> Connections:
        made = Connections(Dialer(lambda: trust, None, patience=patience), clock=clock)
        stack.callback(made.close)
        return made

    return make


def url_at(peer: Peer, target: str = "/v2/") -> URL:
    scheme, _, _ = peer.url.partition(":")
    return URL(Origin(scheme, *peer.address), target)


def get(ours: Connections, peer: Peer, target: str = "/v2/") -> tuple[int, bytes]:
    return read(ours.send(Request("GET", url_at(peer, target), {})))


def put(ours: Connections, peer: Peer, content: Iterator[bytes], size_bytes: int = BIG_BYTES) -> Response:
    return ours.send(Request("PUT", url_at(peer), {"Content-Length": str(size_bytes)}, content))


def read(response: Response) -> tuple[int, bytes]:
    try:
        return response.status, b"".join(response.body)
    finally:
        response.close()


class Content:
    """A large body, and how much of it was taken."""

    def __init__(self, size_bytes: int = BIG_BYTES) -> None:
        self.size_bytes = size_bytes
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        while self.taken < self.size_bytes:
            self.taken += len(PIECE)
            yield PIECE


def answering(raw: bytes) -> Play:
    def play(talk: Talk) -> None:
        while talk.head():
            talk.say(raw)

    return play


def client_of(peer: Peer) -> RegistryClient:
    return connect(Registry("eu", RegistryType.DISTRIBUTION, peer.url))


# What a connection is kept for


def test_one_connection_serves_request_after_request(stack: ExitStack, connections: Ours) -> None:
    peer, ours = stack.enter_context(Peer(answering(OK))), connections()

    assert [get(ours, peer) for _ in range(5)] == [(200, b"ok")] * 5

    assert peer.connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"H",
        OK + OK,
    ],
    ids=["close", "1.0", "a byte too many", "an answer too many"],
)
def test_a_connection_that_is_over_or_holds_more_is_not_used_again(
    raw: bytes, stack: ExitStack, connections: Ours
) -> None:
    peer, ours = stack.enter_context(Peer(answering(raw))), connections()

    assert [get(ours, peer) for _ in range(3)] == [(200, b"ok")] * 3

    assert peer.connections == 3


def test_a_body_ends_with_the_connection_where_nothing_else_says_so(
    stack: ExitStack, connections: Ours
) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(b"HTTP/1.1 200 OK\r\n\r\n")
        talk.say(b"to the end")

    peer, ours = stack.enter_context(Peer(play)), connections()

    assert [get(ours, peer) for _ in range(2)] == [(200, b"to the end")] * 2
    assert peer.connections == 2


def test_a_connection_whose_body_was_not_read_is_not_used_again(stack: ExitStack, connections: Ours) -> None:
    peer, ours = stack.enter_context(Peer(answering(OK))), connections()

    for _ in range(2):
        ours.send(Request("GET", url_at(peer), {})).close()

    assert peer.connections == 2


def test_an_answer_to_no_question_is_nobodys(stack: ExitStack, connections: Ours) -> None:
    """What comes in on an idle connection must not be taken for the next answer."""

    def play(talk: Talk) -> None:
        talk.head()
        talk.say(OK)
        if talk.number == 0:
            time.sleep(0.2)
            talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        talk.wait_for_end()

    peer, ours = stack.enter_context(Peer(play)), connections()
    get(ours, peer)
    time.sleep(0.4)

    assert get(ours, peer) == (200, b"ok")
    assert peer.connections == 2


def test_over_tls_too_an_answer_to_no_question_is_nobodys(
    stack: ExitStack, server_tls: ssl.SSLContext, connections: Ours
) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        talk.wait_for_end()

    peer, ours = stack.enter_context(Peer(play, tls=server_tls)), connections()

    assert [get(ours, peer) for _ in range(2)] == [(200, b"ok")] * 2
    assert peer.connections == 2


def test_what_comes_after_a_long_body_over_tls_is_nobodys(
    stack: ExitStack, server_tls: ssl.SSLContext, connections: Ours
) -> None:
    # Both in one record, of which the end of the body is read and the rest stays with OpenSSL.
    body = bytes(40_000)

    def play(talk: Talk) -> None:
        talk.head()
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + body[:30_000])
        talk.say(body[30_000:] + b"HTTP/1.1 200 OK\r\n")
        talk.wait_for_end()

    peer, ours = stack.enter_context(Peer(play, tls=server_tls)), connections()

    assert [get(ours, peer) for _ in range(2)] == [(200, body)] * 2
    assert peer.connections == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again(stack: ExitStack, connections: Ours) -> None:
    now = 0.0
    peer = stack.enter_context(Peer(answering(OK)))
    ours = connections(clock=lambda: now)
    get(ours, peer)
    now = 29.0
    get(ours, peer)
    now = 60.0
    get(ours, peer)

    assert peer.connections == 2


def test_no_more_connections_than_allowed_are_made(stack: ExitStack, connections: Ours) -> None:
    peer, ours = stack.enter_context(Peer(answering(OK))), connections(patience=HASTY)
    open_ones = [ours.send(Request("GET", url_at(peer), {})) for _ in range(64)]

    with pytest.raises(Busy):
        get(ours, peer)
    open_ones[0].close()
    open_ones[0].close()

    assert get(ours, peer) == (200, b"ok")
    last = ours.send(Request("GET", url_at(peer), {}))
    with pytest.raises(Busy):
        get(ours, peer)
    for response in [*open_ones, last]:
        response.close()


def test_a_request_that_cannot_be_sent_or_answered_costs_no_connection(
    stack: ExitStack, connections: Ours
) -> None:
    peer, ours = stack.enter_context(Peer(answering(b"nonsense\r\n\r\n"))), connections(patience=HASTY)

    for _ in range(70):
        with pytest.raises(Malformed):
            get(ours, peer)
        with pytest.raises(Unsendable):
            get(ours, peer, "/a\r\nb")


def test_a_connection_in_use_ends_after_its_transport(stack: ExitStack, connections: Ours) -> None:
    ended: list[bool] = []

    def play(talk: Talk) -> None:
        talk.head()
        talk.say(OK)
        talk.wait_for_end()
        ended.append(True)

    peer, ours = stack.enter_context(Peer(play)), connections()
    response = ours.send(Request("GET", url_at(peer), {}))
    ours.close()

    assert read(response) == (200, b"ok")

    peer.wait_for_silence()
    assert ended == [True]


# Answers that are none


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    ],
)
def test_an_answer_that_is_none_is_an_outage(raw: bytes, stack: ExitStack) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(raw)

    peer = stack.enter_context(Peer(play))
    client = client_of(peer)

    with pytest.raises(Unavailable) as caught:
        client.get_manifest(Repository("a"), Tag("v1"))

    assert caught.value.registry == "eu"
    client.close()


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
    ],
)
def test_an_answer_with_half_a_body_is_asked_for_again_later(raw: bytes, stack: ExitStack) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(raw)

    client = client_of(stack.enter_context(Peer(play)))

    with pytest.raises(TemporaryError):
        client.get_manifest(Repository("a"), Tag("v1"))
    client.close()


def test_interim_answers_without_end_are_not_waited_through(stack: ExitStack, connections: Ours) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        for _ in itertools.repeat(None):
            talk.say(b"HTTP/1.1 102 Processing\r\n\r\n")

    peer, ours = stack.enter_context(Peer(play)), connections()

    with pytest.raises(Malformed):
        get(ours, peer)


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(stack: ExitStack, connections: Ours) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        for byte in OK:
            talk.say(bytes([byte]))
            time.sleep(0.1)

    peer, ours = stack.enter_context(Peer(play)), connections(patience=HASTY)
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        get(ours, peer)

    assert time.monotonic() - began < 2


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"])
def test_a_peer_that_falls_silent_is_not_waited_for(
    start: bytes, stack: ExitStack, connections: Ours
) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(start)
        talk.wait_for_end()

    peer, ours = stack.enter_context(Peer(play)), connections(patience=HASTY)

    with pytest.raises(TimeoutError):
        get(ours, peer)


def test_a_body_that_a_tls_peer_does_not_end_is_lost(
    stack: ExitStack, server_tls: ssl.SSLContext, connections: Ours
) -> None:
    # Anybody between can end a TCP connection; only the peer can say that this was all (close_notify).
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(b"HTTP/1.1 200 OK\r\n\r\nto the e")

    peer, ours = stack.enter_context(Peer(play, tls=server_tls)), connections()

    with pytest.raises(ssl.SSLEOFError):
        get(ours, peer)


def test_a_body_is_read_in_flat_memory(stack: ExitStack, connections: Ours) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG_BYTES)
        for _ in range(BIG_BYTES // len(PIECE)):
            talk.say(PIECE)

    peer, ours = stack.enter_context(Peer(play)), connections()
    response = ours.send(Request("GET", url_at(peer), {}))
    tracemalloc.start()
    stack.callback(tracemalloc.stop)

    assert sum(len(piece) for piece in response.body) == BIG_BYTES

    assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    response.close()


# While the body is being sent


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_refusal_that_comes_early_stops_the_sending(
    is_tls: bool, stack: ExitStack, server_tls: ssl.SSLContext, connections: Ours
) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.body(100_000)
        talk.say(REFUSED)
        time.sleep(1)

    peer = stack.enter_context(Peer(play, tls=server_tls if is_tls else None))
    ours, content = connections(), Content()
    began = time.monotonic()

    assert read(put(ours, peer, iter(content))) == (413, b"no!")

    assert content.taken < BIG_BYTES
    assert time.monotonic() - began < 0.9


def test_a_connection_with_half_a_request_on_it_is_not_used_again(
    stack: ExitStack, connections: Ours
) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(REFUSED)
        talk.wait_for_end()

    peer, ours = stack.enter_context(Peer(play)), connections()

    for _ in range(2):
        read(put(ours, peer, iter(Content())))

    assert peer.connections == 2


def test_a_refusal_before_a_reset_is_read(stack: ExitStack, connections: Ours) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.body(100_000)
        talk.say(REFUSED)
        time.sleep(0.1)
        talk.reset()

    peer, ours = stack.enter_context(Peer(play)), connections()

    def slowly() -> Iterator[bytes]:
        for piece in Content():
            yield piece
            time.sleep(0.02)

    assert read(put(ours, peer, slowly())) == (413, b"no!")


@pytest.mark.parametrize("ends", [Talk.reset, lambda _: None], ids=["reset", "closed"])
def test_a_connection_that_breaks_under_a_body_is_lost(
    ends: Play, stack: ExitStack, connections: Ours
) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.body(100_000)
        ends(talk)

    peer, ours, content = stack.enter_context(Peer(play)), connections(), Content()

    with pytest.raises(ConnectionError):
        put(ours, peer, iter(content))

    assert content.taken < BIG_BYTES
    assert peer.connections == 1


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_body_goes_on_after_an_interim_answer(
    is_tls: bool, stack: ExitStack, server_tls: ssl.SSLContext, connections: Ours
) -> None:
    received: list[int] = []

    def play(talk: Talk) -> None:
        while talk.head():
            talk.say(b"HTTP/1.1 100 Continue\r\n\r\n")
            received.append(len(talk.body(BIG_BYTES)))
            talk.say(CREATED)

    peer = stack.enter_context(Peer(play, tls=server_tls if is_tls else None))
    ours = connections()

    for _ in range(2):
        assert read(put(ours, peer, iter(Content()))) == (201, b"")

    assert received == [BIG_BYTES] * 2
    assert peer.connections == 1


def test_a_good_answer_that_comes_early_does_not_stop_the_body(stack: ExitStack, connections: Ours) -> None:
    received: list[int] = []

    def play(talk: Talk) -> None:
        talk.head()
        talk.say(CREATED)
        time.sleep(0.2)
        received.append(len(talk.body(BIG_BYTES)))
        talk.wait_for_end()

    peer, ours, content = stack.enter_context(Peer(play)), connections(), Content()

    assert read(put(ours, peer, iter(content))) == (201, b"")

    assert content.taken == BIG_BYTES


def test_a_peer_that_takes_nothing_is_not_waited_for(stack: ExitStack, connections: Ours) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        time.sleep(2)

    peer, ours = stack.enter_context(Peer(play)), connections(patience=HASTY)

    with pytest.raises(TimeoutError):
        put(ours, peer, iter(Content()))


def test_a_peer_that_talks_but_takes_nothing_is_not_waited_for(stack: ExitStack, connections: Ours) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 30:
            talk.say(bytes([byte]))
            time.sleep(0.1)

    peer, ours = stack.enter_context(Peer(play)), connections(patience=HASTY)
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        put(ours, peer, iter(Content()))

    assert time.monotonic() - began < 2


def test_nonsense_under_a_body_is_noticed(stack: ExitStack, connections: Ours) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(b"what?\r\n\r\n")
        talk.wait_for_end()

    peer, ours = stack.enter_context(Peer(play)), connections()

    with pytest.raises(Malformed):
        put(ours, peer, iter(Content()))


@pytest.mark.parametrize("size_bytes", [BIG_BYTES - 1, BIG_BYTES + 1])
def test_a_body_of_another_length_than_announced_ends_the_connection(
    size_bytes: int, stack: ExitStack, connections: Ours
) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.wait_for_end()

    peer, ours = stack.enter_context(Peer(play)), connections()

    with pytest.raises(Unsendable):
        put(ours, peer, iter(Content()), size_bytes)


def test_a_body_without_a_length_is_not_sent(stack: ExitStack, connections: Ours) -> None:
    peer, ours = stack.enter_context(Peer(answering(OK))), connections()

    with pytest.raises(Unsendable):
        ours.send(Request("PUT", url_at(peer), {}, iter([b"a"])))
    assert peer.connections == 0


def test_what_a_body_raises_comes_through_and_ends_the_connection(
    stack: ExitStack, connections: Ours
) -> None:
    received: SimpleQueue[int] = SimpleQueue()

    def play(talk: Talk) -> None:
        talk.head()
        received.put(len(talk.body(BIG_BYTES)))

    def failing() -> Iterator[bytes]:
        yield PIECE
        raise KeyError("the source is corrupt")

    peer = stack.enter_context(Peer(play))
    with pytest.raises(KeyError):
        put(connections(), peer, failing())

    assert received.get(timeout=10) == len(PIECE)


def test_a_large_body_in_one_piece_may_be_refused_early(stack: ExitStack, connections: Ours) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(REFUSED)
        talk.wait_for_end()

    peer, ours = stack.enter_context(Peer(play)), connections()

    assert read(ours.send(Request("PUT", url_at(peer), {}, bytes(BIG_BYTES)))) == (413, b"no!")


# Where requests go


@pytest.mark.parametrize("method", ["HEAD", "GET", "POST", "PUT", "DELETE"])
def test_a_request_has_one_length_where_it_may_have_a_body(
    method: str, stack: ExitStack, connections: Ours
) -> None:
    heads: list[bytes] = []

    def play(talk: Talk) -> None:
        heads.append(talk.head())
        talk.say(b"HTTP/1.1 204 None\r\n\r\n")

    peer, ours = stack.enter_context(Peer(play)), connections()
    read(ours.send(Request(method, url_at(peer, "/v2/?a=%2F"), {"X-Some": "thing"})))

    lines = heads[0].decode().split("\r\n")
    assert lines[0] == f"{method} /v2/?a=%2F HTTP/1.1"
    assert lines[1] == f"Host: 127.0.0.1:{peer.address[1]}"
    assert lines[2:] == ["X-Some: thing", *(["Content-Length: 0"] if method in {"POST", "PUT"} else [])]


def test_nobody_listening_is_unreachable(connections: Ours) -> None:
    with Peer(answering(OK)) as peer:
        pass

    with pytest.raises(Unreachable):
        get(connections(), peer)


def test_a_registry_with_a_bad_answer_costs_only_errors_of_ours(stack: ExitStack) -> None:
    junk = bytes(range(256)) * 20

    def play(talk: Talk) -> None:
        talk.head()
        talk.say(b"HTTP/1.1 " + junk[talk.number * 7 :])

    client = client_of(stack.enter_context(Peer(play)))

    for _ in range(20):
        with pytest.raises(ReplicatorError):
            client.head_manifest(Repository("a"), Digest.of(b"x"))
    client.close()

"""Peers that dawdle, flood or never read: each loses its own connection, and nobody else waits for it."""

import contextlib
import resource
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from replicator.web.connections import HEAD_BYTES, HEADERS, PIPELINED
from replicator.web.server import CONNECTIONS
from tests.fakes.raw import RawClient
from tests.integration.processes import wait_until
from tests.integration.receiver import (
    AUTHORIZED,
    BODY_TIMEOUT_S,
    HEAD,
    ReceiverProcess,
    raw_request,
    receiver_and_redis,
)
from tests.integration.receiver_main import TOKEN

PATIENCE_S = 3 * BODY_TIMEOUT_S
SLACK_S = 3.0
WHOLE = HEAD + b"Content-Length: 2\r\n\r\n{}"
OPENAPI = b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceiverProcess]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    with receiver_and_redis(tmp_path_factory.mktemp("connections")) as (running, _):
        yield running
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def sockets_of(receiver: ReceiverProcess) -> int:
    """How many sockets the process has open."""
    found = 0
    for link in Path(f"/proc/{receiver.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(link.readlink()).startswith("socket:")
    return found


def connect(receiver: ReceiverProcess, stack: ExitStack, *, buffer_bytes: int = 0) -> socket.socket:
    peer = socket.socket()
    if buffer_bytes:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    peer.settimeout(10)
    peer.connect(("127.0.0.1", receiver.port))
    return stack.enter_context(peer)


def is_cut(peer: socket.socket) -> bool:
    """True if the other side has ended it, whatever it said before."""
    peer.setblocking(False)
    try:
        while peer.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        pass
    return True


def median_of_good_posts(receiver: ReceiverProcess, number: int = 20) -> float:
    """Seconds that a notification takes on a connection of its own."""
    taken_s = []
    for _ in range(number):
        started = time.monotonic()
        assert receiver.post().status == 202
        taken_s.append(time.monotonic() - started)
    return statistics.median(taken_s)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"P", HEAD, b"GET /metrics HTTP/1.1\r\n"],
    ids=["nothing", "a byte", "a head", "a scrape"],
)
def test_a_request_that_does_not_come_is_not_waited_for(receiver: ReceiverProcess, beginning: bytes) -> None:
    answer, seconds = raw_request(receiver, beginning, PATIENCE_S + SLACK_S)

    assert answer == b""
    assert seconds > PATIENCE_S * 0.9


def test_a_body_for_the_api_that_does_not_come_is_not_waited_for(receiver: ReceiverProcess) -> None:
    head = f"POST /api/v1/plan HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    raw_request(receiver, head.encode() + b"Content-Length: 100\r\n\r\n{", PATIENCE_S + SLACK_S)

    assert "Traceback" not in receiver.log.read_text()


def test_dripping_bytes_do_not_stretch_the_time(receiver: ReceiverProcess, stack: ExitStack) -> None:
    peer = connect(receiver, stack)
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        for byte in HEAD * 20:
            peer.sendall(bytes([byte]))
            time.sleep(0.05)
            if is_cut(peer):
                break
            peer.setblocking(True)

    assert time.monotonic() - started < PATIENCE_S + SLACK_S


def test_blank_lines_keep_no_idle_connection_open(receiver: ReceiverProcess, stack: ExitStack) -> None:
    peer = connect(receiver, stack)
    peer.sendall(WHOLE)
    assert peer.recv(1000).startswith(b"HTTP/1.1 202 ")
    peer.settimeout(0.2)

    def drip() -> bool:
        with contextlib.suppress(TimeoutError):
            try:
                peer.sendall(b"\r\n")
                return peer.recv(1000) == b""
            except ConnectionError:
                return True
        return False

    wait_until(drip, PATIENCE_S + SLACK_S, what="the connection is cut")


def test_an_answer_that_nobody_reads_is_not_kept(receiver: ReceiverProcess, stack: ExitStack) -> None:
    before = sockets_of(receiver)
    for _ in range(5):
        # More than the kernel takes for a peer that does not read.
        connect(receiver, stack, buffer_bytes=4096).sendall(OPENAPI * (PIPELINED - 1))
    assert sockets_of(receiver) >= before

    wait_until(lambda: sockets_of(receiver) <= before, 2 * PATIENCE_S + SLACK_S, what="they are cut")
    assert receiver.post().status == 202


def test_a_slow_reader_that_goes_on_reading_gets_everything(
    receiver: ReceiverProcess, stack: ExitStack
) -> None:
    whole = len(raw_request(receiver, OPENAPI.replace(b"x\r\n", b"x\r\nConnection: close\r\n"), 10)[0])
    requests = 1 + 6 * 1024 * 1024 // whole
    peer = connect(receiver, stack, buffer_bytes=65536)
    received = 0
    started = time.monotonic()
    for sent in range(0, requests, PIPELINED // 2):
        peer.sendall(OPENAPI * min(PIPELINED // 2, requests - sent))
        while received < (sent + PIPELINED // 2) * (whole - 30) and (piece := peer.recv(65536)):
            received += len(piece)
            time.sleep(0.03)
            if received >= requests * (whole - 30):
                break

    assert received >= requests * (whole - 30)
    assert time.monotonic() - started > PATIENCE_S


def test_half_closed_connections_go_away(receiver: ReceiverProcess, stack: ExitStack) -> None:
    before = sockets_of(receiver)
    for beginning in (b"", HEAD, HEAD + b"Content-Length: 9\r\n\r\n{", WHOLE):
        peer = connect(receiver, stack)
        peer.sendall(beginning)
        peer.shutdown(socket.SHUT_WR)

    wait_until(lambda: sockets_of(receiver) <= before, SLACK_S)


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X-Long: " + b"x" * (HEAD_BYTES + 1) + b"\r\n\r\n",
        HEAD + b"X: y\r\n" * (HEADERS + 1) + b"\r\n",
        b"GET /" + b"x" * (HEAD_BYTES + 1) + b" HTTP/1.1\r\n\r\n",
        HEAD + b"X-Endless: " + b"x" * (2 * HEAD_BYTES),
        b"GET /" + b"x" * (2 * HEAD_BYTES),
    ],
    ids=["long", "many", "long path", "endless", "endless path"],
)
def test_a_head_larger_than_heads_are_is_refused(receiver: ReceiverProcess, head: bytes) -> None:
    answer, seconds = raw_request(receiver, head, PATIENCE_S)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert seconds < PATIENCE_S  # nobody waited for the rest


def test_large_heads_of_honest_senders_are_taken(receiver: ReceiverProcess) -> None:
    head = HEAD + b"X-Long: " + b"x" * (HEAD_BYTES // 2) + b"\r\n" + b"X: y\r\n" * (HEADERS // 2)

    answer, _ = raw_request(receiver, head + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", PATIENCE_S)

    assert answer.startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize("size_bytes", [HEAD_BYTES - 1, HEAD_BYTES + 1, 70_000, 1_000_000])
def test_no_body_counts_as_a_head(receiver: ReceiverProcess, size_bytes: int) -> None:
    with RawClient(receiver.url) as client:
        for _ in range(3):
            answer = client.call("POST", "/webhooks/eu", headers=AUTHORIZED, body=b"x" * size_bytes)
            assert answer.status == 202


def test_requests_behind_requests_have_an_end(receiver: ReceiverProcess, stack: ExitStack) -> None:
    flood = connect(receiver, stack)
    answers = 0
    with contextlib.suppress(ConnectionError):
        flood.sendall(WHOLE * 5000)
        while piece := flood.recv(65536):
            answers += piece.count(b"HTTP/1.1 202 ")

    assert answers < 5000
    assert receiver.post().status == 202


def test_a_few_requests_behind_each_other_are_all_answered(receiver: ReceiverProcess) -> None:
    last = WHOLE.replace(b"Content", b"Connection: close\r\nContent")

    answer, _ = raw_request(receiver, WHOLE * (PIPELINED - 1) + last, 10)

    assert answer.count(b"HTTP/1.1 202 ") == PIPELINED


def test_too_many_that_never_ask_lock_nobody_out(receiver: ReceiverProcess, stack: ExitStack) -> None:
    crowd = [connect(receiver, stack) for _ in range(CONNECTIONS + 200)]
    for peer in crowd:
        with contextlib.suppress(ConnectionError):
            peer.sendall(HEAD)

    assert median_of_good_posts(receiver) < 1
    assert is_cut(crowd[0])
    assert sockets_of(receiver) < CONNECTIONS + 50


def test_too_many_that_are_idle_lock_nobody_out(receiver: ReceiverProcess, stack: ExitStack) -> None:
    crowd = []
    for _ in range(CONNECTIONS + 50):
        crowd.append(connect(receiver, stack))
        crowd[-1].sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert crowd[-1].recv(1000).startswith(b"HTTP/1.1 404 ")

    assert median_of_good_posts(receiver) < 1
    assert is_cut(crowd[0])

"""Answers that no HTTP library would send: what they cannot do is make something look absent, whole or equal."""

import itertools
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from replicator.errors import ReplicatorError
from replicator.oci import OCI_MANIFEST, Digest
from replicator.registry import RegistryClient, connect
from replicator.rules import Registry, RegistryType
from tests.fakes.wire import Said, Wire, answer, chunk
from tests.unit.registry.scripted import API, MANIFEST, RAW, V1, blob

GOOD = {
    "Content-Type": OCI_MANIFEST,
    "Docker-Content-Digest": str(MANIFEST.digest),
    "Content-Length": str(len(RAW)),
}
CONTENT = b"0123456789" * 10_000
BLOB = blob(CONTENT)


@contextmanager
def spoken_to(*answers: Said, stays: bool = False) -> Iterator[tuple[RegistryClient, Wire]]:
    with Wire(*answers, stays=stays) as wire:
        client = connect(Registry("eu", RegistryType.DISTRIBUTION, wire.url))
        yield client, wire
        client.close()


def read(client: RegistryClient) -> bytes:
    with client.open_blob(API, BLOB) as chunks:
        return b"".join(chunks)


def read_or_refused(client: RegistryClient) -> bytes | None:
    """The blob, or None for an error of ours: nothing else may come of it."""
    try:
        return read(client)
    except ReplicatorError:
        return None


@pytest.mark.parametrize(
    "body",
    [RAW, b"<html>", answer(404, {"Content-Length": "0"}), b"\r\n" + answer(404, {"Content-Length": "0"})],
)
def test_a_body_that_comes_with_a_head_is_no_answer_to_the_next_request(body: bytes) -> None:
    with spoken_to(answer(200, GOOD) + body, answer(200, GOOD, RAW), stays=True) as (client, _):
        head = client.head_manifest(API, V1)
        assert head
        time.sleep(0.05)

        assert client.get_manifest(API, V1) == MANIFEST


def test_more_than_the_announced_length_is_no_answer_to_the_next_request() -> None:
    more = answer(404, {"Content-Length": "0"})
    with spoken_to(answer(200, GOOD, RAW) + more, answer(200, GOOD, RAW), stays=True) as (client, _):
        assert client.get_manifest(API, V1) == MANIFEST
        time.sleep(0.05)

        assert client.get_manifest(API, V1) == MANIFEST


def test_hints_before_an_answer_are_passed_over() -> None:
    hints = answer(103, {"Link": "</style.css>; rel=preload"}) + answer(102)
    with spoken_to(hints + answer(200, GOOD, RAW), stays=True) as (client, _):
        assert client.get_manifest(API, V1) == MANIFEST
        assert client.get_manifest(API, V1) == MANIFEST


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 100000\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 100000\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 0x10\r\n",
        b"Content-Length: 100000, 5\r\n",
        b"Content-Length: 1e5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
    ],
    ids=str,
)
def test_a_length_that_can_be_read_in_two_ways_gives_the_blob_or_an_error(headers: bytes) -> None:
    with spoken_to(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n" + CONTENT) as (client, _):
        assert read_or_refused(client) in {CONTENT, None}


def test_chunks_win_over_a_length() -> None:
    headers = {"Content-Length": str(len(CONTENT)), "Transfer-Encoding": "chunked"}
    with spoken_to(answer(200, headers, chunk(CONTENT) + chunk(b""))) as (client, _):
        assert read_or_refused(client) in {CONTENT, None}


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"f" * 40 + b"\r\nhello",
        b"5\r\nhello\r\n0\r\n" + b"trailer: x\r\n" * 100_000,
    ],
    ids=lambda body: str(body[:12]),
)
def test_broken_chunks_are_an_error(body: bytes) -> None:
    with (
        spoken_to(answer(200, {"Transfer-Encoding": "chunked"}, body)) as (client, _),
        pytest.raises(ReplicatorError),
    ):
        read(client)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc Fine\r\n\r\n",
        b"HTTP/1.1 99999 Fine\r\n\r\n",
        b"HTTP/1.1 -404 Fine\r\n\r\n",
        b"HTTP/9.9 404 Fine\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Fine\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 404 Fine\r\nA: b\r\n folded\r\n  more",
        b"HTTP/1.1 404 Fi",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00" * 4096,
    ],
    ids=str,
)
def test_what_is_no_answer_is_an_error_and_never_an_absence(said: bytes) -> None:
    with spoken_to(said) as (client, _), pytest.raises(ReplicatorError):
        client.get_manifest(API, V1)


def endless(start: bytes, rest: bytes) -> Iterable[bytes]:
    return itertools.chain([start], itertools.repeat(rest))


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nx-more: ", b"x" * 65536),
        (b"HTTP/1.1 ", b"2" * 65536),
        (b"", b"HTTP/1.1 103 Hint\r\n\r\n" * 1000),
        (answer(200, {"Transfer-Encoding": "chunked"}), b"1;" + b"x" * 65536),
        (answer(200, {"Transfer-Encoding": "chunked"}), b"0" * 65536),
    ],
    ids=["headers", "header", "status", "hints", "extension", "size"],
)
def test_an_endless_answer_is_left_soon(start: bytes, rest: bytes) -> None:
    with spoken_to(endless(start, rest)) as (client, wire):
        began = time.monotonic()
        with pytest.raises(ReplicatorError):
            client.get_manifest(API, V1)

        assert time.monotonic() - began < 10
        assert wire.sent_bytes < 64 * 1024 * 1024


def test_a_header_of_two_digests_is_no_digest() -> None:
    other = str(Digest.of(b"other"))
    head = answer(200, GOOD).replace(b"\r\n\r\n", f"\r\nDocker-Content-Digest: {other}\r\n\r\n".encode())
    with spoken_to(head, answer(200, GOOD, RAW)) as (client, wire):
        found = client.head_manifest(API, V1)

    # Neither of them is believed: the manifest is read, and hashed.
    assert found
    assert found.digest == MANIFEST.digest
    assert [head.split()[0] for head in wire.heads] == ["HEAD", "GET"]

"""Bodies that are big, strange, or say one thing to one reader and another to the next."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.events import MalformedEvent, parse
from replicator.events.payload import DEPTH_LIMIT, EVENTS_LIMIT
from replicator.intake import take_in
from replicator.ledger import Ledger
from replicator.rulefiles import RuleBook
from tests.fakes.raw import RawClient
from tests.integration.processes import RedisServer, wait_until
from tests.integration.receiver import (
    AUTHORIZED,
    HEAD,
    ReceiverProcess,
    raw_request,
    receiver_and_redis,
    recorded,
)
from tests.unit.events.bodies import D1, artifact_data, default, envelope, event, resource, target

pytestmark = pytest.mark.integration

MEBIBYTE = 1024 * 1024
LIMIT_BYTES = 4 * MEBIBYTE
CPU_S = 0.1
"""What no body may cost."""
BODY = envelope(event())
SMUGGLED = b"POST /webhooks/eu HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ReceiverProcess, RedisServer]]:
    with receiver_and_redis(tmp_path_factory.mktemp("bodies")) as running:
        yield running


@pytest.fixture
def receiver(site: tuple[ReceiverProcess, RedisServer]) -> ReceiverProcess:
    """One whose inbox is empty."""
    running, server = site
    server.client().flushall()
    return running


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip", "x"])
def test_s4_a_compressed_body_is_not_taken(
    receiver: ReceiverProcess, site: tuple[ReceiverProcess, RedisServer], encoding: str
) -> None:
    with RawClient(receiver.url) as client:
        answer = client.call(
            "POST", "/webhooks/eu", headers={**AUTHORIZED, "Content-Encoding": encoding}, body=BODY
        )

    assert answer.status == 415
    assert recorded(site[1]) == {}


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 90\r\n\r\n{}  ",
        b"Content-Length: 4, 90\r\n\r\n{}  ",
        b"Content-Length: -1\r\n\r\n{}  ",
        b"Content-Length: +4\r\n\r\n{}  ",
        b"Content-Length: 0x4\r\n\r\n{}  ",
        b"Content-Length: 99999999999999999999999\r\n\r\n{}  ",
        b"Content-Length : 4\r\n\r\n{}  ",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n",
        b"X: y\rContent-Length: 4\r\n\r\n{}  ",
    ],
)
def test_s4_a_body_with_two_ends_is_refused_and_nothing_behind_it_is_read(
    receiver: ReceiverProcess, site: tuple[ReceiverProcess, RedisServer], framing: bytes
) -> None:
    answer, _ = raw_request(receiver, HEAD + framing + SMUGGLED, 10)

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 ", b"HTTP/1.1 413 ")), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert recorded(site[1]) == {}


def test_s4_headers_behind_a_body_are_none_of_the_request(
    receiver: ReceiverProcess, site: tuple[ReceiverProcess, RedisServer]
) -> None:
    line, host, authorization = HEAD.splitlines(keepends=True)
    request = line + host + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n"

    answer, _ = raw_request(receiver, request + authorization + b"\r\n", 10)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert recorded(site[1]) == {}


def test_s4_headers_without_end_behind_a_body_fill_no_memory(receiver: ReceiverProcess) -> None:
    head = HEAD.replace(b"hook-canary", b"wrong") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    before = memory_bytes(receiver)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as sender:
        sender.sendall(head)
        assert sender.recv(1000).startswith(b"HTTP/1.1 401 ")
        with contextlib.suppress(ConnectionError):
            for _ in range(8):
                sender.sendall(b"a: b\r\n" * (MEBIBYTE // 6))

    assert memory_bytes(receiver) - before < 16 * MEBIBYTE


def test_s4_a_body_may_be_as_large_as_the_limit_and_no_larger(
    receiver: ReceiverProcess, site: tuple[ReceiverProcess, RedisServer]
) -> None:
    def chunks(size_bytes: int) -> Iterator[bytes]:
        return (b" " * min(65536, size_bytes - sent) for sent in range(0, size_bytes, 65536))

    with RawClient(receiver.url) as client:
        statuses = [
            client.call("POST", "/webhooks/eu", headers=AUTHORIZED, body=body).status
            for size_bytes in (LIMIT_BYTES, LIMIT_BYTES + 1)
            for body in (b" " * size_bytes, chunks(size_bytes))
        ]

    assert statuses == [202, 202, 413, 413]
    assert [len(body) for body in recorded(site[1]).values()] == [LIMIT_BYTES] * 2


def test_s4_a_large_body_without_the_secret_is_never_kept(receiver: ReceiverProcess) -> None:
    head = HEAD.replace(b"hook-canary", b"wrong") + b"Content-Length: 200000000\r\n\r\n"
    before = memory_bytes(receiver)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as sender:
        sender.sendall(head)
        assert sender.recv(1000).startswith(b"HTTP/1.1 401 ")
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                sender.sendall(b" " * MEBIBYTE)

    assert memory_bytes(receiver) - before < 16 * MEBIBYTE


def memory_bytes(receiver: ReceiverProcess) -> int:
    """What the process has in memory."""
    pages = Path(f"/proc/{receiver.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def nested(levels: int) -> bytes:
    return b'{"events": ' + b"[" * levels + b"]" * levels + b"}"


def with_extra(raw: bytes) -> bytes:
    """A good body with one more field, written so."""
    return BODY[:-1] + b", " + raw + b"}"


STRANGE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"events=1",
    "two documents": BODY + BODY,
    "no object": b"[" + BODY + b"]",
    "NaN": with_extra(b'"x": NaN'),
    "infinity": with_extra(b'"x": -Infinity'),
    "a number beyond all bounds": with_extra(b'"x": 1e999'),
    "a number of a million digits": with_extra(b'"x": ' + b"9" * 1_000_000),
    "a key twice": with_extra(b'"events": []'),
    "a key twice, once escaped": with_extra(b'"\\u0065vents": []'),
    "a key twice, deep inside": with_extra(b'"x": [{"y": {"a": 1, "a": 1}}]'),
    "too deep": nested(DEPTH_LIMIT + 1),
    "far too deep": nested(100_000),
    "far too deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "never closed": b'{"events": ' + b"[" * 2_000_000,
    "a byte order mark": b"\xef\xbb\xbf" + BODY,
    "UTF-16": BODY.decode().encode("utf-16"),
    "Latin-1": with_extra('"x": "ü"'.encode("latin-1")),
    "an overlong encoding": with_extra(b'"x": "\xc0\xaf"'),
    "a surrogate in UTF-8": with_extra(b'"x": "\xed\xa0\x80"'),
    "a control character": with_extra(b'"x": "\x00"'),
    "too many events": envelope(*[event()] * (EVENTS_LIMIT + 1)),
    "events that are none": b'{"events": {"0": {}}}',
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("kind", ["distribution", "harbor"])
def test_s4_what_two_readers_could_read_differently_is_read_by_nobody(name: str, kind: str) -> None:
    cpu_s = cheapest(lambda: refused(kind, STRANGE[name]))

    assert cpu_s < CPU_S


def refused(kind: str, body: bytes) -> None:
    with pytest.raises(MalformedEvent) as told:
        parse(kind, "eu", "application/json", body)
    assert len(str(told.value)) < 200


def cheapest(act: Callable[[], object]) -> float:
    """Seconds of CPU that it takes; the least of three, because others share the machine."""
    costs = []
    for _ in range(3):
        started = time.process_time()
        act()
        costs.append(time.process_time() - started)
    return min(costs)


LONE = "\ud800"


@pytest.mark.parametrize("field", ["repository", "tag", "digest"])
@pytest.mark.parametrize(
    "value", [LONE, "x" * 1025, "a\x00b", "../../etc", "a\r\nb", 7, [], {"a": 1}, True], ids=repr
)
def test_s4_an_event_that_names_nothing_takes_no_neighbour_with_it(field: str, value: object) -> None:
    bad = event(target=target(**{field: value}))

    parsed = parse("distribution", "eu", "", envelope(event(), bad, event(id="other")))

    assert len(parsed.events) == 2
    assert len(parsed.malformed) == 1


@pytest.mark.parametrize("value", [LONE, "x" * 5000, "a\x1b[31m", 7, ["x"], "http://evil.example.net/"])
def test_s4_decoration_that_does_not_fit_is_dropped(value: object) -> None:
    fields = event(id=value, timestamp=value, actor={"name": value}, target=target(mediaType=value))

    (found,) = parse("distribution", "eu", "", envelope(fields)).events

    assert (found.actor, found.occurred_at, found.media_type) == (None, None, None)
    assert json.dumps(found.id).isascii()


def test_s4_lone_surrogates_in_harbors_words_harm_nobody() -> None:
    data = artifact_data(resource(tag=LONE), resource(digest=D1))

    parsed = parse("harbor", "eu", "application/json", default(event_data=data, operator=LONE))

    assert [str(found.tag) for found in parsed.events] == ["2.4.1"]
    assert len(parsed.malformed) == 1


def test_s4_all_of_it_is_taken_answered_and_put_aside(
    receiver: ReceiverProcess, site: tuple[ReceiverProcess, RedisServer]
) -> None:
    bodies = [body for body in STRANGE.values() if len(body) <= LIMIT_BYTES]
    for body in bodies:
        assert receiver.post(body).status == 202
    ledger = Ledger.connect(site[1].url)
    rules = RuleBook(receiver.rules, {}).current
    inbox = ledger.inbox("router")

    def is_empty() -> bool:
        for notification in inbox.read(block_s=0.05):
            take_in(notification, rules=rules, ledger=ledger, inbox=inbox)
        return inbox.length() == 0

    wait_until(is_empty, 20)
    letters = ledger.view.dead_letters()
    assert len(letters) == len(bodies)
    assert all(len(letter.reason) < 500 and letter.reason.isprintable() for letter in letters)
    assert ledger.view.jobs() == []
    ledger.close()

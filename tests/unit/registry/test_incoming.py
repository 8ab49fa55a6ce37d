"""Answers off a stream, however its bytes are cut; and streams that are none."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replicator.registry.heads import HEAD_BYTES, Malformed
from replicator.registry.incoming import Incoming, Lost

PIECE_BYTES = 1000


class Stream:
    """Bytes that come in pieces, and then no more."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self.asked = 0

    def receive(self, at_most: int) -> bytes:
        self.asked += 1
        assert at_most > 0
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if len(piece) > at_most:
            self._pieces.insert(0, piece[at_most:])
        return piece[:at_most]


def incoming(*pieces: bytes) -> Incoming:
    return Incoming(Stream(*pieces).receive, piece_bytes=PIECE_BYTES)


def bytewise(raw: bytes) -> Iterator[bytes]:
    return (raw[index : index + 1] for index in range(len(raw)))


def cut(raw: bytes, sizes: list[int]) -> list[bytes]:
    """`raw` in pieces of these sizes, and what is left."""
    places = [*itertools.accumulate([0, *sizes]), len(raw)]
    pieces = [raw[here:there] for here, there in itertools.pairwise(places)]
    return [piece for piece in [*pieces[:-1], raw[places[-2] :]] if piece]


def answer_of(found: Incoming, method: str = "GET") -> tuple[int, bytes]:
    head = found.head(method)
    return head.status, b"".join(found.body(head))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True),
    (b"HTTP/1.1 204 None\r\n\r\n", 204, b"", True),
    (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, b"to the end", False),
    (b"HTTP/1.0 200 OK\r\n\r\n", 200, b"", False),
    (INTERIM + b"HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx", 404, b"x", True),
    (CHUNKED + b"5\r\nhello\r\n00\r\n\r\n", 200, b"hello", True),
    (CHUNKED + b"2;a=b\r\nhe\r\n3 \r\nllo\r\n0;x\r\nT: u\r\n\r\n", 200, b"hello", True),
    (CHUNKED + b"0\r\n\r\n", 200, b"", True),
]


@pytest.mark.parametrize(("raw", "status", "body", "is_spent"), ANSWERS)
def test_an_answer_is_read_however_it_comes(raw: bytes, status: int, body: bytes, is_spent: bool) -> None:
    for pieces in ([raw], [raw[:20], raw[20:]], list(bytewise(raw))):
        found = incoming(*pieces)

        assert answer_of(found) == (status, body)
        assert found.is_spent is is_spent


def test_an_answer_is_not_spent_before_it_is_read() -> None:
    found = incoming(ANSWERS[0][0])

    head = found.head("GET")
    assert not found.is_spent
    assert list(found.body(head)) == [b"hello"]
    assert found.is_spent


@pytest.mark.parametrize(("raw", "status", "body", "is_spent"), ANSWERS[:3])
def test_bytes_after_an_answer_are_noticed(raw: bytes, status: int, body: bytes, is_spent: bool) -> None:
    found = incoming(raw + b"H")

    assert answer_of(found) == (status, body)
    assert not found.is_spent


def test_answers_follow_each_other() -> None:
    found = incoming(b"".join(raw for raw, _, _, is_spent in ANSWERS if is_spent))

    for _, status, body, is_spent in ANSWERS:
        if is_spent:
            assert answer_of(found) == (status, body)


def test_an_empty_body_that_is_read_late_takes_nothing_from_the_next() -> None:
    found = incoming(ANSWERS[1][0], ANSWERS[0][0])
    late = found.body(found.head("GET"))

    head = found.head("GET")

    assert list(late) == []
    assert not found.is_spent
    assert list(found.body(head)) == [b"hello"]


def test_an_answer_to_head_has_no_body() -> None:
    found = incoming(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")

    assert answer_of(found, "HEAD") == (200, b"")
    assert found.is_spent


def test_pieces_have_a_largest_size() -> None:
    found = incoming(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n", b"x" * 5000)

    pieces = list(found.body(found.head("GET")))

    assert b"".join(pieces) == b"x" * 5000
    assert max(map(len, pieces)) == PIECE_BYTES


def test_what_was_fed_comes_first() -> None:
    found = incoming(b" OK\r\nContent-Length: 5\r\n\r\nhello")

    assert found.head_so_far("GET") is None
    found.feed(b"HTTP/1.1 200")
    assert found.head_so_far("GET") is None
    assert answer_of(found) == (200, b"hello")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
def test_an_answer_that_ends_too_early_is_lost(raw: bytes) -> None:
    with pytest.raises(Lost):
        answer_of(incoming(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 30,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * HEAD_BYTES,
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * HEAD_BYTES,
        b"x" * 2 * HEAD_BYTES,
        b"\r\n\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"5 0\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello!!!\r\n0\r\n\r\n",
        CHUNKED + b"1" * 16 + b"\r\n",
        CHUNKED + b"5;" + b"x" * 1000 + b"\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"0\r\nno field\r\n\r\n",
        CHUNKED + b"0\r\n" + b"A: b\r\n" * HEAD_BYTES,
    ],
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    for pieces in ([raw], [raw[index : index + 97] for index in range(0, len(raw), 97)]):
        with pytest.raises(Malformed):
            answer_of(incoming(*pieces))


FRAGMENTS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 404 No", b"HTTP/1.1 100 C", b"\r\n", b"\r\n\r\n", b"Content-Length: ", b"5", b"0",
     b"Transfer-Encoding: chunked", b"hello", b"A: b", b"ff", b";", b" ", b"\n", b"Connection: close"]
)  # fmt: skip


@given(
    st.lists(FRAGMENTS | st.binary(max_size=20), max_size=40),
    st.lists(st.integers(1, 50), max_size=40),
    st.sampled_from(["GET", "HEAD", "PUT", "CONNECT"]),
)
@example([CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"], [1] * 60, "GET")
def test_any_bytes_cut_anywhere_are_an_answer_or_refused(
    parts: list[bytes], cuts: list[int], method: str
) -> None:
    raw = b"".join(parts)
    stream = Stream(*cut(raw, cuts))
    found = Incoming(stream.receive, piece_bytes=PIECE_BYTES)
    taken = 0

    try:
        while True:
            head = found.head(method)
            taken += sum(map(len, found.body(head)))
    except (Malformed, Lost):
        pass

    assert taken <= len(raw)
    assert stream.asked <= len(cuts) + 10


@given(st.binary(max_size=3000), st.lists(st.integers(1, 700), max_size=8), st.booleans())
def test_a_body_comes_out_as_it_went_in(body: bytes, cuts: list[int], is_chunked: bool) -> None:
    if is_chunked:
        framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in cut(body, cuts))
        raw = CHUNKED + framed + b"0\r\n\r\n"
    else:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    found = incoming(*(raw[index : index + 13] for index in range(0, len(raw), 13)))

    assert answer_of(found) == (200, body)
    assert found.is_spent

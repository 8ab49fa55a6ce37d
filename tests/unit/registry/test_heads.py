import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.registry.heads import Headers, Malformed, Unsendable, fields_of, parse_head, request_head

FINE = b"HTTP/1.1 200 OK\r\n"


def test_names_are_found_in_any_case_and_fields_of_one_name_are_joined() -> None:
    headers = Headers([("Content-Type", "a/b"), ("Link", "<a>"), ("LINK", "<b>")])

    assert headers["content-type"] == headers.get("CONTENT-TYPE") == "a/b"
    assert headers["link"] == "<a>, <b>"
    assert headers.get_list("Link") == ["<a>", "<b>"]
    assert headers.get_list("location") == []
    assert headers.get("location") is None
    assert list(headers) == ["content-type", "link"]
    assert len(headers) == 2


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"HTTP/1.1 200 OK\r\n", 200),
        (b"HTTP/1.1 200\r\n", 200),
        (b"HTTP/1.1 404 \r\n", 404),
        (b"HTTP/1.0 520 Origin \xc3\xbcnknown\r\n", 520),
    ],
)
def test_a_status_line_is_read(raw: bytes, status: int) -> None:
    assert parse_head(raw, "GET").status == status


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"HTTP/1.1",
        b"HTTP/2 200 OK",
        b"HTTP/1.2 200 OK",
        b"http/1.1 200 OK",
        b" HTTP/1.1 200 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 600 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1 20\xb2 OK",
        b"HTTP/1.1 200 O\nK",
        b"HTTP/1.1 200 O\x00K",
        b"HTTP/1.1 200 " + b"O" * 5000,
        b"<html>",
    ],
)
def test_a_line_that_is_no_status_line_is_refused(line: bytes) -> None:
    with pytest.raises(Malformed):
        parse_head(line + b"\r\n", "GET")


@pytest.mark.parametrize(
    "block",
    [
        b" folded: from nothing\r\n",
        b"no colon\r\n",
        b": no name\r\n",
        b"space : before the colon\r\n",
        b"na\xc3\xafve: name\r\n",
        b"a: bare \n line feed\r\n",
        b"a: bare \r return\r\n",
        b"a: nul \x00\r\n",
        b"a: no end",
        b"a: " + b"b" * 17_000 + b"\r\n",
        b"a: b\r\n" * 201,
    ],
)
def test_lines_that_are_no_fields_are_refused(block: bytes) -> None:
    with pytest.raises(Malformed):
        fields_of(block)


def test_fields_are_read_without_the_space_around_them() -> None:
    assert fields_of(b"A:b\r\nc-D: \t e f \t\r\nEmpty:\r\nL: \xe9\r\n") == [
        ("A", "b"),
        ("c-D", "e f"),
        ("Empty", ""),
        ("L", "\xe9"),
    ]


def test_a_field_over_several_lines_is_one() -> None:
    assert fields_of(b"Link: <a>;\r\n\t rel=next\r\nA: b\r\n") == [("Link", "<a>; rel=next"), ("A", "b")]


@pytest.mark.parametrize(
    "block",
    [
        b"A: b\r\n c" + b" " * 60_000 + b"\r\n",
        b"A: b" + b"\r\n " * 20_000 + b"\r\n",
        b"A:" * 30_000 + b"\r\n",
        b"A" * 60_000 + b"\r\n",
        b"A: b\r\n" * 10_000 + b"\n",
    ],
)
def test_a_hostile_block_takes_no_time(block: bytes) -> None:
    began = time.perf_counter()

    with pytest.raises(Malformed):
        fields_of(block)

    assert time.perf_counter() - began < 0.2


@pytest.mark.parametrize(
    ("fields", "is_chunked", "length"),
    [
        (b"", False, None),
        (b"Content-Length: 0\r\n", False, 0),
        (b"Content-Length: 42\r\n", False, 42),
        (b"Content-Length: 42\r\nContent-Length: 42\r\n", False, 42),
        (b"Content-Length: 42, 42\r\n", False, 42),
        (b"Transfer-Encoding: Chunked\r\n", True, None),
    ],
)
def test_a_header_says_where_the_body_ends(fields: bytes, is_chunked: bool, length: int | None) -> None:
    head = parse_head(FINE + fields, "GET")

    assert (head.is_chunked, head.length) == (is_chunked, length)


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: -1\r\n",
        b"Content-Length: +1\r\n",
        b"Content-Length: 0x10\r\n",
        b"Content-Length: 1_0\r\n",
        b"Content-Length: \xb2\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 1e3\r\n",
        b"Content-Length: " + b"9" * 19 + b"\r\n",
        b"Content-Length: 1\r\nContent-Length: 2\r\n",
        b"Content-Length: 1, 2\r\n",
        b"Content-Length: 1,\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding:\r\n",
    ],
)
def test_a_header_that_leaves_the_end_in_doubt_is_refused(fields: bytes) -> None:
    for method in ("GET", "HEAD"):
        with pytest.raises(Malformed):
            parse_head(FINE + fields, method)


def test_chunks_are_of_http_1_1_alone() -> None:
    with pytest.raises(Malformed):
        parse_head(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", "GET")


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 100), ("CONNECT", 200)]
)
def test_some_answers_have_no_body_whatever_they_say(method: str, status: int) -> None:
    for said in (b"", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n"):
        head = parse_head(b"HTTP/1.1 %d x\r\n" % status + said, method)

        assert (head.is_chunked, head.length) == (False, 0)


@pytest.mark.parametrize(
    ("raw", "is_persistent"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n", False),
    ],
)
def test_a_head_says_whether_the_connection_stays(raw: bytes, is_persistent: bool) -> None:
    assert parse_head(raw, "GET").is_persistent is is_persistent


def test_a_request_is_written_down() -> None:
    raw = request_head("GET", "/v2/?a=b", {"Host": "a:1", "Accept": "b, c"})

    assert raw == b"GET /v2/?a=b HTTP/1.1\r\nHost: a:1\r\nAccept: b, c\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "target", "name", "value"),
    [
        ("GET", "/a b", "A", "b"),
        ("GET", "/a\r\nX: y", "A", "b"),
        ("GET", "/\xe9", "A", "b"),
        ("GET", "", "A", "b"),
        ("GET", "/" * 20_000, "A", "b"),
        ("GET /x HTTP/1.1\r\n", "/", "A", "b"),
        ("get", "/", "A", "b"),
        ("GET", "/", "A: b\r\nC", "d"),
        ("GET", "/", "", "b"),
        ("GET", "/", "A", "b\r\nC: d"),
        ("GET", "/", "A", "b\n"),
        ("GET", "/", "A", "b\x00"),
        ("GET", "/", "A", "\xe9"),
    ],
)
def test_a_request_that_would_become_another_is_not_written(
    method: str, target: str, name: str, value: str
) -> None:
    with pytest.raises(Unsendable):
        request_head(method, target, {name: value})


@given(st.text(), st.text(), st.text())
def test_what_is_written_has_as_many_lines_as_it_should(target: str, name: str, value: str) -> None:
    try:
        raw = request_head("GET", target, {name: value})
    except Unsendable:
        return

    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n") == 3

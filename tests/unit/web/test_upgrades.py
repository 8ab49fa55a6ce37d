"""Requests that offer another protocol, read byte by byte and all at once."""

from types import SimpleNamespace

import httptools
import pytest

from replicator.web.upgrades import PlainParser, has_offer

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
LENGTH = b"POST /a?b=%20c HTTP/1.1\r\nHost: x\r\n" + OFFER + b"Content-Length: 4\r\n\r\n" + b"ab\r\n"
CHUNKED = b"PUT /b HTTP/1.1\r\n" + OFFER + b"Transfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n\r\n"
NO_BODY = b"GET /c HTTP/1.1\r\n" + OFFER + b"\r\n"
PLAIN = b"POST /d HTTP/1.1\r\nContent-Length: 1\r\n\r\nz"


class Reader(SimpleNamespace):
    """What uvicorn's protocol does with the parser, as far as that asks for it, and a list of whole requests."""

    def __init__(self) -> None:
        self.parser = PlainParser(self)  # type: ignore[arg-type]
        self.requests: list[tuple[bytes, bytes, dict[bytes, bytes], bytes]] = []
        self.is_offer = False

    def on_message_begin(self) -> None:
        self.url, self.headers, self.body = b"", [], b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.is_offer = has_offer(self.parser)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if not self.is_offer:
            self.requests.append((self.parser.get_method(), self.url, dict(self.headers), self.body))


@pytest.mark.parametrize("size_bytes", [1, 7, 100, 10_000])
def test_an_offer_is_passed_over_and_the_request_is_read_whole(size_bytes: int) -> None:
    reader = Reader()
    sent = PLAIN + LENGTH + CHUNKED + NO_BODY + NO_BODY + PLAIN
    for start in range(0, len(sent), size_bytes):
        reader.parser.feed_data(sent[start : start + size_bytes])

    assert [(method, url, body) for method, url, _, body in reader.requests] == [
        (b"POST", b"/d", b"z"),
        (b"POST", b"/a?b=%20c", b"ab\r\n"),
        (b"PUT", b"/b", b"xy"),
        (b"GET", b"/c", b""),
        (b"GET", b"/c", b""),
        (b"POST", b"/d", b"z"),
    ]
    assert reader.requests[1][2] == {
        b"host": b"x",
        b"connection": b"Upgrade, HTTP2-Settings",
        b"http2-settings": b"AAMAAABk",
        b"content-length": b"4",
    }


def test_an_order_to_connect_is_no_offer() -> None:
    reader = Reader()

    with pytest.raises(httptools.HttpParserUpgrade):
        reader.parser.feed_data(b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n")

    assert len(reader.requests) == 1

"""Reads answers off a stream of bytes: heads, and bodies in any of the ways that HTTP/1.1 lets them end.

Knows nothing of sockets. Whatever the bytes are and however they are cut, it gives an answer, raises Malformed or Lost,
or asks for more bytes while it still may: it never holds more than a head and one piece.
"""

import re
from collections.abc import Callable, Iterator

from replicator.registry.heads import HEAD_BYTES, Head, Malformed, fields_of, parse_head

Receive = Callable[[int], bytes]
"""Some bytes of the other side's, at least one and at most so many. Empty: it will send no more."""

_AT_ONCE_BYTES = 16 * 1024
_INTERIM = 20
_CHUNK_LINE_BYTES = 256
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\x00]*)?")


class Lost(ConnectionError):
    """The other side ended the connection in the middle of an exchange."""


class Incoming:
    """What comes in on one connection. `piece_bytes` is the most that is asked for at once of a body."""

    def __init__(self, receive: Receive, *, piece_bytes: int) -> None:
        self._receive = receive
        self._piece_bytes = piece_bytes
        self._ahead = b""
        self._interim = 0
        self._is_ended = True

    @property
    def is_spent(self) -> bool:
        """True where the last answer was read to its end, and nothing came after it."""
        return self._is_ended and not self._ahead

    def feed(self, received: bytes) -> None:
        """Adds bytes that came in while nobody asked for them."""
        self._ahead += received

    def head(self, method: str) -> Head:
        """The head of the next final answer, which is one to a request by `method`. Raises Malformed or Lost."""
        while (head := self.head_so_far(method)) is None:
            received = self._receive(_AT_ONCE_BYTES)
            if not received:
                raise Lost("closed without an answer")
            self._ahead += received
        return head

    def head_so_far(self, method: str) -> Head | None:
        """The same, if it has come already."""
        while (end := self._ahead.find(b"\r\n\r\n", 0, HEAD_BYTES)) >= 0:
            head = parse_head(self._ahead[: end + 2], method)
            self._ahead = self._ahead[end + 4 :]
            if not head.is_interim:
                self._interim = 0
                self._is_ended = head.length == 0
                return head
            self._interim += 1
            if head.status == 101 or self._interim > _INTERIM:
                raise Malformed(f"answered {head.status} where an answer was due")
        if len(self._ahead) >= HEAD_BYTES:
            raise Malformed("the answer's header is too large")
        return None

    def body(self, head: Head) -> Iterator[bytes]:
        """The pieces of the body that follows `head`, once. Raises Malformed or Lost."""
        # Whoever reads an empty body late must not find the next one.
        return iter(()) if head.length == 0 else self._body(head)

    def _body(self, head: Head) -> Iterator[bytes]:
        if head.is_chunked:
            yield from self._chunks()
        elif head.length is not None:
            yield from self._counted(head.length)
        else:
            yield from self._remaining()
        self._is_ended = head.is_chunked or head.length is not None

    def _counted(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self._ahead[:left] or self._receive(min(left, self._piece_bytes))
            if not piece:
                raise Lost(f"closed with {left} bytes of the body to come")
            self._ahead = self._ahead[left:]
            left -= len(piece)
            yield piece

    def _remaining(self) -> Iterator[bytes]:
        while piece := self._ahead or self._receive(self._piece_bytes):
            self._ahead = b""
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            found = _CHUNK_LINE.fullmatch(self._line(_CHUNK_LINE_BYTES))
            if not found:
                raise Malformed("a chunk of the body does not begin as one does")
            size = int(found[1], 16)
            if not size:
                self._trailers()
                return
            yield from self._counted(size)
            if self._line(2):
                raise Malformed("a chunk of the body is longer than it says")

    def _trailers(self) -> None:
        block = b""
        while line := self._line(HEAD_BYTES):
            block += line + b"\r\n"
            if len(block) > HEAD_BYTES:
                raise Malformed("the trailers are too large")
        fields_of(block)

    def _line(self, limit_bytes: int) -> bytes:
        """The next line without its end, which must lie within so many bytes and two."""
        while (end := self._ahead.find(b"\r\n", 0, limit_bytes + 2)) < 0:
            if len(self._ahead) >= limit_bytes + 2:
                raise Malformed("a line of the body's framing is too long")
            received = self._receive(_AT_ONCE_BYTES)
            if not received:
                raise Lost("closed in the middle of the body")
            self._ahead += received
        line, self._ahead = self._ahead[:end], self._ahead[end + 2 :]
        return line

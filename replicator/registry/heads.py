"""The heads of HTTP/1.1 messages as bytes and as values, strictly (RFC 9112).

What comes in was written by strangers: it is bounded in every direction, and whatever two readers could take for two
things is refused. What goes out is checked as well, or a header value with a line break in it would be two headers.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

HEAD_BYTES = 64 * 1024
"""The longest head that is read, and the longest trailers."""

_STATUS_LINE_BYTES = 4 * 1024
_FIELD_BYTES = 16 * 1024
_FIELDS = 200
_LENGTH = re.compile(r"[0-9]{1,18}")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n\x00]*)?")
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_BLOCK = re.compile(rf"(?:{_NAME}:[^\r\n\x00]*\r\n)*".encode("ascii"))
# A value over several lines (RFC 9112 5.2), which nobody sends any more.
_FOLD = re.compile(rb"\r\n[ \t]+")
_METHOD = re.compile(r"[A-Z]{1,16}")
_TARGET = re.compile(r"[!-~]{1,16384}")
_SENT_NAME = re.compile(_NAME)
_SENT_VALUE = re.compile(r"[\t -~]*")


class Malformed(Exception):
    """The other side sent something that is not HTTP/1.1, or not one thing only."""


class Unsendable(Exception):
    """A request that cannot be written down without becoming another one."""


class Headers(Mapping[str, str]):
    """Header fields by name, in any case. Several fields of one name read as one, with commas between."""

    __slots__ = ("_values",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def get_list(self, name: str) -> list[str]:
        """The value of each field of that name."""
        return list(self._values.get(name.lower(), ()))

    def __getitem__(self, name: str) -> str:
        values = self._values[name.lower()]
        return values[0] if len(values) == 1 else ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer, and how its body ends: after `length` bytes, with its last chunk, or (None) at the end of
    the connection. `is_persistent`: the other side keeps the connection afterwards."""

    status: int
    headers: Headers
    is_persistent: bool
    is_chunked: bool
    length: int | None

    @property
    def is_interim(self) -> bool:
        """True for an answer that another one follows, such as 100 Continue."""
        return self.status < 200


def parse_head(raw: bytes, method: str) -> Head:
    """The head of the answer to a request by `method`: `raw` is its lines, each with its end, without the empty one.

    Raises Malformed.
    """
    line, _, block = raw.partition(b"\r\n")
    started = _STATUS_LINE.fullmatch(line) if len(line) <= _STATUS_LINE_BYTES else None
    if started is None:
        raise Malformed("the answer does not begin as an answer of HTTP/1.1 does")
    is_latest, status = started[1] == b"1", int(started[2])
    headers = Headers(fields_of(block))
    is_chunked, length = _framing(headers, is_latest=is_latest)
    if method == "HEAD" or status < 200 or status in {204, 304} or (method == "CONNECT" and status < 300):
        is_chunked, length = False, 0
    return Head(status, headers, _is_persistent(headers, is_latest=is_latest), is_chunked, length)


def fields_of(block: bytes) -> list[tuple[str, str]]:
    """The fields of lines, each with its end. Raises Malformed."""
    if b"\r\n " in block or b"\r\n\t" in block:
        block = _FOLD.sub(b" ", block)
    if not _BLOCK.fullmatch(block):
        raise Malformed("the answer's header is not one")
    lines = block.decode("latin-1").split("\r\n")[:-1]
    if len(lines) > _FIELDS or any(len(line) > _FIELD_BYTES for line in lines):
        raise Malformed("the answer's header is too large")
    parts = (line.partition(":") for line in lines)
    return [(name, value.strip(" \t")) for name, _, value in parts]


def _framing(headers: Headers, *, is_latest: bool) -> tuple[bool, int | None]:
    # Two statements of where a body ends, or one that is not understood: the next answer could be a forgery.
    coding, lengths = headers.get("transfer-encoding"), headers.get_list("content-length")
    if coding is not None:
        if lengths or not is_latest or coding.lower() != "chunked":
            raise Malformed("the answer does not say clearly where its body ends")
        return True, None
    said = {length.strip(" \t") for text in lengths for length in text.split(",")}
    if not said:
        return False, None
    length = said.pop()
    if said or not _LENGTH.fullmatch(length):
        raise Malformed("the answer does not say clearly how long its body is")
    return False, int(length)


def _is_persistent(headers: Headers, *, is_latest: bool) -> bool:
    said = headers.get("connection")
    if said is None:
        return is_latest
    options = {option.strip(" \t") for option in said.lower().split(",")}
    return "close" not in options and (is_latest or "keep-alive" in options)


def request_head(method: str, target: str, fields: Mapping[str, str]) -> bytes:
    """The head of a request. Raises Unsendable for anything in it that would end a line or does not belong there."""
    if not (_METHOD.fullmatch(method) and _TARGET.fullmatch(target)):
        raise Unsendable("the request line")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in fields.items():
        if not (_SENT_NAME.fullmatch(name) and _SENT_VALUE.fullmatch(value)):
            raise Unsendable("a header")
        lines.append(f"{name}: {value}")
    return "\r\n".join((*lines, "", "")).encode("ascii")

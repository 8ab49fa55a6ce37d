"""The bytes of HTTP answers: heads and bodies, or Malformed, or Lost."""

import random

from replicator.registry.heads import Malformed
from replicator.registry.incoming import Incoming, Lost
from tests.fuzz.engine import Target
from tests.fuzz.spoiling import scratched, some

_ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\n\r\nrest",
    b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 204 None\r\nA: b\r\n c\r\n\r\n",
    b'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm="x"\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n',
)
_PIECES = (
    *(
        b"Content-Length: 5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 5, 6\r\n",
        b"Transfer-Encoding: gzip\r\n",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b" folded\r\n",
        b"A : b\r\n",
        b": b\r\n",
        b"\r\n",
        b"\n",
        b"A: " + b"x" * 70_000,
    ),
    *(
        b"HTTP/1.1 100 C\r\n\r\n",
        b"A: b\r\n" * 300,
        b"ffffffffffffffff\r\n",
        b"5;x=y\r\n",
        b"0\r\n",
        b"\xff\x00",
    ),
)

Input = tuple[str, list[bytes]]


def make(rng: random.Random) -> Input:
    """A method, and what comes in, in pieces."""
    raw = some(rng, _ANSWERS) + (some(rng, _ANSWERS) if rng.random() < 0.3 else b"")
    for _ in range(rng.randrange(3)):
        at = raw.find(b"\r\n", rng.randrange(len(raw))) + 2
        raw = raw[:at] + some(rng, _PIECES) + raw[at:]
    if rng.random() < 0.7:
        raw = scratched(rng, raw)
    cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(rng.randrange(4)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    return some(rng, ("GET", "HEAD", "PUT", "CONNECT")), [piece for piece in pieces if piece]


def check(fed: Input) -> None:
    """Raises for anything but answers, Malformed and Lost."""
    method, pieces = fed
    waiting = b"".join(pieces)
    cuts = iter([len(piece) for piece in pieces])

    def receive(at_most: int) -> bytes:
        nonlocal waiting
        size = min(at_most, next(cuts, at_most))
        piece, waiting = waiting[:size], waiting[size:]
        return piece

    incoming = Incoming(receive, piece_bytes=1024)
    try:
        for _ in range(3):
            head = incoming.head(method)
            assert 200 <= head.status < 600
            for _piece in incoming.body(head):
                pass
            if not incoming.is_spent and not waiting:
                return
    except (Malformed, Lost):
        return


TARGET = Target("heads", make, check, 300_000)

"""A server that sends the very bytes that a test gives it, and a door that counts who comes in.

HTTP libraries tidy up what they send: it takes a socket to tell a wrong length or an unfinished chunk.
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Self

_PIECE = 64 * 1024


class _Listener:
    """Accepts connections on loopback, each in a thread of its own, until it is closed."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and cut every connection."""
        for each in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._guarded, args=(connection,), daemon=True).start()

    def _guarded(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


Said = bytes | Iterable[bytes] | Callable[[str], bytes]


class Wire(_Listener):
    """Answers each request without a body by the next of `answers`, the last of them for ever, and hangs up.

    An answer in several pieces is sent as long as somebody takes it: `sent_bytes` tells how much that was. One that is
    a function is given the request's head. With `stays` it does not hang up: who asks must know where an answer ends.
    """

    def __init__(self, *answers: Said, stays: bool = False) -> None:
        self._answers = [*answers]
        self._stays = stays
        self.heads: list[str] = []
        self.sent_bytes = 0
        super().__init__()

    def _serve(self, connection: socket.socket) -> None:
        while head := _head(connection):
            self.heads.append(head)
            said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if callable(said):
                said = said(head)
            for part in [said] if isinstance(said, bytes) else said:
                connection.sendall(part)
                self.sent_bytes += len(part)
            if not self._stays:
                return


def _head(connection: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(_PIECE)
        if not piece:
            return ""
        head += piece
    return head.decode("latin-1")


class Door(_Listener):
    """Passes everything on to a server on loopback and back, and counts connections."""

    def __init__(self, url: str) -> None:
        self._port = int(url.rpartition(":")[2])
        super().__init__()

    def _serve(self, connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as inner:
            self._open.append(inner)
            back = threading.Thread(target=_pass_on, args=(inner, connection), daemon=True)
            back.start()
            _pass_on(connection, inner)
            back.join()


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := here.recv(_PIECE):
            there.sendall(data)
    for each in (here, there):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def answer(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """The bytes of an answer, with those headers and no others."""
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body; the empty one ends it."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"

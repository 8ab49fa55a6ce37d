"""One connection: sends a request, reads its answer, and listens while it sends.

The socket never blocks; every wait has a limit. A registry may answer before it has the whole body, mostly to say
that it does not want it, and then reads no further: who only sends would wait for ever (RFC 9112 9.5).
"""

import select
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from replicator.registry.addresses import Origin
from replicator.registry.heads import Head
from replicator.registry.incoming import Incoming, Lost

# A blob copied with its hash costs us 1.1 CPU s a GiB in pieces of 64 KiB, 0.95 in pieces of 512 KiB, 0.9 in pieces of
# 1 MiB, and as much in a buffer that is used again; but eight blobs at once take 22 MiB by the half, 38 by the whole.
# Over TLS it is 2.0 by single records and 1.8 by four together; there `recv` must not be asked for more than the one
# record that it gives: it makes as much room as it is asked for.
_PIECE_BYTES = 512 * 1024
_TLS_PIECE_BYTES = 64 * 1024
_RECORD_BYTES = 16 * 1024
_EARLY_BYTES = 16 * 1024
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)

Content = bytes | Iterable[bytes] | None


@dataclass(frozen=True, slots=True)
class Patience:
    """The longest waits: for a turn, for a connection to one address of a host and for the TLS handshake on it, for the
    head of an answer and for each next byte of its body, and until the other side takes another byte."""

    turn_s: float = 30.0
    connect_s: float = 5.0
    read_s: float = 30.0
    write_s: float = 30.0


USUAL = Patience()


class Channel:
    """A connection to `origin`. Serves one exchange after another, and one thread at a time."""

    def __init__(self, origin: Origin, connected: socket.socket, *, patience: Patience) -> None:
        self.origin = origin
        self.idle_since = 0.0
        self._socket = connected
        self._patience = patience
        self._is_tls = isinstance(connected, ssl.SSLSocket)
        self._socket.setblocking(False)
        self._descriptor = connected.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._incoming = (
            Incoming(self._receive_records, piece_bytes=_TLS_PIECE_BYTES)
            if self._is_tls
            else Incoming(self._receive, piece_bytes=_PIECE_BYTES)
        )
        self._deadline: float | None = None
        self._is_reusable = True
        self._early: Head | None = None

    @property
    def is_reusable(self) -> bool:
        """True where the last exchange left nothing behind, and the other side keeps the connection."""
        return self._is_reusable and self.is_spent

    @property
    def is_spent(self) -> bool:
        """True where the last answer was read to its end, and nothing came after it."""
        return self._incoming.is_spent

    @property
    def is_quiet(self) -> bool:
        """True while nothing has come in. On an idle connection that is its end, or an answer to no question."""
        is_decrypted = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0
        return not is_decrypted and not self._poll.poll(0)

    def ask(self, method: str, head: bytes, content: Content) -> Head:
        """The head of the answer. `content` is sent after `head`, or as much of it as the other side wants.

        Raises Malformed, an OSError, or what `content` raises; then the connection is of no more use.
        """
        self._is_reusable, self._early = False, None
        self._send(method, head, content)
        answer = self._early or self._head(method)
        self._is_reusable = answer.is_persistent and self._early is None
        return answer

    def body(self, head: Head) -> Iterator[bytes]:
        """The pieces of the body. Raises Malformed or an OSError."""
        return self._incoming.body(head)

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def _head(self, method: str) -> Head:
        self._deadline = time.monotonic() + self._patience.read_s
        if not self._is_tls:
            # It can't be there yet: this saves the attempt.
            self._wait(select.POLLIN, self._patience.read_s)
        try:
            return self._incoming.head(method)
        finally:
            self._deadline = None

    def _receive(self, at_most: int) -> bytes:
        while True:
            try:
                return self._recv(at_most)
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            except _WOULD_BLOCK:
                wanted = select.POLLIN
            self._wait(wanted, self._left_s)

    def _recv(self, at_most: int) -> bytes:
        try:
            return self._socket.recv(at_most)
        except ssl.SSLError as exc:
            # Python 3.11.2 (Debian 12) has no type of its own for what OpenSSL 3 says of a connection that was cut.
            if exc.reason == "UNEXPECTED_EOF_WHILE_READING" and not isinstance(exc, ssl.SSLEOFError):
                raise ssl.SSLEOFError(*exc.args) from exc
            raise

    @property
    def _left_s(self) -> float:
        return self._patience.read_s if self._deadline is None else self._deadline - time.monotonic()

    def _receive_records(self, at_most: int) -> bytes:
        # One call gives one record, and what follows costs as much for a record as for a large piece.
        records = [self._receive(min(at_most, _RECORD_BYTES))]
        size = len(records[0])
        with suppress(*_WOULD_BLOCK):
            while records[-1] and size < at_most:
                records.append(self._recv(min(at_most - size, _RECORD_BYTES)))
                size += len(records[-1])
        return b"".join(records)

    def _wait(self, wanted: int, limit_s: float) -> int:
        if wanted != select.POLLIN:
            self._poll.modify(self._descriptor, wanted)
        try:
            events = self._poll.poll(limit_s * 1000) if limit_s > 0 else []
        finally:
            if wanted != select.POLLIN:
                self._poll.modify(self._descriptor, select.POLLIN)
        if not events:
            raise TimeoutError("timed out")
        return events[0][1]

    def _send(self, method: str, head: bytes, content: Content) -> None:
        if content is None or isinstance(content, bytes):
            content, head = (), head + (content or b"")
        self._send_piece(method, head)
        try:
            for piece in content:
                if self._early is None and self._poll.poll(0):
                    self._listen(method)
                self._send_piece(method, piece)
                if self._is_refused:
                    return
        except (ConnectionError, ssl.SSLEOFError):
            # It may have said why before it hung up.
            with suppress(OSError):
                self._listen(method)
            if not self._is_refused:
                raise

    def _send_piece(self, method: str, piece: bytes) -> None:
        rest, deadline = memoryview(piece), None
        while rest and not self._is_refused:
            try:
                rest = rest[self._socket.send(rest) :]
                deadline = None
            except _WOULD_BLOCK as exc:
                # What the other side says meanwhile does not make it a peer that takes bytes.
                deadline = deadline or time.monotonic() + self._patience.write_s
                wanted = select.POLLOUT if self._early else select.POLLOUT | select.POLLIN
                if isinstance(exc, ssl.SSLWantReadError):
                    wanted = select.POLLIN
                if self._wait(wanted, deadline - time.monotonic()) & select.POLLIN:
                    self._listen(method)

    @property
    def _is_refused(self) -> bool:
        # A good answer that comes early is no reason to stop: only the whole body is proved right.
        return self._early is not None and self._early.status >= 300

    def _listen(self, method: str) -> None:
        """Takes in what has come, up to the head of an answer."""
        while self._early is None:
            try:
                received = self._recv(_EARLY_BYTES)
            except _WOULD_BLOCK:
                return
            if not received:
                raise Lost("closed before it had the whole request")
            self._incoming.feed(received)
            self._early = self._incoming.head_so_far(method)

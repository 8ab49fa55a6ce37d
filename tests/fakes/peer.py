"""A TCP server that says what a test tells it to, byte for byte, and keeps to no protocol."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

Play = Callable[["Talk"], None]
"""What the server does on one connection; when it returns, the connection is closed."""


class Talk:
    """One connection, from the server's side. `number` counts connections from 0."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.number = number
        self._connection = connection
        self._ahead = b""

    @property
    def has_certificate(self) -> bool:
        """True where the other side showed one of its own."""
        return isinstance(self._connection, ssl.SSLSocket) and bool(self._connection.getpeercert())

    def head(self) -> bytes:
        """The head of the next request; empty where none comes."""
        while b"\r\n\r\n" not in self._ahead:
            received = self._connection.recv(65536)
            if not received:
                return b""
            self._ahead += received
        head, _, self._ahead = self._ahead.partition(b"\r\n\r\n")
        return head

    def body(self, size_bytes: int) -> bytes:
        """The next bytes, as many, or what comes of them."""
        body, self._ahead = bytearray(self._ahead[:size_bytes]), self._ahead[size_bytes:]
        while len(body) < size_bytes and (received := self._connection.recv(size_bytes - len(body))):
            body += received
        return bytes(body)

    def say(self, raw: bytes) -> None:
        """Sends it all."""
        self._connection.sendall(raw)

    def wait_for_end(self) -> None:
        """Returns when the other side ends the connection. Reads what comes."""
        while self._connection.recv(65536):
            pass

    def reset(self) -> None:
        """Breaks the connection off."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def pass_on_to(self, address: tuple[str, int]) -> None:
        """Becomes a tunnel."""
        there = socket.create_connection(address)
        back = threading.Thread(target=_pump, args=(there, self._connection), daemon=True)
        back.start()
        _pump(self._connection, there)
        back.join()
        there.close()


def _pump(here: socket.socket, there: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := here.recv(65536):
            there.sendall(received)
        there.shutdown(socket.SHUT_WR)


class Peer:
    """The server: plays `play` on every connection, each in a thread of its own."""

    def __init__(self, play: Play, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._play = play
        self._tls = tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{self.address[1]}"

    @property
    def connections(self) -> int:
        """How many there were."""
        return len(self._connections)

    def wait_for_silence(self) -> None:
        """Returns when every connection so far was played to its end."""
        for thread in [*self._threads]:
            thread.join(10)
            assert not thread.is_alive()

    def cut(self) -> None:
        """Ends every connection; new ones are taken."""
        for connection in [*self._connections]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.wait_for_silence()

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A listener that is only closed leaves its thread in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                number = len(self._connections)
                self._connections.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection, number), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls:
                connection = self._connections[number] = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._play(Talk(connection, number))

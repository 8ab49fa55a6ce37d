"""A TCP proxy in front of a server: it counts what passes, lets no more through than it is told, cuts, falls silent."""

import contextlib
import socket
import struct
import threading
import time
from typing import Self

_PIECE = 16 * 1024


class Strait:
    """Listens on loopback and passes everything on to `port`.

    `up_bytes` went to the server, `down_bytes` came from it. The limits are for all connections together.
    `cut_after` resets every connection once so many bytes went up, and then lets all pass. `bar`, `hold` and `slow`
    last until `heal`.
    """

    def __init__(self, port: int, *, down_per_s: float = 0, up_per_s: float = 0) -> None:
        self._target = port
        self._limits = {True: up_per_s, False: down_per_s}
        self._free_at = {True: 0.0, False: 0.0}
        self.passed = {True: 0, False: 0}
        self.cut_after: int | None = None
        self._is_barred = False
        self._passes = threading.Event()
        self._passes.set()
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._forgotten: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def up_bytes(self) -> int:
        """What went to the server."""
        return self.passed[True]

    @property
    def down_bytes(self) -> int:
        """What came from the server."""
        return self.passed[False]

    def cut(self) -> None:
        """Reset every connection."""
        with self._lock:
            cut, self._open = self._open, []
        for each in cut:
            _reset(each)

    def bar(self) -> None:
        """Reset every connection, and each that is made."""
        self._is_barred = True
        self.cut()

    def hold(self) -> None:
        """Take connections and bytes, and pass nothing on."""
        self._passes.clear()

    def slow(self, bytes_per_s: float) -> None:
        """Let no more than this through in each direction."""
        self._limits = {True: bytes_per_s, False: bytes_per_s}

    def heal(self) -> None:
        """Let everything through, what was held as well."""
        self._is_barred = False
        self.slow(0)
        self._free_at = {True: 0.0, False: 0.0}
        self._passes.set()

    def forget(self) -> None:
        """Pass nothing more of the connections there are, and tell nobody, as a router that was restarted."""
        with self._lock:
            self._forgotten.update(self._open)

    def close(self) -> None:
        """Stop listening and cut every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._passes.set()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                if self._is_barred:
                    _reset(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
            except ConnectionRefusedError:
                client.close()
                continue
            except OSError:
                return
            with self._lock:
                self._open += [client, server]
            for there, here, is_up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(there, here, is_up), daemon=True).start()

    def _pass(self, there: socket.socket, here: socket.socket, is_up: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := there.recv(_PIECE):
                self._passes.wait()
                if here in self._forgotten:
                    continue
                self._wait(len(piece), is_up=is_up)
                here.sendall(piece)
                self.passed[is_up] += len(piece)
                if self.cut_after is not None and self.up_bytes > self.cut_after:
                    self.cut_after = None
                    self.cut()
        for each in (there, here):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        with self._lock:
            self._open = [each for each in self._open if each not in (there, here)]

    def _wait(self, size_bytes: int, *, is_up: bool) -> None:
        limit = self._limits[is_up]
        if not limit:
            return
        with self._lock:
            now = time.monotonic()
            begins = max(now, self._free_at[is_up])
            self._free_at[is_up] = begins + size_bytes / limit
        time.sleep(max(0.0, begins - now))


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    connection.close()

"""Which connections the server keeps, and for how long: nobody who dawdles may take the place of one who does not.

uvicorn takes as long for a request's head, for the rest of a body that we refused, and for an answer that nobody reads,
as the peer likes; a head may be of any size, and any number of requests may wait behind one. And once its connections
are too many it refuses all alike. So a connection is in one of three states here:

    expected   its request is not wholly there, or never began: it must be within a time of its first byte
    served     it is our turn; no clock runs
    resting    it was answered, and is idle or has not read all of that: it must go on reading, or ask again

When there are too many, the one that has been expected longest has to go, or else the one that has rested longest.
"""

import asyncio
import logging
from collections import Counter
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from replicator.web.upgrades import PlainParser, has_offer

log = logging.getLogger(__name__)

HEAD_BYTES = 32 * 1024
HEADERS = 100
PIPELINED = 32
"""Requests that may wait behind the one that is served. No sender that we know sends a second before the answer."""
PROGRESS_BYTES = 64 * 1024
"""What a slow reader must have read of a long answer before it gets the same time once more."""
_LOOKS = 15
"""How often in its time a connection is looked at."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(Protocol):
    """What the crowd must know of a connection, and may do to it."""

    def unread_bytes(self) -> int:
        """How much of our answer is still here."""

    def cut(self) -> None:
        """End it now; what it has not read is lost."""


class Crowd:
    """All connections of one server, each in its state, those first that have been in it longest."""

    def __init__(self, *, limit: int, patience_s: float) -> None:
        """Of `limit` connections none is cut before it has been waited for, in its state, for `patience_s`."""
        self._limit = limit
        self._patience_s = patience_s
        self._awaited: dict[Connection, float] = {}
        self._resting: dict[Connection, tuple[float, int]] = {}
        self._served: set[Connection] = set()
        self._cut: Counter[str] = Counter()
        self._look: asyncio.TimerHandle | None = None

    def expect(self, connection: Connection) -> None:
        """From now on we wait for its request."""
        self._leave_state(connection)
        loop = asyncio.get_running_loop()
        self._awaited[connection] = loop.time()
        if self._look is None:
            self._look = loop.call_later(self._patience_s / _LOOKS, self._look_around, loop)

    def serve(self, connection: Connection) -> None:
        """From now on it waits for us."""
        self._leave_state(connection)
        self._served.add(connection)

    def rest(self, connection: Connection) -> None:
        """From now on we wait for it to read what it was answered, and to ask again."""
        self._leave_state(connection)
        self._resting[connection] = (asyncio.get_running_loop().time(), connection.unread_bytes())

    def is_awaited(self, connection: Connection) -> bool:
        """True while its request is not wholly there."""
        return connection in self._awaited

    def leave(self, connection: Connection) -> None:
        """It has ended."""
        self._leave_state(connection)

    def make_room(self, newcomer: Connection) -> None:
        """Cut whoever has kept us waiting longest, while there are too many. Those that are served stay."""
        while len(self._awaited) + len(self._resting) + len(self._served) > self._limit:
            longest = next(iter(self._awaited), newcomer)
            victim = next(iter(self._resting), None) if longest is newcomer else longest
            if victim is None:
                return
            self._end(victim, "crowded_out")

    def _look_around(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - self._patience_s
        while self._awaited and next(iter(self._awaited.values())) <= before:
            self._end(next(iter(self._awaited)), "incomplete")
        while self._resting and next(iter(self._resting.values()))[0] <= before:
            self._look_at_reader(next(iter(self._resting)))
        if self._cut:
            log.info("connections cut", extra=dict(self._cut))
            self._cut.clear()
        is_empty = not (self._awaited or self._resting or self._served)
        self._look = None if is_empty else loop.call_later(self._patience_s / _LOOKS, self._look_around, loop)

    def _look_at_reader(self, connection: Connection) -> None:
        if 0 < connection.unread_bytes() <= self._resting[connection][1] - PROGRESS_BYTES:
            self.rest(connection)
        else:
            self._end(connection, "unread" if connection.unread_bytes() else "idle")

    def _end(self, connection: Connection, why: str) -> None:
        self._cut[why] += 1
        self._leave_state(connection)
        connection.cut()

    def _leave_state(self, connection: Connection) -> None:
        self._awaited.pop(connection, None)
        self._resting.pop(connection, None)
        self._served.discard(connection)


class PunctualProtocol(HttpToolsProtocol):
    """HTTP/1.1 for the connections of a crowd, which a subclass for one server names."""

    crowd: Crowd
    _is_in_head = True
    _head_bytes = 0
    _is_still_in_head = True
    """No head ended in the bytes that came last."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = PlainParser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for the first request."""
        super().connection_made(transport)
        self.crowd.expect(self)
        self.crowd.make_room(self)

    def data_received(self, data: bytes) -> None:
        """Reads on, unless it is a head without an end."""
        self._is_still_in_head = self._is_in_head
        super().data_received(data)
        if self._is_still_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self._refuse_head()

    def on_message_begin(self) -> None:
        """Waits for the rest of the request."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        self.crowd.expect(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header. One behind a body is none: the head was judged, and there may be any number of them."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begins to serve, if the head is no larger than heads are, and the peer has not too many waiting."""
        size_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size_bytes > HEAD_BYTES or len(self.headers) > HEADERS:
            self._refuse_head()
            raise ValueError("the head is too large")  # ends the parser, whatever comes behind
        if len(self.pipeline) >= PIPELINED:
            self.cut()
            raise ValueError("too many requests at once")
        if has_offer(self.parser):
            return
        self._is_in_head = self._is_still_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is there."""
        if self._is_in_head:
            return  # it comes again, without its offer
        super().on_message_complete()
        self._is_in_head, self._head_bytes = True, 0
        if self.cycle.response_complete or self.flow.write_paused:
            self.crowd.rest(self)
        else:
            self.crowd.serve(self)

    def on_response_complete(self) -> None:
        """The answer is written, as far as the peer reads it."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.crowd.is_awaited(self):
            self.crowd.rest(self)

    def pause_writing(self) -> None:
        """The peer does not read as fast as we write: it is not us who is waited for."""
        super().pause_writing()
        if not self.crowd.is_awaited(self):
            self.crowd.rest(self)

    def resume_writing(self) -> None:
        """The peer has read most of what there was."""
        super().resume_writing()
        if not (self.cycle.response_complete or self.crowd.is_awaited(self)):
            self.crowd.serve(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is no more."""
        self.crowd.leave(self)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Tells the peer that it makes no sense, unless it was told something better."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def unread_bytes(self) -> int:
        """How much of our answer is still here."""
        return self.transport.get_write_buffer_size()

    def cut(self) -> None:
        """End it now; what it has not read is lost."""
        # At once, not when the transport says so: a request that begins meanwhile must find the place free.
        self.connections.discard(self)
        self.transport.abort()

    def _refuse_head(self) -> None:
        self.transport.write(_TOO_LARGE)
        self.transport.close()

"""Puts notifications on disk, many with one wait for the disk.

A Redis with every write on disk waits for the disk once for all the commands that it found together. So what comes in
while earlier notifications are on their way goes out behind them, in one pipeline; nobody waits for company. Each
caller hears of its own entry, and only when Redis has answered for that.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from replicator.errors import LedgerUnavailable
from replicator.ledger.connect import unavailable
from replicator.ledger.inbox import STREAM

BATCH = 256
BATCH_BYTES = 8 * 1024 * 1024
"""More goes out in one pipeline only if it is a single notification."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    command: tuple[str | bytes, ...]
    size_bytes: int
    entry: asyncio.Future[str]


class Recorder:
    """The way of one process into the inbox; for one event loop."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def record(self, *, registry: str, content_type: str, body: bytes, trace: str | None) -> str:
        """Puts a notification on disk and returns its id. Raises LedgerUnavailable, and then it may be there or not.

        Whoever is cancelled before its turn leaves no entry.
        """
        fields = ("registry", registry, "content_type", content_type, "body", body, "trace", trace or "")
        loop = asyncio.get_running_loop()
        entry: asyncio.Future[str] = loop.create_future()
        self._waiting.append(_Waiting(("XADD", STREAM, "*", *fields), len(body), entry))
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        try:
            return await entry
        finally:
            # What it raises holds this frame, and so the body: in a circle they would stay until garbage is collected.
            del entry

    async def _write(self) -> None:
        try:
            while batch := self._next():
                await self._send(batch)
        finally:
            self._writing = None

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size_bytes = 0
        while self._waiting and len(batch) < BATCH:
            size_bytes += self._waiting[0].size_bytes
            if batch and size_bytes > BATCH_BYTES:
                break
            waiting = self._waiting.popleft()
            if not waiting.entry.done():
                batch.append(waiting)
        return batch

    async def _send(self, batch: list[_Waiting]) -> None:
        for waiting, answer in zip(batch, await self._answers(batch), strict=True):
            if waiting.entry.done():
                continue  # it gave up meanwhile
            if isinstance(answer, LedgerUnavailable):
                waiting.entry.set_exception(answer)
            else:
                waiting.entry.set_result(answer)

    async def _answers(self, batch: list[_Waiting]) -> list[str | LedgerUnavailable]:
        # What the library raises holds, by its traceback, frames with all these bodies. One of these that held it would
        # keep them until garbage is collected, which is seldom: while Redis is away, that would fill the memory.
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for waiting in batch:
                    pipe.execute_command(*waiting.command)
                answers: list[Any] = await pipe.execute(raise_on_error=False)
        except redis.exceptions.RedisError as exc:
            return [unavailable(exc) for _ in batch]
        return [
            unavailable(answer.with_traceback(None)) if isinstance(answer, Exception) else str(answer)
            for answer in answers
        ]

"""The inbox: notifications of registries as they came in, on disk before the sender hears 202.

It knows nothing of what a notification says. An entry leaves only by `Ledger.route` or `Inbox.bury`.
"""

import time
from dataclasses import dataclass
from typing import Any, Self

import redis

from replicator.ledger.connect import PREFIX, answering, raw
from replicator.ledger.scripts import Scripts

STREAM = f"{PREFIX}inbox"
GROUP = "router"
DEAD = f"{PREFIX}dead"
DEAD_BODY_LIMIT_BYTES = 64 * 1024
_IDLE_MS = 5000
_AUTOCLAIM_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Notification:
    """One authenticated request of a registry, not yet parsed. `received_at` is Redis time."""

    id: str
    registry: str
    content_type: str
    body: bytes
    received_at: float
    trace: str | None = None

    @classmethod
    def from_entry(cls, entry: str, fields: dict[str, str]) -> Self:
        """The notification in a stream entry; its id begins with the milliseconds at which Redis took it."""
        return cls(
            entry,
            fields.get("registry", ""),
            fields.get("content_type", ""),
            raw(fields.get("body", "")),
            int(entry.partition("-")[0]) / 1000,
            fields.get("trace") or None,
        )


class Inbox:
    """One router's view of the inbox. Not thread-safe: `consumer` names one reader."""

    def __init__(self, client: redis.Redis, consumer: str) -> None:
        self._redis = client
        self._consumer = consumer
        self._bury = Scripts(client).script("bury")
        self._autoclaim_at = 0.0

    def read(self, count: int = 100, block_s: float = 0.5) -> list[Notification]:
        """Up to `count` notifications: those that another router left for 5 s, else new ones, waited for `block_s`.

        Each stays ours to route or bury; what we do neither with comes again, here or at another router.
        """
        with answering():
            try:
                return self._abandoned(count) or self._new(count, block_s)
            except redis.exceptions.ResponseError as exc:
                # No group: a first start, or Redis lost its data. Decided by the error code, which opens the text.
                if not str(exc).startswith("NOGROUP"):
                    raise
                self._create_group()
                return []

    def bury(self, notification: Notification, reason: str) -> bool:
        """Moves a notification to the dead letters, its body cut to 64 KiB. False if it was settled before."""
        body = notification.body[:DEAD_BODY_LIMIT_BYTES]
        with answering():
            return bool(
                self._bury(
                    GROUP,
                    notification.id,
                    reason,
                    notification.registry,
                    notification.content_type,
                    body,
                    len(notification.body),
                    notification.trace or "",
                )
            )

    def length(self) -> int:
        """How many notifications are neither routed nor buried."""
        with answering():
            return int(self._redis.xlen(STREAM))

    def oldest_age_s(self) -> float:
        """For how long the oldest notification has been waiting; 0 if none is."""
        with answering(), self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.xrange(STREAM, count=1)
            (seconds, micros), entries = pipe.execute()
        if not entries:
            return 0.0
        now = float(seconds) + float(micros) / 1e6
        return max(0.0, now - int(entries[0][0].partition("-")[0]) / 1000)

    def _abandoned(self, count: int) -> list[Notification]:
        if time.monotonic() < self._autoclaim_at:
            return []
        self._autoclaim_at = time.monotonic() + _AUTOCLAIM_EVERY_S
        answer: Any = self._redis.xautoclaim(STREAM, GROUP, self._consumer, _IDLE_MS, count=count)
        found = [Notification.from_entry(entry, fields) for entry, fields in answer[1]]
        if found:
            self._autoclaim_at = 0.0
        return found

    def _new(self, count: int, block_s: float) -> list[Notification]:
        answer: Any = self._redis.xreadgroup(
            GROUP, self._consumer, {STREAM: ">"}, count=count, block=max(1, int(block_s * 1000))
        )
        streams = answer.items() if isinstance(answer, dict) else answer or ()
        return [Notification.from_entry(entry, fields) for _, entries in streams for entry, fields in entries]

    def _create_group(self) -> None:
        try:
            self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.exceptions.ResponseError as exc:
            if not str(exc).startswith("BUSYGROUP"):
                raise

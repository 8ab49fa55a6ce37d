"""How far uploads of large blobs got, and how each registry wants blobs to be sent.

A place is where an upload session was last seen to stand. It may hold state that the registry signed, never a
credential of ours; it is kept for some hours, belongs to nobody's log, and whoever brings the blob next asks the
registry whether it still stands so.
"""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import redis

from replicator.ledger.connect import PREFIX, answering
from replicator.oci import Digest, Repository

_PLACE_TTL_S = 6 * 3600
_HABIT_TTL_S = 24 * 3600
_CACHED_S = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the rest of a blob is to be sent, and how many bytes were there."""

    location: str = field(repr=False)
    offset: int


@dataclass(frozen=True, slots=True)
class Habit:
    """What was learned of a registry by sending: that it takes blobs in one request only, or what is too large for one.

    `body_limit_bytes` was taken, and more was refused.
    """

    is_whole_only: bool = False
    body_limit_bytes: int | None = None


class Uploads:
    """Shared by every worker. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._lock = threading.Lock()
        self._habits: dict[str, tuple[Habit, float]] = {}

    def kept(self, registry: str, repository: Repository, digest: Digest) -> Place | None:
        """Where an upload of the blob stood, if one broke off."""
        with answering():
            text = self._redis.get(_place(registry, repository, digest))
        if not text:
            return None
        found: dict[str, Any] = json.loads(str(text))
        return Place(str(found["location"]), int(found["offset"]))

    def keep(self, registry: str, repository: Repository, digest: Digest, place: Place) -> None:
        """Note where the upload stands now."""
        text = json.dumps({"location": place.location, "offset": place.offset})
        with answering():
            self._redis.set(_place(registry, repository, digest), text, ex=_PLACE_TTL_S)

    def forget(self, registry: str, repository: Repository, digest: Digest) -> None:
        """The upload is over."""
        with answering():
            self._redis.delete(_place(registry, repository, digest))

    def habit(self, registry: str) -> Habit:
        """What the fleet learned of the registry within the last day; asked for once a minute."""
        with self._lock:
            known, until = self._habits.get(registry, (None, 0.0))
        if known is not None and time.monotonic() < until:
            return known
        with answering():
            text = self._redis.get(_habit(registry))
        found: dict[str, Any] = json.loads(str(text)) if text else {}
        habit = Habit(bool(found.get("whole")), found.get("limit"))
        self._cache(registry, habit)
        return habit

    def learn(self, registry: str, habit: Habit) -> None:
        """Note how the registry wants blobs to be sent."""
        text = json.dumps({"whole": habit.is_whole_only, "limit": habit.body_limit_bytes})
        with answering():
            self._redis.set(_habit(registry), text, ex=_HABIT_TTL_S)
        self._cache(registry, habit)

    def _cache(self, registry: str, habit: Habit) -> None:
        with self._lock:
            self._habits[registry] = (habit, time.monotonic() + _CACHED_S)


def _place(registry: str, repository: Repository, digest: Digest) -> str:
    return f"{PREFIX}upload:{registry}|{repository}|{digest}"


def _habit(registry: str) -> str:
    return f"{PREFIX}habit:{registry}"

"""A gate that one worker of the whole fleet passes at a time: for a moment's work that two of them would undo.

It is held in Redis for a time that ends by itself, because a worker may die behind it. So who passed knows how long it
is surely alone, by its own monotonic clock and with a margin, and does nothing that counts after that.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from replicator.errors import NotYet
from replicator.ledger.connect import PREFIX, answering
from replicator.ledger.scripts import Scripts

HELD_S = 20.0
"""Longer than a few requests to a registry take, unless it hangs."""
PATIENCE_S = 2.0
"""For how long a worker stands before the gate, rather than to put its job back."""
_MARGIN = 0.2
_LOOK_S = 0.02


class Alone:
    """The time behind a gate that is surely ours."""

    def __init__(self, until: float) -> None:
        self._until = until

    def check(self) -> None:
        """Return while nobody else can be behind the gate; raise NotYet from then on."""
        if time.monotonic() > self._until:
            raise NotYet("it took too long to be alone in this; once more", retry_after=0.5)


class Gate:
    """The gates of the fleet. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._leave = Scripts(client).script("leave_gate")

    @contextmanager
    def passing(self, name: str) -> Iterator[Alone]:
        """Be alone behind the gate of that name. Raises NotYet if others are at it for longer than a moment."""
        key, token = f"{PREFIX}gate:{name}", secrets.token_hex(8)
        alone = self._enter(key, token)
        try:
            yield alone
        finally:
            with answering():
                self._leave(key, token)

    def _enter(self, key: str, token: str) -> Alone:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            asked = time.monotonic()
            with answering():
                is_ours = self._redis.set(key, token, nx=True, px=int(HELD_S * 1000))
            if is_ours:
                return Alone(asked + HELD_S * (1 - _MARGIN))
            if asked > deadline:
                raise NotYet("others are at the same list; once more", retry_after=0.5)
            time.sleep(_LOOK_S)

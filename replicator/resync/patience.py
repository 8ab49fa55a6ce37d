"""Reading registries in a comparison: a hiccup among a hundred thousand requests must not end it.

A registry that does not answer at all is asked no more in this comparison: whatever else it would have to say is
unknown, and no other waits for it.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from replicator.errors import RateLimited, TemporaryError, Unavailable

T = TypeVar("T")

PAUSES_S = (0.2, 1.0, 3.0)
"""How long we wait before each further try."""
LONGEST_WAIT_S = 60.0
"""The longest wait that a registry may ask for."""


class Patience:
    """Remembers which registries do not answer. Safe for several threads."""

    def __init__(self, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._lost: dict[str, Unavailable] = {}

    def read(self, registry: str, ask: Callable[[], T]) -> T:
        """What `ask` gives, tried up to four times. Raises what it raises last; Unavailable at once for a registry
        that did not answer before.
        """
        for pause_s in PAUSES_S:
            if lost := self._lost.get(registry):
                raise Unavailable(str(lost), registry=registry)
            try:
                return ask()
            except TemporaryError as exc:
                asked_s = exc.wait_s if isinstance(exc, RateLimited) else exc.retry_after or 0.0
                self._sleep(min(max(pause_s, asked_s), LONGEST_WAIT_S))
        try:
            return ask()
        except Unavailable as exc:
            self._lost[registry] = exc
            raise

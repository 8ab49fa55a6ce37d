"""Places for requests that may run at once at a registry, leased from the ledger one by one, first come, first served.

A process renews all that it holds every few seconds, in a thread; the slots of one that was killed are free again when
their leases end.

Who copies holds a slot of the source while it asks for one of the destination, and may meet somebody who holds them the
other way round. So who holds one waits for another only for a moment, and then gives up both. Within one registry such
a pair would wait for itself: there, what a thread asks for while its first request goes on needs no slot of its own.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from replicator.errors import LedgerUnavailable, NotYet
from replicator.ledger.connect import answering
from replicator.ledger.scripts import Scripts
from replicator.limits import look_again_s

LEASE_S = 15.0
PATIENCE_S = 30.0
NESTED_PATIENCE_S = 5.0

_thread = threading.local()


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A place that is leased, and the list of those of its thread."""

    registry: str
    name: str
    held: list["Slot"]


class Slots:
    """The slots of one registry. Thread-safe; raises LedgerUnavailable if Redis does not serve."""

    def __init__(
        self,
        client: redis.Redis,
        registry: str,
        *,
        lease_s: float = LEASE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        scripts = Scripts(client)
        self._take = scripts.script("take_slot")
        self._free = scripts.script("free_slot")
        self._renew = scripts.script("renew_slots")
        self._registry = registry
        self._lease_s = lease_s
        self._sleep = sleep
        self._lock = threading.Lock()
        self._leased: set[str] = set()
        self._keeper: threading.Thread | None = None

    def take(self, most: Callable[[], int]) -> Slot | None:
        """A slot, once fewer than `most` are leased; None where this thread needs none. Raises NotYet when that takes
        too long, and what `most` raises, which is asked again and again.
        """
        held: list[Slot] = _thread.__dict__.setdefault("held", [])
        if any(slot.registry == self._registry for slot in held):
            return None
        slot = Slot(self._registry, secrets.token_hex(8), held)
        self._wait(slot.name, most, NESTED_PATIENCE_S if held else PATIENCE_S)
        held.append(slot)
        with self._lock:
            self._leased.add(slot.name)
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(
                    target=self._keep, name=f"slots-{self._registry}", daemon=True
                )
                self._keeper.start()
        return slot

    def free(self, slot: Slot) -> None:
        """Gives the slot back. Never fails: where Redis does not serve, the lease runs out."""
        slot.held.remove(slot)
        with self._lock:
            self._leased.discard(slot.name)
        self._leave(slot.name, "")

    def _wait(self, name: str, most: Callable[[], int], patience_s: float) -> None:
        ticket, deadline = "", time.monotonic() + patience_s
        try:
            while time.monotonic() < deadline:
                with answering():
                    place, ticket = self._take(self._registry, name, ticket, most(), self._lease_s)
                if place < 0:
                    return
                self._sleep(look_again_s(place))
        except BaseException:
            self._leave(name, ticket)
            raise
        self._leave(name, ticket)
        raise NotYet(
            f"{self._registry}: no request ended within {patience_s:.0f} s to make room for another",
            retry_after=1.0,
        )

    def _leave(self, name: str, ticket: str) -> None:
        try:
            with answering():
                self._free(self._registry, name, ticket)
        except LedgerUnavailable:
            return  # the lease runs out, and who shows no ticket leaves the line

    def _keep(self) -> None:
        while True:
            time.sleep(self._lease_s / 3)
            with self._lock:
                leased = sorted(self._leased)
                if not leased:
                    self._keeper = None
                    return
            try:
                with answering():
                    self._renew(self._registry, self._lease_s, *leased)
            except LedgerUnavailable:
                continue

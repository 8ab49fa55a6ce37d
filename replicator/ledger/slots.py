"""Places for requests that may run at once at a registry, leased from the ledger one by one, first come, first served.

A process renews all that it holds every few seconds, in a thread; the slots of one that was killed are free again when
their leases end.

Who copies holds a slot of the source while it waits for one of the destination, and may meet somebody who holds them
the other way round. Then the one that came later waits for a moment only, and gives up both. Within one registry such a
pair would wait for itself: there, what a thread asks for while its first request goes on needs no slot of its own.
"""

import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import redis

from replicator.errors import LedgerUnavailable, NotYet
from replicator.ledger.connect import answering
from replicator.ledger.keeper import Keeper
from replicator.ledger.scripts import Scripts
from replicator.limits import look_again_s

LEASE_S = 15.0
PATIENCE_S = 60.0
CROSSED_PATIENCE_S = 2.0
"""How long who came later waits for somebody who may be waiting for it. A circle of more than two ends by the other."""

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
        self._keeper = Keeper(
            f"slots-{registry}",
            lease_s / 3,
            lock=self._lock,
            held=lambda: tuple(self._leased),
            renew=self._keep,
        )

    def take(self, most: Callable[[], int]) -> Slot | None:
        """A slot, once fewer than `most` are leased; None where this thread needs none. Raises NotYet when that takes
        too long, and what `most` raises, which is asked again and again.
        """
        held: list[Slot] = _thread.__dict__.setdefault("held", [])
        if any(slot.registry == self._registry for slot in held):
            return None
        slot = Slot(self._registry, secrets.token_hex(8), held)
        self._wait(slot, most)
        held.append(slot)
        with self._lock:
            self._leased.add(slot.name)
            self._keeper.begin()
        return slot

    def free(self, slot: Slot) -> None:
        """Gives the slot back. Never fails: where Redis does not serve, the lease runs out."""
        slot.held.remove(slot)
        with self._lock:
            self._leased.discard(slot.name)
        self._leave(slot.name, "")

    def _wait(self, slot: Slot, most: Callable[[], int]) -> None:
        ticket, deadline = "", time.monotonic() + PATIENCE_S
        elsewhere = [other.registry for other in slot.held]
        try:
            while (now := time.monotonic()) < deadline:
                with answering():
                    place, ticket, is_crossed = self._take(
                        self._registry, slot.name, ticket, most(), self._lease_s, *elsewhere
                    )
                if place < 0:
                    return
                if is_crossed:
                    deadline = min(deadline, now + CROSSED_PATIENCE_S)
                self._sleep(look_again_s(place))
        except BaseException:
            self._leave(slot.name, ticket)
            raise
        self._leave(slot.name, ticket)
        raise NotYet(f"{self._registry}: gets as many requests at once as it bears", retry_after=1.0)

    def _leave(self, name: str, ticket: str) -> None:
        try:
            with answering():
                self._free(self._registry, name, ticket)
        except LedgerUnavailable:
            return  # the lease runs out, and who shows no ticket leaves the line

    def _keep(self, held: Collection[str]) -> None:
        # Nobody gives a slot back meanwhile: it would be taken again.
        with self._lock, answering():
            self._renew(self._registry, self._lease_s, *self._leased.intersection(held))

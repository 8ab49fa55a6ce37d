"""Workers that make a request only when they are told to, on a real ledger, between registries in memory.

So a test says how the requests of several workers interleave, and at which of their effects, on a registry or on the
ledger, one of them dies. Time passes when it is told to, too: leases do not run out by themselves.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis

from replicator.errors import LedgerUnavailable
from replicator.jobs import Job
from replicator.ledger import Claim, Ledger
from replicator.registry import RegistryClient
from replicator.rules import RuleSet
from replicator.transfer import Leases, Tools, bring_in_line
from replicator.transfer.lease import Lease
from tests.integration.transfer.world import Killed, Watched

COMES_WITHIN_S = 8.0


class Fate(Enum):
    """What becomes of a request."""

    PASS = auto()
    LOSE = auto()
    """It takes effect, and the connection breaks before its answer."""
    DELAY = auto()
    """The connection breaks, and it takes effect later."""
    DIE = auto()
    """The worker dies before it is sent."""
    DIE_SENDING = auto()
    """The worker dies when it is sent; it takes effect later."""
    STOP = auto()
    """The worker is told to stop while it waits for the answer; the request takes effect later."""


LATE = frozenset({Fate.DELAY, Fate.DIE_SENDING, Fate.STOP})


@dataclass
class _Ticket:
    """A request that waits for its fate."""

    text: str
    fate: Fate | None = None


class Worker:
    """A worker that tries one job, step by step. `late` gets what is to take effect later."""

    def __init__(
        self,
        job: Job,
        *,
        redis_url: str,
        rules: RuleSet,
        registries: dict[str, Watched],
        late: list[Callable[[], object]],
    ) -> None:
        self.job = job
        self.is_dead = False
        self.fuse: int | None = None
        """After so many more round trips to the ledger it dies."""
        self.refused: int | None = None
        """After so many more round trips to the ledger one is refused."""
        self._late = late
        self._waiting: list[_Ticket] = []
        self._turn = threading.Condition()
        self._is_done = False
        self._clients = {
            name: RegistryClient(rules.registries[name], transport=_Paced(self, registry))
            for name, registry in registries.items()
        }
        pool = redis.ConnectionPool(
            connection_class=_Mortal, path=urlsplit(redis_url).path, worker=self, decode_responses=True
        )
        self._ledger = Ledger(redis.Redis(connection_pool=pool))
        self._leases = _Known(self._ledger)
        tools = Tools(self._ledger, lambda: rules, self._clients.__getitem__, self._leases)
        self._thread = threading.Thread(target=self._work, args=(tools,), daemon=True)
        self._thread.start()
        self._await()

    # What a test does

    @property
    def is_done(self) -> bool:
        """Whether it has ended, one way or another."""
        return self._is_done

    @property
    def wants(self) -> str:
        """The request that it would make next."""
        return self._waiting[0].text if self._waiting else ""

    def step(self, fate: Fate = Fate.PASS) -> None:
        """Its next request meets its fate, and the worker goes on to the one after."""
        with self._turn:
            if self._is_done:
                return
            ticket = self._waiting.pop(0)
            ticket.fate = fate
            self._turn.notify_all()
        self._await()

    def finish(self) -> None:
        """All that it still wants comes to pass."""
        while not self._is_done:
            self.step()

    def lose_lease(self) -> None:
        """It was frozen for so long that its lease is over, and it knows as soon as it asks its clock."""
        for lease in self._leases.given:
            lease.end()

    def close(self) -> None:
        """Close its connections."""
        self._thread.join(COMES_WITHIN_S)
        for client in self._clients.values():
            client.close()
        self._ledger.close()

    def _await(self) -> None:
        with self._turn:
            came = self._turn.wait_for(lambda: self._waiting or self._is_done, COMES_WITHIN_S)
            assert came, "the worker makes no request and does not end"

    # What happens to it

    def arrive(self, text: str, effect: Callable[[], httpx.Response]) -> httpx.Response:
        """A request comes to the door, and waits for its fate."""
        if self.is_dead:
            raise Killed
        ticket = _Ticket(text)
        with self._turn:
            self._waiting.append(ticket)
            self._turn.notify_all()
            self._turn.wait_for(lambda: ticket.fate)
        fate = ticket.fate
        if fate in LATE:
            self._late.append(effect)
        if fate in {Fate.DIE, Fate.DIE_SENDING}:
            self.die()
        if fate is Fate.STOP:
            raise SystemExit
        if fate is Fate.DELAY:
            raise httpx.ReadError("the connection broke")
        response = effect()
        if fate is Fate.LOSE:
            raise httpx.ReadError("the connection broke")
        return response

    def before_a_trip(self) -> None:
        """A round trip to the ledger is about to begin."""
        if threading.current_thread() is not self._thread and self.is_dead:
            # What renews leases and flights in the background has to end without a word.
            raise redis.exceptions.ConnectionError("its process is dead")
        if self.is_dead:
            raise Killed
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.die()
        if self.refused is not None:
            self.refused -= 1
            if self.refused < 0:
                self.refused = None
                raise redis.exceptions.ResponseError("the ledger does not answer just now")

    def die(self) -> None:
        """From now on nothing of it reaches anybody."""
        self.is_dead = True
        raise Killed

    def _work(self, tools: Tools) -> None:
        try:
            bring_in_line(self.job.id, tools)
        except (Killed, SystemExit, LedgerUnavailable):
            pass
        finally:
            with self._turn:
                self._is_done = True
                self._turn.notify_all()


class _Known(Leases):
    """Leases that a test can take away."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, lease_s=ledger.lease_s)
        self.given: list[Lease] = []

    def hold(self, claim: Claim, since: float) -> Lease:
        lease = super().hold(claim, since)
        self.given.append(lease)
        return lease


class _Paced(httpx.BaseTransport):
    """A transport whose requests wait for their fates."""

    def __init__(self, worker: Worker, registry: Watched) -> None:
        self._worker = worker
        self._inner = registry.transport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        text = f"{request.method} {request.url.path}"
        return self._worker.arrive(text, lambda: self._inner.handle_request(request))


class _Mortal(redis.UnixDomainSocketConnection):
    """A connection to the ledger that knows whose it is."""

    def __init__(self, *args: Any, worker: Worker, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._worker = worker

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self._worker.before_a_trip()
        super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]

"""Bringing the blobs of a plan: each once for the whole fleet, small ones in this thread, large ones side by side.

    is there  ─▶ nothing to do
    seen in another repository  ─▶ mounted
    another job of this process mounts it into this repository  ─▶ wait for that, after the job's other blobs
    nobody saw it  ─▶ ours to bring, or on its way: then the job's other blobs come first, and it is mounted afterwards

A job brings everything that it took on itself, and says so, before it waits for anybody: no two wait for each other.
It waits for some seconds, with its lease in view, and then goes back to the queue: a worker that waits for a
large blob would be missed elsewhere. A leader that fails gives up its flights, one that dies loses them within two
seconds, and whoever asks first afterwards leads.
"""

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field, replace

from replicator.errors import NotYet
from replicator.ledger import Boarding
from replicator.oci import Digest, Repository
from replicator.plan import CopyBlob
from replicator.telemetry import tracer
from replicator.transfer.lease import Lease
from replicator.transfer.moved import Moved
from replicator.transfer.route import Route
from replicator.transfer.sending import Sender

BLOBS_AT_ONCE = 4
LARGE_BYTES = 1024 * 1024
"""From this size on a blob is copied by a thread of its own, and the fleet hears of it as soon as it is there; smaller
ones together, when the last of them is: each telling costs Redis a write to its disk."""
SLOW_S = 0.03
"""Where a small blob takes longer than this, the way is long, and the others are brought side by side as well."""
WAIT_S = 5.0
"""How long a job waits for blobs that others bring before it goes back to the queue."""
_LOOKS_S = (0.01, 0.02, 0.04, 0.08)


def new_hands() -> ThreadPoolExecutor:
    """Threads that copy blobs side by side. They are started when first needed, and kept: a job takes milliseconds."""
    return ThreadPoolExecutor(BLOBS_AT_ONCE, thread_name_prefix="blob")


@dataclass
class Porter:
    """Brings blobs of one job. It checks the lease before every write that counts."""

    route: Route
    lease: Lease
    hands: ThreadPoolExecutor
    moved: Moved
    _flown: set[Digest] = field(default_factory=set)
    _claimed: set[Digest] = field(default_factory=set)
    _landed: list[Digest] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bring(self, steps: Sequence[CopyBlob]) -> None:
        """Afterwards the destination holds all of these blobs. Raises NotYet while others are still at some of them."""
        open_steps = [step for step in steps if not step.is_there]
        self.moved.present += len(steps) - len(open_steps)
        wanted = [step.blob.digest for step in open_steps if step.mount_from is not None]
        try:
            mine = self._claim(wanted)
            brought = self._brought(mine)
            self.moved.present += len(brought)
            open_steps = [step for step in open_steps if step.blob.digest not in brought]
            unseen = [
                step.blob.digest
                for step in open_steps
                if step.mount_from == self.route.target and step.blob.digest in mine
            ]
            boarding = self._board(unseen)
            others = (frozenset(wanted) - mine) | (frozenset(unseen) - boarding.ours - boarding.landed.keys())
            ready = [step for step in open_steps if step.blob.digest not in others]
            self._copy([_from(step, boarding.landed) for step in ready])
            self._follow([step for step in open_steps if step.blob.digest in others])
        finally:
            self.route.fleet.flights.unclaim(self.route.job.destination, self.route.target, self._claimed)
            self.route.fleet.flights.give_up(self.route.job.destination, self._flown)

    def send_again(self, steps: Sequence[CopyBlob]) -> None:
        """Send every one of these blobs, whatever anybody believes to be there."""
        for step in steps:
            self.route.fleet.misremembered(self.route.job.destination, step.blob.digest)
            self.moved.add(self._sender.bring(step.blob, mount_from=None))
            self._note(step.blob.digest)
        self._tell()

    @property
    def _sender(self) -> Sender:
        return Sender(self.route, self.lease)

    def _board(self, digests: Collection[Digest]) -> Boarding:
        route = self.route
        boarding = route.fleet.flights.board(route.job.destination, route.target, digests)
        self._flown |= boarding.ours
        return boarding

    def _claim(self, digests: Collection[Digest]) -> frozenset[Digest]:
        """Those that no other thread of this process brings to the same repository."""
        route, wanted = self.route, frozenset(digests)
        self._claimed |= route.fleet.flights.claim(
            route.job.destination, route.target, wanted - self._claimed
        )
        return wanted & self._claimed

    def _brought(self, digests: Collection[Digest]) -> frozenset[Digest]:
        """Those that another job of this process brought since this one began: its plan does not know of them yet."""
        route, since = self.route, self.lease.since
        return route.fleet.flights.brought(route.job.destination, route.target, digests, since=since)

    def _follow(self, steps: list[CopyBlob]) -> None:
        """Take what others bring when it is there, and what they gave up ourselves."""
        until, looks = time.monotonic() + WAIT_S, iter(_LOOKS_S)
        while steps:
            self.lease.check()
            boarding = self._board(self._claim([step.blob.digest for step in steps]))
            ready = [step for step in steps if step.blob.digest in boarding.ours | boarding.landed.keys()]
            # What landed in this very repository a moment ago needs no request at all.
            self._copy([_from(step, boarding.landed, target=self.route.target) for step in ready])
            steps = [step for step in steps if step not in ready]
            if steps and time.monotonic() > until:
                raise NotYet(
                    f"{self.route}: another job still brings {steps[0].blob.digest} there", retry_after=1.0
                )
            if steps and not ready:
                self.route.fleet.flights.wait(next(looks, _LOOKS_S[-1]))

    def _copy(self, steps: Sequence[CopyBlob]) -> None:
        small = [step for step in steps if step.blob.size_bytes < LARGE_BYTES]
        large = [step for step in steps if step.blob.size_bytes >= LARGE_BYTES]
        left = self._by_own_hand(small)
        self._tell()
        self._side_by_side([*left, *large])
        self._tell()

    def _by_own_hand(self, steps: Sequence[CopyBlob]) -> Sequence[CopyBlob]:
        """Bring blobs one after another; those that are left where that takes long."""
        for done, step in enumerate(steps, start=1):
            began = time.monotonic()
            self.moved.add(self._one(step))
            if time.monotonic() - began > SLOW_S:
                return steps[done:]
        return ()

    def _side_by_side(self, steps: Sequence[CopyBlob]) -> None:
        if len(steps) < 2:
            for step in steps:
                self.moved.add(self._one(step))
            return
        # Each thread needs a context of its own, or its spans would not belong to the job's trace.
        running = [self.hands.submit(copy_context().run, self._one, step) for step in steps]
        try:
            for future in running:
                self.moved.add(future.result())
        finally:
            for future in running:
                future.cancel()
            wait(running)

    def _one(self, step: CopyBlob) -> Moved:
        if step.is_there:
            return Moved(present=1)
        self.lease.check()
        with tracer.start_as_current_span(
            "replicator.blob", attributes={"oci.digest": step.blob.digest}
        ) as span:
            moved = self._sender.bring(step.blob, mount_from=step.mount_from)
            span.set_attributes(moved.as_log)
        self._note(step.blob.digest)
        if step.blob.size_bytes >= LARGE_BYTES:
            self._tell()
        return moved

    def _note(self, digest: Digest) -> None:
        with self._lock:
            self._landed.append(digest)

    def _tell(self) -> None:
        """The fleet hears of everything that landed since it did last."""
        with self._lock:
            landed, self._landed = self._landed, []
        if not landed:
            return
        self.route.fleet.flights.land(self.route.job.destination, self.route.target, landed)
        self.route.fleet.flights.unclaim(self.route.job.destination, self.route.target, landed)
        with self._lock:
            self._flown.difference_update(landed)
            self._claimed.difference_update(landed)


def _from(
    step: CopyBlob, landed: Mapping[Digest, Repository], *, target: Repository | None = None
) -> CopyBlob:
    where = landed.get(step.blob.digest)
    return replace(step, mount_from=where, is_there=where == target) if where else step

"""Verification: what a destination should hold is compared, and then proved, manifest by manifest and blob by blob.

A plan believes that a tag with the right digest is right. Verification asks for everything below it, too.
"""

import random
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from replicator.drift import LACKS_PLATFORMS, Difference, Kind, Twins
from replicator.errors import ReplicatorError
from replicator.oci import Digest
from replicator.resync.flow import Later, flow
from replicator.resync.survey import THREADS, Survey
from replicator.resync.sweep import Request
from replicator.resync.tools import Tools, Trouble, trouble
from replicator.resync.weigh import Scales
from replicator.rules import Signatures
from replicator.transfer.defects import Proof
from replicator.transfer.proof import Origin, Prover
from replicator.transfer.selection import Selection

PROVERS_KEPT = 64
"""How many repositories' proofs are remembered: enough for all that are being worked on."""
_DEFECTS = {
    Kind.ADD: "is absent",
    Kind.UPDATE: "holds another digest than the source",
    Kind.DELETE: "is still there, though the source no longer has it",
    Kind.BLOCKED: "waits for a person's decision",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """One reference with its proof; None where it was not in line, or not in the sample."""

    difference: Difference
    proof: Proof | None = None

    @property
    def defects(self) -> tuple[str, ...]:
        """What is wrong, a sentence each."""
        if self.proof:
            return tuple(defect.sentence for defect in self.proof.defects)
        if not self.difference.is_drift:
            return ()
        detail = f": {self.difference.detail}" if self.difference.detail else ""
        said = LACKS_PLATFORMS if self.difference.is_part else f"{_DEFECTS[self.difference.kind]}{detail}"
        return (f"{self.difference.destination_name} {said}",)


@dataclass
class Verification:
    """Checks everything in `request`. With `deep` every blob is read and hashed; `sample` is the share of the
    references in line whose content is looked at. Safe for several threads.
    """

    tools: Tools
    request: Request
    deep: bool = False
    sample: float = 1.0
    _provers: OrderedDict[tuple[object, ...], Prover] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> Iterator[Checked | Trouble]:
        """Every reference, in no order; a Trouble for what cannot be read, while the rest goes on."""
        request = self.request
        return Survey(self.tools, request.scope, self._examine, prune=request.prune).run()

    def again(self, checked: list[Checked]) -> Iterator[Checked | Trouble]:
        """The same references once more, as they are now."""
        self._provers.clear()
        steps: list[Later[Checked | Trouble]] = [
            Later(partial(self._proved, item.difference)) for item in checked
        ]
        return flow(steps, threads=THREADS)

    def _examine(self, difference: Difference) -> Checked | Later[Checked | Trouble]:
        if difference.kind is Kind.IN_SYNC and random.random() < self.sample:
            return Later(partial(self._proved, difference))
        if self._scales.reads(difference):
            return Later(partial(self._judged, difference))
        return Checked(difference)

    @property
    def _scales(self) -> Scales:
        return Scales(self.tools, self.request.since, weighs=False)

    def _judged(self, difference: Difference) -> Iterator[Checked | Trouble]:
        for item in self._scales.examined(difference):
            yield Checked(item) if isinstance(item, Difference) else item

    def _proved(self, difference: Difference) -> Iterator[Checked | Trouble]:
        twins, expected = difference.twins, self._expected(difference)
        if expected is None:
            yield Checked(difference)
            return
        try:
            prover = self._prover(twins)
            read = partial(prover.prove, difference.reference, expected)
            yield Checked(difference, self.tools.patience.read(twins.destination, read))
        except ReplicatorError as exc:
            yield trouble(exc, [twins])

    def _expected(self, difference: Difference) -> Digest | None:
        """What the destination should hold by now: what the source has, or the index that was rebuilt of that."""
        twins, wanted = difference.twins, difference.wanted
        if difference.kind is Kind.IN_SYNC:
            return difference.found
        if not twins.rule.platforms_rewrite:
            return wanted
        copied = self.tools.ledger.fleet.copied(twins.destination, twins.target, difference.reference)
        return (copied and copied.written.rebuilt_of(wanted, twins.rule.platforms)) or wanted

    def _prover(self, twins: Twins) -> Prover:
        source, follows = twins.rule.source, twins.rule.signatures is not Signatures.IGNORE
        platforms = twins.rule.platforms
        key = (twins.destination, twins.target, source, twins.repository, follows, platforms)
        client = self.tools.client(source)
        origin = Origin(client, twins.repository) if follows else None
        selection = Selection(client, twins.repository, platforms)
        with self._lock:
            prover = self._provers.pop(key, None) or Prover(
                self.tools.client(twins.destination), twins.target, origin, self.deep, selection=selection
            )
            self._provers[key] = prover
            if len(self._provers) > PROVERS_KEPT:
                self._provers.popitem(last=False)
        return prover

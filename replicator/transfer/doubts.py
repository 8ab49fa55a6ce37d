"""What is done for a job that must not trust how right its destination looks: a repair, or a promotion once more.

Everything is asked of the destination itself; what is missing or damaged is sent anew, and then everything is
proved. CNCF Distribution keeps the bytes that it has under a digest, damaged or not, when these are sent once more; it
believes its memory that a file is there which is gone; and it answers 500 where a manifest's file is no JSON any more.
There only a person can help, who has to be told.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from replicator.errors import Corrupt, NotYet, RateLimited, TemporaryError, Unavailable
from replicator.oci import Digest, Reference, Tag
from replicator.plan import Plan
from replicator.rules import Signatures
from replicator.transfer.defects import Defect, DefectKind
from replicator.transfer.gather import signed_by_others
from replicator.transfer.proof import Origin, Prover
from replicator.transfer.route import Route
from replicator.transfer.selection import Selection

# What somebody else may just have changed. The rest has no business to be wrong after it was written.
_PASSING = frozenset({DefectKind.WRONG_DIGEST, DefectKind.WRONG_SIGNATURE, DefectKind.UNLISTED_REFERRER})

_ADVICE = "remove its data from that registry's storage, restart the registry if it caches, then repair again"


@dataclass(frozen=True, slots=True)
class Doubts:
    """The doubts of one pass. What was proved before the writing is not read again after it."""

    route: Route
    prover: Prover

    @classmethod
    def of(cls, route: Route) -> "Doubts":
        """Doubts in everything that the route's destination holds; those of a repair go to every byte."""
        origin = None
        if route.rule.signatures is not Signatures.IGNORE:
            origin = Origin(route.source, route.repository)
        selection = Selection.of(route)
        deep = route.claim.is_repair
        return cls(route, Prover(route.destination, route.target, origin, deep=deep, selection=selection))

    def are_unfounded(self, reference: Reference, digest: Digest) -> bool:
        """Whether the destination holds `digest` under `reference`, and nothing of it is missing or damaged."""
        return not self._defects(reference, digest)

    def without_what_is_there(self, plan: Plan) -> Plan:
        """The plan, with those blobs alone that are missing or damaged. A repair trusts no mount: it sends them."""
        with open_eyes():
            blobs = tuple(
                replace(step, is_there=False)
                for step in plan.blobs
                if self.prover.defect_of(step.blob, self.route.end)
            )
        if self.route.claim.is_repair:
            blobs = tuple(replace(step, mount_from=None) for step in blobs)
        return replace(plan, blobs=blobs)

    def settle(self, reference: Reference, digest: Digest) -> None:
        """Return if all is right now. Raises Corrupt if the registry keeps what is damaged, and says what to do."""
        defects = self._defects(reference, digest)
        lasting = [defect for defect in defects if defect.kind not in _PASSING]
        if lasting:
            more = f" (and {len(lasting) - 1} more)" if len(lasting) > 1 else ""
            # The advice first: what is long may be cut off at its end.
            raise Corrupt(f"sent again in vain; {_ADVICE}: {lasting[0].sentence}{more}")
        if defects:
            raise TemporaryError(f"{defects[0].sentence}, just after it was repaired")

    def _defects(self, reference: Reference, digest: Digest) -> list[Defect]:
        with open_eyes():
            defects = self.prover.prove(reference, digest).defects
            return [defect for defect in defects if not self._is_accepted(defect)]

    def _is_accepted(self, defect: Defect) -> bool:
        return (
            self.route.is_promotion
            and defect.kind is DefectKind.WRONG_SIGNATURE
            and isinstance(defect.reference, Tag)
            and signed_by_others(self.route, defect.reference)
        )


@contextmanager
def open_eyes() -> Iterator[None]:
    """A registry that cannot serve what is asked for, though it answers, is taken to have damaged it: Corrupt.

    Such an error is tried once more before anybody is called, because tags that are being moved answer so as well.
    """
    try:
        yield
    except (NotYet, RateLimited, Unavailable):
        raise
    except TemporaryError as exc:
        raise Corrupt(f"if this stays so, {_ADVICE}: {exc}") from exc

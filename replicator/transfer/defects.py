"""What a proof says: how much was looked at, and what is wrong with the copy."""

from dataclasses import dataclass
from enum import StrEnum

from replicator.oci import Digest, Reference


class DefectKind(StrEnum):
    """What can be wrong with a copy."""

    ABSENT = "absent"
    """The reference itself."""
    WRONG_DIGEST = "wrong digest"
    """The tag holds something else."""
    MISSING_CHILD = "missing child"
    MISSING_BLOB = "missing blob"
    WRONG_SIZE = "wrong size"
    CORRUPT = "corrupt bytes"
    MISSING_SIGNATURE = "missing signature"
    """A cosign companion or a referrer that the source has."""
    WRONG_SIGNATURE = "wrong signature"
    """A companion tag that holds something else than at the source."""
    UNLISTED_REFERRER = "unlisted referrer"
    """A referrer that is there, and that nobody would find."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong: `digest` is what should be there under `reference`, `sentence` says it in full."""

    kind: DefectKind
    digest: Digest
    sentence: str
    reference: Reference


@dataclass(frozen=True, slots=True)
class Proof:
    """What was looked at, and what was wrong with it.

    The counts are of what was asked for now, so that proofs which share `seen` add up. `size_bytes` is what these
    manifests and blobs hold, `signatures` counts companions and referrers.
    """

    manifests: int
    blobs: int
    size_bytes: int
    signatures: int
    defects: tuple[Defect, ...] = ()

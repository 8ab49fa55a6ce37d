"""How a job ended, as a value."""

from dataclasses import dataclass

from replicator.jobs import Outcome
from replicator.oci import Digest


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome, the digest it is about, and a phrase for people where the outcome alone does not tell why.

    `is_settled` False says that the source still contradicted a fresh event: it is worth another look later.
    `previous` is what the reference held before a promotion.
    """

    outcome: Outcome
    digest: Digest | None = None
    detail: str = ""
    is_settled: bool = True
    previous: Digest | None = None

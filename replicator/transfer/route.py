"""The way that one job takes: its rule, the two registries, and what the reference is called at either end."""

from dataclasses import dataclass

from replicator.jobs import Job
from replicator.ledger import Availability, Claim, Fleet
from replicator.oci import Reference, Repository
from replicator.registry import RegistryClient
from replicator.rules import PROMOTION, Rule
from replicator.verdict import place


@dataclass(frozen=True, slots=True)
class Route:
    """Everything that stays the same while a job runs.

    It leads from `reference` of `repository` at the source to `landing` in the repository `target` at the destination.
    `silent` are those of its registries that did not answer somebody before it began.
    """

    claim: Claim
    rule: Rule
    source: RegistryClient
    destination: RegistryClient
    fleet: Fleet
    availability: Availability
    repository: Repository
    reference: Reference
    target: Repository
    landing: Reference
    silent: frozenset[str] = frozenset()

    def answered(self, registry: str) -> None:
        """Note that a registry answered, where the fleet believes that it does not."""
        if registry in self.silent:
            self.availability.mark_up(registry)

    @property
    def job(self) -> Job:
        """What is to be brought in line."""
        return self.claim.job

    @property
    def is_promotion(self) -> bool:
        """Whether a person asked for this very content, and no rule."""
        return self.job.rule == PROMOTION

    @property
    def start(self) -> str:
        """The reference at the source as text, for provenance."""
        return place(self.rule.source, self.repository, self.reference)

    @property
    def end(self) -> str:
        """The reference at the destination as text, for provenance and for its lock."""
        return place(self.job.destination, self.target, self.landing)

    def __str__(self) -> str:
        return f"{self.start} -> {self.end}"

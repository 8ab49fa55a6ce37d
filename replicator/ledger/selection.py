"""Which jobs a person means."""

from dataclasses import dataclass

from replicator.jobs import Job
from replicator.rules import check_asked_glob, glob_match


@dataclass(frozen=True, slots=True)
class Selection:
    """What is None leaves everything in. `repository` is a pattern, as in a rule, for the name at the source.

    Raises ValueError for a pattern that does not compile or is too long.
    """

    rules: frozenset[str] | None = None
    destination: str | None = None
    repository: str | None = None

    def __post_init__(self) -> None:
        if self.repository is not None:
            check_asked_glob(self.repository)

    def takes_lane(self, rule: str, destination: str) -> bool:
        """Whether jobs of this rule and destination are meant, as far as that tells."""
        return (self.rules is None or rule in self.rules) and self.destination in (None, destination)

    def takes(self, job: Job) -> bool:
        """Whether the job is meant."""
        return self.takes_lane(job.rule, job.destination) and (
            self.repository is None or glob_match(self.repository, job.repository)
        )


EVERYTHING = Selection()

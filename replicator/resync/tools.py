"""What every comparison works with, and how it says what it could not do."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from replicator.drift import Twins
from replicator.errors import LedgerUnavailable, ReplicatorError
from replicator.ledger import Ledger
from replicator.registry import RegistryClient
from replicator.resync.patience import Patience
from replicator.rules import RuleSet


@dataclass(frozen=True, slots=True)
class Tools:
    """A ledger, the rules, and the client of each configured registry by its name."""

    ledger: Ledger
    rules: RuleSet
    client: Callable[[str], RegistryClient]
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that could not be read, so that it is not compared, and the (rule, destination) pairs it concerns."""

    message: str
    lanes: tuple[tuple[str, str], ...]


def trouble(error: ReplicatorError, twins: Iterable[Twins]) -> Trouble:
    """What a registry's error means for these. One of the ledger's is raised again: nothing can go on without it."""
    if isinstance(error, LedgerUnavailable):
        raise error
    return Trouble(str(error), tuple((pair.rule.name, pair.destination) for pair in twins))

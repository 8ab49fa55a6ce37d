"""What an operator's verbs work with."""

from collections.abc import Callable
from dataclasses import dataclass

from replicator.ledger import Ledger
from replicator.registry import RegistryClient
from replicator.rules import RuleSet


@dataclass(frozen=True, slots=True)
class Desk:
    """The ledger, the rules in force, and the client of a configured registry by its name."""

    ledger: Ledger
    rules: Callable[[], RuleSet]
    client: Callable[[str], RegistryClient]

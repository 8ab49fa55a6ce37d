"""A rule and the set of all rules: what is copied from where to where, as values that are valid once they exist."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from replicator.platforms import Platforms
from replicator.rules.filters import Filter
from replicator.rules.registries import Registry
from replicator.rules.retention import Retention
from replicator.rules.schedule import Schedule
from replicator.signing import PublicKey

PROMOTION = "promote"
"""No rule has this name: what was promoted by command is kept under it."""


class TriggerType(StrEnum):
    """What starts a rule's jobs."""

    EVENT_BASED = "event_based"
    SCHEDULED = "scheduled"
    MANUAL = "manual"


class Signatures(StrEnum):
    """What happens to the signatures and referrers of a copied artifact."""

    FOLLOW = "follow"
    IGNORE = "ignore"
    REQUIRE = "require"
    """They follow, and what has none is not shown at a destination."""


class ConflictRule(StrEnum):
    """Which content goes on where several were pushed at once, in regions that send to each other."""

    NEWEST = "newest"
    """The one whose push was recorded last."""
    PRIORITY = "priority"
    """The one of the registry that is named first."""
    MANUAL = "manual"
    """The one that a person chooses."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A conflict rule, and for `priority` the registries in their order."""

    kind: ConflictRule = ConflictRule.NEWEST
    order: tuple[str, ...] = ()

    def weight(self, registry: str) -> int:
        """The more of it, the sooner a content of that registry goes on; one that is not named comes last."""
        return len(self.order) - self.order.index(registry) if registry in self.order else 0

    def __str__(self) -> str:
        return f"{self.kind}: [{', '.join(self.order)}]" if self.order else str(self.kind)


@dataclass(frozen=True, slots=True)
class Destination:
    """One registry that a rule copies to, and where its repositories land there.

    `replace_count` leading components of the source repository give way to `namespace`: 0 prepends it, -1 keeps the
    last component alone. Without a namespace the repository keeps its name.
    """

    registry: str
    namespace: str | None = None
    replace_count: int = 0
    retention: Retention | None = None
    """Which copies there have had their time, among those that the source no longer has."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one rule wants."""

    name: str
    source: str
    destinations: tuple[Destination, ...]
    trigger: TriggerType = TriggerType.EVENT_BASED
    schedule: Schedule | None = None
    """When it runs, if its trigger is `scheduled`."""
    backfill: bool = False
    """Whether a new rule or destination begins with what the source has already."""
    sweep_interval_s: float | None = 3600.0
    """How often an event-based rule compares both sides, for what no event told; None for never."""
    filters: tuple[Filter, ...] = ()
    platforms: Platforms = ()
    """Whose images of an index are copied; none at all means everybody's."""
    platforms_rewrite: bool = False
    """Whether an index is rebuilt of these where a destination takes none that names what is not there."""
    signatures: Signatures = Signatures.FOLLOW
    keys: tuple[PublicKey, ...] = ()
    """Who may sign, if signatures are required; without any, a signature need only be there."""
    signature_wait_s: float = 600.0
    """How long a push may be without a required signature before its job is parked."""
    deletion: bool = False
    delete_grace_s: float = 5.0
    delete_cap: int = 100
    """Deletions an hour and destination; more are blocked until a person approves."""
    override: bool = True
    conflict: Conflict | None = None
    """What it says of conflicts, if it says anything: then for all rules of its ring."""
    enabled: bool = True
    was: tuple[str, ...] = ()
    """Names that it had before: what the ledger knows by them is still this rule's."""

    @property
    def names(self) -> tuple[str, ...]:
        """The name and all former ones, the name first."""
        return (self.name, *self.was)

    @property
    def deletes(self) -> bool:
        """Whether something may be deleted by it: what is gone at the source, or what has had its time."""
        return self.deletion or any(there.retention for there in self.destinations)

    def destination(self, registry: str) -> Destination | None:
        """This rule's destination at `registry`, if it has one."""
        return next((item for item in self.destinations if item.registry == registry), None)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Every registry and rule of a revision of the rule files."""

    registries: Mapping[str, Registry] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    revision: str = ""
    """A hash of the files that it was read from."""

    def rule(self, name: str) -> Rule | None:
        """The rule of that name, or else the one that had it before."""
        current = next((rule for rule in self.rules if rule.name == name), None)
        return current or next((rule for rule in self.rules if name in rule.was), None)

    @property
    def lanes(self) -> tuple[tuple[Rule, Destination], ...]:
        """Every enabled rule with each of its destinations: what lag is measured for."""
        return tuple((rule, there) for rule in self.rules if rule.enabled for there in rule.destinations)

    @property
    def destinations(self) -> tuple[str, ...]:
        """The registries that some enabled rule copies to, sorted."""
        return tuple(sorted({there.registry for _, there in self.lanes}))

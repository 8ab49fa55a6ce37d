"""Rules: what is to be copied from where to where, which artifacts a rule takes, and where they land."""

from replicator.rules.collisions import Collision, collisions, overlaps, returns
from replicator.rules.explain import Landing, Verdict, explain
from replicator.rules.filters import Decoration, Filter, FilterType, Resource
from replicator.rules.glob import check_asked_glob, check_glob, glob_match, missed_names
from replicator.rules.matching import needs_labels, needs_manifest, takes_manifest, takes_name, takes_tag
from replicator.rules.namespace import destination_repository
from replicator.rules.registries import TLS, Credential, Limits, Registry, RegistryType, Webhook
from replicator.rules.retention import Clause, Count, Kept, Retention, TagStatus, expired
from replicator.rules.rings import Dispute, Ring, disputes, idle_conflicts, ring
from replicator.rules.rule import (
    PROMOTION,
    Conflict,
    ConflictRule,
    Destination,
    Rule,
    RuleSet,
    Signatures,
    TriggerType,
)
from replicator.rules.schedule import Schedule, check_cron, check_timezone, is_due

__all__ = [
    "PROMOTION",
    "TLS",
    "Clause",
    "Collision",
    "Conflict",
    "ConflictRule",
    "Count",
    "Credential",
    "Decoration",
    "Destination",
    "Dispute",
    "Filter",
    "FilterType",
    "Kept",
    "Landing",
    "Limits",
    "Registry",
    "RegistryType",
    "Resource",
    "Retention",
    "Ring",
    "Rule",
    "RuleSet",
    "Schedule",
    "Signatures",
    "TagStatus",
    "TriggerType",
    "Verdict",
    "Webhook",
    "check_asked_glob",
    "check_cron",
    "check_glob",
    "check_timezone",
    "collisions",
    "destination_repository",
    "disputes",
    "expired",
    "explain",
    "glob_match",
    "idle_conflicts",
    "is_due",
    "missed_names",
    "needs_labels",
    "needs_manifest",
    "overlaps",
    "returns",
    "ring",
    "takes_manifest",
    "takes_name",
    "takes_tag",
]

"""Rules: what is to be copied from where to where, which artifacts a rule takes, and where they land."""

from replicator.rules.filters import Decoration, Filter, FilterType, Resource
from replicator.rules.glob import check_glob, glob_match
from replicator.rules.matching import needs_labels, takes_manifest, takes_name, takes_tag
from replicator.rules.namespace import destination_repository
from replicator.rules.registries import TLS, Credential, Limits, Registry, RegistryType, Webhook
from replicator.rules.rule import Destination, Rule, RuleSet, Signatures, TriggerType

__all__ = [
    "TLS",
    "Credential",
    "Decoration",
    "Destination",
    "Filter",
    "FilterType",
    "Limits",
    "Registry",
    "RegistryType",
    "Resource",
    "Rule",
    "RuleSet",
    "Signatures",
    "TriggerType",
    "Webhook",
    "check_glob",
    "destination_repository",
    "glob_match",
    "needs_labels",
    "takes_manifest",
    "takes_name",
    "takes_tag",
]

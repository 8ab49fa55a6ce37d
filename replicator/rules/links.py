"""How rules hang together: which places of which registries they connect."""

from replicator.oci import Repository, Tag
from replicator.rules.matching import takes_name, takes_tag
from replicator.rules.namespace import destination_repository
from replicator.rules.rule import Rule, RuleSet

Place = tuple[str, Repository]
"""A repository of a registry, by the registry's configured name."""


def connected(rules: RuleSet, one: Place, other: Place) -> bool:
    """Whether some enabled rule copies from one of the two places to the other.

    Two such places are meant to hold the same (two-way rules), so that neither is a stranger to what the other wrote.
    """
    return one == other or any(
        _copies(rule, one, other) or _copies(rule, other, one) for rule in rules.rules if rule.enabled
    )


def writes(rule: Rule, repository: Repository, tag: Tag | None, there: Place) -> bool:
    """Whether the rule, enabled, copies that reference of that source repository to the place `there`."""
    return rule.enabled and takes_tag(rule, tag) and _copies(rule, (rule.source, repository), there)


def _copies(rule: Rule, start: Place, end: Place) -> bool:
    destination = rule.destination(end[0])
    if rule.source != start[0] or destination is None or not takes_name(rule, start[1]):
        return False
    try:
        return destination_repository(destination, start[1]) == end[1]
    except ValueError:
        return False

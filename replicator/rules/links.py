"""How rules hang together: which places of which registries they connect."""

from dataclasses import dataclass

from replicator.oci import Repository, Tag
from replicator.rules.matching import takes_name, takes_tag
from replicator.rules.namespace import destination_repository
from replicator.rules.rule import Rule, RuleSet

Place = tuple[str, Repository]
"""A repository of a registry, by the registry's configured name."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who wrote a reference: the rule of that name, from `start`, where it is called `tag` (None for a digest)."""

    rule: str
    start: Place
    tag: Tag | None


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


def is_strangers(rules: RuleSet, writer: Writer, *, end: Place, ours: Place) -> bool:
    """Whether what `writer` put at `end` belongs to a rule that still wants it, and has nothing to do with `ours`."""
    rule = rules.rule(writer.rule)
    still_wants = rule is not None and writes(rule, writer.start[1], writer.tag, end)
    return still_wants and not connected(rules, writer.start, ours)


def _copies(rule: Rule, start: Place, end: Place) -> bool:
    destination = rule.destination(end[0])
    if rule.source != start[0] or destination is None or not takes_name(rule, start[1]):
        return False
    try:
        return destination_repository(destination, start[1]) == end[1]
    except ValueError:
        return False

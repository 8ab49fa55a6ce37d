"""Why a rule takes a reference or leaves it, and where it lands: the matching of `matching`, put into words."""

from dataclasses import dataclass

from replicator.oci import Repository, Tag, companion_subject
from replicator.rules.filters import Filter, FilterType
from replicator.rules.matching import keeps_text, takes_tag
from replicator.rules.namespace import destination_repository
from replicator.rules.rule import Destination, Rule, RuleSet, Signatures, TriggerType


@dataclass(frozen=True, slots=True)
class Landing:
    """What becomes of a reference at one destination: the repository it lands in, or why it cannot.

    `retention` says in words how long it stays there once the source no longer has it; as long as it likes if empty.
    """

    destination: str
    repository: Repository | None
    problem: str | None = None
    retention: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule makes of a reference. `clause` is the part of the rule that decided."""

    rule: str
    taken: bool
    clause: str
    trigger: str = TriggerType.EVENT_BASED
    """What starts the rule, with the schedule if it has one."""
    landings: tuple[Landing, ...] = ()
    later: tuple[str, ...] = ()
    """Clauses that need the manifest or its labels, and so are judged only when the job runs."""


def explain(rules: RuleSet, registry: str, repository: Repository, tag: Tag | None) -> list[Verdict]:
    """A verdict of every rule, in their order. `tag` None stands for an artifact without a tag."""
    return [_verdict(rules, rule, registry, repository, tag) for rule in rules.rules]


def _verdict(rules: RuleSet, rule: Rule, registry: str, repository: Repository, tag: Tag | None) -> Verdict:
    refusal = _refusal(rule, registry, repository, tag)
    if refusal:
        return Verdict(rule.name, taken=False, clause=refusal, trigger=_trigger(rule))
    landings = tuple(_landing(rules, there, repository) for there in rule.destinations)
    later = tuple(
        _clause(item) for item in rule.filters if item.type in (FilterType.LABEL, FilterType.RESOURCE)
    )
    later += _signed(rule, tag)
    if rule.platforms:
        rebuilt = ", rebuilt where a registry takes no other index" if rule.platforms_rewrite else ""
        later = (*later, f"platforms {', '.join(map(str, rule.platforms))}{rebuilt}")
    clause = _grounds(rule, tag)
    return Verdict(
        rule.name, taken=True, clause=clause, trigger=_trigger(rule), landings=landings, later=later
    )


def _refusal(rule: Rule, registry: str, repository: Repository, tag: Tag | None) -> str | None:
    if not rule.enabled:
        return "enabled: false"
    if rule.source != registry:
        return f"source: {rule.source}"
    for item in rule.filters:
        if item.type is FilterType.NAME and not keeps_text(item, repository):
            return _clause(item)
    for item in rule.filters:
        if item.type is FilterType.TAG and not keeps_text(item, tag or ""):
            return None if _may_follow(rule, tag) else _clause(item)
    return None


def _may_follow(rule: Rule, tag: Tag | None) -> bool:
    return bool(tag and companion_subject(tag)) and rule.signatures is not Signatures.IGNORE


def _grounds(rule: Rule, tag: Tag | None) -> str:
    if not takes_tag(rule, tag):
        return f"signatures: {rule.signatures}, if the rule takes what it belongs to"
    clauses = [_clause(item) for item in rule.filters if item.type in (FilterType.NAME, FilterType.TAG)]
    return ", ".join(clauses) or "no filter on name or tag"


def _signed(rule: Rule, tag: Tag | None) -> tuple[str, ...]:
    if rule.signatures is not Signatures.REQUIRE or (tag and companion_subject(tag)):
        return ()
    count = len(rule.keys)
    by = f", by {'the key' if count == 1 else f'one of the {count} keys'} of the rule" if count else ""
    return (f"signatures: {rule.signatures}{by}",)


def _clause(item: Filter) -> str:
    value = item.value if isinstance(item.value, str) else ", ".join(item.value)
    return f"{item.type} {item.decoration} {value!r}"


def _trigger(rule: Rule) -> str:
    if rule.schedule:
        return f"{rule.trigger} {rule.schedule}"
    return f"{rule.trigger}, with a backfill" if rule.backfill else str(rule.trigger)


def _landing(rules: RuleSet, there: Destination, repository: Repository) -> Landing:
    registry = rules.registries.get(there.registry)
    try:
        name = destination_repository(there, repository, registry.type if registry else None)
    except ValueError as exc:
        return Landing(there.registry, None, str(exc))
    clauses = there.retention.clauses if there.retention else ()
    return Landing(there.registry, name, retention=tuple(map(str, clauses)))

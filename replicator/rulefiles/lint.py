"""What is wrong, or odd, with registries and rules taken together."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as FilePath

from replicator.events import PARSERS
from replicator.rulefiles import grammar
from replicator.rulefiles.convert import Entry
from replicator.rulefiles.gather import Gathered
from replicator.rulefiles.problems import Problem
from replicator.rulefiles.wording import hint
from replicator.rules import (
    Collision,
    Dispute,
    FilterType,
    Registry,
    Rule,
    RuleSet,
    TriggerType,
    collisions,
    disputes,
    idle_conflicts,
    missed_names,
    overlaps,
    returns,
)

# A rule's source is in `source` or, in Harbor's form, in `src_registry`: what a file does not have is skipped.
_SOURCE = ("source", "src_registry")


def mistakes(gathered: Gathered, rules: RuleSet) -> Iterator[Problem]:
    """Every mistake that shows only when all entries are seen together."""
    for rule, entry in gathered.rules.values():
        yield from _source_mistakes(gathered, rule, entry)
        yield from _destination_mistakes(gathered, rule, entry)
        yield from _order_mistakes(gathered, rule, entry)
    yield from _former_name_mistakes(gathered)
    # What stands in for a mistake proves nothing.
    whole = tuple(rule for rule in rules.rules if rule.name not in gathered.partial)
    for collision in collisions(replace(rules, rules=whole)):
        yield _at_destination(gathered, collision)
    for dispute in disputes(replace(rules, rules=whole)):
        yield _at_conflict(gathered, dispute)


def warnings(gathered: Gathered, rules: RuleSet) -> Iterator[Problem]:
    """What works but a person should know of."""
    for registry, entry in gathered.registries.values():
        yield from _insecurities(registry, entry)
        yield from _absent_files(registry, entry)
    for rule, entry in gathered.rules.values():
        source = gathered.registries.get(rule.source)
        reason = _why_unheard(source[0]) if source else None
        if reason and rule.enabled and rule.trigger is TriggerType.EVENT_BASED:
            message = f"the rule {rule.name} waits for events of {rule.source}, which {reason}"
            yield entry.problem(message, *_SOURCE)
        yield from _surprises(rule, entry)
    for collision in (*overlaps(rules), *returns(rules)):
        yield _at_destination(gathered, collision)
    for dispute in idle_conflicts(rules):
        yield _at_conflict(gathered, dispute)


def _source_mistakes(gathered: Gathered, rule: Rule, entry: Entry) -> Iterator[Problem]:
    if not gathered.knows(rule.source):
        yield entry.problem(_unknown(gathered, rule.source), *_SOURCE)
    source = gathered.registries.get(rule.source)
    for index, item in enumerate(rule.filters):
        if item.type is FilterType.LABEL and source and not source[0].has_labels:
            message = f"a label filter, but {rule.source} is of type {source[0].type}, which has no labels"
            yield entry.problem(message, "filters", index)


def _destination_mistakes(gathered: Gathered, rule: Rule, entry: Entry) -> Iterator[Problem]:
    seen = set()
    for index, there in enumerate(rule.destinations):
        place = (*_destination(index), "registry")
        if not gathered.knows(there.registry):
            yield entry.problem(_unknown(gathered, there.registry), *place)
        elif there.registry in seen:
            yield entry.problem(f"{there.registry} is already a destination of this rule", *place)
        seen.add(there.registry)


def _order_mistakes(gathered: Gathered, rule: Rule, entry: Entry) -> Iterator[Problem]:
    # A plain `priority` is made of names that are checked where they stand.
    named = {rule.source, *(there.registry for there in rule.destinations)}
    for index, name in enumerate(rule.conflict.order if rule.conflict else ()):
        if name not in named and not gathered.knows(name):
            yield entry.problem(_unknown(gathered, name), "conflict", "priority", index)


def _former_name_mistakes(gathered: Gathered) -> Iterator[Problem]:
    claimed: dict[str, Entry] = {}
    for rule, entry in gathered.rules.values():
        for index, name in enumerate(rule.was):
            place = ("was", index)
            if name == rule.name:
                yield entry.problem(f"was: {name} is the rule's own name; a former one is another", *place)
            elif name in gathered.rules:
                now = gathered.rules[name][1].place
                yield entry.problem(f"was: {name} is the name of another rule, at {now}", *place)
            elif name in claimed:
                yield entry.problem(f"was: the rule at {claimed[name].place} was {name} already", *place)
            claimed.setdefault(name, entry)


def _at_destination(gathered: Gathered, collision: Collision) -> Problem:
    """The collision, placed at the last of its rules."""
    name = max(collision.rules, key=list(gathered.rules).index)
    rule, entry = gathered.rules[name]
    index = [there.registry for there in rule.destinations].index(collision.destination)
    return entry.problem(collision.message, *_destination(index))


def _at_conflict(gathered: Gathered, dispute: Dispute) -> Problem:
    _, entry = gathered.rules[dispute.rule]
    return entry.problem(f"conflict: {dispute.message}", "conflict")


def _destination(index: int) -> tuple[str | int, ...]:
    return ("dest_registry", "destinations", index)


def _unknown(gathered: Gathered, name: str) -> str:
    return f"unknown registry {name!r}{hint(name, gathered.registries)}"


def _why_unheard(registry: Registry) -> str | None:
    """Why events of the registry start nothing, or None if they do."""
    if registry.type not in PARSERS:
        return f"is of type {registry.type}: its notifications are not understood yet"
    if registry.webhook is None or not (registry.webhook.secrets or registry.webhook.anonymous):
        return "has no webhook secret: its notifications will be refused"
    return None


def _surprises(rule: Rule, entry: Entry) -> Iterator[Problem]:
    """Patterns that do not take what they spell out: a quirk of Harbor's dialect, kept because rules rely on it."""
    for index, item in enumerate(rule.filters):
        if item.type in (FilterType.NAME, FilterType.TAG):
            for name in missed_names(str(item.value)):
                message = f"the pattern {item.value!r} does not take {name!r}, though it spells it out"
                yield entry.problem(message, "filters", index)


def _insecurities(registry: Registry, entry: Entry) -> Iterator[Problem]:
    if grammar.is_clear_text(registry.url):
        message = f"the registry {registry.name} is reached by plain http: anybody on the way can read it all"
        yield entry.problem(message, "url")
    if not registry.tls.verify:
        yield entry.problem(f"the registry {registry.name} may show any TLS certificate: it is not verified")


def _absent_files(registry: Registry, entry: Entry) -> Iterator[Problem]:
    for key in ("ca_file", "cert_file", "key_file"):
        name: str | None = getattr(registry.tls, key)
        if name is not None and not _exists(name):
            yield entry.problem(f"{key}: there is no file {name}", "tls", key)


def _exists(name: str) -> bool:
    try:
        return FilePath(name).exists()
    except OSError:
        # We may not even look: TLS will fail on it just the same.
        return False

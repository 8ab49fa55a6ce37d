"""Rings: places that send to each other, directly or by way of others, and how conflicts between them are decided.

Every place of a ring gets what any other has, as it is and by itself, so all must decide alike. A conflict rule that
one of the ring's rules states is that of all of them, and those that state one must agree. Which rules form a ring
depends on the repository and the tag. `disputes` finds what can be found before any repository is looked at, by
witnesses as collisions are; should rules disagree all the same, a person decides.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from replicator.oci import Repository, Tag
from replicator.rules.collisions import common_tag, names_to_try
from replicator.rules.filters import FilterType
from replicator.rules.links import Place
from replicator.rules.matching import takes_name, takes_tag
from replicator.rules.namespace import destination_repository
from replicator.rules.rule import Conflict, ConflictRule, Rule, RuleSet, TriggerType

T = TypeVar("T")

_PLACES = 100
"""How many places copies are followed to."""
_SPELLED = re.compile(r"([^*?\[{\\/]+)(?:/|\Z)")


@dataclass(frozen=True, slots=True)
class Ring:
    """Places that each get what the others have, and the rules that see to it, in their order."""

    places: frozenset[Place]
    rules: tuple[Rule, ...]

    @property
    def stated(self) -> tuple[Conflict, ...]:
        """The different conflict rules that its rules state."""
        return tuple(dict.fromkeys(rule.conflict for rule in self.rules if rule.conflict))

    @property
    def conflict(self) -> Conflict:
        """The conflict rule that holds for all of it."""
        if len(self.stated) > 1:
            return Conflict(ConflictRule.MANUAL)
        return self.stated[0] if self.stated else Conflict()


@dataclass(frozen=True, slots=True)
class Dispute:
    """What is wrong with the conflict rules of a ring, and the rule where it is to be mended."""

    rule: str
    message: str


def ring(rules: RuleSet, place: Place, tag: Tag) -> Ring | None:
    """The ring that the tag of that place is in, if it is in one."""
    if not _may_return(rules, place[0]):
        return None
    leads_to = _reachable(place, lambda start: _targets(rules.rules, start, tag))
    comes_from: dict[Place, set[Place]] = {}
    for start, ends in leads_to.items():
        for end in ends:
            comes_from.setdefault(end, set()).add(start)
    places = frozenset(_reachable(place, lambda end: comes_from.get(end, set())))
    if len(places) < 2:
        return None
    return Ring(places, tuple(rule for rule in rules.rules if _belongs(rule, places, tag)))


def disputes(rules: RuleSet) -> list[Dispute]:
    """Every ring whose rules state conflict rules that differ, or an order that lacks one of its registries."""
    found: dict[Dispute, None] = {}
    for each, witness in _witnessed(rules):
        last = next(rule for rule in reversed(each.rules) if rule.conflict)
        if len(each.stated) > 1:
            said = " and ".join(f"{rule.name} ({rule.conflict})" for rule in each.rules if rule.conflict)
            message = f"{said} decide differently about {witness}, which goes round: state it in one of them"
            found[Dispute(last.name, message)] = None
            continue
        order = each.conflict.order
        absent = sorted({registry for registry, _ in each.places}.difference(order)) if order else ()
        if absent:
            message = f"the order lacks {' and '.join(absent)}, which {witness} goes round by as well"
            found[Dispute(last.name, message)] = None
    return list(found)


def idle_conflicts(rules: RuleSet) -> list[Dispute]:
    """The rules whose conflict rule decides nothing, because nobody brings back what they copy: worth a warning."""
    busy = {rule.name for each, _ in _witnessed(rules) for rule in each.rules}
    message = "decides nothing: no rule brings back what this one copies"
    return [
        Dispute(rule.name, message)
        for rule in rules.rules
        if rule.enabled and rule.conflict and rule.name not in busy
    ]


def _witnessed(rules: RuleSet) -> Iterator[tuple[Ring, str]]:
    """The rings that can be shown, of which some rule states a conflict rule, each with a reference that it is of."""
    seen = set()
    if not any(rule.conflict for rule in rules.rules):
        return
    returning = {name for name in {rule.source for rule in rules.rules} if _may_return(rules, name)}
    headed = [(_head(rule), rule) for rule in rules.rules if _carries_changes(rule)]
    for rule in filter(lambda rule: rule.enabled and rule.source in returning, rules.rules):
        for name in names_to_try(rule):
            try:
                start = (rule.source, Repository(name))
            except ValueError:
                continue
            near = _near(headed, start)
            if not any(other.conflict for other in near):
                continue
            # Few, where there are many rules: each question about a tag goes to all of them.
            around = replace(rules, rules=near)
            for tag in dict.fromkeys(filter(None, (common_tag(rule, other) for other in near))):
                found = ring(around, start, tag)
                if found and found.stated and found not in seen:
                    seen.add(found)
                    yield found, f"{rule.source}/{name}:{tag}"


def _near(headed: Sequence[tuple[str, Rule]], start: Place) -> tuple[Rule, ...]:
    """The rules by which something of that place may go on, whatever its tag is."""
    near: dict[str, Rule] = {}

    def ends(place: Place) -> set[Place]:
        head = place[1].partition("/")[0]
        rules = [rule for its_head, rule in headed if its_head in ("", head) and rule.source == place[0]]
        going = [rule for rule in rules if takes_name(rule, place[1])]
        near.update((rule.name, rule) for rule in going)
        return set().union(*(_landings(rule, place[1]) for rule in going))

    _reachable(start, ends)
    return tuple(rule for _, rule in headed if rule.name in near)


def _head(rule: Rule) -> str:
    """The first component of every name that the rule takes, "" if its patterns do not spell it out."""
    for item in rule.filters:
        if item.type is FilterType.NAME and not item.excludes:
            spelled = _SPELLED.match(str(item.value))
            if spelled:
                return spelled[1]
    return ""


def _may_return(rules: RuleSet, registry: str) -> bool:
    """Whether registries that this one sends to send to others, and these at last to it: most places need no more."""

    sends: dict[str, set[str]] = {}
    for rule in filter(_carries_changes, rules.rules):
        sends.setdefault(rule.source, set()).update(there.registry for there in rule.destinations)
    return any(
        registry in found for found in _reachable(registry, lambda name: sends.get(name, set())).values()
    )


def _targets(rules: Iterable[Rule], start: Place, tag: Tag) -> set[Place]:
    """Where the tag of that place is copied to by these rules."""
    found: set[Place] = set()
    for rule in rules:
        if rule.source != start[0] or not _carries_changes(rule) or not takes_tag(rule, tag):
            continue
        if takes_name(rule, start[1]):
            found |= _landings(rule, start[1])
    return found


def _landings(rule: Rule, repository: Repository) -> set[Place]:
    """Where the rule copies that repository to."""
    found = set()
    for there in rule.destinations:
        with suppress(ValueError):
            found.add((there.registry, destination_repository(there, repository)))
    return found


def _carries_changes(rule: Rule) -> bool:
    """Whether what changes at its source arrives, as it is and by itself: others may leave it to the rule then."""
    is_faithful = rule.override and not rule.platforms_rewrite
    return rule.enabled and is_faithful and rule.trigger is not TriggerType.MANUAL


def _belongs(rule: Rule, places: frozenset[Place], tag: Tag) -> bool:
    return any(_targets((rule,), start, tag) & places for start in places)


def _reachable(start: T, ends: Callable[[T], set[T]]) -> dict[T, set[T]]:
    """Everything that `start` leads to, itself included, each with what it leads to."""
    found: dict[T, set[T]] = {}
    waiting = deque([start])
    while waiting and len(found) < _PLACES:
        each = waiting.popleft()
        if each not in found:
            found[each] = ends(each)
            waiting.extend(found[each])
    return found

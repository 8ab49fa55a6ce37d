"""Which comparisons schedules, new rules and lost events ask for: decided from the time, and what was asked for before.

A mark in the ledger says what was: of a schedule its latest moment, of a backfill that it was. So a run that was
missed, while nothing of ours was running, is made up for once; and a ledger that lost everything is backfilled again.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from replicator.resync.scope import Scope
from replicator.resync.sweep import Request
from replicator.rules import Rule, RuleSet, TriggerType
from replicator.rules.schedule import Schedule, is_due

_ONCE = 1.0


@dataclass(frozen=True, slots=True)
class Errand:
    """A comparison to be asked for once for each `value` of `mark`; without a request only the mark is to be set."""

    subject: str
    request: Request | None
    by: str
    mark: str
    value: float
    is_owed: bool = False
    """Whether nothing else would make up for what it leaves out."""


def agenda(rules: RuleSet, marks: Mapping[str, float], now: float) -> Iterator[Errand]:
    """What is to be asked for at `now`."""
    for rule in rules.rules:
        if not rule.enabled:
            continue
        if rule.schedule is not None:
            yield from _scheduled(rule, rule.schedule, marks, now)
        if rule.backfill and rule.trigger is TriggerType.EVENT_BASED:
            yield from _backfills(rule, marks)


def after_loss(rules: RuleSet, registry: str, now: float) -> Iterator[Errand]:
    """What makes up for an event of the registry that was lost at `now`: once for all that are lost in a minute."""
    for rule in rules.rules:
        if rule.enabled and rule.trigger is TriggerType.EVENT_BASED and rule.source == registry:
            request = Request(Scope(rule=rule.name), prune=rule.deletes)
            by, mark = "a notification too large", f"lost|{rule.name}"
            yield Errand(rule.name, request, by, mark, now // 60, is_owed=True)


def _scheduled(rule: Rule, schedule: Schedule, marks: Mapping[str, float], now: float) -> Iterator[Errand]:
    mark = f"schedule|{rule.name}"
    last = max((marks[name] for name in _marks("schedule", rule, "") if name in marks), default=None)
    # The first name of all is the salt, so that a renamed rule keeps its jitter.
    if last is None:
        yield Errand(rule.name, None, "schedule", mark, now)
    elif (slot := is_due(schedule, last=last, now=now, salt=rule.names[-1])) is not None:
        # A schedule hears of no delete, so that its runs look for what is gone.
        request = Request(Scope(rule=rule.name), prune=rule.deletes)
        yield Errand(rule.name, request, "schedule", mark, slot)


def _backfills(rule: Rule, marks: Mapping[str, float]) -> Iterator[Errand]:
    for there in rule.destinations:
        if not any(name in marks for name in _marks("backfill", rule, f"|{there.registry}")):
            request = Request(Scope(rule=rule.name, destination=there.registry))
            mark = f"backfill|{rule.name}|{there.registry}"
            yield Errand(rule.name, request, "backfill", mark, _ONCE, is_owed=True)


def _marks(kind: str, rule: Rule, rest: str) -> list[str]:
    """The mark, and those that it had under the rule's former names."""
    return [f"{kind}|{name}{rest}" for name in rule.names]

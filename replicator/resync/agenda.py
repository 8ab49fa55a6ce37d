"""Which comparisons schedules, new rules, lost events and the mere passing of time ask for.

All of it is decided from the time, and what was asked for before. A mark in the ledger says what was: of a schedule or
an interval its latest moment, of a backfill that it was. So a run that was missed, while nothing of ours was running,
is made up for once; and a ledger that lost everything is backfilled again.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import floor

from replicator.resync.scope import Scope
from replicator.resync.sweep import Request
from replicator.rules import Rule, RuleSet, TriggerType
from replicator.rules.schedule import Schedule, is_due

LOSSES_APART_S = 60.0
"""What makes up for losses is made once a minute, however many there are."""
SETTLE_S = 5.0
"""What a sender still has, it delivers in the meantime."""
_ONCE = 1.0


class Loss(StrEnum):
    """Why nobody may have told of a change, in words for people."""

    TOO_LARGE = "a notification too large"
    LEDGER = "a ledger that forgot"
    SENDER = "a registry that restarted"
    RECEIVER = "no receiver for a while"


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
    delay_s: float = 0.0


def agenda(rules: RuleSet, marks: Mapping[str, float], now: float) -> Iterator[Errand]:
    """What is to be asked for at `now`."""
    for rule in rules.rules:
        if not rule.enabled:
            continue
        if rule.schedule is not None:
            yield from _scheduled(rule, rule.schedule, marks, now)
        if rule.trigger is TriggerType.EVENT_BASED:
            if rule.backfill:
                yield from _backfills(rule, marks)
            if rule.sweep_interval_s is not None:
                yield from _sweeps(rule, rule.sweep_interval_s, marks, now)


def after_loss(
    rules: RuleSet, sources: Collection[str], loss: Loss, *, marks: Mapping[str, float], now: float
) -> Iterator[Errand]:
    """What makes up for events of these registries that may have been lost at `now`.

    None of them is left out because one was asked for a moment ago: it may have begun before this loss.
    """
    for rule in rules.rules:
        if rule.enabled and rule.trigger is TriggerType.EVENT_BASED and rule.source in sources:
            mark = f"loss|{rule.name}"
            delay_s = max(SETTLE_S, marks.get(mark, 0.0) + LOSSES_APART_S - now)
            yield Errand(rule.name, _repairs(rule), loss, mark, now, is_owed=True, delay_s=delay_s)


def _repairs(rule: Rule) -> Request:
    # Nobody told of deletes either.
    return Request(Scope(rule=rule.name), prune=rule.deletes, repairs=True)


def _scheduled(rule: Rule, schedule: Schedule, marks: Mapping[str, float], now: float) -> Iterator[Errand]:
    mark = f"schedule|{rule.name}"
    last = _last("schedule", rule, marks)
    # The first name of all is the salt, so that a renamed rule keeps its jitter.
    if last is None:
        yield Errand(rule.name, None, "schedule", mark, now)
    elif (slot := is_due(schedule, last=last, now=now, salt=rule.names[-1])) is not None:
        # A schedule hears of no delete, so that its runs look for what is gone.
        request = Request(Scope(rule=rule.name), prune=rule.deletes)
        yield Errand(rule.name, request, "schedule", mark, slot)


def _sweeps(rule: Rule, interval_s: float, marks: Mapping[str, float], now: float) -> Iterator[Errand]:
    mark = f"sweep|{rule.name}"
    last, moment = _last("sweep", rule, marks), _moment(rule, interval_s, now)
    if last is None:
        # What a new rule, or a ledger without memory, may lack has time until the next moment.
        yield Errand(rule.name, None, "sweep", mark, moment)
    elif last < moment:
        yield Errand(rule.name, _repairs(rule), "sweep", mark, moment)


def _moment(rule: Rule, interval_s: float, now: float) -> float:
    """The newest moment up to `now`: one each interval, for each rule another, on which all schedulers agree."""
    known = hashlib.blake2b(rule.names[-1].encode(), digest_size=6).digest()
    first = int.from_bytes(known) / 2.0**48 * interval_s
    # In whole milliseconds, which the ledger keeps exactly.
    return round(first + floor((now - first) / interval_s) * interval_s, 3)


def _backfills(rule: Rule, marks: Mapping[str, float]) -> Iterator[Errand]:
    for there in rule.destinations:
        if not any(name in marks for name in _marks("backfill", rule, f"|{there.registry}")):
            request = Request(Scope(rule=rule.name, destination=there.registry))
            mark = f"backfill|{rule.name}|{there.registry}"
            yield Errand(rule.name, request, "backfill", mark, _ONCE, is_owed=True)


def _last(kind: str, rule: Rule, marks: Mapping[str, float]) -> float | None:
    return max((marks[name] for name in _marks(kind, rule, "") if name in marks), default=None)


def _marks(kind: str, rule: Rule, rest: str) -> list[str]:
    """The mark, and those that it had under the rule's former names."""
    return [f"{kind}|{name}{rest}" for name in rule.names]

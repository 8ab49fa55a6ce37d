from dataclasses import replace

from replicator.resync.agenda import Errand, after_loss, agenda
from replicator.rules import (
    Clause,
    Count,
    Destination,
    Retention,
    Rule,
    RuleSet,
    Schedule,
    TagStatus,
    TriggerType,
)

NIGHTLY = Rule(
    "nightly", "eu", (Destination("us"),), trigger=TriggerType.SCHEDULED, schedule=Schedule("0 2 * * *")
)
DAY = 86_400.0
TWO = 2 * 3600.0
"""Two o'clock on the first day of the epoch."""


def asked(*rules: Rule, marks: dict[str, float] | None = None, now: float = 10 * DAY) -> list[Errand]:
    return list(agenda(RuleSet(rules=rules), marks or {}, now))


def test_a_new_schedule_is_only_noted() -> None:
    (errand,) = asked(NIGHTLY)

    assert errand.request is None
    assert (errand.mark, errand.value) == ("schedule|nightly", 10 * DAY)


def test_a_run_is_asked_for_when_its_moment_has_come() -> None:
    marks = {"schedule|nightly": 9 * DAY + TWO}

    assert asked(NIGHTLY, marks=marks, now=10 * DAY + TWO - 1) == []
    (errand,) = asked(NIGHTLY, marks=marks, now=10 * DAY + TWO + 1)

    assert errand.request
    assert errand.request.scope.rule == "nightly"
    assert errand.value == 10 * DAY + TWO
    assert not errand.request.prune


def test_missed_runs_are_made_up_for_once() -> None:
    (errand,) = asked(NIGHTLY, marks={"schedule|nightly": DAY})

    assert asked(NIGHTLY, marks={errand.mark: errand.value}) == []


def test_a_scheduled_rule_that_deletes_looks_for_what_is_gone() -> None:
    marks = {"schedule|nightly": DAY}
    kept = Retention((Clause(TagStatus.ANY, Count.IMAGES, 10),))
    rules = (
        replace(NIGHTLY, deletion=True),
        replace(NIGHTLY, destinations=(Destination("us", retention=kept),)),
    )

    assert [
        errand.request.prune for rule in rules for errand in asked(rule, marks=marks) if errand.request
    ] == [
        True,
        True,
    ]


def test_a_renamed_schedule_goes_on() -> None:
    renamed = replace(NIGHTLY, name="new", was=("nightly",))

    assert asked(renamed, marks={"schedule|nightly": 9 * DAY + TWO}) == []


def test_a_new_lane_is_backfilled_once() -> None:
    rule = Rule("prod", "eu", (Destination("us"), Destination("ap")), backfill=True)

    (errand,) = asked(rule, marks={"backfill|prod|us": 1.0})

    assert errand.request
    assert (errand.request.scope.rule, errand.request.scope.destination) == ("prod", "ap")
    assert asked(rule, marks={"backfill|prod|us": 1.0, errand.mark: errand.value}) == []


def test_a_renamed_rule_is_not_backfilled_again() -> None:
    rule = Rule("new", "eu", (Destination("us"),), backfill=True, was=("prod",))

    assert asked(rule, marks={"backfill|prod|us": 1.0}) == []


def test_rules_that_are_off_or_wait_for_events_ask_for_nothing() -> None:
    assert asked(replace(NIGHTLY, enabled=False), Rule("prod", "eu", (Destination("us"),))) == []


def test_a_lost_event_has_what_it_may_have_been_about_compared_once_a_minute() -> None:
    prod = Rule("prod", "eu", (Destination("us"),), deletion=True)
    others = (NIGHTLY, replace(prod, name="off", enabled=False), replace(prod, name="back", source="us"))
    rules = RuleSet(rules=(prod, *others))

    (errand,) = after_loss(rules, "eu", now=10 * DAY)
    (soon,) = after_loss(rules, "eu", now=10 * DAY + 59)
    (later,) = after_loss(rules, "eu", now=10 * DAY + 60)

    assert errand.request
    assert (errand.subject, errand.request.scope.rule, errand.request.prune) == ("prod", "prod", True)
    assert errand.is_owed
    assert (errand.mark, errand.value) == (soon.mark, soon.value)
    assert later.value > errand.value

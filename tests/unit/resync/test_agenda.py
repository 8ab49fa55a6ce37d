from dataclasses import replace

import pytest

from replicator.resync.agenda import LOSSES_APART_S, SETTLE_S, Errand, Loss, after_loss, agenda
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
PROD = Rule("prod", "eu", (Destination("us"),))
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
    rule = Rule("prod", "eu", (Destination("us"), Destination("ap")), backfill=True, sweep_interval_s=None)

    (errand,) = asked(rule, marks={"backfill|prod|us": 1.0})

    assert errand.request
    assert (errand.request.scope.rule, errand.request.scope.destination) == ("prod", "ap")
    assert asked(rule, marks={"backfill|prod|us": 1.0, errand.mark: errand.value}) == []


def test_a_renamed_rule_is_not_backfilled_again() -> None:
    rule = Rule("new", "eu", (Destination("us"),), backfill=True, was=("prod",), sweep_interval_s=None)

    assert asked(rule, marks={"backfill|prod|us": 1.0}) == []


def test_rules_that_are_off_or_wait_for_events_ask_for_nothing() -> None:
    manual = replace(PROD, trigger=TriggerType.MANUAL)
    off = replace(PROD, sweep_interval_s=None)

    assert asked(replace(NIGHTLY, enabled=False), replace(PROD, enabled=False), manual, off) == []


def test_a_new_rule_is_only_noted() -> None:
    (errand,) = asked(PROD)

    assert errand.request is None
    assert (errand.mark, errand.by) == ("sweep|prod", "sweep")
    assert 10 * DAY - 3600 < errand.value <= 10 * DAY
    assert asked(PROD, marks={errand.mark: errand.value}) == []


@pytest.mark.parametrize("deletion", [True, False])
def test_a_rule_is_compared_once_an_interval_deletes_included(deletion: bool) -> None:
    rule = replace(PROD, deletion=deletion)
    marks: dict[str, float] = {}
    found: list[Errand] = []

    for minute in range(24 * 60):
        for errand in asked(rule, marks=marks, now=10 * DAY + 60 * minute):
            marks[errand.mark] = errand.value
            found.append(errand)

    requests = [errand.request for errand in found[1:]]
    assert len(requests) == 24
    assert {request.scope.rule for request in requests if request} == {"prod"}
    assert {request.prune for request in requests if request} == {deletion}
    assert {round(errand.value % 3600, 3) for errand in found} == {round(found[0].value % 3600, 3)}


def test_sweeps_that_were_missed_are_made_up_for_once() -> None:
    (errand,) = asked(PROD, marks={"sweep|prod": DAY})

    assert asked(PROD, marks={errand.mark: errand.value}) == []


def test_rules_are_not_all_compared_in_one_moment() -> None:
    found = asked(*(replace(PROD, name=f"rule-{number}") for number in range(20)))

    assert len({round(errand.value) for errand in found}) > 15


def test_a_renamed_rule_keeps_its_moments() -> None:
    (noted,) = asked(PROD)

    assert asked(replace(PROD, name="new", was=("prod",)), marks={noted.mark: noted.value}) == []


def test_a_lost_event_has_what_it_may_have_been_about_compared() -> None:
    prod = replace(PROD, deletion=True)
    others = (NIGHTLY, replace(prod, name="off", enabled=False), replace(prod, name="back", source="us"))
    rules = RuleSet(rules=(prod, *others))

    (errand,) = after_loss(rules, ["eu"], Loss.TOO_LARGE, marks={}, now=10 * DAY)

    assert errand.request
    assert (errand.subject, errand.request.scope.rule, errand.request.prune) == ("prod", "prod", True)
    assert errand.is_owed
    assert (errand.by, errand.delay_s) == ("a notification too large", SETTLE_S)


def test_no_loss_is_left_out_and_many_are_made_up_for_together() -> None:
    rules, now = RuleSet(rules=(PROD,)), 10 * DAY
    (first,) = after_loss(rules, ["eu"], Loss.LEDGER, marks={}, now=now)

    (soon,) = after_loss(rules, ["eu"], Loss.LEDGER, marks={first.mark: first.value}, now=now + 20)
    (later,) = after_loss(rules, ["eu"], Loss.LEDGER, marks={first.mark: first.value}, now=now + 600)

    assert first.value < soon.value < later.value
    assert soon.delay_s == LOSSES_APART_S - 20
    assert later.delay_s == SETTLE_S

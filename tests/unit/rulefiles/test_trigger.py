from pathlib import Path

import pytest

from replicator.rules import Rule, Schedule, TriggerType
from tests.unit.rulefiles.kit import assert_mistake, loaded, rule
from tests.unit.rulefiles.test_harbor import policy

FORM = "it has five fields (minute, hour, day, month, weekday), or six with the seconds first"
WANTED = 'trigger: a scheduled trigger needs a cron, such as "30 2 * * *"'


def the_rule(directory: Path, text: str) -> Rule:
    (found,) = loaded(directory, {"r.yaml": text}).rules.rules
    return found


def test_a_rule_may_be_scheduled_with_time_zone_and_jitter(tmp_path: Path) -> None:
    text = rule(trigger='{type: scheduled, cron: "0 30 2 * * *", timezone: Europe/Vienna, jitter: 5m}')

    found = the_rule(tmp_path, text)

    assert found.trigger is TriggerType.SCHEDULED
    assert found.schedule == Schedule("0 30 2 * * *", "Europe/Vienna", 300.0)


@pytest.mark.parametrize(
    "trigger",
    ['{type: scheduled, cron: "0 0 2 * * *"}', '{type: scheduled, trigger_settings: {cron: "0 0 2 * * *"}}'],
)
@pytest.mark.parametrize("form", [rule, policy])
def test_both_forms_of_cron_go_with_both_forms_of_rules(tmp_path: Path, form: object, trigger: str) -> None:
    assert callable(form)

    assert the_rule(tmp_path, form(trigger=trigger)).schedule == Schedule("0 0 2 * * *")


def test_a_rule_without_a_cron_has_no_schedule(tmp_path: Path) -> None:
    assert the_rule(tmp_path, rule(trigger='{type: push, trigger_settings: {cron: ""}}')).schedule is None


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("§{type: scheduled}", WANTED),
        ('§{type: scheduled, trigger_settings: {cron: ""}}', WANTED),
        (
            '§{type: scheduled, cron: "0 2 * * *", trigger_settings: {cron: "0 2 * * *"}}',
            "trigger: cron and trigger_settings.cron: one of them is enough",
        ),
        (
            '{type: scheduled, cron: §"0 25 * * *"}',
            f"cron: '0 25 * * *' is no cron (bad hour); {FORM}",
        ),
        (
            '{type: scheduled, cron: §"@daily"}',
            f"cron: '@daily' is no cron (wrong number of fields); {FORM}",
        ),
        ('{type: scheduled, cron: §"0 0 30 2 *"}', f"cron: '0 0 30 2 *' is no cron (bad day-of-month); {FORM}"),
        ("{type: scheduled, cron: §5}", 'cron: must be text; write it in quotes: "5"'),
        (
            '{type: scheduled, trigger_settings: {cron: §"x"}}',
            f"cron: 'x' is no cron (wrong number of fields); {FORM}",
        ),
        (
            '{type: scheduled, cron: "0 2 * * *", timezone: §Europe/Viena}',
            "timezone: 'Europe/Viena' is no time zone such as Europe/Vienna (did you mean 'Europe/Vienna'?)",
        ),
        (
            '{type: scheduled, cron: "0 2 * * *", jitter: §5}',
            'jitter: must be text; write it in quotes: "5"',
        ),
        ('{type: push, cron: §"0 2 * * *"}', "cron: is for triggers of type: scheduled only"),
        ("{type: manual, timezone: §UTC}", "timezone: is for triggers of type: scheduled only"),
        ("{type: event_based, jitter: §5m}", "jitter: is for triggers of type: scheduled only"),
        (
            '{type: push, trigger_settings: §{cron: "0 2 * * *"}}',
            "trigger_settings: is for triggers of type: scheduled only",
        ),
        (
            '{type: §schedule, cron: "0 2 * * *"}',
            "trigger type: 'schedule' is not one of event_based, push, scheduled, manual"
            " (did you mean 'scheduled'?)",
        ),
        ('{§crn: "0 2 * * *", type: push}', "unknown key 'crn' (did you mean 'cron'?)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_trigger_is_told_once_and_at_its_place(
    tmp_path: Path, trigger: str, expected: str
) -> None:
    assert_mistake(tmp_path, rule(trigger=trigger), expected)


def test_an_event_based_rule_may_begin_with_a_backfill(tmp_path: Path) -> None:
    assert the_rule(tmp_path, rule(backfill="true")).backfill
    assert the_rule(tmp_path, rule(trigger="{type: push}", backfill="true")).backfill
    assert not the_rule(tmp_path, rule()).backfill


@pytest.mark.parametrize("trigger", ["{type: manual}", '{type: scheduled, cron: "0 2 * * *"}'])
def test_other_rules_have_no_backfill(tmp_path: Path, trigger: str) -> None:
    kind = trigger[1:].split()[1].rstrip(",}")
    message = f"backfill: is for event-based rules; a {kind} one copies what is there when it runs"

    assert_mistake(tmp_path, rule(trigger=trigger, backfill="§true"), message)
    assert not the_rule(tmp_path, rule(trigger=trigger, backfill="false")).backfill

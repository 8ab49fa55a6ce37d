from pathlib import Path

import pytest

from replicator.rules import (
    Decoration,
    Destination,
    Filter,
    FilterType,
    Rule,
    Signatures,
    TriggerType,
)
from tests.unit.rulefiles.kit import assert_mistake, loaded, mistakes, rule


def the_rule(directory: Path, **more: str) -> Rule:
    found = loaded(directory, {"r.yaml": rule(**more)}).rules.rule("r")
    assert found is not None
    return found


def test_a_rule_has_sensible_defaults(tmp_path: Path) -> None:
    assert the_rule(tmp_path) == Rule("r", "eu", (Destination("us"),))


def test_a_rule_may_say_everything(tmp_path: Path) -> None:
    found = the_rule(
        tmp_path,
        destinations="[us, {registry: ap, namespace: mirror/eu, replace_count: -1}]",
        trigger="{type: manual}",
        filters='[{type: name, value: "a/**", decoration: excludes}, {type: label, value: [x, y]}]',
        signatures="ignore",
        deletion="true",
        delete_grace="1m",
        delete_cap="7",
        override="false",
        enabled="false",
    )

    assert found == Rule(
        name="r",
        source="eu",
        destinations=(Destination("us"), Destination("ap", "mirror/eu", -1)),
        trigger=TriggerType.MANUAL,
        filters=(
            Filter(FilterType.NAME, "a/**", Decoration.EXCLUDES),
            Filter(FilterType.LABEL, ("x", "y")),
        ),
        signatures=Signatures.IGNORE,
        deletion=True,
        delete_grace_s=60.0,
        delete_cap=7,
        override=False,
        enabled=False,
    )


@pytest.mark.parametrize("text", ["event_based", "push"])
def test_push_is_another_word_for_event_based(tmp_path: Path, text: str) -> None:
    assert the_rule(tmp_path, trigger=f"{{type: {text}}}").trigger is TriggerType.EVENT_BASED


@pytest.mark.parametrize(
    ("text", "length_s"), [("500ms", 0.5), ("5s", 5), ("1.5m", 90), ("24h", 86400), ("0s", 0)]
)
def test_durations(tmp_path: Path, text: str, length_s: float) -> None:
    assert the_rule(tmp_path, delete_grace=text).delete_grace_s == length_s


@pytest.mark.parametrize(
    ("text", "length_s"),
    [("15m", 900), ("1s", 1), ("24h", 86400), ("0", None), ("0s", None), ("off", None), ('"off"', None)],
)
def test_sweep_intervals(tmp_path: Path, text: str, length_s: float | None) -> None:
    assert the_rule(tmp_path, sweep_interval=text).sweep_interval_s == length_s


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "sweep_interval: "),
        ("500ms", "sweep_interval: an interval of less than 1s"),
        ("25h", "sweep_interval: a duration of more than 24h"),
        ("never", "sweep_interval: a duration is a number and its unit"),
        ("true", "sweep_interval: "),
    ],
)
def test_an_interval_that_is_none_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (told,) = mistakes(tmp_path, {"r.yaml": rule(sweep_interval=text)})

    assert expected in told


@pytest.mark.parametrize(
    ("trigger", "when"),
    [('{type: scheduled, cron: "0 2 * * *"}', "its cron says"), ("{type: manual}", "it is told to")],
)
def test_only_event_based_rules_have_an_interval(tmp_path: Path, trigger: str, when: str) -> None:
    (told,) = mistakes(tmp_path, {"r.yaml": rule(trigger=trigger, sweep_interval="1h")})

    assert "sweep_interval: is for event-based rules" in told
    assert told.endswith(f"compares when {when}")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"§naem": "x"}, "unknown key 'naem' (did you mean 'name'?)"),
        ({"§zzz": "x"}, "unknown key 'zzz'"),
        (
            {"name": "§a|b"},
            "name: a name has at most 128 letters, digits, '.', '_', ':' and '-', and begins with a letter "
            "or digit",
        ),
        ({"name": "§1.10"}, 'name: must be text; write it in quotes: "1.10"'),
        ({"name": "§no"}, 'name: must be text; write it in quotes: "no"'),
        ({"source": "§[eu]"}, "source: must be text, not a list; what begins with [ needs quotes"),
        ({"destinations": "§us"}, "destinations: must be a list"),
        ({"destinations": "§[]"}, "destinations: must not be empty"),
        ({"destinations": "[§5]"}, 'must be text; write it in quotes: "5"'),
        ({"destinations": "[§{namespace: a, replace_count: 1}]"}, "registry is missing"),
        ({"destinations": "[§{registry: us, replace_count: 1}]"}, "replace_count needs a namespace"),
        (
            {"destinations": "[§{registry: us, namespace: a}]"},
            "a namespace needs replace_count: how many leading components it replaces (0 prepends it, -1 "
            "keeps the last component alone)",
        ),
        (
            {"destinations": "[{registry: us, namespace: §A, replace_count: 1}]"},
            "namespace: a namespace is lower-case path components such as mirror or backup/eu",
        ),
        (
            {"destinations": '[{registry: us, namespace: §"", replace_count: 1}]'},
            "namespace: an empty namespace; leave the key out",
        ),
        (
            {"destinations": "[{registry: us, namespace: a, replace_count: §-2}]"},
            "replace_count: must be at least -1",
        ),
        (
            {"destinations": "[{registry: us, namespace: a, replace_count: §01}]"},
            "replace_count: must be a whole decimal number, without quotes",
        ),
        (
            {"destinations": '[{registry: us, namespace: a, replace_count: §"1"}]'},
            "replace_count: must be a whole decimal number, without quotes",
        ),
        ({"trigger": "§event_based"}, "trigger: must be a mapping of keys to values"),
        (
            {"trigger": "{type: §pushed}"},
            "trigger type: 'pushed' is not one of event_based, push, scheduled, manual (did you mean 'push'?)",
        ),
        ({"filters": "§{type: name}"}, "filters: must be a list"),
        (
            {"filters": '[{type: §nam, value: "a"}]'},
            "type: 'nam' is not one of name, tag, label, resource (did you mean 'name'?)",
        ),
        ({"filters": "[§{type: name}]"}, "value is missing"),
        ({"filters": "[{type: tag, value: §1.10}]"}, 'value: must be text; write it in quotes: "1.10"'),
        ({"filters": "[{type: tag, value: §012}]"}, 'value: must be text; write it in quotes: "012"'),
        ({"filters": "[{type: tag, value: §12:30:00}]"}, 'value: must be text; write it in quotes: "12:30:00"'),
        ({"filters": "[{type: tag, value: §no}]"}, 'value: must be text; write it in quotes: "no"'),
        ({"filters": "[{type: tag, value: §5}]"}, 'value: must be text; write it in quotes: "5"'),
        (
            {"filters": "[{type: tag, value: §{late*,v2}}]"},
            "value: must be text, not a mapping; what begins with { needs quotes",
        ),
        ({"filters": "[{type: tag, value: §[a]}]"}, "value: the value of a tag filter is one text"),
        ({"filters": "[{type: label, value: §a}]"}, "value: the value of a label filter is a list of labels"),
        ({"filters": "[{type: label, value: [a, §1.0]}]"}, 'must be text; write it in quotes: "1.0"'),
        (
            {"filters": "[{type: resource, value: §images}]"},
            "value: no resource is called 'images'; there are image, chart, artifact",
        ),
        (
            {"filters": "[{type: resource, value: image, decoration: §excludes}]"},
            "decoration: a resource filter cannot exclude",
        ),
        (
            {"filters": "[{type: name, value: a, decoration: §exclude}]"},
            "decoration: 'exclude' is not one of matches, excludes (did you mean 'excludes'?)",
        ),
        (
            {"signatures": "§folow"},
            "signatures: 'folow' is not one of follow, ignore, require (did you mean 'follow'?)",
        ),
        ({"deletion": '§"true"'}, "deletion: must be true or false, without quotes"),
        ({"deletion": "§yes"}, "deletion: must be true or false, without quotes"),
        ({"deletion": "§1"}, "deletion: must be true or false, without quotes"),
        ({"delete_grace": "§5"}, 'delete_grace: must be text; write it in quotes: "5"'),
        ({"delete_grace": "§5 s"}, "delete_grace: a duration is a number and its unit: 500ms, 5s, 1m or 2h"),
        ({"delete_grace": "§25h"}, "delete_grace: a duration of more than 24h"),
        ({"platforms": "§[]"}, "platforms: must not be empty"),
        ({"platforms": "[linux/amd64, §linux]"}, "a platform is written os/architecture or"
         " os/architecture/variant, like linux/arm64"),
        ({"platforms": "[§linux/amd46]"}, "'amd46' is no architecture that Go knows"),
        ({"platforms": "§[linux/arm64, linux/aarch64/v8]"}, "platforms: the same platform twice"),
        ({"platforms_rewrite": "§true"}, "platforms_rewrite: is for rules with platforms"),
        ({"platforms": "[linux/amd64]", "signatures": "require", "platforms_rewrite": "§true"},
         "platforms_rewrite: nobody signs an index that is rebuilt, and the rule requires signatures"),
        ({"delete_cap": "§-1"}, "delete_cap: must be at least 0"),
        ({"delete_cap": "§1.5"}, "delete_cap: must be a whole decimal number, without quotes"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_rule_is_told_once_and_at_its_place(
    tmp_path: Path, more: dict[str, str], expected: str
) -> None:
    assert_mistake(tmp_path, rule(**more), expected)


def test_a_bad_glob_is_a_mistake_even_where_matching_would_not_meet_it(tmp_path: Path) -> None:
    text = rule(filters='[{type: name, value: §"abc/["}]')

    assert_mistake(tmp_path, text, "value: bad pattern 'abc/[': a class is not closed")


@pytest.mark.parametrize(
    "key",
    [
        "poll",
        "mode",
    ],
)
def test_a_rule_key_of_a_later_version_is_refused_as_such(tmp_path: Path, key: str) -> None:
    assert_mistake(tmp_path, rule(**{f"§{key}": "[x]"}), f"{key} is not supported yet")


def test_a_misspelt_key_is_not_also_missing(tmp_path: Path) -> None:
    text = rule().replace("source:", "§sorce:")

    assert_mistake(tmp_path, text, "unknown key 'sorce' (did you mean 'source'?)")

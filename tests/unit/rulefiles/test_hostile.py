"""Whatever stands in a rule file, the loader either takes it or says what is wrong and where."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.rulefiles import Problem, RulesError
from replicator.rulefiles.directory import Snapshot
from replicator.rulefiles.load import build
from tests.unit.rulefiles.kit import assert_mistake, mistakes, registry, rule

WORDS = [
    *("registries", "rules", "replication_policy", "name", "type", "url", "credential", "webhook", "secret", "tls"),
    *("limits", "concurrency", "insecure", "source", "destinations", "registry", "namespace", "replace_count", "eu"),
    *("trigger", "filters", "value", "decoration", "signatures", "deletion", "delete_grace", "src_registry", "poll"),
    *("dest_registry", "harbor", "basic", "ecr", "https://eu.example.com", "require", "scheduled", "push", "tag"),
    *("label", "resource", "#text", "#list", "[key]", "", "${X}", "**", "a[", "cron", "access_key", "access_secret"),
    *("was", "backfill", "timezone", "jitter", "trigger_settings", "retention", "selection", "tagStatus", "action"),
    *("tagPrefixList", "countType", "countUnit", "countNumber", "rulePriority", "keep last 3", '{"rules": []}'),
]  # fmt: skip
scalars = st.sampled_from(WORDS) | st.integers(-2, 3) | st.booleans() | st.none() | st.floats() | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=25,
)
files = st.fixed_dictionaries(
    {}, optional={"registries": values, "rules": values, "replication_policy": values}
)


def read(raw: bytes) -> None:
    """Loads one file; fails by anything but mistakes with places."""
    problems = mistakes_of(raw)

    assert problems is None or problems
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in problems or ())


def mistakes_of(raw: bytes) -> list[Problem] | None:
    try:
        build(Snapshot(Path(), {"f": raw}), {})
    except RulesError as exc:
        return exc.problems
    return None


@settings(deadline=None, max_examples=300)
@given(values | files)
def test_any_shape_is_taken_or_refused(value: object) -> None:
    read(json.dumps(value).encode())


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    read(raw)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 400), st.sampled_from([*"{}[]:,&*!|>'\"%@`#- \t\n\x00", "é", ""]))
def test_any_slip_of_the_finger_is_taken_or_refused(position: int, character: str) -> None:
    text = rule(filters='[{type: tag, value: "v*"}]', webhook="x")

    read((text[:position] + character + text[position + 1 :]).encode())


@pytest.mark.parametrize("key", ["#text", "#list", "#mapping", "[key]"])
def test_a_key_that_looks_like_pydantics_own_is_an_unknown_key(tmp_path: Path, key: str) -> None:
    assert mistakes(tmp_path, {"r.yaml": f'"{key}": 1\n'}) == [f"r.yaml:1:1: unknown key '{key}'"]


def test_a_list_where_a_later_value_may_be_is_a_mistake(tmp_path: Path) -> None:
    assert mistakes(tmp_path, {"r.yaml": registry(credential="{type: [ecr], access_key: a}")}) == [
        "r.yaml:5:24: credential type: must be one of basic"
    ]


def test_a_pattern_has_a_limit(tmp_path: Path) -> None:
    text = rule(filters=f'[{{type: name, value: §"{"*a" * 2049}"}}]')

    assert_mistake(tmp_path, text, "value: a pattern of more than 4096 characters; use several rules")

"""Retention as rule files write it: sentences, and ECR's lifecycle policies."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.rulefiles.retention import clause
from replicator.rules import Clause, Count, Retention, TagStatus
from tests.unit.rulefiles.kit import assert_mistake, loaded, rule

SENTENCES = [
    "keep last 10 with prefix prod-",
    "untagged older than 1 day",
    "older than 14 days with prefix dev-",
]
POLICY: dict[str, Any] = {
    "rules": [
        {
            "rulePriority": 20,
            "description": "for people",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 1,
            },
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 10,
            "selection": {
                "tagStatus": "tagged",
                "tagPrefixList": ["prod-"],
                "countType": "imageCountMoreThan",
                "countNumber": 10,
            },
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 30,
            "selection": {
                "tagStatus": "tagged",
                "tagPrefixList": ["dev-"],
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": 14,
            },
            "action": {"type": "expire"},
        },
    ]
}
WANTED = "retention: must be a list of sentences, or a lifecycle policy of ECR as a mapping or as JSON text"


def with_retention(text: str) -> str:
    return rule(destinations=f"[{{registry: us, retention: {text}}}]")


def retention(directory: Path, text: str) -> Retention:
    (found,) = loaded(directory, {"r.yaml": with_retention(text)}).rules.rules
    assert found.destinations[0].retention
    return found.destinations[0].retention


def one_rule(**selection: object) -> str:
    """A lifecycle policy of one rule as JSON, which is YAML as well."""
    whole = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1, **selection}
    return json.dumps({"rules": [{"rulePriority": 1, "selection": whole, "action": {"type": "expire"}}]})


@pytest.mark.parametrize(
    "text",
    [json.dumps(SENTENCES), json.dumps(POLICY), f"'{json.dumps(POLICY)}'", "|\n      " + json.dumps(POLICY)],
    ids=["sentences", "mapping", "json", "block"],
)
def test_three_ways_to_write_one_retention(tmp_path: Path, text: str) -> None:
    source = with_retention(text)
    if text.startswith("|"):
        source = rule(
            destinations=f"\n      - registry: us\n        retention: |\n          {json.dumps(POLICY)}"
        )
    (found,) = loaded(tmp_path, {"r.yaml": source}).rules.rules

    assert found.destinations[0].retention == Retention(
        (
            Clause(TagStatus.TAGGED, Count.IMAGES, 10, prefixes=("prod-",)),
            Clause(TagStatus.UNTAGGED, Count.DAYS, 1),
            Clause(TagStatus.TAGGED, Count.DAYS, 14, prefixes=("dev-",)),
        )
    )


def test_a_destination_has_no_retention_unless_it_says_so(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path, {"r.yaml": rule()}).rules.rules

    assert found.destinations[0].retention is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("keep last 3", Clause(TagStatus.ANY, Count.IMAGES, 3)),
        ("keep last 3 untagged", Clause(TagStatus.UNTAGGED, Count.IMAGES, 3)),
        ("older  than 1 days", Clause(TagStatus.ANY, Count.DAYS, 1)),
        ("older than 7 days with pattern *-rc*", Clause(TagStatus.TAGGED, Count.DAYS, 7, (), ("*-rc*",))),
        ("keep last 2 with prefix a and b and and", Clause(TagStatus.TAGGED, Count.IMAGES, 2, ("a", "b", "and"))),
        ("keep last 2 with prefix with", Clause(TagStatus.TAGGED, Count.IMAGES, 2, ("with",))),
    ],
)  # fmt: skip
def test_sentences(text: str, expected: Clause) -> None:
    assert clause(text) == expected


NAMES = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,5}", fullmatch=True)
CLAUSES = st.one_of(
    st.builds(
        Clause,
        st.sampled_from([TagStatus.ANY, TagStatus.UNTAGGED]),
        st.sampled_from(Count),
        st.integers(1, 99),
    ),
    st.builds(
        lambda count, number, names, is_prefix: Clause(
            TagStatus.TAGGED,
            count,
            number,
            tuple(names) if is_prefix else (),
            () if is_prefix else tuple(names),
        ),
        st.sampled_from(Count),
        st.integers(1, 99),
        st.lists(NAMES, min_size=1, max_size=3),
        st.booleans(),
    ),
)


@given(CLAUSES)
def test_a_clause_is_read_as_it_is_written(one: Clause) -> None:
    assert clause(str(one)) == one


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected keep last, older than or untagged at the beginning"),
        ("Keep last 3", "expected keep last, older than or untagged at the beginning, not 'Keep'"),
        ("keep", "expected last after 'keep'"),
        ("keep lst 3", "expected last after 'keep', not 'lst'"),
        ("keep last", "expected a number from 1 on after 'last'"),
        ("keep last ten", "expected a number from 1 on after 'last', not 'ten'"),
        ("keep last 0", "expected a number from 1 on after 'last', not '0'"),
        ("keep last 3 images", "expected the end after '3', not 'images'"),
        ("keep last 3 untagged with prefix a", "expected the end after 'untagged', not 'with'"),
        ("keep last 3 with", "expected prefix or pattern after 'with'"),
        ("keep last 3 with tag a", "expected prefix or pattern after 'with', not 'tag'"),
        ("keep last 3 with prefix", "expected the text of a tag after 'prefix'"),
        ("keep last 3 with prefix a and", "expected the text of a tag after 'and'"),
        ("keep last 3 with prefix a, b", "expected and, or the end after 'a,', not 'b'"),
        ("keep last 3 with prefix a,b", "'a,b' is no beginning of a tag; * is for patterns"),
        ("keep last 3 with prefix a*", "'a*' is no beginning of a tag; * is for patterns"),
        ("untagged keep last 3", "expected older after 'untagged', not 'keep'"),
        ("older 3 days", "expected than after 'older', not '3'"),
        ("older than 3", "expected days after '3'"),
        ("older than 3 weeks", "expected days after '3', not 'weeks'"),
        ("untagged older than 1 day with prefix a", "expected the end after 'day', not 'with'"),
    ],
)
def test_a_sentence_that_is_none_says_what_was_expected(tmp_path: Path, text: str, expected: str) -> None:
    assert_mistake(
        tmp_path, with_retention(f'["keep last 9 with prefix x", §"{text}"]'), f"{text!r}: {expected}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("§[]", "retention: must not be empty"),
        ("[§5]", 'must be text; write it in quotes: "5"'),
        ("§keep last 3", WANTED),
        ("§5", "retention: must be a list"),
        (
            '§["keep last 3", "untagged older than 1 day"]',
            "retention: 'untagged older than 1 day' comes after 'keep last 3', which decides about every image",
        ),
        ("§{}", "rules is missing"),
        ("{rules: §[]}", "rules: must not be empty"),
        ('{rules: [§{rulePriority: 1, action: {type: expire}}]}', "selection is missing"),
        (one_rule(countNumber=0).replace(" 0", " §0"), "countNumber: must be at least 1"),
        (one_rule(tagStatus="tagt").replace('"tagt', '§"tagt'),
            "tagStatus: 'tagt' is not one of tagged, untagged, any (did you mean 'tagged'?)"),
        (one_rule(countType="sinceImagePulled").replace('"sinceImageP', '§"sinceImageP'),
            "countType: 'sinceImagePulled' is not one of imageCountMoreThan, sinceImagePushed (did you mean "
            "'sinceImagePushed'?)"),
        (one_rule(tagStatus="tagged").replace('{"tagS', '§{"tagS'),
            "selection: prefixes or patterns are for tagged images, and those need some"),
        (one_rule(tagPrefixList=["a"]).replace('{"tagS', '§{"tagS'),
            "selection: prefixes or patterns are for tagged images, and those need some"),
        (one_rule(countUnit="days").replace('{"tagS', '§{"tagS'),
            "selection: countUnit: days goes with countType: sinceImagePushed, and only with that"),
        (one_rule(countType="sinceImagePushed").replace('{"tagS', '§{"tagS'),
            "selection: countUnit: days goes with countType: sinceImagePushed, and only with that"),
        (one_rule().replace('"expire"', '§"transition"'), "type: 'transition' is not one of expire"),
        (one_rule(storageClass="archive").replace('"storage', '§"storage'), "unknown key 'storageClass'"),
        (json.dumps({"rules": [POLICY["rules"][0], POLICY["rules"][0]]}).replace("[{", "§[{", 1),
            "rules: two rules have the rulePriority 20"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_retention_is_told_once_and_at_its_place(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert_mistake(tmp_path, with_retention(text), expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{",
            "retention: not JSON: Expecting property name enclosed in double quotes (line 1 of the text, column 2)",
        ),
        ("{}", "rules is missing"),
        ('{"rules": 5}', "rules: must be a list"),
        ('{"a": 1, "a": 2}', "retention: the key 'a' is there twice"),
        ('{"a":' + "[" * 5000 + "]" * 5000 + "}", "retention: not a lifecycle policy: nested too deep"),
        (
            '{"a": "' + "x" * 40000 + '"}',
            "retention: more than 30720 characters, which ECR does not take either",
        ),
        (one_rule(countNumber="1"), "countNumber: must be a whole decimal number, without quotes"),
        (one_rule(countNumber=1.5), "countNumber: must be a whole decimal number, without quotes"),
        (one_rule(tagStatus="tagt"), "tagStatus: must be one of tagged, untagged, any"),
        (one_rule(tagPrefixList=[5]), "must be text; write it in quotes"),
        (one_rule(tagStatus=None), "tagStatus: has no value; give it one or remove the key"),
    ],
)
def test_a_mistake_in_a_json_text_is_placed_at_the_text(tmp_path: Path, text: str, expected: str) -> None:
    assert_mistake(tmp_path, with_retention(f"§'{text}'"), expected)


def test_an_unknown_key_in_a_json_text_is_placed_at_the_key_of_the_text(tmp_path: Path) -> None:
    text = rule(destinations=f"[{{registry: us, §retention: '{one_rule(tagstatus='any')}'}}]")

    assert_mistake(tmp_path, text, "unknown key 'tagstatus' (did you mean 'tagStatus'?)")

from pathlib import Path

import pytest

from replicator.rules import Conflict, ConflictRule
from tests.unit.rulefiles.kit import REGISTRIES, assert_mistake, loaded, mistakes

PAIR = (
    REGISTRIES
    + """\
rules:
  - {name: forth, source: eu, destinations: [us]%s}
  - {name: back, source: us, destinations: [eu]%s}
"""
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("newest", Conflict()),
        ("manual", Conflict(ConflictRule.MANUAL)),
        ("priority", Conflict(ConflictRule.PRIORITY, ("eu", "us"))),
        ("{priority: [us, eu]}", Conflict(ConflictRule.PRIORITY, ("us", "eu"))),
    ],
)
def test_one_rule_of_a_ring_says_what_becomes_of_conflicts(
    tmp_path: Path, written: str, meant: Conflict
) -> None:
    found = loaded(tmp_path, {"r.yaml": PAIR % (f", conflict: {written}", "")})

    assert [rule.conflict for rule in found.rules.rules] == [meant, None]
    assert not [item for item in found.warnings if "conflict" in item.message]


def test_a_plain_priority_on_both_sides_is_two_orders(tmp_path: Path) -> None:
    found = mistakes(tmp_path, {"r.yaml": PAIR % (", conflict: priority", ", conflict: priority")})

    assert found
    assert all("decide differently" in item for item in found)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("§latest", "conflict: 'latest' is not one of newest, priority, manual"),
        ("{priority: §[eu, eu]}", "priority: eu is named twice"),
        ("{priority: [eu, us, §usa]}", "unknown registry 'usa' (did you mean 'us'?)"),
        ("{priority: §[]}", "priority: must not be empty"),
        ("{§order: [eu, us], priority: [eu, us]}", "unknown key 'order'"),
    ],
)
def test_what_makes_no_sense_is_a_mistake(tmp_path: Path, written: str, message: str) -> None:
    assert_mistake(tmp_path, PAIR % (f", conflict: {written}", ""), message)


def test_a_conflict_rule_that_decides_nothing_is_warned_of(tmp_path: Path) -> None:
    text = REGISTRIES + "rules:\n  - {name: r, source: eu, destinations: [us], conflict: manual}\n"

    found = [item.message for item in loaded(tmp_path, {"r.yaml": text}).warnings]

    assert "conflict: decides nothing: no rule brings back what this one copies" in found

"""The names of rules: one that is taken, and those that they had before."""

from pathlib import Path

import pytest

from tests.unit.rulefiles.kit import REGISTRIES, assert_mistake, loaded, mistakes, rule
from tests.unit.rulefiles.test_harbor import policy

TAKEN = "'promote' is taken: what is promoted by command is kept under it"


def rules(*was: str) -> str:
    """Rules `r0`, `r1` and so on, which were what is said of each of them."""
    entries = [
        f"  - {{name: r{number}, source: eu, destinations: [us], was: {names}, "
        f'filters: [{{type: name, value: "a{number}/x"}}]}}\n'
        for number, names in enumerate(was)
    ]
    return REGISTRIES + "rules:\n" + "".join(entries)


@pytest.mark.parametrize(
    ("text", "former"), [("old", ("old",)), ("[old, older]", ("old", "older")), ("[]", ())]
)
def test_a_rule_may_have_had_other_names(tmp_path: Path, text: str, former: tuple[str, ...]) -> None:
    (found,) = loaded(tmp_path, {"r.yaml": rule(was=text)}).rules.rules

    assert found.was == former


def test_a_name_may_be_handed_down_when_nobody_has_it(tmp_path: Path) -> None:
    assert mistakes(tmp_path, {"r.yaml": rules("old", "[older, oldest]")}) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rules("§r0"), "was: r0 is the rule's own name; a former one is another"),
        (rules("x", "[y, §r0]"), "was: r0 is the name of another rule, at {}:6"),
        (rules("x", "[y, §x]"), "was: the rule at {}:6 was x already"),
        (rules("[x, §x]"), "was: the rule at {}:6 was x already"),
        (rule(was="§a|b"), "was: a name has at most 128 letters, digits, '.', '_', ':' and '-', and begins with "
            "a letter or digit"),
        (rule(was="[x, §5]"), 'must be text; write it in quotes: "5"'),
        (rule(was="§{a: b}"), "was: must be text, not a mapping; what begins with { needs quotes"),
        (rule(name="§promote"), f"name: {TAKEN}"),
        (rule(was="§promote"), f"was: {TAKEN}"),
        (policy(name="§promote"), f"name: {TAKEN}"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_name_is_told_once_and_at_its_place(tmp_path: Path, text: str, expected: str) -> None:
    assert_mistake(tmp_path, text, expected.replace("{}", str(tmp_path / "r.yaml")))


def test_a_registry_may_be_called_promote(tmp_path: Path) -> None:
    assert mistakes(tmp_path, {"r.yaml": rule().replace("us", "promote")}) == []

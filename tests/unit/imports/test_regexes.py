"""Go's regular expressions as sets of texts, judged by Python's where the two agree."""

import re
import string

import pytest

from replicator.imports.languages import (
    BLANK,
    EVERYTHING,
    NOTHING,
    TooComplex,
    difference,
    sequence,
    text,
    without,
)
from replicator.imports.regexes import NotUnderstood, texts_of

ALPHABET = frozenset(string.ascii_letters + string.digits + "._-")
SAMPLES = [
    "",
    "a",
    "b",
    "ab",
    "aab",
    "A",
    "1",
    "12",
    "a1",
    "a-1",
    "a.1",
    "a_1",
    "-",
    "xax",
    "aaaa",
    "ba",
    "c]",
]


def found_in(expression: str, sample: str) -> bool:
    return difference(without(text(sample), texts_of(expression, ALPHABET)), NOTHING, ALPHABET) is None


UNDERSTOOD = [
    "a",
    "^a$",
    "^a",
    "a$",
    "^a|b$",
    "^(a|b)$",
    "(?:a|b)1",
    "(?P<n>a)1",
    "a?b",
    "a*b",
    "a+?b",
    "a{2}",
]
UNDERSTOOD += [
    "^a{1,2}$",
    "a{2,}",
    "[ab]1",
    "[^a]",
    "[a-c]b",
    r"[\d]",
    r"[\w]+",
    r"\w\d",
    r"\D",
    r"\.",
    "[.]",
]
UNDERSTOOD += ["[a-]1", "[]c]", "a|", "", "^$", r"^[0-9a-fA-F]+$", "^^a$$"]
REFUSED = [
    "(?i)a",
    r"\bv",
    r"\pL",
    "a)",
    "(a",
    "[a",
    "a{2",
    "a{x}",
    "a{3,1}",
    "*a",
    "a^b",
    "a$b",
    "(^a)",
    "[b-a]",
]
REFUSED += ["a" * 400, "a{400}", "(a{20}){20}", "(" * 60 + "a" + ")" * 60, "\\", "[[:no:]]"]


@pytest.mark.parametrize("expression", UNDERSTOOD)
def test_an_expression_is_found_where_python_finds_it(expression: str) -> None:
    wrong = [
        each
        for each in SAMPLES
        if "]" not in each and found_in(expression, each) is not bool(re.search(expression, each))
    ]

    assert wrong == []


def test_posix_classes_are_understood() -> None:
    assert difference(texts_of("^[[:digit:]]+$", ALPHABET), texts_of(r"^\d+$", ALPHABET), ALPHABET) is None
    assert difference(texts_of("^[[:^digit:]]$", ALPHABET), texts_of(r"^\D$", ALPHABET), ALPHABET) is None


@pytest.mark.parametrize("expression", REFUSED)
def test_what_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(NotUnderstood):
        texts_of(expression, ALPHABET)


def test_the_shortest_difference_is_found() -> None:
    assert difference(texts_of(r"^v\d+$", ALPHABET), texts_of("^v.+$", ALPHABET), ALPHABET) == "v" + "A"
    assert difference(BLANK, EVERYTHING, ALPHABET) is not None


def test_a_comparison_without_end_is_given_up() -> None:
    hard = texts_of("a.{40}$", ALPHABET)

    with pytest.raises(TooComplex):
        difference(hard, sequence(hard, text("b")), ALPHABET)

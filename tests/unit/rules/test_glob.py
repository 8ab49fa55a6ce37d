import csv
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.rules import check_asked_glob, check_glob, glob_match, missed_names
from tests.unit.rules.naive_glob import naive_match

CASES = list(
    csv.DictReader((Path(__file__).parent / "harbor_filter_cases.csv").read_text("utf-8").splitlines())
)

PATTERN_PARTS = (
    *("a", "b", "c", "é", "-", "^", "*", "?", "/", "**", "**/", "/**", "\\", "\\\\", "\\/", "\ufffd"),
    *("[", "]", "[ab]", "[^a]", "[a-c]", "{", "}", ",", "{", "}", "{a,b}", "{,a}", "{a/b,c}", "{*,b}"),
)
NAME_PARTS = ("a", "b", "c", "/", "a", "b", "/", "é", ",", "]", "}", "{", "-", "[", "\\", "*", "\ufffd")


@pytest.fixture
def in_seconds() -> Iterator[None]:
    """Fails a match that takes exponential time: all those here take milliseconds, the naive matcher takes years."""

    def give_up(_signal: int, _frame: object) -> None:
        raise TimeoutError("matching takes too long")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def outcome(match: Callable[[str, str], bool], pattern: str, name: str) -> str:
    try:
        return str(match(pattern, name)).lower()
    except ValueError:
        return "error"


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['pattern']} {case['name']} {case['decoration']}"
)
def test_harbors_own_cases_come_out_the_same(case: dict[str, str]) -> None:
    opposite = {"true": "false", "false": "true", "error": "error"}

    got = outcome(glob_match, case["pattern"], case["name"])

    assert (got if case["decoration"] == "matches" else opposite[got]) == case["expected"]


@pytest.mark.parametrize("seed", range(20))
def test_a_naive_matcher_agrees_on_any_pattern_and_name(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1000):
        pattern = "".join(chance.choices(PATTERN_PARTS, k=chance.randint(1, 9)))
        name = "".join(chance.choices(NAME_PARTS, k=chance.randint(0, 7)))

        assert (pattern, name, outcome(glob_match, pattern, name)) == (
            pattern,
            name,
            outcome(naive_match, pattern, name),
        )


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("", "library", "true"),
        ("", "", "true"),
        ("a/", "a/", "true"),
        ("a/", "a", "false"),
        ("[^]", "x", "true"),
        ("[]", "]", "error"),
        ("[]a]", "]", "error"),
        ("[a-]", "a", "error"),
        ("[-a]", "a", "error"),
        ("[a\\]", "a", "error"),
        ("[a-b-c]", "a", "error"),
        ("[\\]a]", "]", "true"),
        ("[\\--x]", "a", "true"),
        ("[a-\\c]", "b", "true"),
        ("[à-ü]*", "é", "true"),
        ("a?b", "a☺b", "true"),
        ("a[", "a", "false"),
        ("a[", "ab", "error"),
        ("a\\", "a", "false"),
        ("a\\", "ab", "error"),
        ("\\\ufffd", "\ufffd", "error"),
        ("a{", "a", "error"),
        ("a{,b}", "a", "true"),
        ("a{,{,b}}{*,c}", "a", "true"),
        ("a{b,c}", "a", "false"),
        ("a{,b}c", "a", "false"),
        ("a{,/b}", "a", "error"),
        ("a{,/b}", "a/b", "error"),
        ("a{,{b}", "a", "error"),
        ("{[a,[b}]", "b", "true"),
        ("{a/*,b}*", "a/x/y", "true"),
        ("{a,[}", "a", "error"),
        ("*{a,[}", "xa", "error"),
        ("***", "", "false"),
        ("a***", "a", "false"),
        ("a***", "ab", "true"),
        ("*{,x}", "a", "false"),
        ("a\\/b", "a/b", "false"),
        ("a\\/b", "a\\/b", "false"),
        ("a\\\\\\/b", "a\\/b", "true"),
        ("{a,b/c", "a", "error"),
        ("**/{a,b}", "x/y/b", "true"),
        ("**/**/a", "a", "true"),
        ("a/**", "a/", "true"),
    ],
)
def test_the_dialects_corners_are_kept(pattern: str, name: str, expected: str) -> None:
    assert outcome(glob_match, pattern, name) == expected
    assert outcome(naive_match, pattern, name) == expected


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*a" * 8 + "b", "a" * 255),
        ("*a" * 255 + "b", "a" * 255),
        ("*[ab]" * 100 + "c", "a" * 255),
        ("*?" * 200 + "c", "a" * 255),
        ("*" * 511 + "b", "a" * 255),
        ("{a,a}" * 100 + "c", "a" * 255),
        ("{a,aa,aaa}" * 50 + "c", "a" * 255),
        ("{aaa,aa,a}" * 20 + "*[bc]", "a" * 255),
        ("*{a,aa,*a}" * 50 + "c", "a" * 255),
        ("{,a}" * 127 + "b", "a" * 255),
        ("{*a," * 100 + "b" + "}" * 100, "a" * 254 + "c"),
        ("{a,{a," * 60 + "a" + "}" * 120, "b"),
        ("**/" * 170 + "x", "/".join("a" * 128)),
        ("**/*/" * 100 + "x", "/".join("a" * 128)),
        ("{*,a*,?*}/" * 50 + "x", "/".join("a" * 128)),
        ("{**/a,**/a}/" * 40 + "x", "/".join("a" * 128)),
        ("*a" * 1000 + "b", "a" * 10_000),
    ],
    ids=lambda text: text[:12],
)
def test_no_pattern_takes_exponential_time(pattern: str, name: str, in_seconds: None) -> None:
    assert not glob_match(pattern, name)


def test_deep_nesting_is_matched(in_seconds: None) -> None:
    assert glob_match("{" * 250 + "a" + "}" * 250, "a")
    assert glob_match("{,{," * 60 + "a" + "}" * 120, "")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{" * 251 + "}" * 251, "deep"),
        ("{}{[,}{]x" * 12 + "]}" * 12, "cross"),
    ],
    ids=["nested too deep", "classes that swallow braces"],
)
def test_patterns_that_no_person_writes_are_refused(pattern: str, why: str, in_seconds: None) -> None:
    with pytest.raises(ValueError, match=why):
        glob_match(pattern, "x")


@pytest.mark.parametrize(
    "pattern",
    [
        "a[",
        "a\\",
        "{a,b",
        "[]",
        "a/[a-]",
        "**/[",
        "{a,[}",
        "x/{b,\\",
        "[-]",
        "[a\\",
        "library{,/**}",
        "a[b\\]",
    ],
)
def test_check_refuses_a_pattern_that_can_fail(pattern: str) -> None:
    with pytest.raises(ValueError, match="bad pattern"):
        check_glob(pattern)


@pytest.mark.parametrize(
    "pattern", sorted({case["pattern"] for case in CASES if case["expected"] != "error"})
)
def test_check_takes_harbors_patterns_unless_they_can_fail(pattern: str) -> None:
    # These two never fail on the name of their case: the fault lies behind what that name reaches.
    if pattern in ("library/[a-", "**/["):
        with pytest.raises(ValueError, match="class is not closed"):
            check_glob(pattern)
    else:
        check_glob(pattern)


def test_a_check_gives_up_trying_names_before_it_takes_long() -> None:
    began = time.thread_time()

    check_glob("{a,b,}" * 85)
    check_glob("{a,b,}" * 680)

    assert time.thread_time() - began < 2  # it took 60 s


def test_a_pattern_that_comes_with_a_request_is_short() -> None:
    check_asked_glob("a" * 512)
    for pattern in ("a" * 513, "a["):
        with pytest.raises(ValueError, match="pattern"):
            check_asked_glob(pattern)


def test_a_checked_pattern_rarely_fails_and_never_on_what_it_spells_out() -> None:
    check_glob("team{-a/api,-b/web}")

    assert glob_match("team{-a/api,-b/web}", "team-a/api")
    with pytest.raises(ValueError, match="may end before"):
        glob_match("team{-a/api,-b/web}", "team")


@pytest.mark.parametrize(
    ("pattern", "missed"),
    [
        ("{library,library/**}", ["library"]),
        ("{har*,har*/**}", ["harx", "har"]),
        ("{library,other/**}", []),
        ("library/**", []),
        ("**", []),
        ("", []),
    ],
)
def test_names_that_a_pattern_spells_out_but_misses_are_found(pattern: str, missed: list[str]) -> None:
    assert missed_names(pattern) == missed

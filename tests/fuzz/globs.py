"""Patterns against names: an answer or a ValueError, soon, and the same as the naive matcher gives where that ends."""

import random

from replicator.rules import glob_match
from replicator.rules.glob import check_glob
from tests.fuzz.engine import Target
from tests.fuzz.spoiling import NASTY_TEXTS, some
from tests.unit.rules.naive_glob import naive_match

_SIGNS = (
    "*",
    "**",
    "?",
    "/",
    "**/",
    "{",
    "}",
    ",",
    "[",
    "]",
    "^",
    "!",
    "-",
    "\\",
    "{a,b}",
    "{a,{b,c*}}",
    "[a-z]",
    "[^/]",
)
_LETTERS = ("a", "b", "ab", "v1", "library", "team", "é", "\ufffd", ".", "_", "1")
_EVIL = ("*a", "**/", "{a,a}", "{a,b,}", "[a-z]*", "{*a,*b}", "?*", "\\*", "{{{{", "{,{,{,", "a*/", "**")
_NAIVE_SIGNS = 9
_PATTERN_CHARACTERS = 512

Input = tuple[str, str]


def make(rng: random.Random) -> Input:
    """A pattern and a name."""
    way = rng.random()
    if way < 0.7:
        size = rng.randrange(1, 10)
        pattern = "".join(some(rng, some(rng, (_SIGNS, _LETTERS))) for _ in range(size))
        name = "".join(some(rng, some(rng, (_LETTERS, _LETTERS, ("/",)))) for _ in range(rng.randrange(0, 8)))
    elif way < 0.9:
        pattern = "".join(some(rng, _EVIL) for _ in range(rng.randrange(1, 40))) + some(rng, ("", "b", "/x"))
        name = some(rng, ("a", "ab", "a/", "é")) * rng.randrange(1, 100)
    elif way < 0.95:
        pattern = (some(rng, _EVIL) * 4096)[: rng.randrange(1, 512)]
        name = ("a" * 255) if rng.random() < 0.5 else "a/" * 127 + "a"
    else:
        pattern, name = some(rng, NASTY_TEXTS)[:512], some(rng, NASTY_TEXTS)[:255]
    return pattern[:_PATTERN_CHARACTERS], name[:255]


def _outcome(match: object, pattern: str, name: str) -> object:
    try:
        return match(pattern, name)  # type: ignore[operator]
    except ValueError:
        return ValueError


def check(fed: Input) -> None:
    """Raises for any other exception than ValueError, and for an answer that the naive matcher does not give."""
    pattern, name = fed
    try:
        check_glob(pattern)
    except ValueError as exc:
        assert len(str(exc)) < 2000
    found = _outcome(glob_match, pattern, name)
    if len(pattern) <= _NAIVE_SIGNS and len(name) <= _NAIVE_SIGNS:
        assert found == _outcome(naive_match, pattern, name)


TARGET = Target("globs", make, check, 200_000)

"""Names that a glob pattern seems to be meant for: what its author would try first.

They are guesses to test rules with. Whether the pattern really takes them is for `glob` to say.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from replicator.rules.pattern import Choice, Class, Compiler, Rest, Star

_FILL = "x"
_CHARACTERS = "x1abv0-._"
_STEPS = 2000
_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """A name. It is `exact` if the pattern spells it out, with no wildcard and no class."""

    name: str
    exact: bool = True


def samples(pattern: str) -> tuple[Sample, ...]:
    """Up to 64 different names for `pattern`: every alternative in turn, wildcards replaced by short text."""
    return _found(pattern).names


def spelled_out(pattern: str) -> tuple[str, ...] | None:
    """Every name that the pattern takes, if it spells them all out and they are fewer than 64; else None."""
    found = _found(pattern)
    is_whole = found.is_all and all(sample.exact for sample in found.names)
    return tuple(sample.name for sample in found.names) if pattern and is_whole else None


@dataclass(frozen=True, slots=True)
class _Found:
    names: tuple[Sample, ...]
    is_all: bool
    """False if there may be more, which nobody looked at."""


@lru_cache(maxsize=1024)
def _found(pattern: str) -> _Found:
    names: dict[Sample, None] = {}
    waiting, steps = [(Compiler(pattern).root, Sample(""))], 0
    while waiting and steps < _STEPS and len(names) < _LIMIT:
        rest, so_far = waiting.pop()
        steps += 1
        if not rest.text:
            names[so_far] = None
            continue
        for text, following, exact in reversed(list(_steps(rest))):
            waiting.append((following, Sample(so_far.name + text, so_far.exact and exact)))
    return _Found(tuple(names), is_all=not waiting)


def _steps(rest: Rest) -> Iterator[tuple[str, Rest, bool]]:
    """Each text to go on with, what is left of the pattern then, and whether the pattern spells the text out."""
    match rest.token:
        case str(literal) if rest.next:
            yield literal, rest.next, True
        case Class() if rest.next:
            yield from ((text, rest.next, False) for text in _taken(rest.token))
        case Star() if rest.is_deep and rest.below:
            yield "", rest.below, False
            yield f"{_FILL}/", rest.below, False
        case Star() if isinstance(rest.token.after.token, Star):
            yield "", rest.token.after, False
        case Star():
            yield _FILL, rest.token.after, False
            yield "", rest.token.after, False
        case Choice():
            yield from (("", option, True) for option in rest.token.options)
        case _ if isinstance(rest.at_end, tuple):
            yield "/", rest.at_end[0], True


def _taken(token: Class) -> list[str]:
    lows = [low for low, _ in token.ranges if token.takes(low)]
    return lows or [character for character in _CHARACTERS if token.takes(character)][:1]

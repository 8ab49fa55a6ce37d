"""Sets of texts, as expressions with `and` and `not`, and the proof that two of them are the same.

A regular expression and a list of glob patterns are both such sets. Whether one may stand for the other is not guessed
but decided, by Brzozowski's derivatives: what is left of an expression after each character is an expression again,
and there are only finitely many of them. Where two sets differ, the shortest text that shows it is found as well.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_STATES = 1000
"""How many pairs of rests are looked at before a comparison is given up."""


@dataclass(frozen=True, slots=True)
class Blank:
    """The empty text."""


@dataclass(frozen=True, slots=True)
class One:
    """One character out of several."""

    of: frozenset[str]


@dataclass(frozen=True, slots=True)
class Then:
    """A text of `first` followed by one of `rest`."""

    first: "Language"
    rest: "Language"


@dataclass(frozen=True, slots=True)
class Many:
    """Any number of texts of `what`, one after the other."""

    what: "Language"


@dataclass(frozen=True, slots=True)
class Either:
    """What is in one of several sets; in none of none."""

    ways: "frozenset[Language]"


@dataclass(frozen=True, slots=True)
class Both:
    """What is in all of several sets."""

    ways: "frozenset[Language]"


@dataclass(frozen=True, slots=True)
class Not:
    """What is not in a set."""

    what: "Language"


Language = Blank | One | Then | Many | Either | Both | Not

BLANK = Blank()
NOTHING = Either(frozenset())
EVERYTHING = Not(NOTHING)


class TooComplex(ValueError):
    """The comparison would take too long."""


def one(characters: Iterable[str]) -> Language:
    """A single character out of some."""
    found = frozenset(characters)
    return One(found) if found else NOTHING


def text(literal: str) -> Language:
    """Exactly this text."""
    return sequence(*(one(character) for character in literal))


def sequence(*parts: Language) -> Language:
    """One after the other."""
    whole: Language = BLANK
    for part in reversed(parts):
        whole = _then(part, whole)
    return whole


def many(what: Language) -> Language:
    """Any number of times, none included."""
    return what if isinstance(what, Many) else BLANK if what in (BLANK, NOTHING) else Many(what)


def either(ways: Iterable[Language]) -> Language:
    """In one of these sets."""
    flat: set[Language] = set()
    for way in ways:
        flat |= way.ways if isinstance(way, Either) else {way}
    if EVERYTHING in flat:
        return EVERYTHING
    return flat.pop() if len(flat) == 1 else Either(frozenset(flat))


def both(*ways: Language) -> Language:
    """In all of these sets."""
    flat: set[Language] = set()
    for way in ways:
        flat |= way.ways if isinstance(way, Both) else {way}
    flat.discard(EVERYTHING)
    if NOTHING in flat:
        return NOTHING
    return EVERYTHING if not flat else flat.pop() if len(flat) == 1 else Both(frozenset(flat))


def without(what: Language, *others: Language) -> Language:
    """In the first set and in none of the others."""
    return both(what, *(_negated(other) for other in others))


def difference(mine: Language, other: Language, alphabet: frozenset[str]) -> str | None:
    """The shortest text of the alphabet's characters that is in just one of the two sets; None if they are equal.

    Raises TooComplex if that cannot be found out in reasonable time.
    """
    letters = _representatives(alphabet, sets_of(mine) | sets_of(other))
    waiting = deque([(mine, other, "")])
    seen = {(mine, other)}
    while waiting:
        left, right, so_far = waiting.popleft()
        if _takes_blank(left) is not _takes_blank(right):
            return so_far
        for letter in letters:
            pair = _after(left, letter), _after(right, letter)
            if pair[0] == pair[1] or pair in seen:
                continue
            if len(seen) >= _STATES:
                raise TooComplex("too many texts to compare")
            seen.add(pair)
            waiting.append((*pair, so_far + letter))
    return None


def _then(first: Language, rest: Language) -> Language:
    if NOTHING in (first, rest):
        return NOTHING
    if first == BLANK:
        return rest
    if isinstance(first, Then):
        return Then(first.first, _then(first.rest, rest))
    return first if rest == BLANK else Then(first, rest)


def _negated(what: Language) -> Language:
    return what.what if isinstance(what, Not) else Not(what)


@lru_cache(maxsize=100_000)
def _takes_blank(what: Language) -> bool:
    match what:
        case Blank() | Many():
            return True
        case One():
            return False
        case Then(first, rest):
            return _takes_blank(first) and _takes_blank(rest)
        case Either(ways):
            return any(map(_takes_blank, ways))
        case Both(ways):
            return all(map(_takes_blank, ways))
        case Not(other):
            return not _takes_blank(other)


@lru_cache(maxsize=100_000)
def _after(what: Language, letter: str) -> Language:
    """What may follow `letter` in texts of the set."""
    match what:
        case Blank():
            return NOTHING
        case One(of):
            return BLANK if letter in of else NOTHING
        case Then(first, rest):
            here = _then(_after(first, letter), rest)
            return either((here, _after(rest, letter))) if _takes_blank(first) else here
        case Many(part):
            return _then(_after(part, letter), what)
        case Either(ways):
            return either(_after(way, letter) for way in ways)
        case Both(ways):
            return both(*(_after(way, letter) for way in ways))
        case Not(other):
            return _negated(_after(other, letter))


@lru_cache(maxsize=10_000)
def sets_of(what: Language) -> frozenset[frozenset[str]]:
    """Every set of characters that the expression speaks of."""
    match what:
        case Blank():
            return frozenset()
        case One(of):
            return frozenset({of})
        case Then(first, rest):
            return sets_of(first) | sets_of(rest)
        case Many(part) | Not(part):
            return sets_of(part)
        case Either(ways) | Both(ways):
            return frozenset[frozenset[str]]().union(*map(sets_of, ways))


def _representatives(alphabet: frozenset[str], sets: frozenset[frozenset[str]]) -> list[str]:
    """One character for all those that no set tells apart; those that people use most come first."""
    ordered = sorted(alphabet, key=lambda letter: (not letter.isalnum(), not letter.isdigit(), letter))
    kinds: dict[frozenset[frozenset[str]], str] = {}
    for letter in ordered:
        kinds.setdefault(frozenset(each for each in sets if letter in each), letter)
    return list(kinds.values())

"""Glob patterns that take exactly what regular expressions take, as far as there are such patterns.

A glob has no "one or more digits". But a rule's filters are ANDed, and a filter can exclude: `v[0-9]*` without
`v*[^0-9]*` is `v[0-9]+`. So candidates are made up, and `languages` proves what they are worth: an exclusion that would
drop something wanted is left out, one that drops nothing more is left out too, and what remains is compared with the
original. If it is not the same, it is wider, and the shortest text that shows it is told.
"""

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, product

from replicator.imports.languages import (
    EVERYTHING,
    NOTHING,
    Either,
    Language,
    Many,
    One,
    Then,
    TooComplex,
    both,
    difference,
    either,
    many,
    one,
    sequence,
    sets_of,
    without,
)
from replicator.imports.regexes import NotUnderstood, texts_of

TAG_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
NAME_CHARACTERS = frozenset(string.ascii_lowercase + string.digits + "._-/")
_ALTERNATIVES = 64
_PATTERN_LIMIT = 4000

_Atoms = tuple[One | Many, ...]


@dataclass(frozen=True, slots=True)
class Globs:
    """Patterns of which one must match, and patterns of which none may.

    They take all that the original takes. `flaw` is empty if they take nothing else, or else says what is amiss.
    """

    patterns: tuple[str, ...]
    excludes: tuple[str, ...] = ()
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class _Glob:
    text: str
    takes: Language


def tag_globs(allow: Sequence[str], deny: Sequence[str] = ()) -> Globs:
    """Patterns for the tags in which one of `allow` (all tags, if it is empty) and none of `deny` is found.

    No pattern takes the empty tag, which stands for artifacts without one.
    """
    everything = _Glob("?*", sequence(one(TAG_CHARACTERS), many(one(TAG_CHARACTERS))))
    try:
        wanted = [texts_of(each, TAG_CHARACTERS) for each in allow]
        refused = [texts_of(each, TAG_CHARACTERS) for each in deny]
    except NotUnderstood as exc:
        return Globs((everything.text,), flaw=f"not understood: {exc}")
    target = without(both(either(wanted) if allow else EVERYTHING, everything.takes), *refused)
    ways = [_ways(each) for each in wanted]
    tight, loose = list(chain.from_iterable(ways)), [_loosened(each) for each in ways]
    choices = [[_tag_glob(full) for way in each for full in _not_blank(way)] for each in (tight, loose)]
    denied = [_tag_glob(way) for each in refused for way in _ways(each)]
    longer = [_longer(each) for each in ways]
    excludes = [*denied, *_refinements(tight), *_refinements(loose), *map(_tag_glob, filter(None, longer))]
    return _proven(target, [*choices, [everything]], excludes, TAG_CHARACTERS)


def name_globs(allow: Sequence[str], deny: Sequence[str] = ()) -> Globs:
    """Patterns for the repositories in whose names one of `allow` (all, if it is empty) and none of `deny` is found."""
    everything = _Glob("**", EVERYTHING)
    try:
        wanted = [texts_of(each, NAME_CHARACTERS) for each in allow]
        refused = [texts_of(each, NAME_CHARACTERS) for each in deny]
    except NotUnderstood as exc:
        return Globs((everything.text,), flaw=f"not understood: {exc}")
    component = sequence(one(NAME_CHARACTERS - {"/"}), many(one(NAME_CHARACTERS - {"/"})))
    names = sequence(component, many(sequence(one("/"), component)))
    target = without(both(either(wanted) if allow else EVERYTHING, names), *refused)
    found = [_name_glob(way) for each in wanted for way in _ways(each)]
    denied = [_name_glob(way) for each in refused for way in _ways(each)]
    choices = [[_Glob(glob.text, both(glob.takes, names)) for glob in each] for each in (found, [everything])]
    return _proven(target, choices, denied, NAME_CHARACTERS)


def joined(patterns: Iterable[str]) -> list[str]:
    """The same patterns, as few as may be: those of one depth are alternatives of one pattern.

    Alternatives of different depth get in each other's way in the dialect, so they stay apart.
    """
    by_depth: dict[object, list[str]] = {}
    for pattern in dict.fromkeys(patterns):
        by_depth.setdefault(pattern if "**" in pattern else pattern.count("/"), []).append(pattern)
    return [group[0] if len(group) == 1 else "{" + ",".join(group) + "}" for group in by_depth.values()]


def _proven(
    target: Language, choices: Sequence[Sequence[_Glob]], excludes: Sequence[_Glob], alphabet: frozenset[str]
) -> Globs:
    """The first of the choices that takes all of the target, without what some of `excludes` take.

    The last choice takes everything.
    """
    try:
        found = next(each for each in choices if _holds(target, each, alphabet))
        positive = either(each.takes for each in found)
        sound = [
            each
            for each in {each.text: each for each in excludes}.values()
            if difference(both(target, each.takes), NOTHING, alphabet) is None
            and difference(both(positive, each.takes), NOTHING, alphabet) is not None
        ]
        goal = _less(positive, sound)
        example = difference(goal, target, alphabet)
        for each in reversed(sound):
            fewer = [other for other in sound if other is not each]
            if difference(_less(positive, fewer), goal, alphabet) is None:
                sound = fewer
    except TooComplex as exc:
        return Globs(tuple(each.text for each in choices[-1]), flaw=f"{exc}")
    flaw = "" if example is None else f"these patterns take {example!r} as well"
    texts = dict.fromkeys(each.text for each in found)
    return Globs(tuple(texts), tuple(each.text for each in sound), flaw)


def _holds(target: Language, found: Sequence[_Glob], alphabet: frozenset[str]) -> bool:
    """Whether some patterns take all of the target, and are short enough to be written down."""
    is_short = len(",".join(each.text for each in found)) < _PATTERN_LIMIT
    positive = either(each.takes for each in found)
    return bool(found) and is_short and difference(without(target, positive), NOTHING, alphabet) is None


def _less(positive: Language, excludes: Iterable[_Glob]) -> Language:
    return without(positive, *(each.takes for each in excludes))


def _ways(what: Language) -> list[_Atoms]:
    """The alternatives of an expression, each a row of characters and runs; wider than it where it must be."""
    match what:
        case One() | Many(One()):
            return [(what,)]
        case Many():
            return [_run(what)]
        case Then(first, rest):
            found = [(*one, *two) for one, two in product(_ways(first), _ways(rest))]
        case Either(ways):
            found = [each for way in sorted(ways, key=repr) for each in _ways(way)]
        case _:
            return [()]
    return found if len(found) <= _ALTERNATIVES else [_run(what)]


def _run(*parts: Language) -> _Atoms:
    """Any text of the characters that occur in some expressions."""
    return (Many(One(frozenset[str]().union(*(each for part in parts for each in sets_of(part))))),)


def _loosened(ways: Sequence[_Atoms]) -> _Atoms:
    """One way for several: what they all begin with, then a run."""
    start = _start(ways)
    rest = [atom for way in ways for atom in way[len(start) :]]
    return (*start, *_run(*rest)) if rest else start


def _longer(ways: Sequence[_Atoms]) -> _Atoms:
    """Whatever begins like the ways and is longer than all of them; nothing if there is no longest."""
    if len(ways) < 2 or any(isinstance(atom, Many) for way in ways for atom in way):
        return ()
    start, anyone = _start(ways), One(TAG_CHARACTERS)
    return (*start, *[anyone] * (max(map(len, ways)) + 1 - len(start)), Many(anyone))


def _start(ways: Sequence[_Atoms]) -> _Atoms:
    shared: _Atoms = ()
    for atoms in zip(*ways, strict=False):
        if len(set(atoms)) > 1 or isinstance(atoms[0], Many):
            break
        shared += atoms[:1]
    return shared


def _not_blank(way: _Atoms) -> list[_Atoms]:
    """The same without the empty text."""
    if any(isinstance(each, One) for each in way):
        return [way]
    return [
        (*way[:index], each.what, *way[index:])
        for index, each in enumerate(way)
        if isinstance(each, Many) and isinstance(each.what, One)
    ]


def _tag_glob(way: _Atoms) -> _Glob:
    text, takes = "", list[Language]()
    for each in way:
        if isinstance(each, One):
            text, takes = text + _sign(each.of, TAG_CHARACTERS), [*takes, each]
        elif not text.endswith("*"):
            # A glob has no runs of some characters: it is a run of any.
            text, takes = text + "*", [*takes, many(one(TAG_CHARACTERS))]
    return _Glob(text, sequence(*takes))


def _name_glob(way: _Atoms) -> _Glob:
    text, takes = "", list[Language]()
    inner = NAME_CHARACTERS - {"/"}
    for index, each in enumerate(way):
        if isinstance(each, One):
            part = each if each.of == {"/"} else one(each.of & inner)
            text, takes = text + _sign(each.of, inner), [*takes, part]
        elif each == Many(One(NAME_CHARACTERS)) and index == len(way) - 1 and text[-1:] in ("", "/"):
            text, takes = text + "**", [*takes, many(one(NAME_CHARACTERS))]
        elif not text.endswith("*"):
            text, takes = text + "*", [*takes, many(one(inner))]
    return _Glob(text, sequence(*takes))


def _sign(of: frozenset[str], alphabet: frozenset[str]) -> str:
    if len(of) == 1:
        return min(of)
    if of >= alphabet:
        return "?"
    negated = len(of) > len(alphabet) // 2
    return f"[{'^' if negated else ''}{_ranges(alphabet - of if negated else of & alphabet)}]"


def _ranges(of: frozenset[str]) -> str:
    text = ""
    for group in (string.digits, string.ascii_uppercase, string.ascii_lowercase):
        run = ""
        for sign in [*group, ""]:
            if sign and sign in of:
                run += sign
                continue
            text += run if len(run) < 3 else f"{run[0]}-{run[-1]}"
            run = ""
    return text + "".join("\\-" if sign == "-" else sign for sign in "._-" if sign in of)


def _refinements(ways: Sequence[_Atoms]) -> list[_Glob]:
    """Patterns for what the runs of `_tag_glob` take too much. Some may be wrong: they are candidates."""
    runs = Many(One(TAG_CHARACTERS))
    found: list[_Atoms] = []
    for way in ways:
        loose = [index for index, each in enumerate(way) if isinstance(each, Many)]
        if not loose or all(way[index] == runs for index in loose):
            continue
        start, middle, end = way[: loose[0]], way[loose[0] : loose[-1] + 1], way[loose[-1] + 1 :]
        used = frozenset[str]().union(*(each for atom in middle for each in sets_of(atom)))
        found.append((*start, runs, One(TAG_CHARACTERS - used), runs, *end))
        classes = {each for atom in way for each in sets_of(atom) if len(each) > 1}
        for sign in "._-":
            mark = One(frozenset(sign))
            counted = middle.count(mark)
            if counted:
                found.append((*start, runs, *(mark, runs) * (counted + 1), *end))
            if sign in used:
                found += [(*start, runs, mark, One(TAG_CHARACTERS - each), runs) for each in classes]
                found.append((*start, runs, mark))
    plain = [way for way in found if all(not isinstance(each, One) or each.of for each in way)]
    return [_tag_glob(way) for way in sorted(plain, key=len)]

"""Regular expressions in the syntax of Go's RE2, as sets of texts.

Understood is what people write for tags and repositories: literals, `.`, classes, groups, alternatives, repetitions,
and `^` and `$` at the ends of alternatives. The rest (flags, word boundaries, Unicode classes) is refused by name.
"""

import string
from dataclasses import dataclass

from replicator.imports.languages import (
    BLANK,
    Blank,
    Either,
    Language,
    Many,
    One,
    Then,
    either,
    many,
    one,
    sequence,
)

_DIGITS = frozenset(string.digits)
_WORD = _DIGITS | frozenset(string.ascii_letters) | {"_"}
_ESCAPED = {"d": _DIGITS, "w": _WORD, "s": frozenset[str]()}
_POSIX = {
    "alnum": frozenset(string.ascii_letters) | _DIGITS,
    "alpha": frozenset(string.ascii_letters),
    "digit": _DIGITS,
    "lower": frozenset(string.ascii_lowercase),
    "upper": frozenset(string.ascii_uppercase),
    "word": _WORD,
    "xdigit": frozenset(string.hexdigits),
}
_LIMIT = 300
"""Characters of an expression, and characters that its counted repetitions may come to."""


class NotUnderstood(ValueError):
    """The expression uses what we do not understand, or is none."""


def texts_of(expression: str, alphabet: frozenset[str]) -> Language:
    """Every text of the alphabet's characters in which the expression is found somewhere, as Go's MatchString finds it.

    Raises NotUnderstood.
    """
    if len(expression) > _LIMIT:
        raise NotUnderstood(f"it has more than {_LIMIT} characters")
    reader = _Reader(expression, alphabet)
    found = reader.alternatives(outermost=True)
    if reader.at != len(expression):
        raise NotUnderstood("a ) without its (")
    return found


@dataclass(slots=True)
class _Reader:
    text: str
    alphabet: frozenset[str]
    at: int = 0
    depth: int = 0

    def alternatives(self, *, outermost: bool = False) -> Language:
        ways = [self._alternative(outermost=outermost)]
        while self._skip("|"):
            ways.append(self._alternative(outermost=outermost))
        return either(ways)

    def _alternative(self, *, outermost: bool) -> Language:
        anywhere = many(one(self.alphabet))
        begins = outermost and self._skip_all("^")
        parts: list[Language] = []
        ends = False
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            if outermost and self._at_end_sign():
                ends = self._skip_all("$")
                break
            parts.append(self._repeated(self._single()))
        if not outermost:
            return sequence(*parts)
        return sequence(BLANK if begins else anywhere, *parts, BLANK if ends else anywhere)

    def _at_end_sign(self) -> bool:
        rest = self.text[self.at :].lstrip("$")
        return self.text[self.at] == "$" and (not rest or rest[0] == "|")

    def _single(self) -> Language:
        sign = self._take()
        if sign == "(":
            return self._group()
        if sign == "[":
            return one(self._class())
        if sign == ".":
            return one(self.alphabet)
        if sign == "\\":
            return one(self._escape() & self.alphabet)
        if sign in "*+?{^$":
            raise NotUnderstood(f"{sign!r} at this place")
        return one({sign} & self.alphabet)

    def _group(self) -> Language:
        if self._skip("?") and not self._skip(":"):
            name = self.text[self.at :].partition(">")[0]
            if not name.startswith(("P<", "<")):
                raise NotUnderstood("flags such as (?i)")
            self.at += len(name) + 1
        self.depth += 1
        if self.depth > 50:
            raise NotUnderstood("groups nested more than 50 deep")
        found = self.alternatives()
        self.depth -= 1
        if not self._skip(")"):
            raise NotUnderstood("a ( without its )")
        return found

    def _repeated(self, what: Language) -> Language:
        while self.at < len(self.text) and self.text[self.at] in "*+?{":
            sign = self._take()
            if sign == "*":
                what = many(what)
            elif sign == "+":
                what = sequence(what, many(what))
            elif sign == "?":
                what = either((BLANK, what))
            else:
                what = self._counted(what)
            # Whether as much or as little as possible is taken makes no difference to what is found.
            self._skip("?")
        return what

    def _counted(self, what: Language) -> Language:
        inside, closed, _ = self.text[self.at :].partition("}")
        low, comma, high = inside.partition(",")
        if not closed or not low.isdecimal() or (high and not high.isdecimal()):
            raise NotUnderstood("a { that is no repetition")
        self.at += len(inside) + 1
        least, most = int(low), int(high or low)
        if most < least or max(most, least) * _size(what) > _LIMIT:
            raise NotUnderstood(f"the repetition {{{inside}}}")
        needed = [what] * least
        if comma and not high:
            return sequence(*needed, many(what))
        rest: Language = BLANK
        for _ in range(most - least):
            rest = either((BLANK, sequence(what, rest)))
        return sequence(*needed, rest)

    def _class(self) -> frozenset[str]:
        negated = self._skip("^")
        found: set[str] = set()
        first = True
        while first or not self._skip("]"):
            first = False
            low = self._class_part()
            if len(low) == 1 and self.text[self.at : self.at + 1] == "-" and self._next() != "]":
                self.at += 1
                high = self._class_part()
                if len(high) != 1 or min(high) < min(low):
                    raise NotUnderstood("a range in [] whose ends are no characters in order")
                found |= {sign for sign in self.alphabet if min(low) <= sign <= min(high)}
            else:
                found |= low
        return self.alphabet - found if negated else self.alphabet & found

    def _class_part(self) -> frozenset[str]:
        sign = self._take()
        if sign == "\\":
            return self._escape()
        if sign == "[" and self._skip(":"):
            negated, (name, closed, _) = self._skip("^"), self.text[self.at :].partition(":]")
            if not closed or name not in _POSIX:
                raise NotUnderstood("a class [: :] of an unknown name")
            self.at += len(name) + 2
            return self.alphabet - _POSIX[name] if negated else _POSIX[name]
        return frozenset({sign})

    def _escape(self) -> frozenset[str]:
        sign = self._take()
        if sign.lower() in _ESCAPED:
            named = _ESCAPED[sign.lower()]
            return named if sign.islower() else self.alphabet - named
        if sign.isalnum():
            raise NotUnderstood(f"\\{sign}")
        return frozenset({sign})

    def _next(self) -> str:
        return self.text[self.at + 1 : self.at + 2]

    def _take(self) -> str:
        if self.at >= len(self.text):
            raise NotUnderstood("it ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def _skip(self, sign: str) -> bool:
        found = self.text.startswith(sign, self.at)
        self.at += len(sign) if found else 0
        return found

    def _skip_all(self, sign: str) -> bool:
        found = self._skip(sign)
        while self._skip(sign):
            pass
        return found


def _size(what: Language) -> int:
    """How many characters the expression speaks of."""
    match what:
        case Then(first, rest):
            return _size(first) + _size(rest)
        case Many(part):
            return _size(part)
        case Either(ways):
            return sum(map(_size, ways)) + 1
        case Blank() | One() | _:
            return 1

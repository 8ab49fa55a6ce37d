"""A glob pattern, taken apart: every text that can be left of it while it is matched, and what that text begins with.

The dialect is that of doublestar v1.3.4, which Harbor uses. It works on texts: an alternative of a brace group is
spliced to what follows the group, and the result is read afresh. So `{a/*,b}*` holds the component `**`, and in
`{[a,[b}]` both classes end behind the group. What is left after a step is therefore named by its text, here a `Rest`.
Texts that meet again are one `Rest`, which keeps their number near the pattern's length however many ways lead there.
Faults are kept as values, because they count only where matching reaches them.

This module knows nothing of names: see `glob`.
"""

from dataclasses import dataclass

NESTING_LIMIT = 250
"""How deep brace groups may be nested. The dialect has no limit; no pattern that a person wrote comes near."""
_RESTS_PER_CHARACTER = 8
"""Texts per character of the pattern before we give up. Only classes that swallow braces on some ways exceed one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the pattern, where matching reaches it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Class:
    """One character out of ranges, or out of none of them if `negated`."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def takes(self, character: str) -> bool:
        """Whether the class holds `character`."""
        return self.negated is not any(low <= character <= high for low, high in self.ranges)


@dataclass(frozen=True, slots=True)
class Star:
    """Any run of characters, then `after`. If the star ends the component, `ways` is the outcome whatever the name."""

    after: "Rest"
    ways: "tuple[Rest, ...] | None"


@dataclass(frozen=True, slots=True)
class Choice:
    """Any of the texts that begin with one alternative each."""

    options: "tuple[Rest, ...]"


Outcome = tuple["Rest", ...] | Fault | None
"""What a component of the name makes of a text: no match, a fault, or every text left for the next components.

No text left at all, the empty tuple, means that the pattern is used up.
"""

ANY = Class((), negated=True)


class Rest:
    """A text that can be left of a pattern. Compared by identity: one pattern holds each text once."""

    __slots__ = ("at_end", "below", "is_deep", "next", "text", "token")

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_deep = text == "**" or text.startswith("**/")
        """True if the text begins with the component `**`."""
        self.below: Rest | None = None
        """What follows the component `**`, if anything does."""
        self.token: str | Class | Star | Choice | Fault | None = None
        """What the text begins with; None if its component ends here."""
        self.next: Rest | None = None
        """What follows `token`, if that is a literal or a class."""
        self.at_end: Outcome = None
        """The outcome where the component of the name ends here."""


class Compiler:
    """Takes one pattern apart."""

    def __init__(self, pattern: str) -> None:
        """Raises ValueError for a pattern that is beyond our limits, never for one that is malformed."""
        if _nesting(pattern) > NESTING_LIMIT:
            raise ValueError(f"braces are nested more than {NESTING_LIMIT} deep")
        self.rests: dict[str, Rest] = {}
        self._unread: list[Rest] = []
        self._zero: dict[str, bool | Fault] = {"": True, "*": True, "**": True}
        self.root = self._rest(pattern)
        while self._unread:
            if len(self.rests) > _RESTS_PER_CHARACTER * len(pattern) + 64:
                raise ValueError("classes and braces cross each other in too many ways")
            self._read(self._unread.pop())

    def _rest(self, text: str) -> Rest:
        rest = self.rests.get(text)
        if rest is None:
            rest = self.rests[text] = Rest(text)
            self._unread.append(rest)
        return rest

    def _read(self, rest: Rest) -> None:
        text = rest.text
        rest.at_end = self._outcome_at_end(text)
        if text.startswith("**/"):
            rest.below = self._rest(text[3:])
        match text[:1]:
            case "" | "/":
                pass
            case "*":
                rest.token = self._star(text)
            case "{":
                rest.token = self._choice(text)
            case "?":
                rest.token, rest.next = ANY, self._rest(text[1:])
            case "[":
                self._read_class(rest)
            case _:
                self._read_literal(rest)

    def _star(self, text: str) -> Star:
        after = self._rest(text[1:])
        if text[1:2] == "/":
            return Star(after, (self._rest(text[2:]),))
        return Star(after, None if text[1:] else ())

    def _choice(self, text: str) -> Choice | Fault:
        group = split_group(text)
        if group is None:
            return Fault("a brace is not closed")
        options, following = group
        # An option twice in the list changes nothing: it was no match, or it ended the search.
        return Choice(tuple(dict.fromkeys(self._rest(option + following) for option in options)))

    def _read_class(self, rest: Rest) -> None:
        end = find_unescaped(rest.text, "]", 1)
        if end < 0:
            rest.token = Fault("a class is not closed")
            return
        rest.token = _class(rest.text[1:end])
        if isinstance(rest.token, Class):
            rest.next = self._rest(rest.text[end + 1 :])

    def _read_literal(self, rest: Rest) -> None:
        literal, length = _literal(rest.text)
        if length == 0:
            rest.token = Fault("a backslash escapes nothing")
            return
        rest.token, rest.next = literal, self._rest(rest.text[length:])

    def _outcome_at_end(self, text: str) -> Outcome:
        # The component is cut at the next slash even inside a group, which is then not closed: `a{,/b}` fails on `a`.
        cut = find_unescaped(text, "/")
        can_be_empty = self._can_be_empty(text if cut < 0 else text[:cut])
        if isinstance(can_be_empty, Fault):
            return (
                Fault("a component may end before a brace group that holds a slash")
                if cut >= 0
                else can_be_empty
            )
        if not can_be_empty:
            return None
        return () if cut < 0 else (self._rest(text[cut + 1 :]),)

    def _can_be_empty(self, text: str) -> bool | Fault:
        """Whether `text` takes the empty text by the dialect's own test, which knows lone stars and groups of them."""
        groups = []
        while text not in self._zero:
            group = split_group(text) if text.startswith("{") else None
            if group is None:
                self._zero[text] = Fault("a brace is not closed") if text.startswith("{") else False
                break
            groups.append((text, group[0]))
            text = group[1]
        verdict = self._zero[text]
        for whole, options in reversed(groups):
            if verdict is True:
                verdict = self._any_empty(options)
            self._zero[whole] = verdict
        return verdict

    def _any_empty(self, options: list[str]) -> bool | Fault:
        for option in options:
            verdict = self._can_be_empty(option)
            if verdict is not False:
                return verdict
        return False


def find_unescaped(text: str, character: str, start: int = 0) -> int:
    """The first `character` from `start` on without a backslash before it, or -1.

    As in the dialect, a backslash that is itself escaped still counts, and one before `start` does not.
    """
    at = text.find(character, start)
    while at > start and text[at - 1] == "\\":
        start = at + 1
        at = text.find(character, start)
    return at


def split_group(text: str) -> tuple[list[str], str] | None:
    """The alternatives of the group that opens `text` and what follows the group; None if it is not closed."""
    options, start, depth, at = [], 1, 0, 0
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif character == "{":
            depth += 1
        elif character == "}" and depth == 1:
            options.append(text[start:at])
            return options, text[at + 1 :]
        elif character == "}":
            depth -= 1
        elif character == "," and depth == 1:
            options.append(text[start:at])
            start = at + 1
        at += 1
    return None


def _nesting(pattern: str) -> int:
    depth = deepest = 0
    for character in pattern:
        depth = depth + 1 if character == "{" else depth - (character == "}" and depth > 0)
        deepest = max(deepest, depth)
    return deepest


def _literal(text: str) -> tuple[str, int]:
    """The literal that `text` begins with, and how much of the text it takes up: nothing for a bad escape."""
    literal, at = [], 0
    while at < len(text) and text[at] not in "*?[{/":
        if text[at] == "\\":
            # The dialect decodes UTF-8, and cannot tell U+FFFD from the end of the text.
            if text[at + 1 : at + 2] in ("", "\N{REPLACEMENT CHARACTER}"):
                break
            at += 1
        literal.append(text[at])
        at += 1
    return "".join(literal), at


def _class(body: str) -> Class | Fault:
    """The class between its brackets. `^` alone takes every character; `!` is an ordinary one."""
    if not body:
        return Fault("a class is empty")
    at, ranges = int(body[0] == "^"), []
    try:
        while at < len(body):
            low, at = _class_character(body, at)
            high = low
            if body[at : at + 1] == "-":
                high, at = _class_character(body, at + 1)
            ranges.append((low, high))
    except ValueError as exc:
        return Fault(str(exc))
    return Class(tuple(ranges), negated=body[0] == "^")


def _class_character(body: str, at: int) -> tuple[str, int]:
    if at == len(body):
        raise ValueError("a range in a class has no end")
    if body[at] == "-":
        raise ValueError("a class holds a `-` that is not escaped")
    if body[at] != "\\":
        return body[at], at + 1
    # A bracket behind a backslash does not close a class, so something always follows here.
    return body[at + 1], at + 2

"""Harbor's glob matching: doublestar v1.3.4 to the letter, behind Harbor's rule that an empty pattern takes all.

The letter matters, because a rule that was written for Harbor must take the same artifacts here:

* A pattern's fault is raised only when matching reaches it, and behind `**/` not even then.
* Each component of the name is matched once, by the first position of each star that fits; what was left of the
  pattern there decides the rest, and no other position is tried.
* Where one alternative of a group uses the pattern up and another leaves some, only the latter counts:
  `{library,library/**}` does not match `library`.

The original tries every way, and takes exponential time. Here every question (this text against the name from that
point) is answered once, so that time grows at worst as the length of the pattern times that of the name.
"""

from collections.abc import Generator, Iterator
from functools import lru_cache

from replicator.rules.pattern import Choice, Class, Compiler, Fault, Outcome, Rest, Star, find_unescaped
from replicator.rules.samples import samples

_Question = tuple[Rest, int, int | None]
"""A text, the component it is to match, and from which character of it on; None means that and all that follow."""
_Inquiry = Generator[_Question, Outcome, Outcome]

_NAME_CHARACTERS = 255
"""The longest name that a repository can have; tags are shorter."""
_ASKED_CHARACTERS = 512
_EFFORT = 20_000
"""Questions after which a check of a pattern tries no more names: 20 ms, hundreds of times what people need."""


def glob_match(pattern: str, name: str) -> bool:
    """Whether `pattern` matches the whole of `name`. Raises ValueError if matching reaches a fault of the pattern."""
    if not pattern:
        return True
    outcome = _Search(_split(name)).answer((_compiled(pattern).root, 0, None))
    if isinstance(outcome, Fault):
        raise _bad(pattern, outcome)
    return outcome is not None


def check_glob(pattern: str) -> None:
    """Raises ValueError if any way through `pattern` holds a fault, even one that no name reaches.

    So does a pattern that is well-formed but fails on a name that it spells out: `library{,/**}` on `library`.
    """
    for rest in _compiled(pattern).rests.values():
        if isinstance(rest.token, Fault):
            raise _bad(pattern, rest.token)
    for _ in _tried(pattern):
        pass


def check_asked_glob(pattern: str) -> None:
    """The same for a pattern that comes with a request, and not from a file that somebody reviewed: it must be short.

    Matching takes time as the length of the pattern times that of the name, and nobody can stop it.
    """
    if len(pattern) > _ASKED_CHARACTERS:
        raise ValueError(f"a pattern of more than {_ASKED_CHARACTERS} characters; name a rule instead")
    check_glob(pattern)


def missed_names(pattern: str) -> list[str]:
    """Names that a sound `pattern` spells out and yet does not take, such as `library` for `{library,library/**}`."""
    return [name for name, is_taken in _tried(pattern) if not is_taken]


def _tried(pattern: str) -> Iterator[tuple[str, bool]]:
    """Likely names, and whether `pattern` takes them. Raises ValueError where it fails on one."""
    effort = 0
    for name in (sample.name for sample in samples(pattern)):
        if effort > _EFFORT or len(name) > _NAME_CHARACTERS or "" in name.split("/"):
            continue
        search = _Search(_split(name))
        outcome = search.answer((_compiled(pattern).root, 0, None))
        effort += search.effort
        if isinstance(outcome, Fault):
            raise _bad(pattern, outcome)
        yield name, outcome is not None


def _bad(pattern: str, fault: Fault) -> ValueError:
    return ValueError(f"bad pattern {pattern!r}: {fault.reason}")


@lru_cache(maxsize=2048)
def _compiled(pattern: str) -> Compiler:
    return Compiler(pattern)


def _split(name: str) -> list[str]:
    # An escaped slash does not part components, even in a name.
    parts, start = [], 0
    while (end := find_unescaped(name, "/", start)) >= 0:
        parts.append(name[start:end])
        start = end + 1
    return [*parts, name[start:]]


class _Search:
    """The questions about one name and their answers.

    An inquiry is a generator: it yields the questions that it depends on, and returns the answer. They wait on a
    list instead of the interpreter's stack, so that no pattern is too deep.
    """

    def __init__(self, parts: list[str]) -> None:
        self._parts = parts
        self._known: dict[_Question, Outcome] = {}

    @property
    def effort(self) -> int:
        """How many questions were answered."""
        return len(self._known)

    def answer(self, question: _Question) -> Outcome:
        """The outcome; for a whole path it is the empty tuple, None or a fault."""
        waiting = [(question, self._inquiry(question))]
        answer: Outcome = None
        while waiting:
            asked, inquiry = waiting[-1]
            try:
                wanted = inquiry.send(answer)
            except StopIteration as done:
                answer = self._known[asked] = done.value
                waiting.pop()
                continue
            answer = self._known.get(wanted)
            if wanted not in self._known:
                waiting.append((wanted, self._inquiry(wanted)))
        return answer

    def _inquiry(self, question: _Question) -> _Inquiry:
        rest, part, start = question
        return self._path(rest, part) if start is None else self._component(rest, part, start)

    def _path(self, rest: Rest, part: int) -> _Inquiry:
        is_last = part + 1 == len(self._parts)
        if rest.is_deep:
            return (yield from self._deep_path(rest, part, is_last=is_last))
        left = yield rest, part, 0
        if left is None or isinstance(left, Fault):
            return left
        if is_last:
            return None if left else ()
        for way in left:
            outcome = yield way, part + 1, None
            if outcome is not None:
                return outcome
        return None

    def _deep_path(self, rest: Rest, part: int, *, is_last: bool) -> _Inquiry:
        if rest.below is None:
            return ()
        if (yield rest.below, part, None) == ():
            return ()
        if is_last:
            return None
        return (yield rest, part + 1, None)

    def _component(self, rest: Rest, part: int, start: int) -> _Inquiry:
        name = self._parts[part]
        if start == len(name):
            return rest.at_end
        match rest.token:
            case Star():
                return (yield from self._starred(rest, rest.token, part, start))
            case Choice():
                return (yield from self._chosen(rest.token, part, start))
            case Fault():
                return rest.token
        walked = _walk(rest, name, start)
        return (yield walked[0], part, walked[1]) if walked else None

    def _chosen(self, choice: Choice, part: int, start: int) -> _Inquiry:
        left: dict[Rest, None] = {}
        found = False
        for option in choice.options:
            outcome = yield option, part, start
            if isinstance(outcome, Fault):
                return outcome
            if outcome is not None:
                found = True
                left.update(dict.fromkeys(outcome))
        return tuple(left) if found else None

    def _starred(self, rest: Rest, star: Star, part: int, start: int) -> _Inquiry:
        if star.ways is not None:
            return star.ways
        name, outcome, at = self._parts[part], None, start
        while at < len(name):
            if at > start and (rest, part, at) in self._known:
                outcome = self._known[rest, part, at]
                break
            walked = _walk(star.after, name, at)
            outcome = (yield walked[0], part, walked[1]) if walked else None
            # If a second star fails from here, it fails from every later point too.
            if outcome is not None or (walked and isinstance(walked[0].token, Star)):
                break
            at += 1
        # From every point in between, the star finds the same.
        self._known.update(((rest, part, passed), outcome) for passed in range(start + 1, min(at, len(name))))
        return outcome


def _walk(rest: Rest, name: str, start: int) -> tuple[Rest, int] | None:
    """Follows literals and classes from `start`, to what is neither or to the name's end; None where they differ."""
    while start < len(name):
        token, following = rest.token, rest.next
        if following is None:
            return None if token is None else (rest, start)
        if isinstance(token, Class):
            if not token.takes(name[start]):
                return None
            start += 1
        elif isinstance(token, str) and name.startswith(token, start):
            start += len(token)
        else:
            return None
        rest = following
    return rest, start

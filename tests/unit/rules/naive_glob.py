"""The glob dialect once more, rule by rule and with no thought of time: what the fast matcher is compared with."""

import re


def naive_match(pattern: str, name: str) -> bool:
    """Whether `pattern` matches `name`; ValueError where the dialect fails. Takes exponential time."""
    if not pattern:
        return True
    return _path(pattern, re.split(r"(?<!\\)/", name))


def _path(pattern: str, parts: list[str]) -> bool:
    if pattern == "**":
        return True
    if pattern.startswith("**/"):
        return any(_path_or_false(pattern[3:], parts[skipped:]) for skipped in range(len(parts)))
    ways = _component(pattern, parts[0])
    if ways is None:
        return False
    if len(parts) == 1:
        return ways == []
    return any(_path(way, parts[1:]) for way in ways)


def _path_or_false(pattern: str, parts: list[str]) -> bool:
    try:
        return _path(pattern, parts)
    except ValueError:
        return False


def _component(pattern: str, name: str) -> list[str] | None:
    """None if it does not match, else what may follow in the next components; an empty list if nothing is left."""
    if not name:
        return _used_up(pattern)
    if pattern == "" or pattern[0] == "/":
        return None
    head, tail = pattern[0], pattern[1:]
    if head == "*":
        return _star(tail, name)
    if head == "{":
        options, tail = _alternatives(tail)
        found = [_component(option + tail, name) for option in options]
        kept = [ways for ways in found if ways is not None]
        return [way for ways in kept for way in ways] if kept else None
    if head == "[":
        end = re.search(r"(?<!\\)\]", tail)
        if not end:
            raise ValueError("class")
        return _component(tail[end.end() :], name[1:]) if _in_class(tail[: end.start()], name[0]) else None
    if head == "\\":
        if tail[:1] in ("", "\ufffd"):
            raise ValueError("escape")
        head, tail = tail[0], tail[1:]
    elif head == "?":
        head = name[0]
    return _component(tail, name[1:]) if head == name[0] else None


def _star(tail: str, name: str) -> list[str] | None:
    if tail == "":
        return []
    if tail[0] == "/":
        return [tail[1:]]
    for start in range(len(name)):
        ways = _component(tail, name[start:])
        if ways is not None:
            return ways
    return None


def _used_up(pattern: str) -> list[str] | None:
    head, *tail = re.split(r"(?<!\\)/", pattern, maxsplit=1)
    return tail if _can_be_empty(head) else None


def _can_be_empty(text: str) -> bool:
    if text in ("", "*", "**"):
        return True
    if text[0] != "{":
        return False
    options, tail = _alternatives(text[1:])
    return _can_be_empty(tail) and any(_can_be_empty(option) for option in options)


def _alternatives(text: str) -> tuple[list[str], str]:
    """Splits at the commas of the group that `text` is in, up to its brace."""
    options, depth = [""], 1
    for found in re.finditer(r"\\.|.|\\", text, re.DOTALL):
        token = found[0]
        depth += {"{": 1, "}": -1}.get(token, 0)
        if depth == 0:
            return options, text[found.end() :]
        if token == "," and depth == 1:
            options.append("")
        else:
            options[-1] += token
    raise ValueError("brace")


def _in_class(body: str, character: str) -> bool:
    if not body:
        raise ValueError("class")
    negated, body = body[0] == "^", body.removeprefix("^")
    held = False
    while body:
        found = re.match(r"(?:\\(.)|([^\\-]))(?:-(?:\\(.)|([^\\-])))?(?!-)", body, re.DOTALL)
        if not found:
            raise ValueError("class")
        low = found[1] or found[2]
        held = held or low <= character <= (found[3] or found[4] or low)
        body = body[found.end() :]
    return held is not negated

"""One YAML file read strictly: plain values, and the line and column of each of them.

What YAML allows and people regret is refused: anchors, aliases, merge keys, tags, several documents in a file,
duplicate keys, values without quotes that YAML reads as something else than they look like. Size, depth and number
of nodes are bounded before anything is built. This module knows nothing of registries or rules.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from replicator.rulefiles.problems import Problem

SIZE_LIMIT_BYTES = 1024 * 1024
DEPTH_LIMIT = 32
NODE_LIMIT = 100_000

_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
)
# `yes`, `no`, `on` and `off` are booleans to YAML 1.1 and texts to YAML 1.2; `010` is 8 to one and 10 to the other.
_BOOLEANS = {"true": True, "false": False}
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")

Path = tuple[str | int, ...]
"""The way to a value: the keys of mappings and the indexes of lists that lead to it."""


@dataclass(frozen=True, slots=True)
class Unquoted:
    """A value that is neither text nor a plain true, false or decimal number, such as `1.10`, `no` or `12:30:00`."""

    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, as dicts, lists, str, bool, int, None and `Unquoted`; and what is wrong with it as YAML.

    A file that cannot be read as YAML at all, or holds nothing, has the value None; the first is not `readable`.
    """

    file: str
    value: object = None
    problems: tuple[Problem, ...] = ()
    readable: bool = True
    raw: bytes = field(default=b"", repr=False)
    _root: yaml.Node | None = field(default=None, repr=False)

    def problem(self, path: Path, message: str, *, of_key: bool = False) -> Problem:
        """A problem at the value that `path` leads to, or at its key.

        Elements of the path that the file does not have are skipped; a value that is missing is placed at its key.
        """
        key, node = self._find(path)
        found = key if key is not None and (of_key or _is_null(node)) else node
        return _problem(self.file, _mark(found), message)

    def written(self, path: Path) -> str | None:
        """The scalar at `path` as the file spells it; None if there is another value or none."""
        node = self._root
        for part in path:
            node = next((child for key, child in _children(node) if _name(key) == part), None)
        return node.value if isinstance(node, yaml.ScalarNode) else None

    def _find(self, path: Path) -> tuple[yaml.Node | None, yaml.Node | None]:
        key, node = None, self._root
        for part in path:
            for child_key, child in _children(node):
                if part == _name(child_key):
                    node = child
                    key = child_key if isinstance(child_key, yaml.ScalarNode) else None
                    break
        return key, node


def parse(file: str, raw: bytes) -> Document:
    """The document that `raw` holds; never raises, what is wrong is among the document's problems."""
    try:
        text = _decode(raw)
        _check_events(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except _Refused as exc:
        return Document(file, problems=(_problem(file, exc.mark, exc.message),), readable=False, raw=raw)
    except yaml.YAMLError as exc:
        return Document(file, problems=(_syntax(file, text, exc),), readable=False, raw=raw)
    if root is None:
        return Document(file)
    problems: list[Problem] = []
    value = _value(file, root, problems)
    return Document(file, value, tuple(problems), _root=root)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place, counted from 0 as PyYAML's marks are."""

    line: int
    column: int


_START = _Mark(0, 0)


class _Refused(Exception):
    def __init__(self, mark: _Mark, message: str) -> None:
        super().__init__(message)
        self.mark, self.message = mark, message


def _mark(thing: yaml.Node | yaml.Event | None) -> _Mark:
    found = thing.start_mark if thing else None
    return _Mark(found.line, found.column) if found else _START


def _end(text: str) -> _Mark:
    lines = text.split("\n")
    return _Mark(len(lines) - 1, len(lines[-1]))


def _problem(file: str, mark: _Mark, message: str) -> Problem:
    return Problem(file, mark.line + 1, mark.column + 1, message)


def _decode(raw: bytes) -> str:
    if len(raw) > SIZE_LIMIT_BYTES:
        raise _Refused(_START, "the file is larger than 1 MiB")
    # Not by "utf-8-sig": the place that it says an error is at does not count the mark that it took off.
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        mark = _end(raw[: exc.start].decode("utf-8"))
        raise _Refused(mark, "the file is not UTF-8 text from here on") from exc


def _check_events(text: str) -> None:
    # Before any tree is built: composing recurses, and an alias makes a small file large.
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.CSafeLoader)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(
                _mark(event), "anchors and aliases (&name, *name) are not supported; repeat the value"
            )
        depth += isinstance(event, _STARTS) - isinstance(event, _ENDS)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > DEPTH_LIMIT:
            raise _Refused(_mark(event), f"nested more than {DEPTH_LIMIT} levels deep")
        if documents > 1:
            raise _Refused(_mark(event), "a second document (---) in one file; put it in a file of its own")
        if count > NODE_LIMIT:
            raise _Refused(_mark(event), f"the file holds more than {NODE_LIMIT} values")


def _syntax(file: str, text: str, exc: yaml.YAMLError) -> Problem:
    if isinstance(exc, yaml.reader.ReaderError):
        return _problem(
            file, _end(text[: int(exc.position)]), "a control character, which YAML does not allow"
        )
    if not isinstance(exc, yaml.MarkedYAMLError) or exc.problem_mark is None:
        return _problem(file, _START, f"not YAML: {exc}")
    mark = _Mark(exc.problem_mark.line, exc.problem_mark.column)
    line = next(iter(text.split("\n")[mark.line : mark.line + 1]), "")
    return _problem(file, mark, f"not YAML: {_explanation(exc, line, mark.column)}")


def _explanation(exc: yaml.MarkedYAMLError, line: str, column: int) -> str:
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "the line is indented with a tab; YAML wants spaces"
    if exc.context == "while scanning an alias":
        return "a value that begins with * must be in quotes"
    if exc.context == "while scanning a tag":
        return "a value that begins with ! must be in quotes"
    if line[column : column + 1] in {"@", "`", "%"}:
        return f"a value that begins with {line[column]} must be in quotes"
    if exc.problem == "mapping values are not allowed in this context":
        return "a colon where none may be: wrong indentation, or a value that must be in quotes"
    context = f"{exc.context}: " if exc.context else ""
    return f"{context}{exc.problem}"


def _value(file: str, node: yaml.Node, problems: list[Problem]) -> object:
    if isinstance(node, yaml.MappingNode):
        return _mapping(file, node, problems)
    if isinstance(node, yaml.SequenceNode):
        _check_tag(file, node, problems, expected={_TAG + "seq"})
        return [_value(file, item, problems) for item in node.value]
    _check_tag(file, node, problems, expected=_TAGS)
    return _scalar(node.tag.removeprefix(_TAG), str(node.value))


def _scalar(tag: str, text: str) -> object:
    if tag == "null":
        return None
    if tag == "bool" and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if tag == "int" and _DECIMAL.match(text):
        return int(text)
    return Unquoted(text) if _TAG + tag in _TAGS and tag != "str" else text


def _mapping(file: str, node: yaml.MappingNode, problems: list[Problem]) -> dict[str, object]:
    _check_tag(file, node, problems, expected={_TAG + "map"})
    found: dict[str, object] = {}
    lines: dict[str, int] = {}
    for key, item in node.value:
        wrong = _key_problem(key, lines)
        if wrong:
            problems.append(_problem(file, _mark(key), wrong))
            continue
        lines[key.value] = key.start_mark.line + 1
        found[key.value] = _value(file, item, problems)
    return found


def _key_problem(key: yaml.Node, lines: dict[str, int]) -> str | None:
    if not isinstance(key, yaml.ScalarNode):
        return "a key must be text"
    if key.tag == _TAG + "merge":
        return "merge keys (<<) are not supported; repeat the values"
    if key.tag != _TAG + "str":
        return f'a key must be text; write it in quotes: "{key.value}"' if key.value else "a key is missing"
    return f"the key {key.value!r} is already in line {lines[key.value]}" if key.value in lines else None


def _check_tag(
    file: str, node: yaml.Node, problems: list[Problem], *, expected: frozenset[str] | set[str]
) -> None:
    if node.tag not in expected:
        problems.append(_problem(file, _mark(node), f"the YAML tag {node.tag!r} is not supported"))


def _children(node: yaml.Node | None) -> Iterator[tuple[yaml.Node | int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value
    elif isinstance(node, yaml.SequenceNode):
        yield from enumerate(node.value)


def _name(key: yaml.Node | int) -> object:
    return key.value if isinstance(key, yaml.ScalarNode) else key


def _is_null(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value and not node.style

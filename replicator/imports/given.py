"""Another tool's file, as plain values that know where they stand.

YAML is read as those tools read it: anchors, aliases and merge keys are followed, and a number without quotes is what
the file spells. Size, depth and number of values are bounded, so that a small file cannot make a large tree. JSON is
read as JSON, whose values have no lines. Nothing here echoes a value: it may be a secret.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from replicator.errors import ConfigError

SIZE_LIMIT_BYTES = 4 * 1024 * 1024
DEPTH_LIMIT = 32
VALUE_LIMIT = 100_000

_TAG = "tag:yaml.org,2002:"
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Given:
    """A value of a file: a text as it is spelled, None, a mapping or a list, and where it stands."""

    file: str
    path: str
    line: int | None
    value: "str | dict[str, Given] | list[Given] | None"

    def wrong(self, message: str) -> NoReturn:
        """Raises ConfigError with the place of this value."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        raise ConfigError(f"{place}: {self.path}: {message}" if self.path else f"{place}: {message}")

    def get(self, key: str) -> "Given | None":
        """The value of a key; None if it is not there or has no value."""
        found = self.mapping().get(key)
        return None if found is None or found.value is None else found

    def need(self, key: str) -> "Given":
        """The value of a key that must be there."""
        found = self.get(key)
        if found is None:
            self.wrong(f"{key} is missing")
        return found

    def text_of(self, key: str) -> str:
        """The text of a key; empty if it is not there."""
        found = self.get(key)
        return "" if found is None else found.text()

    def flag_of(self, key: str, *, default: bool = False) -> bool:
        """The boolean of a key."""
        found = self.get(key)
        return default if found is None else found.flag()

    def items_of(self, key: str) -> "list[Given]":
        """The list of a key; empty if it is not there."""
        found = self.get(key)
        return [] if found is None else found.items()

    def keys(self) -> list[str]:
        """The keys of a mapping that have a value."""
        return [key for key, value in self.mapping().items() if value.value is not None]

    def mapping(self) -> "dict[str, Given]":
        """The value, which must be a mapping; nothing counts as an empty one."""
        if self.value is None:
            return {}
        return self.value if isinstance(self.value, dict) else self._not("a mapping")

    def items(self) -> "list[Given]":
        """The value, which must be a list; nothing counts as an empty one."""
        if self.value is None:
            return []
        return self.value if isinstance(self.value, list) else self._not("a list")

    def text(self) -> str:
        """The value, which must be a text, a number or a boolean, as the file spells it."""
        return self.value if isinstance(self.value, str) else self._not("a text")

    def flag(self) -> bool:
        """The value, which must be true or false."""
        found = self.text().lower()
        return found in _TRUE if found in _TRUE | _FALSE else self._not("true or false")

    def number(self) -> int:
        """The value, which must be a whole number."""
        found = self.text()
        return (
            int(found) if found.removeprefix("-").isdecimal() and len(found) < 12 else self._not("a number")
        )

    def _not(self, wanted: str) -> NoReturn:
        found = "nothing" if self.value is None else "something else"
        found = (
            "a mapping"
            if isinstance(self.value, dict)
            else "a list"
            if isinstance(self.value, list)
            else found
        )
        self.wrong(f"expected {wanted}, found {found}")


def printable(text: str) -> str:
    """`text` in one line, without what a terminal or YAML takes for a command."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def read(file: Path) -> Given:
    """What a file holds, `-` being standard input; raises ConfigError if it cannot be read as YAML or JSON."""
    name = "standard input" if str(file) == "-" else str(file)
    try:
        if str(file) == "-":
            raw = sys.stdin.buffer.read(SIZE_LIMIT_BYTES + 1)
        else:
            with file.open("rb") as opened:
                raw = opened.read(SIZE_LIMIT_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{name}: cannot read it: {exc.strerror}") from exc
    return parse(name, raw)


def parse(file: str, raw: bytes) -> Given:
    """What `raw` holds, named `file` in errors; raises as `read` does."""
    if len(raw) > SIZE_LIMIT_BYTES:
        raise ConfigError(f"{file}: larger than {SIZE_LIMIT_BYTES // 1024 // 1024} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file}: not UTF-8 text") from exc
    if text.lstrip()[:1] in ("{", "["):
        return _of_json(file, text)
    return _of_yaml(file, text)


def _of_json(file: str, text: str) -> Given:
    try:
        found: object = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as exc:
        # YAML's flow style begins alike.
        try:
            return _of_yaml(file, text)
        except ConfigError:
            raise ConfigError(f"{file}:{exc.lineno}: neither JSON nor YAML: {exc.msg}") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{file}: {exc}") from exc
    return _plain(_Bounds(file), found, "", 0)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice in one object")
    return found


def _plain(bounds: "_Bounds", value: object, path: str, depth: int) -> Given:
    bounds.count(None, depth)
    if isinstance(value, dict):
        inside = {key: _plain(bounds, item, _under(path, key), depth + 1) for key, item in value.items()}
        return Given(bounds.file, path, None, inside)
    if isinstance(value, list):
        items = [_plain(bounds, item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
        return Given(bounds.file, path, None, items)
    if isinstance(value, bool):
        return Given(bounds.file, path, None, str(value).lower())
    return Given(bounds.file, path, None, None if value is None else str(value))


def _of_yaml(file: str, text: str) -> Given:
    try:
        _check_depth(file, text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as exc:
        line = f":{exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise ConfigError(f"{file}{line}: not YAML: {exc.problem}") from exc
    except (yaml.YAMLError, RecursionError) as exc:
        raise ConfigError(f"{file}: not YAML that can be read") from exc
    if root is None:
        raise ConfigError(f"{file}: holds nothing")
    return _of_node(_Bounds(file), root, "", 0)


def _check_depth(file: str, text: str) -> None:
    # Before any tree is built, because composing recurses.
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_LIMIT:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ConfigError(f"{file}:{line}: nested more than {DEPTH_LIMIT} levels deep")


@dataclass(slots=True)
class _Bounds:
    """Counts values, those behind aliases each time."""

    file: str
    values: int = 0

    def count(self, line: int | None, depth: int) -> None:
        self.values += 1
        place = self.file if line is None else f"{self.file}:{line}"
        if depth > DEPTH_LIMIT:
            raise ConfigError(f"{place}: nested more than {DEPTH_LIMIT} levels deep")
        if self.values > VALUE_LIMIT:
            raise ConfigError(f"{place}: more than {VALUE_LIMIT} values")


def _of_node(bounds: _Bounds, node: yaml.Node, path: str, depth: int) -> Given:
    line = node.start_mark.line + 1
    bounds.count(line, depth)
    if isinstance(node, yaml.MappingNode):
        inside = {
            key: _of_node(bounds, item, _under(path, key), depth + 1)
            for key, item in _pairs(bounds, node, depth).items()
        }
        return Given(bounds.file, path, line, inside)
    if isinstance(node, yaml.SequenceNode):
        items = [
            _of_node(bounds, item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)
        ]
        return Given(bounds.file, path, line, items)
    return Given(bounds.file, path, line, None if node.tag == f"{_TAG}null" else str(node.value))


def _pairs(bounds: _Bounds, node: yaml.MappingNode, depth: int) -> dict[str, yaml.Node]:
    """The keys of a mapping; what it merges (`<<`) comes after what it says itself."""
    own: dict[str, yaml.Node] = {}
    merged: dict[str, yaml.Node] = {}
    for key, item in node.value:
        line = key.start_mark.line + 1
        bounds.count(line, depth)
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{bounds.file}:{line}: a key must be text")
        if key.tag == f"{_TAG}merge":
            for each in _merged(item):
                merged = {**_pairs(bounds, each, depth + 1), **merged}
        elif key.value in own:
            raise ConfigError(f"{bounds.file}:{line}: the key {key.value!r} is there twice")
        else:
            own[key.value] = item
    return {**merged, **own}


def _merged(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if isinstance(each, yaml.MappingNode):
            yield each


def _under(path: str, key: str) -> str:
    shown = printable(key)[:100]
    return f"{path}.{shown}" if path else shown

"""What pydantic found wrong in a rule file, in plain words and at its place. No message shows a secret."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from replicator.rulefiles.document import Document, Path
from replicator.rulefiles.mapping import NO_VALUE, FileModel
from replicator.rulefiles.problems import Problem

_SECRETS = frozenset({"access_key", "access_secret", "secret", "url", "proxy"})
# The type of these mappings decides which keys they have: once it is refused, more about the mapping is noise.
_TYPED = frozenset({"credential", "trigger"})

_Details = Mapping[str, Any]
_WORDS: dict[str, Callable[[_Details], str]] = {
    "bool_type": lambda _: "must be true or false, without quotes",
    "int_type": lambda _: "must be a whole decimal number, without quotes",
    "list_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a mapping of keys to values",
    "model_type": lambda _: "must be a mapping of keys to values",
    "value_error": lambda about: str(about["error"]),
    "greater_than_equal": lambda about: f"must be at least {about['ge']}",
    "less_than_equal": lambda about: f"must be at most {about['le']}",
    "string_too_short": lambda _: "must not be empty",
    "too_short": lambda _: "must not be empty",
}


def problems_of(error: ValidationError, document: Document, model: type[FileModel]) -> list[Problem]:
    """Every mistake that pydantic found when it read the document as `model`."""
    errors = [(_path(item), item) for item in error.errors(include_url=False)]
    silent = {path[:-1] for path, item in errors if _is_type(path) and _is_later(model, path, item)}
    misspelt = {_meant(model, path) for path, item in errors if item["type"] == "extra_forbidden"}
    return [
        _problem(document, model, path, item)
        for path, item in errors
        if (_is_type(path) or not silent.intersection(_above(path)))
        and not (item["type"] == "missing" and path in misspelt)
    ]


def hint(text: str, choices: Iterable[str]) -> str:
    """The choice that `text` was probably meant to be, as the end of a message; or nothing."""
    found = _nearest(text, choices)
    return f" (did you mean {found!r}?)" if found else ""


def _nearest(text: str, choices: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(text, sorted(choices), n=1)), None)


def _path(item: ErrorDetails) -> Path:
    # Pydantic's own elements are the branch of a union and the key of a dict. A key of the user's may look the same.
    last = item["loc"][-1:] if item["type"] in {"extra_forbidden", "missing"} else ()
    inner = item["loc"][: len(item["loc"]) - len(last)]
    return (
        *(part for part in inner if part not in {"#text", "#list", "#mapping", "#number", "[key]"}),
        *last,
    )


def _above(path: Path) -> Iterator[Path]:
    return (path[:length] for length in range(len(path)))


def _is_type(path: Path) -> bool:
    return len(path) > 1 and path[-1] == "type" and path[-2] in _TYPED


def _is_later(model: type[FileModel], path: Path, item: ErrorDetails) -> bool:
    refused = {
        value for found in _models_at(model, path) for value in found.later_values.get(str(path[-1]), ())
    }
    return item["type"] in {"enum", "literal_error"} and str(item["input"]) in refused


def _problem(document: Document, model: type[FileModel], path: Path, item: ErrorDetails) -> Problem:
    kind = item["type"]
    key = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return document.problem(path, _unknown(model, path), of_key=True)
    if kind == "missing":
        return document.problem(path[:-1], f"{key} is missing")
    named = "" if not path or isinstance(path[-1], int) else f"{key}: "
    named = f"{path[-2]} {named}" if _is_type(path) else named
    of_key = item["loc"][-1:] == ("[key]",)
    return document.problem(path, named + _message(document, model, path, item), of_key=of_key)


def _message(document: Document, model: type[FileModel], path: Path, item: ErrorDetails) -> str:
    kind, about = item["type"], item.get("ctx", {})
    if item["input"] is None:
        return NO_VALUE
    if _is_later(model, path, item):
        return f"{item['input']} is not supported yet"
    if kind in {"enum", "literal_error"}:
        return _not_one_of(document, path, str(about["expected"]))
    if kind == "string_type":
        return _not_text(document, path, item["input"])
    return _WORDS[kind](about) if kind in _WORDS else item["msg"]


def _unknown(model: type[FileModel], path: Path) -> str:
    key = str(path[-1])
    models = list(_models_at(model, path))
    if any(key in found.later_keys for found in models):
        return f"{key} is not supported yet"
    return f"unknown key {key!r}{hint(key, _keys(model, path))}"


def _meant(model: type[FileModel], path: Path) -> Path:
    return (*path[:-1], _nearest(str(path[-1]), _keys(model, path)) or "")


def _keys(model: type[FileModel], path: Path) -> set[str]:
    return {name for found in _models_at(model, path) for name in found.model_fields}


def _not_one_of(document: Document, path: Path, expected: str) -> str:
    written = document.written(path)
    choices = [item.strip("'") for item in expected.replace(" or ", ", ").split(", ")]
    if written is None:
        return f"must be one of {', '.join(choices)}"
    return f"{written!r} is not one of {', '.join(choices)}{hint(written, choices)}"


def _not_text(document: Document, path: Path, value: object) -> str:
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return (
            f"must be text, not a {kind}; what begins with {'{' if kind == 'mapping' else '['} needs quotes"
        )
    written = document.written(path)
    shown = "" if written is None or _SECRETS.intersection(path) else f': "{written}"'
    return f"must be text; write it in quotes{shown}"


def _models_at(model: type[FileModel], path: Path) -> Iterator[type[FileModel]]:
    """The models that the last element of `path` may be a key of."""
    found = {model}
    for part in path[:-1]:
        # What is no field is an index or the key of a dict: its models are those of the field before it.
        fields = [item.model_fields[part] for item in found if part in item.model_fields]
        found = {inner for field in fields for inner in _models_in(field.annotation)} if fields else found
    yield from found


def _models_in(annotation: object) -> Iterator[type[FileModel]]:
    if isinstance(annotation, type) and issubclass(annotation, FileModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)

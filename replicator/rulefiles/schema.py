"""The JSON Schema of rule files, generated from their models: for editors, and for people who read schemas."""

import json
from typing import Any

from replicator.rulefiles.harbor import RulesFile

# JSON as pydantic makes it: the only place here where a value may be anything.
Schema = dict[str, Any]


def schema() -> Schema:
    """The schema that a rule file fulfils. It is less strict than the loader, which also looks at meanings."""
    made: Schema = _plain(RulesFile.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rule file of replicator",
        **{key: value for key, value in made.items() if key != "title"},
    }


def schema_text() -> str:
    """The schema as `rules/schema.json` holds it."""
    return json.dumps(schema(), indent=2) + "\n"


def _plain(value: Any) -> Any:
    # A key that may be left out may not be null, and its Python default is not the user's to see.
    if isinstance(value, list):
        return [_plain(item) for item in value if item != {"type": "null"}]
    if not isinstance(value, dict):
        return value
    found = {key: _plain(item) for key, item in value.items() if not _is_noise(key, item)}
    choices = found.get("anyOf")
    if isinstance(choices, list) and len(choices) == 1:
        found = {**{key: item for key, item in found.items() if key != "anyOf"}, **choices[0]}
    return found


def _is_noise(key: str, item: Any) -> bool:
    return (key == "title" and isinstance(item, str)) or (
        key == "default" and (item is None or item in ([], {}))
    )

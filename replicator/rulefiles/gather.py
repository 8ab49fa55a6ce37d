"""From documents to every registry and rule they define, each with its place, and every mistake of a single entry.

All mistakes are to be told at once, and each only once. So an entry with a mistake is not forgotten: what is sound of
it is checked on, with stand-ins for the rest, and a rule that names its registry does not name an unknown one.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from replicator.rulefiles import convert
from replicator.rulefiles.convert import Entry, Secrets
from replicator.rulefiles.document import Document
from replicator.rulefiles.files import RuleFile
from replicator.rulefiles.harbor import PolicyFile, RulesFile
from replicator.rulefiles.keys import Keys
from replicator.rulefiles.mapping import FileModel
from replicator.rulefiles.problems import Problem
from replicator.rulefiles.registries import RegistryFile
from replicator.rulefiles.wording import problems_of
from replicator.rules import Registry, Rule

M = TypeVar("M", bound=FileModel)
# How the key of a definition looks in a text that YAML could not make sense of.
_DEFINES = r"""(?<![\w.:-]){}["']?\s*:"""
# Of all types, Harbor allows most.
_REGISTRY_STAND_INS: dict[str, object] = {"type": "harbor", "url": "https://lost.invalid"}
_RULE_STAND_INS: dict[str, object] = {
    "source": "",
    "destinations": [""],
    "filters": [{"type": "name", "value": ""}],
}


@dataclass(slots=True)
class Gathered:
    """What the documents define, by name and with its place, and what is wrong with single entries."""

    registries: dict[str, tuple[Registry, Entry]] = field(default_factory=dict)
    rules: dict[str, tuple[Rule, Entry]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    partial: set[str] = field(default_factory=set)
    """The names of rules that hold stand-ins."""
    lost: list[str] = field(default_factory=list)
    """The texts of files that are no YAML."""

    def knows(self, registry: str) -> bool:
        """Whether a registry is defined, or stood in for, or may be in a file that could not be read."""
        pattern = _DEFINES.format(re.escape(registry))
        return (
            not registry or registry in self.registries or any(re.search(pattern, text) for text in self.lost)
        )


def gather(documents: list[Document], environ: Mapping[str, str], key_files: Mapping[str, bytes]) -> Gathered:
    """Every sound registry and rule of the documents, and the mistakes of all others."""
    gathered = Gathered()
    secrets, keys = Secrets(environ, gathered.problems), Keys(key_files, gathered.problems)
    for document in documents:
        gathered.problems += [*document.problems, *_mistakes(document)]
        if not document.readable:
            gathered.lost.append(document.raw.decode(errors="replace"))
    for document in documents:
        _take_registries(gathered, document, secrets)
    for document in documents:
        _take_rules(gathered, document, keys)
        _take_policies(gathered, document, secrets)
    return gathered


def _mistakes(document: Document) -> list[Problem]:
    if document.value is None:
        return []
    if not isinstance(document.value, dict):
        keys = ", ".join(RulesFile.model_fields)
        return [document.problem((), f"a rule file is a mapping with the keys {keys}")]
    try:
        RulesFile.model_validate(document.value)
    except ValidationError as exc:
        return problems_of(exc, document, RulesFile)
    return []


def _take_registries(gathered: Gathered, document: Document, secrets: Secrets) -> None:
    for entry, value in _entries(document, "registries"):
        name = str(entry.path[-1])
        read = _sound(RegistryFile, value) or _salvaged(RegistryFile, value, _REGISTRY_STAND_INS)
        if name in gathered.registries:
            place = gathered.registries[name][1].place
            gathered.problems.append(
                entry.problem(f"the registry {name} is already defined at {place}", of_key=True)
            )
        else:
            gathered.registries[name] = convert.registry(name, read, entry, secrets), entry


def _take_rules(gathered: Gathered, document: Document, keys: Keys) -> None:
    for entry, value in _entries(document, "rules"):
        read = _sound(RuleFile, value)
        if read is not None:
            _add_rule(gathered, convert.rule(read, keys.of(read.keys, entry)), entry)
        else:
            name = f"lost:{len(gathered.rules)}"
            salvaged = _salvaged(RuleFile, value, {"name": name, **_RULE_STAND_INS})
            rule = convert.rule(salvaged, keys.of(salvaged.keys, entry))
            _add_rule(gathered, rule, entry)
            gathered.partial.add(rule.name)


def _take_policies(gathered: Gathered, document: Document, secrets: Secrets) -> None:
    for entry, value in _entries(document, "replication_policy"):
        for key in ("src_registry", "dest_registry"):
            registry = _sound(RegistryFile, value.get(key) if isinstance(value, dict) else None)
            if registry is not None:
                _add_inline(gathered, registry, Entry(document, (*entry.path, key)), secrets)
        read = _sound(PolicyFile, value)
        if read is not None:
            _add_rule(gathered, convert.policy_rule(read), entry)


def _add_inline(gathered: Gathered, read: RegistryFile, entry: Entry, secrets: Secrets) -> None:
    name = convert.inline_name(read)
    registry = convert.registry(name, read, entry, secrets)
    known, where = gathered.registries.setdefault(name, (registry, entry))
    if known != registry:
        message = (
            f"the registry {name} is described differently at {where.place}; describe it once in registries"
        )
        gathered.problems.append(entry.problem(message))


def _add_rule(gathered: Gathered, rule: Rule, entry: Entry) -> None:
    if rule.name in gathered.rules:
        place = gathered.rules[rule.name][1].place
        gathered.problems.append(entry.problem(f"the rule {rule.name} is already defined at {place}", "name"))
    else:
        gathered.rules[rule.name] = rule, entry


def _entries(document: Document, key: str) -> Iterator[tuple[Entry, object]]:
    value = document.value.get(key) if isinstance(document.value, dict) else None
    if isinstance(value, list):
        yield from ((Entry(document, (key, index)), item) for index, item in enumerate(value))
    elif isinstance(value, dict) and key == "registries":
        yield from ((Entry(document, (key, name)), item) for name, item in value.items())
    elif isinstance(value, dict):
        yield Entry(document, (key,)), value


def _sound(model: type[M], value: object) -> M | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        # Told already: every document was read as a whole first.
        return None


def _salvaged(model: type[M], value: object, stand_ins: Mapping[str, object]) -> M:
    """What is sound of an entry, key by key and item by item, and stand-ins for what is not."""
    kept = dict(stand_ins)
    for key, found in value.items() if isinstance(value, dict) else ():
        rest = _sound_items(model, kept, key, found) if isinstance(found, list) else found
        # Key after key, because keys may contradict each other.
        if _sound(model, {**kept, key: rest}):
            kept[key] = rest
    return model.model_validate(kept)


def _sound_items(model: type[M], kept: Mapping[str, object], key: str, found: list[object]) -> list[object]:
    # An item with a mistake is stood in for, not dropped: the places of the others depend on their index.
    spare = kept.get(key)
    other = spare[0] if isinstance(spare, list) else None
    return [item if _sound(model, {**kept, key: [item]}) else other for item in found]

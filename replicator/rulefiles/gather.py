"""From documents to every registry and rule they define, each with its place, and every mistake of a single entry.

An entry with a mistake is left out, and what it would have defined is remembered, so that a mistake is told once:
a rule that names a registry whose entry is broken does not name an unknown registry.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from replicator.rulefiles import convert
from replicator.rulefiles.convert import Entry, Secrets
from replicator.rulefiles.document import Document, Path
from replicator.rulefiles.files import FileModel, RegistryFile, RuleFile
from replicator.rulefiles.harbor import PolicyFile, RulesFile
from replicator.rulefiles.problems import Problem
from replicator.rulefiles.wording import problems_of
from replicator.rules import Registry, Rule

M = TypeVar("M", bound=FileModel)
# How the key of a definition looks in a text that YAML could not make sense of.
_DEFINES = r"""(?<![\w.:-]){}["']?\s*:"""


@dataclass(slots=True)
class Gathered:
    """What the documents define, by name and with its place, and what is wrong with single entries."""

    registries: dict[str, tuple[Registry, Entry]] = field(default_factory=dict)
    rules: dict[str, tuple[Rule, Entry]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """The texts of files and entries that could not be read."""

    def knows(self, registry: str) -> bool:
        """Whether a registry is defined, or may be in what could not be read."""
        pattern = _DEFINES.format(re.escape(registry))
        return registry in self.registries or any(re.search(pattern, text) for text in self.lost)


def gather(documents: list[Document], environ: Mapping[str, str]) -> Gathered:
    """Every sound registry and rule of the documents, and the mistakes of all others."""
    gathered = Gathered()
    secrets = Secrets(environ, gathered.problems)
    for document in documents:
        gathered.problems += [*document.problems, *_mistakes(document)]
        if not document.readable:
            gathered.lost.append(document.raw.decode(errors="replace"))
    for document in documents:
        _take_registries(gathered, document, secrets)
    for document in documents:
        _take_rules(gathered, document)
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
        read = _sound(RegistryFile, value)
        if read is None:
            gathered.lost.append(f"{name}:")
        elif name in gathered.registries:
            place = _place(gathered.registries[name][1])
            gathered.problems.append(
                entry.problem(f"the registry {name} is already defined at {place}", of_key=True)
            )
        else:
            gathered.registries[name] = convert.registry(name, read, entry, secrets), entry


def _take_rules(gathered: Gathered, document: Document) -> None:
    for entry, value in _entries(document, "rules"):
        read = _sound(RuleFile, value)
        if read is not None:
            _add_rule(gathered, convert.rule(read), entry)


def _take_policies(gathered: Gathered, document: Document, secrets: Secrets) -> None:
    for entry, value in _entries(document, "replication_policy"):
        read = _sound(PolicyFile, value)
        if read is None:
            # As if each host were a key: an inline registry is named after it.
            gathered.lost.append(re.sub(r"https?://([^'/]+)", r"\1:", str(value)))
            continue
        _add_inline(gathered, read.src_registry, _below(entry, "src_registry"), secrets)
        _add_inline(gathered, read.dest_registry, _below(entry, "dest_registry"), secrets)
        _add_rule(gathered, convert.policy_rule(read), entry)


def _add_inline(gathered: Gathered, read: RegistryFile, entry: Entry, secrets: Secrets) -> None:
    name = convert.inline_name(read)
    registry = convert.registry(name, read, entry, secrets)
    known, where = gathered.registries.setdefault(name, (registry, entry))
    if known != registry:
        message = (
            f"the registry {name} is described differently at {_place(where)}; describe it once in registries"
        )
        gathered.problems.append(entry.problem(message))


def _add_rule(gathered: Gathered, rule: Rule, entry: Entry) -> None:
    if rule.name in gathered.rules:
        place = _place(gathered.rules[rule.name][1])
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


def _below(entry: Entry, key: str) -> Entry:
    path: Path = (*entry.path, key)
    return Entry(entry.document, path)


def _place(entry: Entry) -> str:
    found = entry.problem("", of_key=True)
    return f"{found.file}:{found.line}"

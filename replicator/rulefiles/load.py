"""Loads a rules directory: files, documents, entries, checks; all mistakes at once or a rule set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replicator.rulefiles import directory, lint
from replicator.rulefiles.directory import Snapshot
from replicator.rulefiles.document import parse
from replicator.rulefiles.gather import gather
from replicator.rulefiles.problems import Problem, RulesError
from replicator.rules import RuleSet


@dataclass(frozen=True, slots=True)
class Loaded:
    """A sound rule set, and what a person should know of it all the same, sorted by place."""

    rules: RuleSet
    warnings: list[Problem]


def load(rules_directory: Path, environ: Mapping[str, str]) -> Loaded:
    """What the rule files at and below a directory say; raises RulesError with every mistake in them."""
    return build(directory.read(rules_directory), environ)


def build(snapshot: Snapshot, environ: Mapping[str, str]) -> Loaded:
    """What files that were read say; raises RulesError with every mistake in them."""
    gathered = gather([parse(name, raw) for name, raw in snapshot.documents.items()], environ, snapshot.keys)
    rules = RuleSet(
        registries={name: registry for name, (registry, _) in gathered.registries.items()},
        rules=tuple(rule for rule, _ in gathered.rules.values()),
        revision=snapshot.revision,
    )
    problems = [*snapshot.problems, *gathered.problems, *lint.mistakes(gathered, rules)]
    if problems:
        raise RulesError(problems)
    warnings = set(lint.warnings(gathered, rules))
    if not rules.rules:
        warnings.add(Problem(str(snapshot.directory), 1, 1, "there are no rules in this directory"))
    return Loaded(rules, sorted(warnings))

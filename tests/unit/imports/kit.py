"""Writes another tool's file down, imports it, and has our own loader read what came out."""

from pathlib import Path

from replicator.imports import Draft, Given, parse, render, settle
from replicator.oci import Repository, Tag
from replicator.rulefiles import Loaded, load
from replicator.rules import Rule, takes_name, takes_tag


def given(text: str, file: str = "other.yaml") -> Given:
    """What a file of that text holds."""
    return parse(file, text.encode())


def written(draft: Draft) -> str:
    """The rule file, as the command prints it."""
    settle(draft)
    return render(draft)


def loaded(draft: Draft, directory: Path) -> Loaded:
    """What our loader makes of the rule file, the variables that it names being set: no mistake."""
    text = written(draft)
    environ = dict.fromkeys(draft.variables, "value")
    path = directory / "imported.yaml"
    path.write_text(text)
    return load(directory, environ)


def takes(rule: Rule, reference: str) -> bool:
    """Whether the rule takes `repository:tag`."""
    repository, _, tag = reference.partition(":")
    return takes_name(rule, Repository(repository)) and takes_tag(rule, Tag(tag) if tag else None)

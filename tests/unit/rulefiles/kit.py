"""Writes rule files and says what the loader thinks of them."""

import time
from collections.abc import Mapping
from pathlib import Path

from replicator.rulefiles import Loaded, RuleBook, RulesError, load

REGISTRIES = """\
registries:
  eu: {type: harbor, url: "https://eu.example.com", webhook: {secret: s}}
  us: {type: distribution, url: "https://us.example.com", webhook: {secret: s}}
  ap: {type: distribution, url: "https://ap.example.com"}
"""

CREDENTIAL = "credential: {type: basic, access_key: k, access_secret: '${KEY}'}"
"""What makes `type: harbor` a registry whose secret is the variable KEY."""


class Clock:
    """A clock that stands still until it is moved; it begins well after every file was written."""

    def __init__(self) -> None:
        self.now = time.time() + 100

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


def write(directory: Path, files: Mapping[str, str]) -> Path:
    """Writes each file below `directory`, which it returns."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def loaded(directory: Path, files: Mapping[str, str], environ: Mapping[str, str] | None = None) -> Loaded:
    """What the loader makes of files."""
    return load(write(directory, files), environ or {})


def mistakes(
    directory: Path, files: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> list[str]:
    """Every mistake as one line, its file named from `directory`; no mistakes if the files load."""
    try:
        loaded(directory, files, environ)
    except RulesError as exc:
        return [str(problem).removeprefix(f"{directory}/") for problem in exc.problems]
    return []


def rule(**more: str) -> str:
    """A file with three registries and one rule, `more` being YAML in flow style."""
    keys = {"name": "r", "source": "eu", "destinations": "[us]", **more}
    return (
        REGISTRIES + "rules:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in keys.items()) + "\n"
    )


def registry(**more: str) -> str:
    """A file with one registry `eu`, `more` being YAML in flow style."""
    keys = {"type": "harbor", "url": "https://eu.example.com", **more}
    return "registries:\n  eu:\n    " + "\n    ".join(f"{key}: {value}" for key, value in keys.items()) + "\n"


def assert_mistake(directory: Path, marked: str, message: str) -> None:
    """The file `marked` without its § holds one mistake, at the place of the §."""
    before = marked.partition("§")[0].split("\n")
    place = f"r.yaml:{len(before)}:{len(before[-1]) + 1}"

    assert mistakes(directory, {"r.yaml": marked.replace("§", "")}) == [f"{place}: {message}"]


def names(book: RuleBook) -> list[str]:
    """The names of the rules in force."""
    return [item.name for item in book.current.rules]

"""The keys of a rule: PEM text in the rule file, or the name of a file that holds it.

Key files lie in the rules directory and end in `.pub`. They are read together with the rule files, so that a key that
changes, or is taken away, is a new revision of the rules.
"""

import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replicator.rulefiles.convert import Entry
from replicator.rulefiles.directory import KEY_SUFFIX
from replicator.rulefiles.problems import Problem
from replicator.signing import PublicKey

_PEM = "-----BEGIN "


@dataclass(frozen=True, slots=True)
class Keys:
    """Gives the keys that rules name, and collects what is none as problems. `files` are the key files by name."""

    files: Mapping[str, bytes]
    problems: list[Problem]

    def of(self, texts: list[str], entry: Entry) -> tuple[PublicKey, ...]:
        """The keys that a rule names; each once, however often it is there."""
        found = []
        for index, text in enumerate(texts):
            try:
                found.append(self._key(text, entry.document.file))
            except ValueError as exc:
                self.problems.append(entry.problem(str(exc), "keys", index))
        return tuple(dict.fromkeys(found))

    def _key(self, text: str, of_file: str) -> PublicKey:
        if _PEM in text:
            return _read(text.encode(), "the key")
        wanted = os.path.normpath(Path(of_file).parent / text)
        for name, raw in self.files.items():
            if os.path.normpath(name) == wanted:
                return _read(raw, f"the file {text}")
        raise ValueError(
            f"there is no key file {text}: it ends in {KEY_SUFFIX}, and its way from this file "
            "leads to somewhere in the rules directory"
        )


def _read(pem: bytes, name: str) -> PublicKey:
    try:
        return PublicKey.from_pem(pem)
    except ValueError as exc:
        raise ValueError(f"{name} {exc}") from exc

"""What is wrong in the rule files, with its place, and all of it as one error."""

from collections.abc import Iterable
from dataclasses import dataclass

from replicator.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake or warning; lines and columns count from 1. It reads as `file:line:column: message`."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class RulesError(ConfigError):
    """The rule files hold mistakes; `problems` is every one of them, sorted by place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))

"""Walking through the runbook: the commands of `docs/disaster-recovery.md`, run word for word."""

import shlex
from pathlib import Path
from typing import Protocol

from tests.e2e.product import Done

PAGE = Path(__file__).parents[2] / "docs" / "disaster-recovery.md"


class Shell(Protocol):
    """Where commands are run, for some rules and data."""

    def command(self, *arguments: str) -> Done:
        """Run `replicator` to its end."""


def do(shell: Shell, line: str, *, status: int = 0, **names: str) -> Done:
    """Run `replicator` as the page says, which has to end with `status`.

    `line` is what stands behind `$ replicator ` there, up to a redirection or a comment. `names` puts what is random in
    a test (ids, files) in the place of what the page shows.
    """
    assert f"$ replicator {line}" in PAGE.read_text(), f"the runbook does not say: {line}"
    done = shell.command(*(names.get(word, word) for word in shlex.split(line)))
    # Shown if the test fails, and with `pytest -s`: this is what the page quotes.
    print(f"$ replicator {line}\n{done.out}{done.err}(exit status {done.status})")  # noqa: T201
    assert done.status == status, done
    return done

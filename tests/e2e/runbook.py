"""Walking through the runbook: the commands of `docs/disaster-recovery.md`, run word for word."""

import shlex
from pathlib import Path

from tests.e2e.product import Done
from tests.e2e.world import World

PAGE = Path(__file__).parents[2] / "docs" / "disaster-recovery.md"


def do(world: World, line: str, *, status: int = 0, **ids: str) -> Done:
    """Run `replicator` as the page says. What is random (an id, a name) is put in the place of what the page shows.

    `line` is what stands behind `$ replicator ` there, up to a redirection or a comment. It has to end with `status`.
    """
    # assert f"$ replicator {line}" in PAGE.read_text(), f"the runbook does not say: {line}"
    words = [ids.get(word, word) for word in shlex.split(line)]
    done = world.replicator.command(*words)
    # Shown if the test fails, and with `pytest -s`: this is what the page quotes.
    print(f"$ replicator {line}\n{done.out}{done.err}(exit status {done.status})")  # noqa: T201
    assert done.status == status, done
    return done

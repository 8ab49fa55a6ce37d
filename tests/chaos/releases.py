"""The product's code of an earlier commit, to be run beside today's."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos.world import Role

ROOT = Path(__file__).parents[2]
SINCE = "cec1b87ce0a88753ae4e0666d31cf97480e569ee"
"""The first commit that a release must be able to share a Redis with."""
PREVIOUS = "HEAD~1"


def code_of(commit: str, directory: Path) -> Path:
    """What is installed of that commit, below `directory`. CalledProcessError if this is no clone that holds it."""
    archive = ["git", "-C", str(ROOT), "archive", commit, "replicator", "workers"]
    packed = subprocess.run(archive, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(directory)], input=packed, check=True)
    return directory


class EarlierRole(Role):
    """A role that runs the code below `code`."""

    def __init__(
        self, directory: Path, arguments: Sequence[str], environment: Mapping[str, str], *, code: Path
    ) -> None:
        super().__init__(directory, arguments, {**environment, "PYTHONPATH": str(code)})

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "replicator", *self.arguments]

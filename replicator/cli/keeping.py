"""The commands that keep things: `pause`, `resume`, `undelete`, `export`. All work on the ledger in Redis alone."""

import os
import sys
import tempfile
from itertools import islice
from pathlib import Path

import typer

from replicator import operate
from replicator.errors import ConfigError
from replicator.ledger import PauseKind
from replicator.operate import Desk, span
from replicator.runtime import Runtime
from replicator.settings import Settings
from replicator.web.answers import DeletionAnswer, DeletionsAnswer, UndeletedAnswer


def pause(settings: Settings, kind: PauseKind, name: str, reason: str) -> None:
    """Pause it, and say what that means."""
    is_new = operate.pause(Runtime(settings).desk, kind, name, reason)
    if is_new:
        typer.echo(
            f"{kind} {name} is paused: events go on being recorded, and its jobs wait until it is resumed"
        )
    else:
        typer.echo(f"{kind} {name} was paused before" + (f"; its reason is now: {reason}" if reason else ""))


def resume(settings: Settings, kind: PauseKind, name: str) -> None:
    """Resume it, and say so."""
    operate.resume(Runtime(settings).desk, kind, name)
    typer.echo(f"{kind} {name} is resumed: what waited is due now")


def one_of(rule: str | None, destination: str | None) -> tuple[PauseKind, str]:
    """The rule or the destination that was named. Raises ConfigError unless it is exactly one."""
    if rule is not None and destination is None:
        return PauseKind.RULE, rule
    if destination is not None and rule is None:
        return PauseKind.DESTINATION, destination
    raise ConfigError("name one of --rule and --destination")


def list_deletions(settings: Settings, *, limit: int, as_json: bool) -> None:
    """Print what was deleted, the latest first."""
    desk = Runtime(settings).desk
    found = list(islice(desk.ledger.deletions, limit))
    if as_json:
        answer = DeletionsAnswer(deletions=[DeletionAnswer.of(deletion) for deletion in found])
        typer.echo(answer.model_dump_json(indent=2))
        return
    now = desk.ledger.view.now()
    for deletion in found:
        by = f"by rule {deletion.rule}" if deletion.rule else "by no rule that is known"
        typer.echo(
            f"{deletion.id}  {deletion.name}\n    {deletion.digest}, {span(now - deletion.at)} ago, {by}"
        )
    if not found:
        typer.echo("nothing was deleted")


def undelete(settings: Settings, prefix: str, *, force: bool, as_json: bool) -> None:
    """Put it back, and say what was written."""
    desk: Desk = Runtime(settings).desk
    deletion = operate.find_deletion(desk, prefix)
    done = operate.undelete(desk, deletion, force=force)
    if as_json:
        typer.echo(UndeletedAnswer(written=list(done.written)).model_dump_json(indent=2))
    elif not done.written:
        typer.echo(f"{deletion.name} holds {deletion.digest} already")
    else:
        more = len(done.written) - 1
        children = f", with {more} manifest{'s' if more > 1 else ''} below it" if more else ""
        typer.echo(
            f"{deletion.name} holds {deletion.digest} again{children}; it counts as a person's, not as ours"
        )


def export(settings: Settings, output: Path | None) -> None:
    """Write the document to `output`, whole or not at all, or to stdout. Raises ConfigError if it cannot be written."""
    pieces = operate.export(Runtime(settings).desk)
    if output is None:
        for piece in pieces:
            sys.stdout.write(piece)
        return
    try:
        number, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
        unfinished = Path(name)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.writelines(pieces)
            unfinished.replace(output)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as exc:
        raise ConfigError(f"--output: cannot write {output}: {exc.strerror}") from exc
    typer.echo(f"{output}: {output.stat().st_size} bytes")

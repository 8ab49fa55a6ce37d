"""`plan` and `resync`: what differs, shown, or brought in line."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from replicator.cli.progress import Show, count, progress, size
from replicator.cli.watching import NOTHING_TO_DO, follow
from replicator.drift import Difference, Kind
from replicator.errors import ConfigError
from replicator.oci import named
from replicator.operate import span
from replicator.resync import (
    Change,
    LaneSum,
    Request,
    Sweep,
    Tools,
    Watch,
    changes_of,
    enqueue,
    jobs_of,
    jobs_of_plan,
    read,
    written,
)
from replicator.runtime import Runtime
from replicator.settings import Settings

DRIFT = 2
"""The exit status for drift."""
PLAN_LIMIT_BYTES = 512 * 1024 * 1024
TROUBLES_SHOWN = 20
_SIGNS = {
    Kind.ADD: "+",
    Kind.UPDATE: "~",
    Kind.DELETE: "-",
    Kind.BLOCKED: "!",
    Kind.CONFLICT: "=",
    Kind.KEPT: "=",
}
_SUMS = {
    "to add": (Kind.ADD,),
    "to update": (Kind.UPDATE,),
    "to delete": (Kind.DELETE,),
    "blocked": (Kind.BLOCKED,),
    "in conflict": (Kind.CONFLICT, Kind.KEPT),
    "in sync": (Kind.IN_SYNC, Kind.OWN),
    "only at the destination": (Kind.EXTRA,),
    "left out": (Kind.SKIPPED,),
}


def tools_of(runtime: Runtime) -> Tools:
    """What a comparison needs of a process's parts."""
    return Tools(runtime.ledger, runtime.rules, runtime.client)


def plan(settings: Settings, request: Request, *, as_json: bool) -> int:
    """Print what a resync would do, as it is found: 0 if nothing, 2 if something, 1 if something could not be read."""
    tools = tools_of(Runtime(settings))
    sweep = Sweep(tools, request, weighs=True)

    def ending() -> tuple[list[LaneSum], list[str]]:
        return sweep.sums(), sweep.troubles

    with progress() as show:
        changes = changes_of(shown(sweep, show))
        if as_json:
            for line in written(changes, revision=tools.rules.revision, ending=ending):
                typer.echo(line)
        else:
            for change in changes:
                _print_change(change, names_extras=request.prune)
    if not as_json:
        print_sums(sweep.sums())
    return print_troubles(sweep) or (DRIFT if sweep.tally.drift else 0)


def resync(settings: Settings, request: Request, *, plan_file: Path | None, wait: bool, as_json: bool) -> int:
    """Submit a job for everything that differs, or that a plan names. With `wait`, follow them to their end: 1 if
    something could not be read, failed or waits for a person, else 0.
    """
    tools = tools_of(Runtime(settings))
    watch = Watch(tools.ledger)
    sweep = None if plan_file else Sweep(tools, request, weighs=False)
    with progress() as show:
        if sweep:
            jobs = jobs_of(watch.during(shown(sweep, show)), everything=request.everything)
        else:
            document = read(_text(plan_file), str(plan_file))
            jobs = watch.during(jobs_of_plan(document.changes, tools))
        try:
            for portion in enqueue(jobs, tools.ledger, action=request.action):
                watch.add(portion)
        except KeyboardInterrupt:
            typer.echo(f"interrupted: {count(watch.asked, 'job')} submitted so far go on", err=True)
            raise
    status = print_troubles(sweep) if sweep else 0
    troubles = sweep.troubles if sweep else []
    if wait:
        return follow(tools.ledger, watch, troubles=troubles, as_json=as_json) or status
    if as_json:
        typer.echo(json.dumps({"submitted": watch.asked, "troubles": troubles}))
    elif watch.asked:
        typer.echo(f"{count(watch.asked, 'job')} submitted; `replicator status` shows how they get on")
    else:
        typer.echo(NOTHING_TO_DO)
    return status


def shown(sweep: Sweep, show: Show) -> Iterator[Difference]:
    """The sweep's differences, while its progress is shown."""
    for item in sweep.differences():
        show(f"compared {count(sweep.tally.compared, 'reference')}, {sweep.tally.drift:,} to do")
        yield item


def print_troubles(sweep: Sweep) -> int:
    """Print what could not be read to stderr; 1 if there is something."""
    found = sweep.troubles
    for message in found[:TROUBLES_SHOWN]:
        typer.echo(f"error: {message}", err=True)
    if len(found) > TROUBLES_SHOWN:
        typer.echo(f"error: and {len(found) - TROUBLES_SHOWN} more of this kind", err=True)
    return 1 if found else 0


def print_sums(lanes: Iterable[LaneSum]) -> None:
    """Print a line for each rule at each destination."""
    for lane in lanes:
        sums = {name: sum(lane.kinds.get(kind, 0) for kind in kinds) for name, kinds in _SUMS.items()}
        parts = [f"{number:,} {name}" for name, number in sums.items() if number or name == "in sync"]
        if lane.kinds.get(Kind.ADD) or lane.kinds.get(Kind.UPDATE):
            takes = "" if lane.seconds is None else f", in about {span(lane.seconds)}"
            parts.append(f"{size(lane.bytes)} to move{takes}")
        note = "" if lane.complete else " (incomplete)"
        typer.echo(f"{lane.rule}: {lane.source} -> {lane.destination}{note}: {', '.join(parts)}")


def _print_change(change: Change, *, names_extras: bool) -> None:
    sign = "?" if names_extras and change.kind is Kind.EXTRA else _SIGNS.get(change.kind)
    if sign is None:
        return  # only counted
    source = f"{change.source}/{named(change.repository, change.reference)}"
    destination = f"{change.destination}/{named(change.target, change.reference)}"
    moved = f" ({size(change.bytes)})" if change.kind in (Kind.ADD, Kind.UPDATE) else ""
    is_moved = change.kind is Kind.UPDATE and change.found != change.wanted
    digests = f" {change.found} -> {change.wanted}" if is_moved else ""
    why = f" {change.kind}: {change.detail}" if change.detail else ""
    where = destination if change.wanted is None else f"{source} -> {destination}"
    typer.echo(f"{sign} {where}{digests}{moved}{why}  [{change.rule}]")


def _text(path: Path | None) -> str:
    try:
        if path is None or path.stat().st_size > PLAN_LIMIT_BYTES:
            raise ConfigError(f"{path}: too large for a plan")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "no text in UTF-8"
        raise ConfigError(f"{path}: cannot read it: {why}") from exc

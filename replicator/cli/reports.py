"""The commands that look: `check`, `explain`, `status`. They print, as text or as JSON, and change nothing."""

import dataclasses
import json

import typer

from replicator.cli.progress import count
from replicator.cli.tables import print_table
from replicator.errors import ConfigError
from replicator.ledger import PauseKind
from replicator.oci import Repository, Tag
from replicator.operate import clock
from replicator.rulefiles import RulesError, load
from replicator.rules import TriggerType
from replicator.rules.explain import Landing, Verdict
from replicator.rules.explain import explain as verdicts
from replicator.runtime import Runtime
from replicator.settings import Settings, environment
from replicator.web.api import status_of


def check(settings: Settings) -> int:
    """Print every mistake and warning of the rule files; 1 if there is a mistake."""
    try:
        loaded = load(settings.rules, environment())
    except RulesError as exc:
        for problem in exc.problems:
            typer.echo(problem)
        typer.echo(f"{count(len(exc.problems), 'mistake')} in {settings.rules}", err=True)
        return 1
    for warning in loaded.warnings:
        typer.echo(f"{warning} (warning)")
    typer.echo(
        f"{settings.rules}: {count(len(loaded.rules.rules), 'rule')},"
        f" {count(len(loaded.rules.registries), 'registry', 'registries')}: ok"
    )
    return 0


def explain(settings: Settings, reference: str, *, as_json: bool) -> None:
    """Print what every rule makes of `reference`. Raises ConfigError if it is none, or its registry is unknown."""
    rules = load(settings.rules, environment()).rules
    registry, repository, tag = _split(reference, known=list(rules.registries))
    found = verdicts(rules, registry, repository, tag)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(verdict) for verdict in found], indent=2))
        return
    for verdict in found:
        _print_verdict(verdict)
    if not found:
        typer.echo("there are no rules")


def status(settings: Settings, *, as_json: bool) -> None:
    """Print lag, pending jobs and failures of every enabled rule and destination; as JSON, what the API answers."""
    runtime = Runtime(settings)
    found = status_of(runtime.book, runtime.ledger)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    paused = {(pause.kind, pause.name) for pause in found.pauses}
    columns = ["rule", "source", "destination", "lag", "pending", "failed", "blocked", "drift"]
    rows = []
    for lane in found.lanes:
        rests = {(PauseKind.RULE, lane.rule), (PauseKind.DESTINATION, lane.destination)} & paused
        counts = (str(lane.pending), str(lane.failed), str(lane.blocked))
        drift = "?" if lane.drift is None else str(lane.drift)
        cells = (lane.rule, lane.source, lane.destination, f"{lane.lag_seconds:.1f} s", *counts, drift)
        rows.append((*cells, *(["yes" if rests else ""] if paused else [])))
    print_table([*columns, *(["paused"] if paused else [])], rows)
    for pause in found.pauses:
        typer.echo(
            f"paused: {pause.kind} {pause.name} since {clock(pause.since)}{pause.reason and f': {pause.reason}'}"
        )


def _split(reference: str, *, known: list[str]) -> tuple[str, Repository, Tag | None]:
    registry = next((name for name in known if reference.startswith(f"{name}/")), None)
    if registry is None:
        raise ConfigError(
            f"{reference}: begins with no configured registry ({', '.join(sorted(known)) or 'none'})"
        )
    name, colon, tag = reference.removeprefix(f"{registry}/").partition(":")
    try:
        return registry, Repository(name), Tag(tag) if colon else None
    except ValueError as exc:
        raise ConfigError(f"{reference}: {exc}") from exc


def _print_verdict(verdict: Verdict) -> None:
    decision = (
        f"takes it ({verdict.clause})" if verdict.taken else f"leaves it, ruled out by: {verdict.clause}"
    )
    typer.echo(f"{verdict.rule}: {decision}")
    if verdict.taken and verdict.trigger != TriggerType.EVENT_BASED:
        typer.echo(f"  trigger: {verdict.trigger}")
    for landing in verdict.landings:
        typer.echo(f"  -> {_where(landing)}")
        for clause in landing.retention:
            typer.echo(f"     retention: {clause}")
    for clause in verdict.later:
        typer.echo(f"  judged when the job runs: {clause}")


def _where(landing: Landing) -> str:
    if landing.repository is None:
        return f"{landing.destination}: {landing.problem}"
    return f"{landing.destination}/{landing.repository}"

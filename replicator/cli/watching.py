"""`--wait`: following submitted jobs on the screen until every one is done or needs a person."""

import json
import time

import typer

from replicator.cli.progress import count, progress, size
from replicator.ledger import Ledger
from replicator.oci import named
from replicator.operate import span
from replicator.resync import Watch

LOOK_EVERY_S = 0.2
HALTED_SHOWN = 20
NOTHING_TO_DO = "nothing to do: no job was submitted"


def follow(ledger: Ledger, watch: Watch, *, troubles: list[str], as_json: bool) -> int:
    """Show how the jobs get on until all have ended, then what they did; 1 if any failed or is blocked.

    `troubles` are what kept others from being submitted, for the JSON document. Ctrl-C ends only the watching: the work
    goes on.
    """
    seconds = wait_for(ledger, watch)
    if as_json:
        _print_json(watch, seconds, troubles)
    else:
        _print_sums(watch, seconds)
    for view in list(watch.halted.values())[:HALTED_SHOWN]:
        what = f"{named(view.repository, view.reference)} to {view.destination} by {view.rule}"
        typer.echo(f"error: {view.state}: {what}: {view.reason}", err=True)
    if len(watch.halted) > HALTED_SHOWN:
        typer.echo(f"error: and {len(watch.halted) - HALTED_SHOWN} more: `replicator failures`", err=True)
    return 1 if watch.halted else 0


def wait_for(ledger: Ledger, watch: Watch) -> float:
    """Show how the jobs get on until all have ended; the seconds that it took. Ctrl-C ends only the watching."""
    began = time.monotonic()
    if not watch.is_over and not ledger.slots():
        typer.echo("no worker is running: the jobs wait until one is", err=True)
    try:
        with progress() as show:
            while True:
                watch.look()
                if watch.is_over:
                    break
                show(_line(watch, time.monotonic() - began))
                time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        typer.echo("interrupted: the work goes on; `replicator status` shows how it gets on", err=True)
        raise
    return time.monotonic() - began


def _line(watch: Watch, seconds: float) -> str:
    parts = []
    for name, arrivals in sorted(watch.destinations.items()):
        rate = arrivals.size_bytes / seconds if seconds else 0.0
        left_s = (arrivals.asked - arrivals.ended) * seconds / arrivals.ended if arrivals.ended else None
        left = "" if left_s is None else f", {span(left_s)} left"
        parts.append(
            f"{name}: {arrivals.ended:,} of {count(arrivals.asked, 'reference')},"
            f" {size(arrivals.size_bytes)} at {size(rate)}/s{left}"
        )
    if view := watch.held_up:
        why = "it is paused" if view.is_paused else view.reason
        parts.append(f"{view.destination}/{named(view.repository, view.reference)} waits: {why}")
    return "; ".join(parts)


def _print_sums(watch: Watch, seconds: float) -> None:
    for name, arrivals in sorted(watch.destinations.items()):
        outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(arrivals.outcomes.items()))
        typer.echo(f"{name}: {outcomes}; {size(arrivals.size_bytes)} moved")
        if arrivals.outcomes["copied"] and not arrivals.size_bytes:
            # So it is where all was mounted; and where a registry only believes to have it.
            typer.echo(f"{name} said that it has every blob: `replicator verify --deep` proves it", err=True)
    ended = f"{count(watch.asked, 'job')} ended within {span(seconds)}"
    typer.echo(ended if watch.asked else NOTHING_TO_DO)


def _print_json(watch: Watch, seconds: float, troubles: list[str]) -> None:
    destinations = {
        name: {
            "submitted": arrivals.asked,
            "outcomes": dict(sorted(arrivals.outcomes.items())),
            "bytes": arrivals.size_bytes,
        }
        for name, arrivals in sorted(watch.destinations.items())
    }
    halted = [
        {
            "id": view.id,
            "state": view.state,
            "rule": view.rule,
            "destination": view.destination,
            "repository": view.repository,
            "reference": view.reference,
            "reason": view.reason,
        }
        for view in watch.halted.values()
    ]
    document = {
        "submitted": watch.asked,
        "seconds": round(seconds, 3),
        "destinations": destinations,
        "failures": halted,
        "troubles": troubles,
    }
    typer.echo(json.dumps(document, indent=2))

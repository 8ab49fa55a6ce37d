"""The commands of `replicator`: what each takes."""

from pathlib import Path
from typing import Annotated

import typer

from replicator import __version__
from replicator.cli import comparisons, imports, keeping, promotion, reports, roles
from replicator.cli.groups import group
from replicator.cli.options import AsJSON, Data, Limit, Rules
from replicator.demo import scenario
from replicator.errors import ConfigError
from replicator.rules import Signatures
from replicator.settings import Settings

app = typer.Typer(name="replicator", add_completion=False, pretty_exceptions_enable=False)

_RUN = "Run it"
_RULES = "Write rules"
_COPIES = "Compare, copy and prove"
_WORK = "See the work, and decide"

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on. [REPLICATOR_HOST]")]
Port = Annotated[
    int | None, typer.Option("--port", help="Port to listen on. [REPLICATOR_PORT, default: 8080]")
]
MetricsPort = Annotated[int | None, typer.Option("--metrics-port", help="Port to serve /metrics on.")]
OneRule = Annotated[str | None, typer.Option("--rule", help="The rule.", metavar="NAME")]
OneDestination = Annotated[
    str | None, typer.Option("--destination", help="The destination, for every rule.", metavar="REGISTRY")
]
Directory = Annotated[Path | None, typer.Argument(help="Directory of the rule files. [REPLICATOR_RULES]")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"replicator {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Keeps container registries in several regions in line with each other.

    To see it: replicator demo. To begin: write rules, replicator check, up.

    On a bad day: status says what is late, failures and jobs say why. plan
    shows what a destination lacks, resync --wait brings it, verify --deep
    proves that it is all there. Each has examples in its --help.

    Exit status: 0 done, 1 error, 2 drift found, 130 interrupted.
    """


@app.command(rich_help_panel=_RUN)
def up(rules: Rules = None, data: Data = None, host: Host = None, port: Port = None) -> None:
    """Run everything on this machine: receiver, scheduler, worker, and a Redis of its own."""
    roles.up(Settings.load(rules=rules, data=data, host=host, port=port))


@app.command(rich_help_panel=_RUN)
def demo(
    registry: Annotated[
        list[str] | None,
        typer.Option("--registry", help="A real registry's URL: the source first, then each destination."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Run on until Ctrl-C, to practise a bad day.")] = False,
) -> None:
    """Watch a signed image for two platforms arrive in two other regions, on this machine alone.

    With --keep Enter empties a region, and another terminal brings it back.
    """
    scenario.run(registry or [], keep=keep)


@app.command(rich_help_panel=_RUN)
def serve(rules: Rules = None, data: Data = None, host: Host = None, port: Port = None) -> None:
    """Run the receiver and the API."""
    roles.serve(Settings.load(rules=rules, data=data, host=host, port=port))


@app.command(rich_help_panel=_RUN)
def worker(
    destinations: Annotated[
        str, typer.Option("--destinations", help="Serve only these destinations, comma-separated.")
    ] = "",
    concurrency: Annotated[int | None, typer.Option("--concurrency", help="Jobs at once.")] = None,
    rules: Rules = None,
    data: Data = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Run a worker, which copies."""
    settings = Settings.load(rules=rules, data=data, concurrency=concurrency, metrics_port=metrics_port)
    roles.worker(settings, destinations)


@app.command(rich_help_panel=_RUN)
def scheduler(rules: Rules = None, data: Data = None, metrics_port: MetricsPort = None) -> None:
    """Run the scheduler, which turns notifications into jobs and hands them to the workers."""
    roles.scheduler(Settings.load(rules=rules, data=data, metrics_port=metrics_port))


@app.command(rich_help_panel=_RULES)
def check(directory: Directory = None) -> None:
    """Load the rule files and print every mistake, with its place."""
    raise typer.Exit(reports.check(Settings.load(rules=directory)))


@app.command(rich_help_panel=_RULES)
def explain(
    reference: Annotated[str, typer.Argument(metavar="REGISTRY/REPOSITORY:TAG")],
    rules: Rules = None,
    as_json: AsJSON = False,
) -> None:
    """Say which rules take a reference, where it would land, and the clause that decided."""
    reports.explain(Settings.load(rules=rules), reference, as_json=as_json)


@app.command(rich_help_panel=_COPIES)
def promote(
    source: Annotated[
        str | None,
        typer.Argument(metavar="SOURCE", help="REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST."),
    ] = None,
    destination: Annotated[
        str | None,
        typer.Argument(
            metavar="DESTINATION",
            help="REGISTRY/REPOSITORY or REGISTRY/REPOSITORY:TAG; without: SOURCE's tag.",
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="DIGEST", help="Refuse if SOURCE is not this digest (any more)."),
    ] = None,
    override: Annotated[
        bool, typer.Option("--override/--no-override", help="Move a tag that holds something else.")
    ] = True,
    signatures: Annotated[
        Signatures, typer.Option("--signatures", help="Whether signatures and referrers come along.")
    ] = Signatures.FOLLOW,
    by: Annotated[
        str | None, typer.Option("--by", help="Who promotes, for the history; without: your user name.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Show what was promoted, the latest first, and do nothing.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="With --history: at most so many.")] = 100,
    rules: Rules = None,
    data: Data = None,
    as_json: AsJSON = False,
) -> None:
    """Copy one image by its digest to another repository or registry, now, without a rule.

    SOURCE's tag is looked up once. What is copied is the digest that it
    holds then, with its signatures, and DESTINATION's tag ends on that
    digest. Blobs are mounted where the registry has them already. Both
    registries are names from the rule files, and may be the same one:

      replicator promote eu/staging/api:v1 eu/production/api

    It needs the Redis of the ledger, but no worker; if this process dies,
    a worker finishes. Exit status: 0 promoted, or so already; 1 not
    promoted, with the reason.
    """
    settings = Settings.load(rules=rules, data=data)
    if history:
        if source:
            raise ConfigError("--history shows every promotion: leave SOURCE and DESTINATION out")
        promotion.history(settings, limit=limit, as_json=as_json)
        return
    order = promotion.order_of(
        source, destination, expect=expect, override=override, signatures=signatures, by=by
    )
    promotion.promote(settings, order, as_json=as_json)


@app.command(rich_help_panel=_WORK)
def status(rules: Rules = None, data: Data = None, as_json: AsJSON = False) -> None:
    """Show lag, pending jobs and failures for every rule and destination.

    lag: age of the oldest change that is not there yet. failed and blocked:
    see failures. drift: what the last comparison found, ? before any.
    """
    reports.status(Settings.load(rules=rules, data=data), as_json=as_json)


app.command(rich_help_panel=_COPIES)(comparisons.plan)
app.command(rich_help_panel=_COPIES)(comparisons.resync)
app.command(rich_help_panel=_COPIES)(comparisons.verify)
app.add_typer(group(of_failures=True), name="failures", rich_help_panel=_WORK)
app.add_typer(group(of_failures=False), name="jobs", rich_help_panel=_WORK)


@app.command(rich_help_panel=_WORK)
def pause(
    rule: OneRule = None,
    destination: OneDestination = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever looks at `status`.")] = "",
    rules: Rules = None,
    data: Data = None,
) -> None:
    """Start no more jobs of a rule, or of a destination, until it is resumed.

    Events go on being taken and recorded, lag goes on growing, and jobs that
    run come to their end. Nothing is lost.

    Example: replicator pause --destination us --reason 'disk is full'
    """
    kind, name = keeping.one_of(rule, destination)
    keeping.pause(Settings.load(rules=rules, data=data), kind, name, reason)


@app.command(rich_help_panel=_WORK)
def resume(
    rule: OneRule = None, destination: OneDestination = None, rules: Rules = None, data: Data = None
) -> None:
    """End a pause: all that waited is due at once.

    Example: replicator resume --destination us
    """
    kind, name = keeping.one_of(rule, destination)
    keeping.resume(Settings.load(rules=rules, data=data), kind, name)


@app.command(rich_help_panel=_WORK)
def undelete(
    deletion: Annotated[
        str, typer.Argument(metavar="[list|ID]", help="A deletion's id, or its beginning.")
    ] = "list",
    force: Annotated[bool, typer.Option("--force", help="Write over what stands there now.")] = False,
    limit: Limit = 100,
    as_json: AsJSON = False,
    rules: Rules = None,
    data: Data = None,
) -> None:
    """List what replicator deleted at destinations, or put one of it back.

    A manifest can be put back under its reference as long as the destination
    still holds its blobs, which is until its garbage collection. It counts as
    a person's then: no delete of ours takes it again without an approval, and
    a rule that has this destination as its source copies it on.

    Example: replicator undelete 1764104706123-0
    """
    settings = Settings.load(rules=rules, data=data)
    if deletion == "list":
        keeping.list_deletions(settings, limit=limit, as_json=as_json)
    else:
        keeping.undelete(settings, deletion, force=force, as_json=as_json)


@app.command(rich_help_panel=_WORK)
def export(
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write here instead of to stdout.")
    ] = None,
    rules: Rules = None,
    data: Data = None,
) -> None:
    """Write the ledger's whole view as one JSON document: jobs, history, copies, pauses, deletions. No secrets.

    Example: replicator export --output ledger.json
    """
    keeping.export(Settings.load(rules=rules, data=data), output)


app.add_typer(imports.app, name="import", rich_help_panel=_RULES)

"""The commands of `replicator jobs` and `replicator failures`: what each takes. What they do is in `cli.jobs`."""

from typing import Annotated

import typer

from replicator.cli import jobs as work
from replicator.cli.options import (
    AsJSON,
    ByDestination,
    ByRepository,
    ByRule,
    BySource,
    Data,
    Everything,
    IDs,
    Limit,
    ListsByDefault,
    Rules,
    Yes,
)
from replicator.operate import Filters, Verb
from replicator.settings import Settings

_JOB_STATES = "pending (running ones included), running, parked, blocked, or done for the latest that ended"
_FAILURE_STATES = "parked, blocked, or dead for dead letters"


def group(*, of_failures: bool) -> typer.Typer:
    """The commands on all jobs, or on failures: jobs that wait for a person, and dead letters."""
    app = typer.Typer(cls=ListsByDefault, help=_FAILURES if of_failures else _JOBS)
    state = Annotated[
        str | None,
        typer.Option(
            "--state", metavar="STATE", help=f"Only these: {_FAILURE_STATES if of_failures else _JOB_STATES}."
        ),
    ]

    @app.command("list", help=_LIST_FAILURES if of_failures else _LIST_JOBS)
    def list_(
        rule: ByRule = None,
        destination: ByDestination = None,
        source: BySource = None,
        repository: ByRepository = None,
        state: state = None,
        limit: Limit = 100,
        as_json: AsJSON = False,
        rules: Rules = None,
        data: Data = None,
    ) -> None:
        asked = work.Asked((), Filters(rule, destination, source, repository, state), of_failures, as_json)
        work.show_list(Settings.load(rules=rules, data=data), asked, limit=limit)

    @app.command(help=_SHOW)
    def show(
        ids: IDs = None,
        everything: Everything = False,
        rule: ByRule = None,
        destination: ByDestination = None,
        source: BySource = None,
        repository: ByRepository = None,
        state: state = None,
        as_json: AsJSON = False,
        rules: Rules = None,
        data: Data = None,
    ) -> None:
        filters = Filters(rule, destination, source, repository, state)
        asked = work.Asked(tuple(ids or ()), filters, of_failures, as_json, everything)
        raise typer.Exit(work.show(Settings.load(rules=rules, data=data), asked))

    def offer(verb: Verb, meaning: str) -> None:
        @app.command(verb.value, help=meaning)
        def command(
            ids: IDs = None,
            everything: Everything = False,
            rule: ByRule = None,
            destination: ByDestination = None,
            source: BySource = None,
            repository: ByRepository = None,
            state: state = None,
            yes: Yes = False,
            as_json: AsJSON = False,
            rules: Rules = None,
            data: Data = None,
        ) -> None:
            filters = Filters(rule, destination, source, repository, state)
            asked = work.Asked(tuple(ids or ()), filters, of_failures, as_json, everything)
            raise typer.Exit(work.settle(Settings.load(rules=rules, data=data), verb, asked, yes=yes))

    offer(Verb.RETRY, _RETRY_FAILURES if of_failures else _RETRY_JOBS)
    offer(Verb.DROP, _DROP_FAILURES if of_failures else _DROP_JOBS)
    if of_failures:
        offer(Verb.APPROVE, _APPROVE)
    return app


# Second paragraphs are shown with the line breaks that they have here.
_JOBS = """Every job that the ledger holds: list, show, retry, drop. Without a command: list.

A job is: make this reference of this repository at this destination what
the rule says it should be."""
_FAILURES = """What waits for a person: list, show, retry, drop, approve. Without a command: list.

Parked jobs cannot succeed until somebody changes something. Blocked jobs
could destroy something, so somebody must approve them. Dead letters are
notifications that nobody could read."""
_LIST_JOBS = "List open jobs, the oldest first, or those that ended lately (--state done)."
_LIST_FAILURES = "List parked and blocked jobs and dead letters, each with its reason."
_SHOW = "Show everything of a job: both sides in full, tries, the last error, the next try, the trace."
_RETRY_JOBS = """Have jobs tried now, with all their tries before them.

Example: replicator jobs retry 8fdec0cc"""
_RETRY_FAILURES = """Have parked and blocked jobs tried now, and dead letters read once more.

Mend the cause first. A blocked job that is only retried is blocked again:
see approve.

Example: replicator failures retry --all --destination us"""
_DROP_JOBS = """Remove open jobs. What they wanted is not done, until an event asks for it once more.

On a terminal it asks before it drops --all."""
_DROP_FAILURES = """Remove parked and blocked jobs, and dead letters, for good.

On a terminal it asks before it drops --all."""
_APPROVE = """Let blocked jobs go on in spite of their reason.

What is approved is the reason as `show` words it, and nothing else: the
next guard, or another digest, needs another approval. `show` also says
what approving would do. --all means every blocked job; on a terminal it
asks before it approves them.

Example: replicator failures approve 8fdec0cc"""

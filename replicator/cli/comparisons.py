"""`plan`, `resync` and `verify`: what each takes."""

from pathlib import Path
from typing import Annotated

import typer

from replicator.cli import comparing, verifying
from replicator.cli.options import (
    AsJSON,
    ByDestination,
    ByRepository,
    ByRule,
    BySource,
    ByTag,
    Data,
    Rules,
    Since,
    moment,
    share,
)
from replicator.errors import ConfigError
from replicator.resync import Request, Scope
from replicator.settings import Settings

Recheck = Annotated[
    str | None,
    typer.Option(
        "--recheck",
        metavar="SHARE",
        help="Believe the ledger about what was copied, and read only this share at the destinations: 10%."
        " [default: read everything]",
    ),
]


def plan(
    rule: ByRule = None,
    destination: ByDestination = None,
    source: BySource = None,
    repository: ByRepository = None,
    tag: ByTag = None,
    since: Since = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Show what `resync --prune` would delete as drift, too.")
    ] = False,
    recheck: Recheck = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the plan as JSON: `resync --plan FILE` carries it out.")
    ] = False,
    rules: Rules = None,
    data: Data = None,
) -> None:
    """Show what a resync would do: add, update, delete, conflicts, bytes and time. Changes nothing.

    Both sides of every rule are listed and compared. A line for each difference:

      +  the source has it, the destination does not
      ~  the destination has something else
      -  the destination has it from us, the source not any more (with --prune)
      !  blocked: a guard holds it until a person decides
      =  conflict: it differs and stays (override: false, or another rule's)

    Tags are compared by digest: whether a registry really has what it lists,
    `replicator verify` tells.

    Exit status: 0 everything in line, 2 drift, 1 something could not be read
    (it is never taken for absent).

    Examples:
      replicator plan
      replicator plan --destination us --repository 'payments/**'
      replicator plan --json > plan.json
      replicator resync --plan plan.json        # after you read it
    """
    scope = Scope(rule, destination, source, repository, tag)
    request = Request(scope, moment(since), prune, share(recheck, "--recheck"))
    raise typer.Exit(comparing.plan(Settings.load(rules=rules, data=data), request, as_json=as_json))


def resync(
    rule: ByRule = None,
    destination: ByDestination = None,
    source: BySource = None,
    repository: ByRepository = None,
    tag: ByTag = None,
    since: Since = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", metavar="FILE", help="Carry out this plan, and refuse if the world moved since."
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Look at every reference below its tag, also where the tag is right, and send what is missing.",
        ),
    ] = False,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Also delete what the source no longer has, where the rule deletes; wants --yes."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, with --prune: delete.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show progress, and end when everything has been done.")
    ] = False,
    recheck: Recheck = None,
    as_json: AsJSON = False,
    rules: Rules = None,
    data: Data = None,
) -> None:
    """Bring every destination in line: compare, and have everything copied that differs.

    The command of the bad day: it wants a Redis, empty or not, and workers;
    the receiver may be down, and events may stream in, which go first. Without
    options it is about all rules. Ctrl-C ends the comparison, or the waiting;
    jobs that were submitted are done all the same.

    Deleting (--prune) keeps every guard: only what came from us, only if the
    source says twice that it is gone, not more than `delete_cap` an hour. Look
    at `replicator plan --prune` before.

    A registry whose storage was emptied wants a restart before it: it may
    remember what it had. Afterwards `replicator verify --deep` proves that all
    is there.

    Exit status: 0 done (with --wait: all is there), 1 something could not be
    read, failed or waits for a person.

    Examples:
      replicator resync --destination us --wait          # a region was lost
      replicator resync --rule prod-to-dr --since 6h
      replicator resync --plan plan.json --wait
    """
    if prune and not yes:
        raise ConfigError("--prune deletes: look at `replicator plan --prune` first, then add --yes")
    if everything and since:
        raise ConfigError("--all looks at everything, also at what is in line: it does not go with --since")
    narrowing = (rule, destination, source, repository, tag, since, recheck)
    if plan and (everything or prune or any(item is not None for item in narrowing)):
        raise ConfigError("--plan names everything that is to be done: leave the other options out")
    scope = Scope(rule, destination, source, repository, tag)
    request = Request(scope, moment(since), prune, share(recheck, "--recheck"), everything)
    settings = Settings.load(rules=rules, data=data)
    raise typer.Exit(comparing.resync(settings, request, plan_file=plan, wait=wait, as_json=as_json))


def verify(
    rule: ByRule = None,
    destination: ByDestination = None,
    source: BySource = None,
    repository: ByRepository = None,
    tag: ByTag = None,
    since: Since = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="What `resync --prune` would delete is wrong, too.")
    ] = False,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Read every blob at the destination and hash it; moves all the bytes."),
    ] = False,
    sample: Annotated[
        str | None,
        typer.Option(
            "--sample", metavar="SHARE", help="Look below this share of the tags that are right: 5%."
        ),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Have everything mended that is wrong, wait, and check it again.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a report as JSON.")] = False,
    rules: Rules = None,
    data: Data = None,
) -> None:
    """Prove that destinations hold what they should: every tag, manifest, blob and signature is really there.

    What is not in line is reported, as by `plan`; of what is, everything below
    the tag is asked for, and with --deep read and hashed. A line for each
    defect, then sums.

    --repair sends again what is absent or wrong. A file that is damaged in a
    registry's storage has to be removed there first, and a registry that caches
    to be restarted: it does not write what it believes to have.

    Exit status: 0 all is right, 2 something is not, 1 something could not be
    read, or not be mended.

    Examples:
      replicator verify --destination us
      replicator verify --deep --repository 'production/**'
      replicator verify --sample 5% --json          # every night
      replicator verify --repair
    """
    if prune and repair:
        raise ConfigError("--repair deletes nothing: leave --prune out, and see `replicator resync --prune`")
    scope = Scope(rule, destination, source, repository, tag)
    options = verifying.Options(deep, share(sample, "--sample"), repair, as_json)
    request = Request(scope, moment(since), prune)
    raise typer.Exit(verifying.verify(Settings.load(rules=rules, data=data), request, options))

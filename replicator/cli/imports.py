"""`replicator import`: another tool's file in, a rule file of ours out."""

from pathlib import Path
from typing import Annotated

import typer

from replicator.errors import ConfigError
from replicator.imports import (
    Draft,
    Local,
    Target,
    import_harbor,
    import_image_syncer,
    import_regsync,
    import_skopeo,
    printable,
    read,
    render,
    settle,
)
from replicator.rulefiles import document

# A paragraph is one line: the terminal decides where it breaks.
_HELP = """Turn another tool's configuration into a rule file.

The rule file is printed, or written to --output FILE. Nothing is contacted, and the original is not changed.

Whatever cannot be carried over exactly has a comment that says so. A rule that would copy more or less than the \
original did is written with `enabled: false`: read its comment, correct the rule, enable it. What no rule can say \
is listed at the end. Passwords are never copied: the rules name environment variables instead, which are listed at \
the top.

Then set the variables and run `replicator check DIRECTORY`.
"""
_HARBOR = """Replication policies of Harbor.

Get them from its API as an administrator, and turn them into rules:

  curl -u admin "$HARBOR/api/v2.0/registries?page_size=100" > registries.json

  curl -u admin "$HARBOR/api/v2.0/replication/policies?page_size=100" > policies.json

  replicator import harbor policies.json --registries registries.json --local-url $HARBOR

Filters, namespaces, triggers and deletion mean here what they mean there; patterns are Harbor's own dialect.
"""
_REGSYNC = """The configuration of regsync, which is part of regclient.

  replicator import regsync regsync.yml --output rules/regsync.yaml

Each step becomes a rule. Regular expressions for tags become patterns that are proven to take the same tags; where \
there are none, the rule is not enabled, and its comment names a tag that makes the difference. An interval becomes \
a cron line. {{env "NAME"}} in a login becomes ${NAME}, and {{file "NAME"}} a secret file.
"""
_SKOPEO = """The YAML file of `skopeo sync --src yaml`.

  skopeo sync --src yaml --dest docker sync.yml registry.example.com/mirror

becomes

  replicator import skopeo sync.yml --to registry.example.com/mirror

Each repository becomes a rule with the trigger manual, because skopeo has no schedule. Regular expressions become \
patterns that are proven to take the same tags.
"""
_IMAGE_SYNCER = """The files of image-syncer, in YAML or JSON.

  replicator import image-syncer images.yaml --auth auth.yaml

  replicator import image-syncer config.json

Each pair of source and destination becomes a rule with the trigger manual, because image-syncer has no schedule. \
$NAME and ${NAME} in a login stay variables.
"""

app = typer.Typer(help=_HELP)

Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the rule file here instead of printing it.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file of --output if there is one.")]


@app.command(help=_HARBOR)
def harbor(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="What GET /api/v2.0/replication/policies answers (a list, or one policy), or a YAML file with a"
            " replication_policy; - reads standard input.",
        ),
    ],
    registries: Annotated[
        Path | None,
        typer.Option("--registries", help="What GET /api/v2.0/registries answers: where the registries are."),
    ] = None,
    local_url: Annotated[
        str | None,
        typer.Option(
            "--local-url", help="The URL of the Harbor that the policies come from; they do not say it."
        ),
    ] = None,
    local_name: Annotated[
        str, typer.Option("--local-name", help="What that Harbor is called in the rules.")
    ] = "local",
    output: Output = None,
    force: Force = False,
) -> None:
    """Import Harbor's policies."""
    local = Local(local_url, local_name) if local_url else None
    _deliver(import_harbor(read(file), read(registries) if registries else None, local), output, force=force)


@app.command(help=_REGSYNC)
def regsync(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="regsync's YAML file; - reads standard input.")
    ],
    output: Output = None,
    force: Force = False,
) -> None:
    """Import regsync's configuration."""
    _deliver(import_regsync(read(file)), output, force=force)


@app.command(help=_SKOPEO)
def skopeo(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The YAML file of `skopeo sync --src yaml`; - reads standard input."
        ),
    ],
    to: Annotated[
        str,
        typer.Option("--to", help="Where skopeo copies to, its last argument: a registry, or a path in one."),
    ],
    scoped: Annotated[
        bool, typer.Option("--scoped", help="skopeo was called with --scoped: the source's name stays whole.")
    ] = False,
    output: Output = None,
    force: Force = False,
) -> None:
    """Import skopeo's file."""
    try:
        target = Target.of(to, scoped=scoped)
    except ValueError as exc:
        raise ConfigError(f"--to: {exc}") from exc
    _deliver(import_skopeo(read(file), target), output, force=force)


@app.command("image-syncer", help=_IMAGE_SYNCER)
def image_syncer(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The file of image-syncer's --images, or that of its older --config, with auth and images in one;"
            " YAML or JSON; - reads standard input.",
        ),
    ],
    auth: Annotated[Path | None, typer.Option("--auth", help="The file of image-syncer's --auth.")] = None,
    output: Output = None,
    force: Force = False,
) -> None:
    """Import image-syncer's files."""
    _deliver(import_image_syncer(read(file), read(auth) if auth else None), output, force=force)


def _deliver(draft: Draft, output: Path | None, *, force: bool) -> None:
    """Print the rule file or write it; what a person must do, and what was lost, goes to standard error."""
    if not draft.rules and not draft.left_out:
        raise ConfigError(f"{draft.file}: holds nothing that {draft.tool} would copy")
    settle(draft)
    text = render(draft)
    for problem in document.parse(draft.file, text.encode()).problems:
        raise ConfigError(f"{draft.file}: too much for one rule file, split it: {problem.message}")
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text, force=force)
    for name in sorted(draft.variables):
        typer.echo(f"set {name}: {printable(draft.variables[name])}", err=True)
    waiting = sum(bool(rule.doubts) for rule in draft.rules)
    said = f"rules: {len(draft.rules)}, not enabled: {waiting}, left out: {len(draft.left_out)}"
    typer.echo(f"{said}; the comments say why", err=True)


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as exc:
        raise ConfigError(f"{output}: is there already; --force overwrites it") from exc
    except OSError as exc:
        raise ConfigError(f"{output}: cannot write it: {exc.strerror}") from exc

"""Options that several commands share, and a group of commands that lists when it is told nothing else."""

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

Rules = Annotated[
    Path | None,
    typer.Option("--rules", help="Directory of the rule files. [REPLICATOR_RULES, default: rules]"),
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Directory that `up` keeps its data in. [REPLICATOR_DATA]")
]
AsJSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
IDs = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Ids as a list shows them; the beginning is enough if it is unique."),
]
Everything = Annotated[
    bool, typer.Option("--all", help="All that the filters below leave in, instead of ids.")
]
ByRule = Annotated[str | None, typer.Option("--rule", help="Only jobs of this rule.", metavar="NAME")]
ByDestination = Annotated[
    str | None, typer.Option("--destination", help="Only jobs of this destination.", metavar="REGISTRY")
]
BySource = Annotated[
    str | None, typer.Option("--source", help="Only what comes from this registry.", metavar="REGISTRY")
]
ByRepository = Annotated[
    str | None,
    typer.Option(
        "--repository",
        help="Only repositories that this pattern takes, by their name at the source, such as 'production/**'.",
        metavar="GLOB",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="List so many at most.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before something is done to --all.")]


class ListsByDefault(TyperGroup):
    """`failures` means `failures list`, and `failures --json` means `failures list --json`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Puts `list` in front of arguments that name no command."""
        is_bare = not args or (args[0].startswith("-") and args[0] != "--help")
        return super().parse_args(ctx, ["list", *args] if is_bare else args)

"""Options that several commands share, how their text is understood, and a group of commands that lists by default."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from replicator.errors import ConfigError

_AGE = re.compile(r"(\d{1,9})(s|m|h|d|w)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

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
ByRule = Annotated[str | None, typer.Option("--rule", help="Only this rule.", metavar="NAME")]
ByDestination = Annotated[
    str | None, typer.Option("--destination", help="Only this destination.", metavar="REGISTRY")
]
BySource = Annotated[
    str | None, typer.Option("--source", help="Only what comes from this registry.", metavar="REGISTRY")
]
ByRepository = Annotated[
    str | None,
    typer.Option(
        "--repository",
        help="Only repositories that this pattern takes, by their name at the source: 'production/**'.",
        metavar="GLOB",
    ),
]
ByTag = Annotated[str | None, typer.Option("--tag", metavar="GLOB", help="Only tags that match: 'v1.*'.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="AGE|TIME",
        help="Leave out images that were made before: 90m, 12h, 3d, or a time such as 2026-11-25T08:00 (UTC). When an"
        " image was made is what it says itself; one that does not say stays in.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="List so many at most.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before something is done to --all.")]


def moment(text: str | None) -> float | None:
    """The time that an age such as `3d`, or an ISO 8601 time (UTC unless it says otherwise), stands for.

    Raises ConfigError for anything else.
    """
    if text is None:
        return None
    if found := _AGE.match(text):
        return time.time() - int(found[1]) * _SECONDS[found[2]]
    try:
        said = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(
            f"--since {text!r}: neither an age such as 12h or 3d nor a time such as 2026-11-25T08:00"
        ) from exc
    return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()


def share(text: str | None, option: str) -> float:
    """The share between 0 and 1 that `5%` or `0.05` stands for; 1 for None. Raises ConfigError for anything else."""
    if text is None:
        return 1.0
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as exc:
        raise ConfigError(f"{option} {text!r}: a share is written 5% or 0.05") from exc
    if not 0 <= value <= 1:
        raise ConfigError(f"{option} {text!r}: a share is between 0% and 100%")
    return value


class ListsByDefault(TyperGroup):
    """`failures` means `failures list`, and `failures --json` means `failures list --json`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Puts `list` in front of arguments that name no command."""
        is_bare = not args or (args[0].startswith("-") and args[0] != "--help")
        return super().parse_args(ctx, ["list", *args] if is_bare else args)

"""Options that several commands share, and how their text is understood."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

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

Rule = Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only this rule.")]
Destination = Annotated[
    str | None, typer.Option("--destination", metavar="REGISTRY", help="Only this destination.")
]
Source = Annotated[
    str | None, typer.Option("--source", metavar="REGISTRY", help="Only rules with this source.")
]
Repository = Annotated[
    str | None,
    typer.Option(
        "--repository",
        metavar="GLOB",
        help="Only repositories of the source that match, as in a rule: 'payments/**'. One that is spelled out needs"
        " no catalogue.",
    ),
]
Tag = Annotated[str | None, typer.Option("--tag", metavar="GLOB", help="Only tags that match: 'v1.*'.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="AGE|TIME",
        help="Leave out images that were made before: 90m, 12h, 3d, or a time such as 2026-11-25T08:00 (UTC). When an"
        " image was made is what it says itself; one that does not say stays in.",
    ),
]


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

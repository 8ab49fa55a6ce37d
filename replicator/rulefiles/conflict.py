"""What a rule file says of conflicts: one word, or an order of registries."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from replicator.rulefiles.mapping import FileModel, text_or_mapping
from replicator.rules import Conflict, ConflictRule


def _distinct(names: list[str]) -> list[str]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"{twice} is named twice")
    return names


class PriorityFile(FileModel):
    """The order of registries: what was pushed at the first of them goes on."""

    priority: Annotated[list[str], Field(min_length=2), AfterValidator(_distinct)] = Field(
        description="The names of all registries that send to each other, the most important one first."
    )


ConflictFile = Annotated[
    Annotated[Literal["newest", "priority", "manual"], Tag("#text")]
    | Annotated[PriorityFile, Tag("#mapping")],
    Discriminator(text_or_mapping),
]
"""A conflict rule as a rule file writes it."""


def conflict(read: str | PriorityFile, registries: Sequence[str]) -> Conflict:
    """The conflict rule of a rule from the first of `registries` to the others."""
    if isinstance(read, PriorityFile):
        return Conflict(ConflictRule.PRIORITY, tuple(read.priority))
    kind = ConflictRule(read)
    return Conflict(kind, tuple(registries) if kind is ConflictRule.PRIORITY else ())

"""Harbor's form of a rule: a replication policy with its registries inline, accepted as Harbor's users write it."""

from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from replicator.oci import Repository
from replicator.rulefiles.files import FilterFile, RuleFile, RuleName
from replicator.rulefiles.mapping import FileModel, Name
from replicator.rulefiles.registries import RegistryFile
from replicator.rulefiles.trigger import TriggerFile


def _namespace(text: str) -> str:
    # Harbor writes "" for "keep the name".
    return Repository(text) if text else ""


class PolicyFile(FileModel):
    """A rule in Harbor's form."""

    later_keys = frozenset({"speed", "copy_by_chunk", "single_active_replication"})

    name: RuleName = Field(description="The rule's name, unique in all files.")
    description: str = Field(default="", description="For people.")
    src_registry: RegistryFile = Field(description="The registry to copy from; its name is its host.")
    dest_registry: RegistryFile = Field(description="The registry to copy to; its name is its host.")
    dest_namespace: Annotated[str, AfterValidator(_namespace)] = Field(
        default="", description="What takes the place of the repository's first components."
    )
    dest_namespace_replace_count: Annotated[int, Field(ge=-1, le=127)] = Field(
        default=-1, description="How many components dest_namespace replaces; -1 keeps the last one alone."
    )
    trigger: TriggerFile = Field(default=TriggerFile(type="event_based"))
    filters: list[FilterFile] = Field(
        default=[], description="Conditions; without any, everything is copied."
    )
    deletion: bool | None = Field(default=None, description="Whether deletes at the source are repeated.")
    replicate_deletion: bool | None = Field(default=None, description="The same, by its other name.")
    override: bool = Field(
        default=True, description="Whether a tag that differs at the destination is moved."
    )
    enabled: bool = Field(default=True, description="false keeps the rule but does not follow it.")

    @field_validator("replicate_deletion")
    @classmethod
    def _agrees(cls, other: bool | None, info: ValidationInfo) -> bool | None:
        if None not in {other, info.data.get("deletion")} and other is not info.data["deletion"]:
            raise ValueError("deletion and replicate_deletion contradict each other")
        return other


def _shape(value: object) -> str:
    return "#list" if isinstance(value, list) else "#mapping"


Policies = Annotated[
    Annotated[PolicyFile, Tag("#mapping")] | Annotated[list[PolicyFile], Tag("#list")], Discriminator(_shape)
]


class RulesFile(FileModel):
    """One file of a rules directory; all files of the directory together are one set of rules."""

    registries: dict[Name, RegistryFile] = Field(
        default={}, description="Registries by the name that rules use."
    )
    rules: list[RuleFile] = Field(default=[], description="What is to be copied from where to where.")
    replication_policy: Policies = Field(
        default=[], description="Rules in Harbor's form, one or a list of them."
    )

"""What a rule file says of rules, as pydantic models: which keys there are, what they may hold, what they mean.

`schema` turns these models and those of `registries`, with their descriptions, into `rules/schema.json`. A key or value
that is part of the format but whose capability is not there yet is in `later_keys` or `later_values`: it is refused by
name, never ignored.
"""

from typing import Annotated

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from replicator.oci import Repository
from replicator.platforms import parse_platform
from replicator.rulefiles.conflict import ConflictFile
from replicator.rulefiles.mapping import (
    Duration,
    FileModel,
    Name,
    text_or_list,
    text_or_mapping,
)
from replicator.rulefiles.retention import RetentionFile
from replicator.rulefiles.trigger import Interval, TriggerFile
from replicator.rules import PROMOTION, Decoration, Filter, FilterType, Signatures


def _namespace(text: str) -> str:
    if not text:
        raise ValueError("an empty namespace; leave the key out")
    try:
        return Repository(text)
    except ValueError as exc:
        raise ValueError("a namespace is lower-case path components such as mirror or backup/eu") from exc


Namespace = Annotated[str, AfterValidator(_namespace)]
PATTERN_LIMIT = 4096


class DestinationFile(FileModel):
    """A registry to copy to, and where repositories land there."""

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"namespace": ["replace_count"]}})

    registry: str = Field(description="The registry's name.")
    namespace: Namespace | None = Field(
        default=None, description="What takes the place of the repository's first components."
    )
    replace_count: Annotated[int, Field(ge=-1, le=127)] | None = Field(
        default=None,
        description="How many components the namespace replaces: 0 prepends it, -1 keeps the last one alone.",
    )

    retention: RetentionFile | None = Field(
        default=None,
        description="Which copies have had their time, once the source no longer has them: sentences such as"
        " keep last 10 with prefix prod-, or a lifecycle policy of Amazon ECR.",
    )

    @model_validator(mode="after")
    def _namespace_and_count(self) -> "DestinationFile":
        if self.namespace is not None and self.replace_count is None:
            raise ValueError(
                "a namespace needs replace_count: how many leading components it replaces"
                " (0 prepends it, -1 keeps the last component alone)"
            )
        if self.namespace is None and self.replace_count is not None:
            raise ValueError("replace_count needs a namespace")
        return self


class FilterFile(FileModel):
    """One condition; all conditions of a rule must hold."""

    type: Annotated[FilterType, Field(strict=False)] = Field(description="What the filter looks at.")
    value: Annotated[
        Annotated[str, Tag("#text")] | Annotated[list[str], Tag("#list")], Discriminator(text_or_list)
    ] = Field(
        description="A glob pattern for name and tag (** spans '/'), a list of labels (all must be there) for label,"
        " image, artifact or chart for resource."
    )
    decoration: Annotated[Decoration, Field(strict=False)] = Field(
        default=Decoration.MATCHES, description="Keep what matches, or what does not."
    )

    @field_validator("value")
    @classmethod
    def _suits_type(cls, value: str | list[str], info: ValidationInfo) -> str | list[str]:
        if isinstance(value, str) and len(value) > PATTERN_LIMIT:
            raise ValueError(f"a pattern of more than {PATTERN_LIMIT} characters; use several rules")
        if "type" in info.data:
            Filter(info.data["type"], value if isinstance(value, str) else tuple(value))
        return value

    @field_validator("decoration")
    @classmethod
    def _is_allowed(cls, decoration: Decoration, info: ValidationInfo) -> Decoration:
        if decoration is Decoration.EXCLUDES and info.data.get("type") is FilterType.RESOURCE:
            raise ValueError("a resource filter cannot exclude")
        return decoration


def _rule_name(text: str) -> str:
    if text == PROMOTION:
        raise ValueError(f"{PROMOTION!r} is taken: what is promoted by command is kept under it")
    return text


RuleName = Annotated[Name, AfterValidator(_rule_name), Field(json_schema_extra={"not": {"const": PROMOTION}})]
RuleNames = Annotated[
    Annotated[RuleName, Tag("#text")] | Annotated[list[RuleName], Tag("#list")], Discriminator(text_or_list)
]


def _platform(text: str) -> str:
    parse_platform(text)
    return text


def _distinct(platforms: list[str]) -> list[str]:
    if len({parse_platform(text) for text in platforms}) < len(platforms):
        raise ValueError("the same platform twice")
    return platforms


PlatformText = Annotated[str, AfterValidator(_platform)]


class RuleFile(FileModel):
    """A rule: what is to be copied from where to where."""

    later_keys = frozenset({"poll", "mode"})

    name: RuleName = Field(description="The rule's name, unique in all files.")
    was: RuleNames = Field(
        default=[],
        description="The name that the rule had before, or all of them: what it copied stays its own.",
    )
    source: str = Field(description="The name of the registry to copy from.")
    destinations: list[
        Annotated[
            Annotated[str, Tag("#text")] | Annotated[DestinationFile, Tag("#mapping")],
            Discriminator(text_or_mapping),
        ]
    ] = Field(min_length=1, description="The registries to copy to, by name or with a namespace.")
    trigger: TriggerFile = Field(default=TriggerFile(type="event_based"))
    backfill: bool = Field(
        default=False,
        description="Whether what the source has already is copied when the rule or a destination of it is new.",
    )
    sweep_interval: Interval = Field(
        default="1h",
        description="How often an event-based rule compares source and destinations, to find what no notification"
        " told: 15m, 1h, 24h at most; 0 or off for never.",
    )
    filters: list[FilterFile] = Field(
        default=[], description="Conditions; without any, everything is copied."
    )
    # Before signatures and signature_wait, which are judged by it.
    keys: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        default=[],
        description="The public keys of which one must have signed, as PEM or by the name of a .pub file beside"
        " this one; with them signatures are required.",
    )
    signatures: Annotated[Signatures, Field(strict=False)] = Field(
        default=Signatures.FOLLOW,
        description="Whether signatures and other referrers are copied with their subject; require copies"
        " nothing that is not signed.",
    )
    signature_wait: Duration = Field(
        default="10m",
        description="How long a push may be without a required signature before its job is parked.",
    )
    platforms: Annotated[list[PlatformText], Field(min_length=1), AfterValidator(_distinct)] | None = Field(
        default=None,
        description="Which images of an index are copied, such as linux/amd64 and linux/arm64; without it, all.",
    )
    platforms_rewrite: bool = Field(
        default=False,
        description="Whether an index is rebuilt of these images, under another digest, where a destination takes none"
        " that names what is not there.",
    )
    deletion: bool = Field(
        default=False, description="Whether deletes at the source are repeated at the destinations."
    )
    delete_grace: Duration = Field(
        default="5s", description="How long a tag must be gone before it is deleted."
    )
    delete_cap: Annotated[int, Field(ge=0)] = Field(
        default=100, description="Deletions an hour and destination; more wait for a person."
    )
    override: bool = Field(
        default=True, description="Whether a tag that differs at the destination is moved."
    )
    conflict: ConflictFile | None = Field(
        default=None,
        description="Which push goes on where regions send to each other and a tag was pushed in several of them at"
        " once: newest, priority (the source, then the destinations, or {priority: [...]}) or manual. It holds for all"
        " rules between them; newest unless one of them says otherwise.",
    )
    enabled: bool = Field(default=True, description="false keeps the rule but does not follow it.")

    @field_validator("signatures")
    @classmethod
    def _suits_keys(cls, signatures: Signatures, info: ValidationInfo) -> Signatures:
        if info.data.get("keys") and signatures is not Signatures.REQUIRE:
            raise ValueError(f"{signatures} contradicts keys, with which signatures are required")
        return signatures

    @field_validator("signature_wait")
    @classmethod
    def _is_waited_for(cls, wait: str, info: ValidationInfo) -> str:
        known = {"keys", "signatures"} <= info.data.keys()
        if known and not info.data["keys"] and info.data["signatures"] is not Signatures.REQUIRE:
            raise ValueError("is for rules with signatures: require")
        return wait

    @field_validator("platforms_rewrite")
    @classmethod
    def _has_platforms(cls, rewrite: bool, info: ValidationInfo) -> bool:
        if rewrite and info.data.get("platforms", "wrong") is None:
            raise ValueError("is for rules with platforms")
        if rewrite and (info.data.get("keys") or info.data.get("signatures") is Signatures.REQUIRE):
            raise ValueError("nobody signs an index that is rebuilt, and the rule requires signatures")
        return rewrite

    @field_validator("backfill")
    @classmethod
    def _follows_events(cls, backfill: bool, info: ValidationInfo) -> bool:
        trigger = info.data.get("trigger")
        if backfill and isinstance(trigger, TriggerFile) and trigger.type in {"scheduled", "manual"}:
            raise ValueError(
                f"is for event-based rules; a {trigger.type} one copies what is there when it runs"
            )
        return backfill

    @field_validator("sweep_interval")
    @classmethod
    def _compares_by_itself(cls, interval: int | str, info: ValidationInfo) -> int | str:
        trigger = info.data.get("trigger")
        if isinstance(trigger, TriggerFile) and trigger.type in {"scheduled", "manual"}:
            when = "its cron says" if trigger.type == "scheduled" else "it is told to"
            raise ValueError(f"is for event-based rules; a {trigger.type} one compares when {when}")
        return interval

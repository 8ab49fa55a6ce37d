"""The format of rule files, as pydantic models: which keys there are, what they may hold, what they mean.

`schema` turns the models and their descriptions into `rules/schema.json`. A key or value that is part of the format
but whose capability is not there yet is in `later_keys` or `later_values`: it is refused by name, never ignored.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from replicator.oci import Repository
from replicator.platforms import parse_platform
from replicator.rulefiles import grammar
from replicator.rulefiles.conflict import ConflictFile
from replicator.rulefiles.mapping import (
    Duration,
    FileModel,
    Name,
    number_or_text,
    text_or_list,
    text_or_mapping,
)
from replicator.rulefiles.retention import RetentionFile
from replicator.rulefiles.trigger import Interval, TriggerFile
from replicator.rules import PROMOTION, Decoration, Filter, FilterType, RegistryType, Signatures


def _namespace(text: str) -> str:
    if not text:
        raise ValueError("an empty namespace; leave the key out")
    try:
        return Repository(text)
    except ValueError as exc:
        raise ValueError("a namespace is lower-case path components such as mirror or backup/eu") from exc


URL = Annotated[str, AfterValidator(grammar.url), Field(json_schema_extra={"pattern": grammar.URL_PATTERN})]
Namespace = Annotated[str, AfterValidator(_namespace)]
Filename = Annotated[str, Field(min_length=1)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Secrets = Annotated[
    Annotated[Secret, Tag("#text")] | Annotated[list[Secret], Field(min_length=1), Tag("#list")],
    Discriminator(text_or_list),
]


BANDWIDTH_MIN_BYTES = 64 * 1024


def _bandwidth(text: str) -> str:
    if grammar.size_bytes(text) < BANDWIDTH_MIN_BYTES:
        raise ValueError("must be at least 64KiB")
    return text


Bandwidth = Annotated[
    Annotated[int, Field(ge=BANDWIDTH_MIN_BYTES), Tag("#number")]
    | Annotated[
        str,
        AfterValidator(_bandwidth),
        Field(json_schema_extra={"pattern": grammar.SIZE_PATTERN}),
        Tag("#text"),
    ],
    Discriminator(number_or_text),
]

PATTERN_LIMIT = 4096


class CredentialFile(FileModel):
    """How we log in to a registry. Without a credential we are anonymous. ${NAME} is taken from the environment."""

    later_values: ClassVar = {
        "type": frozenset({"docker-config", "helper", "ecr", "google", "azure", "token"})
    }

    type: Literal["basic"] = Field(
        description="The way to log in: basic is a user name and a password or token."
    )
    access_key: Annotated[str, Field(min_length=1)] = Field(description="The user name.")
    access_secret: Secret | None = Field(default=None, description="The password or token; best ${NAME}.")
    access_secret_file: Filename | None = Field(
        default=None, description="A file that holds the password or token."
    )

    @model_validator(mode="after")
    def _has_one_secret(self) -> "CredentialFile":
        if (self.access_secret is None) is (self.access_secret_file is None):
            raise ValueError("a credential needs either access_secret or access_secret_file")
        return self


class WebhookFile(FileModel):
    """How the registry's notifications prove that they come from it."""

    secret: Secrets | None = Field(
        default=None, description="What the registry sends along, best ${NAME}; a list during rotation."
    )
    secret_file: Filename | None = Field(default=None, description="A file that holds the secret.")
    anonymous: bool = Field(default=False, description="Take notifications from anybody.")

    @model_validator(mode="after")
    def _has_one_way(self) -> "WebhookFile":
        ways = [self.secret is not None, self.secret_file is not None, self.anonymous]
        if sum(ways) != 1:
            raise ValueError("a webhook needs one of secret, secret_file and anonymous: true")
        return self


class TLSFile(FileModel):
    """Files and choices of the TLS connection."""

    ca_file: Filename | None = Field(
        default=None, description="Certificates that may sign the registry's, as PEM."
    )
    cert_file: Filename | None = Field(default=None, description="Our client certificate, as PEM.")
    key_file: Filename | None = Field(default=None, description="The key of our client certificate, as PEM.")
    verify: bool = Field(default=True, description="false takes any certificate; warned of at each start.")

    @model_validator(mode="after")
    def _key_has_certificate(self) -> "TLSFile":
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file")
        return self


class LimitsFile(FileModel):
    """What the registry bears, from everything of ours together."""

    concurrency: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Requests to the registry at once."
    )
    requests_per_second: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        default=None, description="Requests to the registry in a second."
    )
    bandwidth: Bandwidth | None = Field(
        default=None,
        description="Bytes in a second, read and written together: 50MiB, 1.5 GiB, 800KB or a plain number.",
    )


class RegistryFile(FileModel):
    """A registry: where it is, how we log in to it, how its notifications are authenticated, what it bears."""

    later_keys = frozenset({"near"})

    type: Annotated[RegistryType, Field(strict=False)] = Field(description="The product.")
    # Before url and tls, which are judged by it.
    insecure: bool = Field(
        default=False,
        description="Allow plain http beyond this machine, or https with any certificate; warned of.",
    )
    url: URL = Field(description="Scheme, host, optional port and path prefix: https://registry.example.com")
    credential: CredentialFile | None = None
    webhook: WebhookFile | None = None
    tls: TLSFile | None = None
    limits: LimitsFile | None = None
    proxy: URL | None = Field(default=None, description="An HTTP proxy for every request to this registry.")

    @field_validator("url")
    @classmethod
    def _is_safe(cls, url: str, info: ValidationInfo) -> str:
        if grammar.is_clear_text(url) and not info.data.get("insecure", True):
            raise ValueError("plain http beyond this machine needs insecure: true")
        return url

    @field_validator("tls")
    @classmethod
    def _agrees(cls, tls: TLSFile | None, info: ValidationInfo) -> TLSFile | None:
        asked = tls is not None and tls.verify and "verify" in tls.model_fields_set
        if asked and info.data.get("insecure") and str(info.data.get("url")).startswith("https:"):
            raise ValueError("insecure: true and verify: true contradict each other")
        return tls


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

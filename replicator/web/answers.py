"""What the API says, as JSON documents. Times are seconds since the epoch by Redis' clock. No secret fits in here."""

from pydantic import BaseModel, ConfigDict

from replicator.ledger import DeadLetter, JobView
from replicator.rules import Destination, Registry, Rule, Schedule


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class LaneStatus(_Answer):
    """One rule at one destination. `lag_seconds` is the age of the oldest wanted change that is not there yet."""

    rule: str
    source: str
    destination: str
    lag_seconds: float
    pending: int
    failed: int
    blocked: int


class InboxStatus(_Answer):
    """Notifications that were taken and not yet turned into jobs."""

    length: int
    oldest_seconds: float


class RulesStatus(_Answer):
    """The revision in force, and why a newer one is not."""

    revision: str
    error: str | None


class RegistryStatus(_Answer):
    """A registry, and whether it answers, as far as jobs have tried."""

    name: str
    available: bool


class Status(_Answer):
    """Where everything stands."""

    lanes: list[LaneStatus]
    inbox: InboxStatus
    rules: RulesStatus
    registries: list[RegistryStatus]


class RegistryAnswer(_Answer):
    """A registry of the rule files; `webhook` is `secret`, `anonymous` or `none`."""

    name: str
    type: str
    url: str
    authenticated: bool
    webhook: str

    @classmethod
    def of(cls, registry: Registry) -> "RegistryAnswer":
        """What may be shown of `registry`."""
        webhook = registry.webhook
        return cls(
            name=registry.name,
            type=registry.type,
            url=registry.url,
            authenticated=registry.credential is not None,
            webhook="none" if webhook is None else "anonymous" if webhook.anonymous else "secret",
        )


class DestinationAnswer(_Answer):
    """Where a rule copies to. `retention` is its clauses in words, the most important first."""

    registry: str
    namespace: str | None
    replace_count: int
    retention: list[str]

    @classmethod
    def of(cls, there: Destination) -> "DestinationAnswer":
        """`there` as JSON."""
        return cls(
            registry=there.registry,
            namespace=there.namespace,
            replace_count=there.replace_count,
            retention=[str(clause) for clause in there.retention.clauses] if there.retention else [],
        )


class ScheduleAnswer(_Answer):
    """When a scheduled rule runs."""

    cron: str
    timezone: str
    jitter_seconds: float

    @classmethod
    def of(cls, schedule: Schedule) -> "ScheduleAnswer":
        """`schedule` as JSON."""
        return cls(cron=schedule.cron, timezone=schedule.timezone, jitter_seconds=schedule.jitter_s)


class FilterAnswer(_Answer):
    """One filter of a rule."""

    type: str
    value: str | list[str]
    decoration: str


class RuleAnswer(_Answer):
    """A rule of the rule files. `was` is the names that it had before."""

    name: str
    was: list[str]
    source: str
    destinations: list[DestinationAnswer]
    trigger: str
    schedule: ScheduleAnswer | None
    backfill: bool
    filters: list[FilterAnswer]
    signatures: str
    deletion: bool
    override: bool
    enabled: bool

    @classmethod
    def of(cls, rule: Rule) -> "RuleAnswer":
        """`rule` as JSON."""
        return cls(
            name=rule.name,
            was=list(rule.was),
            source=rule.source,
            destinations=[DestinationAnswer.of(there) for there in rule.destinations],
            trigger=rule.trigger,
            schedule=ScheduleAnswer.of(rule.schedule) if rule.schedule else None,
            backfill=rule.backfill,
            filters=[
                FilterAnswer(
                    type=item.type,
                    value=item.value if isinstance(item.value, str) else list(item.value),
                    decoration=item.decoration,
                )
                for item in rule.filters
            ],
            signatures=rule.signatures,
            deletion=rule.deletion,
            override=rule.override,
            enabled=rule.enabled,
        )


class RulesAnswer(RulesStatus):
    """The rules in force, when they were read, and what is odd about them."""

    loaded_at: float
    warnings: list[str]
    registries: list[RegistryAnswer]
    rules: list[RuleAnswer]


class JobAnswer(_Answer):
    """A job: open ones have `due_at`, ended ones `outcome` and `finished_at`. `trace` is a W3C traceparent."""

    id: str
    rule: str
    destination: str
    repository: str
    reference: str
    state: str
    since: float
    attempts: int
    due_at: float | None
    reason: str | None
    outcome: str | None
    digest: str | None
    finished_at: float | None
    trace: str | None

    @classmethod
    def of(cls, job: JobView) -> "JobAnswer":
        """`job` as JSON."""
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class DeadLetterAnswer(_Answer):
    """A notification that was authentic and could not be read. Its body stays in Redis."""

    id: str
    registry: str
    content_type: str
    size_bytes: int
    reason: str
    received_at: float
    trace: str | None

    @classmethod
    def of(cls, letter: DeadLetter) -> "DeadLetterAnswer":
        """`letter` as JSON, without its body."""
        return cls(**{name: getattr(letter, name) for name in cls.model_fields})


class Jobs(_Answer):
    """A page of jobs."""

    jobs: list[JobAnswer]


class Failures(_Answer):
    """What waits for a person: parked and blocked jobs, and unreadable notifications."""

    jobs: list[JobAnswer]
    dead_letters: list[DeadLetterAnswer]

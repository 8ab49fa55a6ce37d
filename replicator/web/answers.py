"""What the API says, as JSON documents. Times are seconds since the epoch by Redis' clock. No secret fits in here."""

from pydantic import BaseModel, ConfigDict

from replicator.ledger import DeadLetter, Decided, Deletion, Pause, PauseKind
from replicator.operate import Description, Settled
from replicator.rules import Destination, Registry, Rule, Schedule


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class LaneStatus(_Answer):
    """One rule at one destination. `lag_seconds` is the age of the oldest wanted change that is not there yet.

    `drift` is how many references were not in line when all of them were compared last, at `compared_at`; both are None
    if they never were.
    """

    rule: str
    source: str
    destination: str
    lag_seconds: float
    pending: int
    failed: int
    blocked: int
    drift: int | None
    compared_at: float | None


class PromotedAnswer(_Answer):
    """The job that promotes, and the digest that it brings."""

    id: str
    digest: str


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


class PauseAnswer(_Answer):
    """A paused rule or destination, as `kind` says."""

    kind: PauseKind
    name: str
    since: float
    reason: str

    @classmethod
    def of(cls, pause: Pause) -> "PauseAnswer":
        """`pause` as JSON."""
        return cls(kind=pause.kind, name=pause.name, since=pause.since, reason=pause.reason)


class Status(_Answer):
    """Where everything stands."""

    lanes: list[LaneStatus]
    pauses: list[PauseAnswer]
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
    """A job: open ones have `due_at`, ended ones `outcome` and `finished_at`. `trace` is a W3C traceparent.

    `source` and `target`, the repository at the destination, are null where no rule knows them any more. `next_try_s`
    counts from now, and is null for what is not tried again by itself. `sentence` says all this in words, and
    `approving` what the approval of a blocked job would do.
    """

    id: str
    rule: str
    source: str | None
    destination: str
    repository: str
    target: str | None
    reference: str
    state: str
    since: float
    attempts: int
    due_at: float | None
    next_try_s: float | None
    reason: str | None
    sentence: str
    approving: str | None
    outcome: str | None
    digest: str | None
    finished_at: float | None
    trace: str | None
    trace_id: str | None
    is_urgent: bool
    is_paused: bool

    @classmethod
    def of(cls, found: Description) -> "JobAnswer":
        """The job that was described, as JSON."""
        return cls(
            **{name: getattr(found if hasattr(found, name) else found.job, name) for name in cls.model_fields}
        )


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
    """Jobs, in order."""

    jobs: list[JobAnswer]


class Failures(_Answer):
    """What waits for a person: parked and blocked jobs, and unreadable notifications."""

    jobs: list[JobAnswer]
    dead_letters: list[DeadLetterAnswer]


class DeletionAnswer(_Answer):
    """A manifest that `rule` deleted. Its bytes stay in Redis."""

    id: str
    at: float
    destination: str
    repository: str
    reference: str
    digest: str
    media_type: str
    rule: str | None

    @classmethod
    def of(cls, deletion: Deletion) -> "DeletionAnswer":
        """`deletion` as JSON, without its bytes."""
        return cls(**{name: getattr(deletion, name) for name in cls.model_fields})


class DeletionsAnswer(_Answer):
    """Deletions, the latest first."""

    deletions: list[DeletionAnswer]


class ConflictAnswer(_Answer):
    """A conflict of pushes that was decided: `chosen`, of `start`, was written over `lost` at `end`."""

    id: str
    at: float
    rule: str
    start: str
    chosen: str
    end: str
    lost: str
    why: str

    @classmethod
    def of(cls, decided: Decided) -> "ConflictAnswer":
        """`decided` as JSON."""
        return cls(**{name: getattr(decided, name) for name in cls.model_fields})


class ConflictsAnswer(_Answer):
    """Decided conflicts, the latest first."""

    conflicts: list[ConflictAnswer]


class UndeletedAnswer(_Answer):
    """The digests of the manifests that were written, the one that was asked for last; none if all was there."""

    written: list[str]


class SettledAnswer(_Answer):
    """What came of a decision on one job or dead letter, in words."""

    id: str
    done: bool
    said: str

    @classmethod
    def of(cls, settled: Settled) -> "SettledAnswer":
        """`settled` as JSON."""
        return cls(id=settled.item.id, done=settled.is_done, said=settled.said)


class SettledAnswers(_Answer):
    """The same of many."""

    settled: list[SettledAnswer]


class Pauses(_Answer):
    """The pauses in force."""

    pauses: list[PauseAnswer]


class ErrorAnswer(_Answer):
    """Why something was not done, in a sentence."""

    error: str

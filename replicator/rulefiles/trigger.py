"""What a rule file says of when a rule acts: on events, by the clock in our form or in Harbor's, or on command."""

from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from replicator.rulefiles import grammar
from replicator.rulefiles.document import Unquoted
from replicator.rulefiles.mapping import Duration, FileModel, number_or_text
from replicator.rulefiles.wording import hint
from replicator.rules import check_cron, check_timezone


def _cron(text: str) -> str:
    check_cron(text)
    return text


def _cron_or_nothing(text: str) -> str:
    return _cron(text) if text else text


def _timezone(text: str) -> str:
    try:
        check_timezone(text)
    except ValueError as exc:
        raise ValueError(f"{exc}{hint(text, available_timezones())}") from exc
    return text


def _interval(text: str) -> str:
    grammar.interval_s(text)
    return text


def _off(value: object) -> object:
    # To YAML 1.1 it is a boolean, and quotes around it are easily forgotten.
    return "off" if value == Unquoted("off") else value


Interval = Annotated[
    Annotated[int, Field(ge=0, le=0), Tag("#number")]
    | Annotated[
        str,
        AfterValidator(_interval),
        Field(json_schema_extra={"pattern": grammar.INTERVAL_PATTERN}),
        Tag("#text"),
    ],
    Discriminator(number_or_text),
    BeforeValidator(_off),
]


class TriggerSettings(FileModel):
    """What Harbor writes beside a trigger's type."""

    cron: Annotated[str, AfterValidator(_cron_or_nothing)] = Field(
        default="", description="As cron of the trigger; Harbor writes an empty one for other triggers."
    )


class TriggerFile(FileModel):
    """What starts the rule's jobs."""

    # First, because the others are judged by it.
    type: Literal["event_based", "push", "scheduled", "manual"] = Field(
        description="event_based (also written: push) follows the source's notifications; scheduled compares all that"
        " the rule takes at the times that cron names; manual waits for a command."
    )
    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None,
        description="When a scheduled rule runs: minute, hour, day, month, weekday; or six fields, seconds first.",
    )
    timezone: Annotated[str, AfterValidator(_timezone)] | None = Field(
        default=None, description="The time zone of cron, such as Europe/Vienna; UTC unless given."
    )
    jitter: Duration | None = Field(
        default=None,
        description="How much later than cron says a run may be, different for each rule and run.",
    )
    trigger_settings: TriggerSettings | None = Field(default=None, description="Harbor's place for cron.")

    @property
    def schedule(self) -> str:
        """The cron, in whichever form it was given; empty if there is none."""
        return self.cron or (self.trigger_settings.cron if self.trigger_settings else "")

    @field_validator("cron", "timezone", "jitter", "trigger_settings")
    @classmethod
    def _is_for_schedules(
        cls, value: str | TriggerSettings | None, info: ValidationInfo
    ) -> str | TriggerSettings | None:
        says_nothing = isinstance(value, TriggerSettings) and not value.cron
        if info.data.get("type", "scheduled") != "scheduled" and not says_nothing:
            raise ValueError("is for triggers of type: scheduled only")
        return value

    @model_validator(mode="after")
    def _has_one_cron(self) -> "TriggerFile":
        if self.type == "scheduled" and not self.schedule:
            raise ValueError('a scheduled trigger needs a cron, such as "30 2 * * *"')
        if self.cron and self.trigger_settings and self.trigger_settings.cron:
            raise ValueError("cron and trigger_settings.cron: one of them is enough")
        return self

"""Everything that the environment may say, read here and nowhere else.

Registries, rules and their secrets are not settings: they live in the rule files.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from replicator import redis_url
from replicator.errors import ConfigError

PREFIX = "REPLICATOR_"


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _redis_url(value: SecretStr) -> SecretStr:
    redis_url.check(value.get_secret_value())
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Exporter = Literal["otlp", "console", "none"]


class Settings(BaseSettings):
    """What this process was told. Build it with `Settings.load`, which reports mistakes in our own words."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        # A variable that a compose file passes on empty means "not set".
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    redis_url: Annotated[SecretStr, AfterValidator(_redis_url)] | None = Field(
        default=None,
        description="Redis that holds the ledger: `redis://`, `rediss://`, `unix://`, or the Sentinels that know "
        "it, `redis+sentinel://HOST:PORT,HOST:PORT/SERVICE`. "
        "Without it `up` runs a Redis of its own",
    )
    rules: Path = Field(default=Path("rules"), description="directory of the rule files")
    data: Path = Field(
        default=Path(".replicator"),
        description="where `up` keeps its Redis data and its API token, and every role the last sound rules",
    )
    host: str = Field(default="127.0.0.1", description="address that the receiver listens on")
    port: Port = Field(default=8080, description="port that the receiver listens on")
    metrics_host: str = Field(
        default="127.0.0.1", description="address for the metrics of worker and scheduler"
    )
    metrics_port: Port | None = Field(
        default=None, description="port for the metrics of worker and scheduler; without it they serve none"
    )
    api_token: SecretStr | None = Field(
        default=None,
        description="bearer token of the API; `up` makes one if there is none, `serve` wants one",
    )
    api_token_file: Path | None = Field(default=None, description="file that holds the API token instead")
    api_read_token: SecretStr | None = Field(
        default=None, description="another bearer token of the API, which may look and change nothing"
    )
    api_read_token_file: Path | None = Field(
        default=None, description="file that holds the reading token instead"
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] = Field(
        default="text", description="`text`, or `json` for one object a line"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="`debug`, `info`, `warning` or `error`"
    )
    webhook_limit_bytes: int = Field(
        default=4 * 1024 * 1024, gt=0, description="largest notification that is taken; beyond it: 413"
    )
    webhook_timeout_s: Seconds = Field(
        default=5.0, description="seconds in which a notification's body must have arrived; after them: 408"
    )
    outage_s: Seconds = Field(
        default=120.0,
        description="seconds without a receiver after which all is compared that registries would have told it of",
    )
    concurrency: int = Field(
        default=4,
        gt=0,
        le=1024,
        description="processes of a worker; each runs up to four jobs of one repository at once",
    )
    lease_s: Seconds = Field(
        default=20.0, description="seconds after which the job of a silent worker is given to another"
    )
    redispatch_s: Seconds = Field(
        default=15.0, description="seconds after which a job that no worker took is sent again"
    )
    otel_traces_exporter: Exporter | None = Field(
        default=None,
        validation_alias="OTEL_TRACES_EXPORTER",
        description="`otlp`, or `console` for stderr, switches tracing on; `none` keeps it off",
    )
    otel_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="switches tracing on; this and every other standard `OTEL_*` variable is obeyed",
    )
    otel_traces_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        description="the same, for spans alone",
    )

    @classmethod
    def load(cls, **given: object) -> Self:
        """The settings of the environment, except what is `given` and not None (command-line options).

        Raises ConfigError that names each wrong variable, never its value.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        except ValidationError as exc:
            raise ConfigError(
                "\n".join(_sentence(error["loc"], error["msg"]) for error in exc.errors())
            ) from exc

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        for name in ("api_token", "api_read_token"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                variable = _variable((name,))
                raise ValueError(f"set {variable} or {variable}_FILE, not both")
        return self

    def read_api_token(self) -> SecretStr | None:
        """The API's token, from the variable or the file; None if neither is set. Raises ConfigError."""
        return (
            self.api_token if self.api_token_file is None else _secret("api_token_file", self.api_token_file)
        )

    def read_api_read_token(self) -> SecretStr | None:
        """The token that may only read, likewise."""
        path = self.api_read_token_file
        return self.api_read_token if path is None else _secret("api_read_token_file", path)

    @property
    def trace_exporter(self) -> Literal["otlp", "console"] | None:
        """Where spans go, or None if nobody asked for them."""
        if self.otel_traces_exporter == "none":
            return None
        wanted = self.otel_endpoint or self.otel_traces_endpoint
        return self.otel_traces_exporter or ("otlp" if wanted else None)


def _secret(name: str, path: Path) -> SecretStr:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{_variable((name,))}: cannot read {path}") from exc
    if not text:
        raise ConfigError(f"{_variable((name,))}: {path} is empty")
    return SecretStr(text)


def environment() -> Mapping[str, str]:
    """The variables that rule files may name as `${NAME}` in credentials and webhook secrets."""
    return os.environ


def settings_table() -> str:
    """The README's table of settings, in Markdown."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, info in Settings.model_fields.items():
        default = "" if info.default is None else f"`{_plain(info.default)}`"
        rows.append(f"| `{_variable((info.validation_alias or name,))}` | {default} | {info.description} |")
    return "\n".join(rows) + "\n"


def _plain(default: object) -> str:
    return str(int(default)) if isinstance(default, float) and default.is_integer() else str(default)


def _sentence(location: tuple[object, ...], message: str) -> str:
    place = f"{_variable(location)}: " if location else ""
    return place + message.removeprefix("Value error, ")


def _variable(location: tuple[object, ...]) -> str:
    name = str(location[0])
    return name if name.startswith("OTEL_") else PREFIX + name.upper()

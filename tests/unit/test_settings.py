"""Settings come from the environment of the process, so these tests set it, and put it back."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.runtime import api_read_token
from replicator.settings import Settings, settings_table


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("REPLICATOR_", "OTEL_"))]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


def test_defaults_suit_one_machine() -> None:
    settings = Settings.load()

    assert (settings.host, settings.port, settings.rules) == ("127.0.0.1", 8080, Path("rules"))
    assert settings.redis_url is None
    assert settings.webhook_limit_bytes == 4 * 1024 * 1024


def test_the_environment_is_read() -> None:
    os.environ["REPLICATOR_REDIS_URL"] = "redis://:canary@redis:6379/0"
    os.environ["REPLICATOR_LOG_FORMAT"] = "JSON"

    settings = Settings.load()

    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:canary@redis:6379/0"
    assert settings.log_format == "json"


def test_options_win_over_the_environment_and_missing_options_do_not() -> None:
    os.environ["REPLICATOR_PORT"] = "9000"

    assert Settings.load(port=9001).port == 9001
    assert Settings.load(port=None).port == 9000


def test_an_empty_variable_is_not_set() -> None:
    os.environ["REPLICATOR_PORT"] = ""

    assert Settings.load().port == 8080


def test_every_mistake_is_named_and_no_value_is_shown() -> None:
    os.environ["REPLICATOR_PORT"] = "canary-port"
    os.environ["REPLICATOR_REDIS_URL"] = "http://user:canary@redis"

    with pytest.raises(ConfigError) as caught:
        Settings.load()

    lines = str(caught.value).splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == ["REPLICATOR_PORT", "REPLICATOR_REDIS_URL"]
    assert "canary" not in str(caught.value)


def test_secrets_do_not_show() -> None:
    settings = Settings.load(redis_url="redis://:canary@redis", api_token="canary")

    assert "canary" not in repr(settings)
    assert "canary" not in str(settings.model_dump())


def test_the_api_token_comes_from_the_variable_or_the_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")

    plain = Settings.load(api_token="plain").read_api_token()
    filed = Settings.load(api_token_file=str(file)).read_api_token()

    assert plain is not None
    assert plain.get_secret_value() == "plain"
    assert filed is not None
    assert filed.get_secret_value() == "from-file"
    assert Settings.load().read_api_token() is None


def test_a_token_file_that_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")

    for file in (empty, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="REPLICATOR_API_TOKEN_FILE"):
            Settings.load(api_token_file=str(file)).read_api_token()


def test_two_tokens_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="not both"):
        Settings.load(api_token="a", api_token_file="b")


@pytest.mark.parametrize(
    ("variables", "exporter"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, None),
    ],
)
def test_standard_variables_switch_tracing_on(variables: dict[str, str], exporter: str | None) -> None:
    os.environ.update(variables)

    assert Settings.load().trace_exporter == exporter


def test_the_table_has_a_row_with_a_meaning_for_every_setting() -> None:
    rows = settings_table().splitlines()[2:]

    assert len(rows) == len(Settings.model_fields)
    assert all(len(row.split("|")[3].strip()) > 10 for row in rows)
    assert any(row.startswith("| `REPLICATOR_API_TOKEN_FILE` |") for row in rows)


def test_the_reading_token_has_a_variable_and_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("filed\n")

    filed = Settings.load(api_token="writes", api_read_token_file=str(file)).read_api_read_token()

    assert filed
    assert filed.get_secret_value() == "filed"
    assert Settings.load().read_api_read_token() is None
    with pytest.raises(
        ConfigError, match="REPLICATOR_API_READ_TOKEN or REPLICATOR_API_READ_TOKEN_FILE, not both"
    ):
        Settings.load(api_read_token="a", api_read_token_file="b")
    with pytest.raises(ConfigError, match="REPLICATOR_API_READ_TOKEN_FILE: cannot read /nowhere"):
        Settings.load(api_read_token_file="/nowhere").read_api_read_token()


def test_one_token_cannot_have_both_scopes() -> None:
    settings = Settings.load(api_token="same", api_read_token="same")

    with pytest.raises(ConfigError, match="is the same as REPLICATOR_API_TOKEN"):
        api_read_token(settings)
    assert api_read_token(Settings.load(api_token="one", api_read_token="two"))

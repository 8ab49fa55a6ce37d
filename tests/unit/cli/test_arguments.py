"""Arguments that are absent or wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replicator.cli.commands import app
from replicator.errors import ConfigError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "replicator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_without_arguments_the_help_is_printed_and_nothing_is_wrong() -> None:
    ended = run()

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Usage: replicator [OPTIONS]" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plan", "--foo"], "No such option: --foo (see `replicator plan --help`)"),
        (
            ["jobs", "list", "--limit", "0"],
            "Invalid value for '--limit': Input should be greater than or equal to 1"
            " (see `replicator jobs list --help`)",
        ),
        (["import", "skopeo", "x.yaml"], "Missing option '--to' (see `replicator import skopeo --help`)"),
        (["import"], "Missing command (see `replicator import --help`)"),
        (
            ["promote", "--history", "eu/a:v1"],
            "--history shows every promotion: leave SOURCE and DESTINATION out",
        ),
        (["bogus"], "No such command 'bogus' (see `replicator --help`)"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_that_names_the_option(
    arguments: list[str], said: str
) -> None:
    ended = run(*arguments)

    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"error: {said}\n")


def test_an_option_without_a_command_is_refused() -> None:
    assert CliRunner().invoke(app, ["--bogus"]).exit_code != 0


def test_a_redis_that_is_away_is_told_with_what_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("{}")

    ended = run("jobs", "--rules", str(tmp_path), "--data", str(tmp_path))

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: Redis did not serve the ledger: ")
    assert ended.stderr.endswith(" (is `replicator up` running, or REPLICATOR_REDIS_URL another?)\n")
    assert str(tmp_path / "redis.sock") in ended.stderr


def test_up_refuses_a_port_that_nobody_would_know(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["up", "--port", "0", "--data", str(tmp_path / "data")])

    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == "REPLICATOR_PORT (or --port): `up` needs a port other than 0"
    assert not (tmp_path / "data").exists()

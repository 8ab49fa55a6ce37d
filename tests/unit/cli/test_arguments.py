"""Arguments that are absent or wrong."""

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from replicator.cli.commands import app
from replicator.errors import ConfigError


def test_without_arguments_the_help_is_printed_and_nothing_is_wrong() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "replicator"], capture_output=True, text=True, timeout=20, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "Usage: replicator" in ended.stdout.replace("python -m replicator", "replicator")


def test_an_option_without_a_command_is_refused() -> None:
    assert CliRunner().invoke(app, ["--bogus"]).exit_code != 0


def test_up_refuses_a_port_that_nobody_would_know(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["up", "--port", "0", "--data", str(tmp_path / "data")])

    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == "REPLICATOR_PORT (or --port): `up` needs a port other than 0"
    assert not (tmp_path / "data").exists()

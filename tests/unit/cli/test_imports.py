"""`replicator import` as a person uses it."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from replicator.cli.commands import app
from replicator.errors import ConfigError

SKOPEO = """
quay.io:
  credentials: {username: jane, password: correct horse battery}
  images: {coreos/etcd: [v1]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sync.yml"
    path.write_text(SKOPEO)
    return path


def run(*arguments: str, input: str | None = None) -> Result:  # noqa: A002 - typer's name for it
    return CliRunner().invoke(app, ["import", *arguments], input=input)


def test_the_rule_file_is_printed_and_what_is_to_be_done_is_told_beside_it(file: Path) -> None:
    result = run("skopeo", str(file), "--to", "registry.lan/mirror")

    assert result.exit_code == 0
    assert result.stdout.startswith("# Imported from skopeo sync: ")
    assert result.stderr.splitlines() == [
        "set QUAY_IO_SECRET: the password or token for quay.io, which stands in the original's file",
        "rules: 1, not enabled: 0, left out: 0; the comments say why",
    ]
    assert "battery" not in result.output


def test_what_is_written_passes_the_check(file: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()

    result = run("skopeo", str(file), "--to", "registry.lan/mirror", "--output", str(rules / "skopeo.yaml"))

    assert (result.exit_code, result.stdout) == (0, "")
    checked = CliRunner(env={"QUAY_IO_SECRET": "x"}).invoke(app, ["check", str(rules)])
    assert checked.exit_code == 0
    assert checked.stdout.strip().endswith("1 rule, 2 registries: ok")


def test_a_file_that_is_there_is_overwritten_only_by_force(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "there.yaml"
    output.write_text("mine")
    command = ("skopeo", str(file), "--to", "registry.lan/mirror", "--output", str(output))

    refused = run(*command)
    assert isinstance(refused.exception, ConfigError)
    assert str(refused.exception) == f"{output}: is there already; --force overwrites it"
    assert output.read_text() == "mine"

    assert run(*command, "--force").exit_code == 0
    assert output.read_text().startswith("# Imported")


def test_a_directory_that_is_not_there_is_told(file: Path, tmp_path: Path) -> None:
    result = run("skopeo", str(file), "--to", "registry.lan", "--output", str(tmp_path / "no" / "x.yaml"))

    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).endswith("x.yaml: cannot write it: No such file or directory")


def test_a_dash_reads_standard_input() -> None:
    command = [sys.executable, "-m", "replicator", "import", "regsync", "-"]
    text = "sync: [{source: a, target: r.example.org/library/a, type: repository}]"

    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)

    assert ended.returncode == 0
    assert "# Imported from regsync: standard input" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["skopeo", "FILE", "--to", "dir:///tmp"], SKOPEO, "--to: dir:// is no registry"),
        (
            ["skopeo", "FILE", "--to", "r.example.org"],
            "{}",
            "FILE: holds nothing that skopeo sync would copy",
        ),
        (["regsync", "FILE"], "version: 3", "FILE:1: version: only version 1 is known"),
        (
            ["image-syncer", "FILE", "--auth", "FILE.no"],
            "{}",
            "FILE.no: cannot read it: No such file or directory",
        ),
        (
            ["harbor", "FILE"],
            '[{"name": "a"}]',
            "FILE: [0]: src_registry is the Harbor that this was exported from:",
        ),
        (
            ["harbor", "FILE", "--local-url", "ftp://x"],
            '[{"name": "a"}]',
            "the URL of the registry local: a URL begins",
        ),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "other"
    file.write_text(text)

    result = run(*(each.replace("FILE", str(file)) for each in arguments))

    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(message.replace("FILE", str(file)))
    assert "\n" not in str(result.exception)


@pytest.mark.parametrize("tool", ["harbor", "regsync", "skopeo", "image-syncer"])
def test_each_tool_has_a_help_that_shows_a_call(tool: str) -> None:
    result = run(tool, "--help")

    assert result.exit_code == 0
    assert f"replicator import {tool} " in result.stdout


def test_more_than_a_rule_file_may_hold_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    file.write_text("{" + ", ".join(f'"quay.io/a/n{i}": "ghcr.io/a/n{i}"' for i in range(4000)) + "}")

    result = run("image-syncer", str(file))

    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(f"{file}: too much for one rule file, split it: ")

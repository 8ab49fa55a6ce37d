"""The command line as a person uses it, where no server is needed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from replicator import __version__
from replicator.cli.commands import app

SOUND = """
registries:
  eu: {type: distribution, url: "http://127.0.0.1:5001", webhook: {secret: hush}}
  us: {type: distribution, url: "http://127.0.0.1:5002"}
rules:
  - name: prod
    source: eu
    destinations: [{registry: us, namespace: mirror, replace_count: 1}]
    filters:
      - {type: name, value: "production/**"}
      - {type: tag, value: "v*"}
      - {type: resource, value: image}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    (tmp_path / "rules.yaml").write_text(SOUND)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_check_accepts_sound_rules(rules: Path) -> None:
    result = run("check", str(rules))

    assert result.exit_code == 0
    assert result.stdout.strip().endswith("1 rule, 2 registries: ok")


def test_check_prints_every_mistake_with_its_place(rules: Path) -> None:
    (rules / "wrong.yaml").write_text(
        "rules:\n  - {name: other, source: nowhere, destinations: [us], bogus: 1}\n"
    )

    result = run("check", str(rules))

    assert result.exit_code == 1
    places = [line.partition(": ")[0].rsplit("/", 1)[-1] for line in result.stdout.splitlines()]
    assert [place.split(":")[:2] for place in places] == [["wrong.yaml", "2"], ["wrong.yaml", "2"]]


def test_explain_says_where_a_reference_lands(rules: Path) -> None:
    result = run("explain", "eu/production/web:v1", "--rules", str(rules))

    assert result.exit_code == 0
    assert "prod: takes it" in result.stdout
    assert "-> us/mirror/web" in result.stdout
    assert "judged when the job runs" in result.stdout


def test_explain_says_when_a_rule_runs_and_how_long_copies_stay(rules: Path) -> None:
    text = SOUND.replace("replace_count: 1}", 'replace_count: 1, retention: ["keep last 5"]}')
    trigger = '    trigger: {type: scheduled, cron: "0 2 * * *", timezone: Europe/Vienna}\n'
    (rules / "rules.yaml").write_text(text + trigger)

    result = run("explain", "eu/production/web:v1", "--rules", str(rules))

    assert result.stdout.splitlines()[1:4] == [
        "  trigger: scheduled 0 2 * * * (Europe/Vienna)",
        "  -> us/mirror/web",
        "     retention: keep last 5",
    ]


def test_explain_names_the_clause_that_refused(rules: Path) -> None:
    result = run("explain", "eu/production/web:latest", "--rules", str(rules), "--json")

    verdict = json.loads(result.stdout)[0]
    assert (verdict["rule"], verdict["taken"]) == ("prod", False)
    assert "v*" in verdict["clause"]


def test_explain_does_not_say_that_a_filter_matches_which_does_not(rules: Path) -> None:
    result = run("explain", "eu/production/web:latest", "--rules", str(rules))

    assert result.stdout == "prod: leaves it, ruled out by: tag matches 'v*'\n"


@pytest.mark.parametrize("reference", ["nowhere/app:v1", "eu/UPPER:v1", "eu/app:-bad"])
def test_explain_refuses_what_is_no_reference(rules: Path, reference: str) -> None:
    result = run("explain", reference, "--rules", str(rules))

    assert result.exit_code != 0
    assert reference in str(result.exception)


def test_the_version_is_the_package_s() -> None:
    assert run("--version").stdout == f"replicator {__version__}\n"


def test_a_demo_with_one_registry_is_refused() -> None:
    result = run("demo", "--registry", "http://127.0.0.1:1")

    assert result.exit_code != 0
    assert "at least one destination" in str(result.exception)


def test_a_repair_deletes_nothing_unasked(rules: Path) -> None:
    result = run("verify", "--repair", "--prune", "--rules", str(rules))

    assert result.exit_code == 1
    assert str(result.exception).startswith("--repair deletes nothing")

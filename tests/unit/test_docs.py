"""What README and docs promise, compared with the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from replicator.cli.commands import app
from replicator.rulefiles import load
from replicator.rulefiles.mapping import FileModel
from replicator.rules import glob_match
from replicator.settings import settings_table
from tests.fakes.web import Site

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted([README, *DOCS.glob("*.md"), ROOT / "benchmarks" / "README.md"])
RULES = re.compile(r"^```yaml rules\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:`|\$ )replicator ([a-z]+)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
METRIC = re.compile(r"\breplicator_[a-z_]+")
PLACE = re.compile(r"`((?:[a-z_]+/)*[a-z_]+\.(?:py|lua)):?([A-Za-z_.]*)`")
ROUTE = re.compile(r"`(?:GET|POST) (/[^`]*)`")


def rule_blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, found in enumerate(RULES.findall(page.read_text())):
            yield f"{page.name}-{number}", found


def section(page: Path, heading: str) -> str:
    """What stands between a heading and the next one of any level."""
    return re.split(r"^#+ ", page.read_text().split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[
        0
    ]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row in `text`, heads left out."""
    lines = re.split(r"\n\|[-|]+\|\n", text)[1:]
    found = [line for part in lines for line in part.split("\n\n")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in found]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def shown_commands(page: Path) -> list[list[str]]:
    """The arguments of every `$ replicator` in a page's console blocks, as a shell would read them."""
    lines = "".join(CONSOLE.findall(page.read_text())).replace("\\\n", " ").splitlines()
    found = [line.removeprefix("$ replicator") for line in lines if line.startswith("$ replicator")]
    # An argument between quotes may hold a bar, and go on in the next line: what follows a pipe is not ours.
    return [shlex.split(re.split(r" [|>] ", line)[0], comments=True) for line in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_line_that_is_shown_is_understood(page: Path) -> None:
    commands = shown_commands(page)

    for arguments in commands:
        # With --help behind it everything before is parsed, and nothing is run.
        result = CliRunner().invoke(app, [*arguments, "--help"])
        assert result.exit_code == 0, f"replicator {shlex.join(arguments)}: {result.output}"
    assert page.name != "disaster-recovery.md" or len(commands) > 40


def test_a_command_line_that_is_wrong_is_not_understood() -> None:
    for line in ("plan --destinations us", "failure retry", "failures retry --al"):
        assert CliRunner().invoke(app, [*line.split(), "--help"]).exit_code != 0, line


def test_readme_has_the_settings_table_of_the_code() -> None:
    assert settings_table() in README.read_text()


def test_every_command_is_in_the_readme_and_no_other() -> None:
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]

    assert set(COMMAND.findall(README.read_text())) == commands
    assert {name for page in PAGES for name in COMMAND.findall(page.read_text())} <= commands


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in rule_blocks()])
def test_example_rules_load(text: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(text)

    loaded = load(tmp_path, dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "value"))

    assert loaded.rules.registries


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_metric_is_documented_and_no_other() -> None:
    scrape = Site().ask("GET", "/metrics").text
    types = dict(re.findall(r"^# TYPE (replicator_\w+) (\w+)$", scrape, re.MULTILINE))
    documented = {quoted(row[0])[0] for row in rows(section(DOCS / "operations.md", "Metrics"))}

    assert documented == set(types)
    assert {name for page in PAGES for name in METRIC.findall(page.read_text())} <= set(types)


def test_every_route_of_the_api_is_documented_and_no_other() -> None:
    routes = set(Site().ask("GET", "/api/openapi.json").json()["paths"])
    said = {path for path in ROUTE.findall((DOCS / "operations.md").read_text()) if path.startswith("/api")}

    assert said == routes


def test_the_layout_is_that_of_the_packages() -> None:
    block = section(DOCS / "architecture.md", "Layout").split("```")[1]
    packages = re.split(r"^(\w+)/$", block, flags=re.MULTILINE)[1:]

    for name, lines in zip(packages[::2], packages[1::2], strict=True):
        entries = [path for path in (ROOT / name).iterdir() if path.name != "__pycache__"]
        there = {f"{path.name}/" if path.is_dir() else path.name for path in entries}
        assert {line.split()[0] for line in lines.strip().splitlines()} == there


def test_every_named_place_in_the_code_exists() -> None:
    places = set(PLACE.findall((DOCS / "architecture.md").read_text()))
    assert len(places) > 40

    for file, name in places:
        path = ROOT / file if file.startswith("workers/") else ROOT / "replicator" / file
        assert path.exists(), file
        code = path.read_text()
        for part in filter(None, name.split(".")):
            assert re.search(rf"(?:def|class) {part}\b", code), f"{file}:{name}"


def test_every_key_in_redis_is_documented_and_no_other() -> None:
    text = section(DOCS / "architecture.md", "What is shared in Redis")
    documented = {re.split(r"[:]", key)[1] for row in rows(text) for key in quoted(row[0])}
    places = (ROOT / "replicator" / "ledger", ROOT / "workers")
    files = [path for place in places for path in place.rglob("*.*") if path.suffix in (".py", ".lua")]
    code = "".join(path.read_text() for path in files)

    assert documented == set(re.findall(r"(?:\{PREFIX\}|\bP \.\. ')([a-z]+)", code))


def test_every_refused_key_is_documented_and_no_other() -> None:
    documented = {
        word for row in rows(section(DOCS / "rules.md", "Refused until later")) for word in quoted(row[1])
    }
    models = FileModel.__subclasses__()
    models += [deeper for model in models for deeper in model.__subclasses__()]
    later = {key for model in models for key in model.later_keys}
    later |= {value for model in models for values in model.later_values.values() for value in values}

    assert {word.rpartition(": ")[2] for word in documented} == later


@pytest.mark.parametrize("row", rows(section(DOCS / "rules.md", "The pattern dialect").split("Traps,")[0]))
def test_patterns_take_what_the_table_says(row: list[str]) -> None:
    (pattern,), takes, leaves = (quoted(cell) for cell in row)

    assert [name for name in takes if not glob_match(pattern, name)] == []
    assert [name for name in leaves if glob_match(pattern, name)] == []

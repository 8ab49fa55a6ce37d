import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from replicator.rulefiles import load, schema, schema_text
from tests.unit.rulefiles import test_harbor, test_load
from tests.unit.rulefiles.kit import registry, rule

RULES = Path(__file__).parents[3] / "rules"
VALIDATOR = jsonschema.Draft202012Validator(schema())


def fits(text: str) -> bool:
    return bool(VALIDATOR.is_valid(yaml.safe_load(text)))


def test_the_schema_that_is_shipped_is_the_one_of_the_code() -> None:
    shipped = (RULES / "schema.json").read_text()

    assert shipped == schema_text(), "run: python -m replicator.rulefiles > rules/schema.json"
    assert json.loads(shipped) == schema()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_key_is_described() -> None:
    def keys(value: object, name: str = "") -> Iterator[str]:
        if isinstance(value, dict):
            for key, inner in value.get("properties", {}).items():
                if "description" not in inner and "$ref" not in inner:
                    yield f"{name}.{key}"
            for key, inner in value.items():
                yield from keys(inner, key)

    assert list(keys(schema())) == []


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_fit_the_schema(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


def test_the_examples_load_as_they_stand() -> None:
    found = load(RULES, {})

    assert len(found.rules.rules) >= 4
    assert all("no webhook secret" in warning.message for warning in found.warnings)


def test_the_examples_load_without_a_warning_once_their_secrets_are_there(tmp_path: Path) -> None:
    text = {path.name: path.read_text().replace("#| ", "") for path in RULES.glob("*.yaml")}
    for name, content in text.items():
        (tmp_path / name).write_text(content)
    variables = re.findall(r"\$\{(\w+_SECRET)\}", "".join(text.values()))

    found = load(tmp_path, dict.fromkeys(variables, "x"))

    assert found.warnings == []
    assert found.rules.registries["eu"].credential


def test_the_samples_of_the_format_fit_the_schema() -> None:
    assert fits(test_load.SAMPLE)
    assert fits(test_harbor.SAMPLE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        rule(),
        rule(destinations="[us, {registry: ap, namespace: m, replace_count: -1}]"),
        rule(trigger='{type: scheduled, cron: "0 2 * * *", timezone: UTC, jitter: 5m}', was="[a, b]"),
        rule(platforms="[linux/amd64, linux/arm/v7]", platforms_rewrite="true"),
        rule(destinations='[{registry: us, retention: ["keep last 3"]}]', backfill="true", was="a"),
        rule(filters="[{type: label, value: [x]}]", delete_grace="500ms", trigger="{type: push}"),
        registry(webhook="{secret: [a, b]}", tls="{verify: false}", proxy="http://proxy:3128"),
        registry(credential="{type: basic, access_key: k, access_secret_file: f}"),
        registry(limits="{concurrency: 8, requests_per_second: 5, bandwidth: 1.5 GiB}"),
        registry(limits="{bandwidth: 1000000}"),
        test_harbor.policy(dest_namespace='""', speed="1").replace("  speed: 1\n", ""),
    ],
)
def test_what_loads_fits(text: str) -> None:
    assert fits(text or "{}")


@pytest.mark.parametrize(
    "text",
    [
        "x: 1",
        rule(name='"a|b"'),
        rule(poll="5m"),
        rule(name="promote"),
        rule(destinations="[{registry: us, retention: []}]"),
        rule(destinations="[{registry: us, retention: {rules: []}}]"),
        rule(signatures="demand"),
        rule(keys="[]"),
        rule(keys="a.pub"),
        rule(signatures="require", signature_wait="10"),
        rule(destinations="[]"),
        rule(destinations="[{registry: ap, namespace: m}]"),
        rule(filters="[{type: tag, value: 1.10}]"),
        rule(delete_grace="5"),
        rule(deletion='"true"'),
        registry(type="harbour"),
        registry(url='"https://a:b@example.com"'),
        registry(url="registry.example.com"),
        registry(credential="{type: ecr}"),
        registry(credential=""),
        registry(limits="{concurrency: 0}"),
        registry(limits="{bandwidth: 50Mbit}"),
        registry(limits="{bandwidth: 50}"),
    ],
)
def test_what_does_not_load_does_not_fit(text: str) -> None:
    assert not fits(text)

"""regsync's configuration as rules."""

from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.imports import import_regsync
from replicator.rules import Destination, Rule, Signatures, TriggerType
from tests.unit.imports.kit import given, loaded, takes, written

EXAMPLE = r"""
x-night: &night "15 01 * * *"
version: 1
creds:
  - registry: localhost:5000
    tls: disabled
  - registry: docker.io
    user: "{{env \"HUB_LOGIN\"}}"
    pass: "{{ env `HUB_TOKEN` }}"
  - registry: reg.example.org
    user: bot
    pass: correct horse battery
    reqPerSec: 3
    regcert: |
      -----BEGIN CERTIFICATE-----
      MIIB
      -----END CERTIFICATE-----
defaults:
  ratelimit: {min: 100, retry: 15m}
  parallel: 2
sync:
  - source: busybox:latest
    target: localhost:5000/library/busybox:latest
    type: image
    interval: 60m
    backup: "old-{{.Ref.Tag}}"
  - source: alpine
    target: localhost:5000/library/alpine
    type: repository
    tags:
      allow: ["latest", "edge", "3", "3\\.\\d+"]
      deny: ["3\\.0"]
    schedule: *night
  - source: reg.example.org
    target: copy.example.org:5000
    type: registry
    digestTags: true
    referrers: true
"""


def step(**keys: str) -> str:
    """A configuration of one step, its values being YAML in flow style."""
    found = {"source": "reg.example.org/a/b", "target": "copy.example.org/a/b", "type": "repository", **keys}
    return "sync:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in found.items()) + "\n"


def rules_of(text: str, directory: Path) -> tuple[Rule, ...]:
    return loaded(import_regsync(given(text)), directory).rules.rules


def test_each_step_becomes_a_rule(tmp_path: Path) -> None:
    image, repository, registry = rules_of(EXAMPLE, tmp_path)

    assert (image.source, image.destinations) == ("docker.io", (Destination("localhost:5000"),))
    assert takes(image, "library/busybox:latest")
    assert not takes(image, "library/busybox:stable")
    tags = ["latest", "edge", "3", "3.1", "3.20", "3.0", "3.x", "3.1.2", "4"]
    assert [tag for tag in tags if takes(repository, f"library/alpine:{tag}")] == [
        "latest",
        "edge",
        "3",
        "3.1",
        "3.20",
    ]
    assert (registry.source, registry.destinations) == (
        "reg.example.org",
        (Destination("copy.example.org:5000"),),
    )
    assert takes(registry, "any/thing:v1")
    assert not takes(registry, "any/thing")
    assert all(rule.enabled for rule in (image, repository, registry))


def test_schedules_and_intervals_become_cron_lines() -> None:
    text = written(import_regsync(given(EXAMPLE)))

    assert 'trigger: {type: scheduled, cron: "0 * * * *", timezone: UTC}\n' in text
    assert (
        'trigger: {type: scheduled, cron: "15 01 * * *", timezone: UTC}  # the original took the time zone'
        in text
    )
    assert "trigger: {type: manual}  # there was neither schedule nor interval" in text


def test_logins_become_variables_and_files() -> None:
    draft = import_regsync(given(EXAMPLE.replace("{{ env `HUB_TOKEN` }}", '{{file \\"/run/secrets/hub\\"}}')))

    text = written(draft)
    assert "battery" not in text
    assert 'access_key: "${HUB_LOGIN}", access_secret_file: "/run/secrets/hub"' in text
    assert "# Files with secrets that must be there:\n# * /run/secrets/hub" in text
    assert sorted(draft.variables) == ["HUB_LOGIN", "REG_EXAMPLE_ORG_SECRET"]


def test_registries_are_described_as_they_were(tmp_path: Path) -> None:
    draft = import_regsync(given(EXAMPLE))

    registries = loaded(draft, tmp_path).rules.registries
    assert registries["localhost:5000"].url == "http://localhost:5000"
    credential = registries["docker.io"].credential
    assert credential
    assert (credential.access_key, credential.access_secret.get_secret_value()) == ("value", "value")
    text = written(draft)
    assert "# regcert: write the certificate into a file" in text
    assert "# reqPerSec: not carried over" in text
    assert "BEGIN CERTIFICATE" not in text


def test_what_has_no_counterpart_becomes_a_comment() -> None:
    text = written(import_regsync(given(EXAMPLE)))

    assert "# * not carried over: defaults.parallel" in text
    assert "  # * backup: not carried over" in text
    assert text.count("  # * ratelimit: not carried over") == 3
    assert "old-{{" not in text


@pytest.mark.parametrize(
    ("keys", "signatures"),
    [
        ({}, Signatures.FOLLOW),
        ({"tags": "{allow: [v1]}"}, Signatures.IGNORE),
        ({"tags": "{allow: [v1]}", "referrers": "true"}, Signatures.FOLLOW),
        ({"tags": "{allow: [v1]}", "referrers": "true", "digestTags": "true"}, Signatures.FOLLOW),
    ],
)
def test_signatures_follow_where_regsync_was_asked_for_them(
    keys: dict[str, str], signatures: Signatures, tmp_path: Path
) -> None:
    assert rules_of(step(**keys), tmp_path)[0].signatures is signatures


def test_sets_of_tags_are_rules_of_their_own(tmp_path: Path) -> None:
    one, two = rules_of(step(tags="{allow: [v1]}", tagSets="[{deny: ['.*-rc']}]"), tmp_path)

    assert [takes(one, "a/b:v1"), takes(one, "a/b:v2")] == [True, False]
    assert [takes(two, "a/b:v2"), takes(two, "a/b:v2-rc")] == [True, False]
    assert (one.name, two.name) == ("reg.example.org-a-b", "reg.example.org-a-b-2")


@pytest.mark.parametrize(
    ("keys", "doubt"),
    [
        (
            {"tags": "{allow: ['(v1|v2-?)*']}"},
            "the tag filters are not exactly /^(v1|v2-?)*$/: these",
        ),
        ({"tags": "{allow: ['(?i)v1']}"}, "the tag filters are not exactly /^(?i)v1$/: not understood"),
        ({"tags": "{semverRange: ['>=1.2']}"}, "patterns do not know versions: regsync also asked for >=1.2"),
        ({"tags": "{allow: [v.*], semverRange: ['>=1.2']}"}, "patterns do not know versions"),
        ({"platform": "linux/amd64"}, "platform linux/amd64: regsync copies no other platform"),
        (
            {"platforms": "[linux/amd64, linux/arm64]"},
            "platforms linux/amd64, linux/arm64: regsync copies no other",
        ),
        ({"mediaTypes": "[application/x]"}, "mediaTypes: not carried over"),
    ],
)
def test_what_would_copy_something_else_is_not_enabled(
    keys: dict[str, str], doubt: str, tmp_path: Path
) -> None:
    draft = import_regsync(given(step(**keys)))

    (rule,) = loaded(draft, tmp_path).rules.rules
    assert not rule.enabled
    assert f"    # not enabled: {doubt}" in written(draft)


def test_repositories_of_a_registry_are_chosen_by_name(tmp_path: Path) -> None:
    keys = {"source": "reg.example.org", "target": "copy.example.org", "type": "registry"}

    found = rules_of(step(**keys, repos="{allow: ['prod/.*', 'base/go'], deny: ['prod/tmp/.*']}"), tmp_path)

    names = ["prod/a", "prod/a/b", "prod/tmp/x", "base/go", "base/rust", "prod"]
    assert [name for name in names if any(takes(rule, f"{name}:v1") for rule in found)] == [
        "prod/a",
        "prod/a/b",
        "base/go",
    ]
    (odd,) = rules_of(step(**keys, repos="{allow: ['prod.*']}"), tmp_path)
    assert not odd.enabled


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("copy.example.org/a/b", Destination("copy.example.org")),
        ("copy.example.org/m/n/b", Destination("copy.example.org", "m/n", 1)),
        ("reg.example.org/m/b", Destination("reg.example.org", "m", 1)),
    ],
)
def test_copies_land_where_regsync_puts_them(target: str, expected: Destination, tmp_path: Path) -> None:
    assert rules_of(step(target=target), tmp_path)[0].destinations == (expected,)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"target": "copy.example.org/a/c"}, "a rule keeps the last component"),
        ({"target": "copy.example.org/b"}, "cannot take all components before the last away"),
        ({"target": "reg.example.org/a/b"}, "it would be copied onto itself"),
        ({"source": "a:v1", "target": "copy.example.org/library/a:v2", "type": "image"}, "a rule keeps tags"),
        (
            {"source": f"a@sha256:{'0' * 64}", "target": "copy.example.org/library/a", "type": "image"},
            "single digests",
        ),
        ({"source": '"{{env \\"X\\"}}/a"'}, "source is a template"),
        ({"target": "ocidir:///tmp/x"}, "target is a directory"),
        ({"source": "reg.example.org/A"}, "not a repository name"),
        ({"source": "reg.example.org", "target": "reg.example.org", "type": "registry"}, "onto itself"),
    ],
)
def test_what_no_rule_can_say_is_left_out(keys: dict[str, str], reason: str) -> None:
    draft = import_regsync(given(step(**keys)))

    assert draft.rules == []
    assert reason in draft.left_out[0]
    assert draft.left_out[0].startswith("sync[0]: ")


@pytest.mark.parametrize(
    ("interval", "cron"),
    [
        ("60m", "0 * * * *"),
        ("1h30m", "0 * * * *"),
        ("15m", "*/15 * * * *"),
        ("6h", "0 */6 * * *"),
        ("24h", "0 0 * * *"),
        ("168h", "0 0 * * *"),
        ("10s", "* * * * *"),
        ("7m", "*/6 * * * *"),
    ],
)
def test_an_interval_is_never_longer_than_it_was(interval: str, cron: str) -> None:
    text = written(import_regsync(given(step(interval=interval))))

    assert f'cron: "{cron}"' in text


@pytest.mark.parametrize(
    ("schedule", "cron", "zone"),
    [
        ("'@daily'", "0 0 * * *", "UTC"),
        ("'@every 2h'", "0 */2 * * *", "UTC"),
        ("'*/5 9-17/2 1,15 jan-mar SUN'", "*/5 9-17/2 1,15 jan-mar SUN", "UTC"),
        ("'CRON_TZ=Europe/Berlin 5  4 * * 1-5'", "5 4 * * 1-5", "Europe/Berlin"),
    ],
)
def test_schedules_of_every_form_are_understood(schedule: str, cron: str, zone: str) -> None:
    text = written(import_regsync(given(step(schedule=schedule))))

    assert f'cron: "{cron}", timezone: {zone if zone == "UTC" else "Europe/Berlin"}' in text


def test_a_default_schedule_goes_before_an_interval() -> None:
    text = written(import_regsync(given("defaults: {schedule: '5 4 * * *'}\n" + step(interval="60m"))))

    assert 'cron: "5 4 * * *"' in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 2", "other.yaml:1: version: only version 1 is known"),
        ("sync: {}", "other.yaml:1: sync: expected a list, found a mapping"),
        (step(type="folder"), r"other.yaml:4: sync\[0\].type: expected image, repository or registry"),
        ("sync: [{source: a}]", r"other.yaml:1: sync\[0\]: type is missing"),
        (step(interval="soon"), r"sync\[0\].interval: expected a duration"),
        (step(schedule="'* *'"), r"sync\[0\].schedule: expected a cron line of 5 fields"),
        (step(schedule="'61 * * * *'"), r"sync\[0\].schedule: '61 \* \* \* \*' is no cron"),
        (step(schedule="'a b c d e'"), r"sync\[0\].schedule: 'a b c d e' is no cron"),
        (step(schedule="'CRON_TZ=Mars/Base 5 4 * * *'"), r"sync\[0\].schedule: 'Mars/Base' is no time zone"),
        ("creds: [{registry: 'a b'}]", r"creds\[0\]: not a registry"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_regsync(given(text))


def test_a_manual_rule_is_written_where_nothing_starts_a_step(tmp_path: Path) -> None:
    assert rules_of(step(), tmp_path)[0].trigger is TriggerType.MANUAL

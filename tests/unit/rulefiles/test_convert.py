from pathlib import Path

import pytest

from replicator.rules import Credential, Limits, Webhook
from tests.unit.rulefiles.kit import assert_mistake, loaded, mistakes, registry, rule


@pytest.mark.parametrize(
    ("environ", "state"), [({}, "not set"), ({"EU": ""}, "empty")], ids=["missing", "empty"]
)
def test_a_variable_that_is_missing_is_named(tmp_path: Path, environ: dict[str, str], state: str) -> None:
    text = registry(credential="{type: basic, access_key: k, access_secret: §'x${EU}'}")
    before = text.partition("§")[0].split("\n")

    found = mistakes(tmp_path, {"r.yaml": text.replace("§", "")}, environ)

    assert found == [f"r.yaml:{len(before)}:{len(before[-1]) + 1}: the environment variable EU is {state}"]


def test_variables_are_expanded_in_credentials_and_webhook_secrets(tmp_path: Path) -> None:
    text = registry(
        credential="{type: basic, access_key: 'robot$${U}', access_secret: '${A}-${B}'}",
        webhook="{secret: ['${A}', plain]}",
    )

    eu = loaded(tmp_path, {"r.yaml": text}, {"U": "u", "A": "a", "B": "${C}"}).rules.registries["eu"]

    assert eu.credential is not None
    assert eu.credential.access_key == "robot$u"
    assert eu.credential.access_secret.get_secret_value() == "a-${C}"
    assert eu.webhook is not None
    assert [item.get_secret_value() for item in eu.webhook.secrets] == ["a", "plain"]


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A-b}", "a${B}${"])
def test_what_looks_like_a_variable_and_is_none_is_a_mistake(tmp_path: Path, text: str) -> None:
    found = mistakes(tmp_path, {"r.yaml": registry(webhook=f"{{secret: '{text}'}}")}, {"B": "b"})

    assert found == ["r.yaml:5:23: a variable is written ${NAME}"]


def test_variables_are_not_expanded_elsewhere(tmp_path: Path) -> None:
    text = rule(filters='[{type: tag, value: "${A}"}]')

    assert loaded(tmp_path, {"r.yaml": text}, {"A": "a"}).rules.rules[0].filters[0].value == "${A}"


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    key, hook = tmp_path / "key", tmp_path / "hook"
    key.write_text("one\n")
    hook.write_text("two")
    text = registry(
        credential=f"{{type: basic, access_key: k, access_secret_file: {key}}}",
        webhook=f"{{secret_file: {hook}}}",
    )

    eu = loaded(tmp_path, {"r.yaml": text}).rules.registries["eu"]

    assert isinstance(eu.credential, Credential)
    assert eu.credential.access_secret.get_secret_value() == "one"
    assert eu.credential.secret_file == str(key)
    assert isinstance(eu.webhook, Webhook)
    assert [item.get_secret_value() for item in eu.webhook.secrets] == ["two"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "cannot read the secret file {}: No such file or directory"),
        (b"\n", "the secret file {} is empty"),
        (b"\xff", "the secret file {} is not UTF-8 text"),
        (b"x" * 70_000, "the secret file {} is too large"),
    ],
    ids=["missing", "empty", "binary", "large"],
)
def test_a_secret_file_that_holds_no_secret_is_a_mistake(
    tmp_path: Path, raw: bytes | None, expected: str
) -> None:
    path = tmp_path / "secret"
    if raw is not None:
        path.write_bytes(raw)

    assert_mistake(tmp_path, registry(webhook=f"{{secret_file: §{path}}}"), expected.format(path))


def test_no_message_shows_a_secret(tmp_path: Path) -> None:
    text = """\
registries:
  eu:
    type: harbor
    url: "https://hunter2:hunter2@eu.example.com"
    credential: {type: basic, access_key: [hunter2], access_secret: [hunter2], access_secret_file: 5}
    webhook: {secret: {hunter2: 1}, secret_file: 5}
    proxy: http://a:hunter2@b
"""

    found = mistakes(tmp_path, {"r.yaml": text})

    assert len(found) >= 5
    assert not [item for item in found if "hunter2" in item]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("50MiB", 50 * 1024**2),
        ("1.5 GiB", 3 * 1024**3 // 2),
        ("800KB", 800_000),
        ("65536B", 65_536),
        ("2TB", 2 * 10**12),
        ("1000000", 1_000_000),
    ],
)
def test_a_bandwidth_is_bytes_in_a_second(tmp_path: Path, written: str, expected: int) -> None:
    found = loaded(tmp_path, {"r.yaml": registry(limits=f"{{bandwidth: {written}}}")})

    assert found.rules.registries["eu"].limits == Limits(bandwidth=expected)

"""A role that restarts while the rule files are broken begins with the last sound revision."""

import shutil
from pathlib import Path

import pytest

from replicator.rulefiles import RuleBook, RulesError
from tests.unit.rulefiles.kit import CREDENTIAL, Clock, names, rule, write


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "rules"


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    return tmp_path / "data" / "kept.json"


def test_a_first_load_of_broken_files_falls_back_to_the_kept_revision(
    rules: Path, keep: Path, clock: Clock
) -> None:
    before = RuleBook(write(rules, {"r.yaml": rule(name="one")}), {}, keep=keep).current
    write(rules, {"r.yaml": "x: 1"})

    book = RuleBook(rules, {}, keep=keep, clock=clock)
    assert book.current == before
    assert "unknown key" in str(book.error)

    write(rules, {"r.yaml": rule(name="two")})
    clock.pass_(1)
    assert names(book) == ["two"]
    assert book.error is None


def test_the_kept_revision_is_the_last_sound_one(rules: Path, keep: Path, clock: Clock) -> None:
    book = RuleBook(write(rules, {"r.yaml": rule(name="one")}), {}, keep=keep, clock=clock)
    for text in (rule(name="two"), "x: 1"):
        write(rules, {"r.yaml": text})
        clock.pass_(1)
        assert names(book) == ["two"]

    assert names(RuleBook(rules, {}, keep=keep, clock=clock)) == ["two"]


@pytest.mark.parametrize("gone", ["file", "directory"])
def test_files_that_vanished_before_a_restart_are_a_broken_revision(
    rules: Path, keep: Path, clock: Clock, gone: str
) -> None:
    RuleBook(write(rules, {"r.yaml": rule(name="one")}), {}, keep=keep)
    shutil.rmtree(rules)
    if gone == "file":
        rules.mkdir()

    book = RuleBook(rules, {}, keep=keep, clock=clock)

    assert names(book) == ["one"]
    assert book.error


def test_what_is_broken_outside_of_the_files_is_tried_again_after_a_restart(
    rules: Path, keep: Path, clock: Clock, tmp_path: Path
) -> None:
    RuleBook(write(rules, {"r.yaml": rule(name="one")}), {}, keep=keep)
    secret = tmp_path / "secret"
    write(rules, {"r.yaml": rule(name="two").replace("secret: s}", f"secret_file: {secret}}}", 1)})
    book = RuleBook(rules, {}, keep=keep, clock=clock)
    assert names(book) == ["one"]

    secret.write_text("s")
    clock.pass_(5)
    assert names(book) == ["two"]


def test_nothing_kept_of_these_rules_that_still_loads_is_an_error(rules: Path, keep: Path) -> None:
    write(rules, {"r.yaml": "x: 1"})
    other = write(rules.parent / "other", {"r.yaml": rule(name="one", source="eu")})
    needy = rule().replace("type: harbor", "type: harbor, " + CREDENTIAL)

    with pytest.raises(RulesError, match="unknown key"):
        RuleBook(rules, {}, keep=keep)
    RuleBook(other, {}, keep=keep)
    with pytest.raises(RulesError, match="unknown key"):
        RuleBook(rules, {}, keep=keep)
    RuleBook(write(rules, {"r.yaml": needy}), {"KEY": "v"}, keep=keep)
    write(rules, {"r.yaml": "x: 1"})
    with pytest.raises(RulesError, match="unknown key"):
        RuleBook(rules, {}, keep=keep)
    keep.write_text("half a f")
    with pytest.raises(RulesError, match="unknown key"):
        RuleBook(rules, {"KEY": "v"}, keep=keep)


def test_what_is_kept_is_its_owners_alone_and_holds_no_expanded_secret(rules: Path, keep: Path) -> None:
    text = rule().replace("type: harbor", "type: harbor, " + CREDENTIAL)

    RuleBook(write(rules, {"r.yaml": text}), {"KEY": "canary"}, keep=keep)

    assert [path.name for path in keep.parent.iterdir()] == ["kept.json"]
    assert keep.stat().st_mode & 0o777 == 0o600
    assert b"canary" not in keep.read_bytes()
    assert names(RuleBook(rules, {"KEY": "canary"}, keep=keep)) == ["r"]


def test_a_place_that_cannot_be_written_keeps_nobody_from_working(
    rules: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data").write_text("not a directory")

    book = RuleBook(write(rules, {"r.yaml": rule(name="one")}), {}, keep=tmp_path / "data" / "kept.json")

    assert names(book) == ["one"]
    assert [item.message for item in caplog.records if item.levelname == "WARNING"] == ["rules not kept"]

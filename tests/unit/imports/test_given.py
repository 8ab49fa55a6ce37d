"""Other tools' files as values that know where they stand."""

from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.imports import read
from tests.unit.imports.kit import given


def test_values_are_what_the_file_spells() -> None:
    found = given("tags: [1.10, 007, no, latest]\nempty:\n")

    assert [each.text() for each in found.items_of("tags")] == ["1.10", "007", "no", "latest"]
    assert found.get("empty") is None


def test_anchors_aliases_and_merge_keys_are_followed() -> None:
    found = given("x: &x {a: 1, b: 2}\ny: &y {c: 3}\none: {<<: [*x, *y], b: 4}\nall: *x\n")

    assert {key: each.text() for key, each in found.need("one").mapping().items()} == {
        "a": "1",
        "b": "4",
        "c": "3",
    }
    assert found.need("all").text_of("a") == "1"


def test_json_is_read_as_json() -> None:
    found = given('{"a": [true, null, 5],\t"b": "x"}')

    assert found.items_of("a")[0].flag()
    assert found.items_of("a")[2].number() == 5
    assert found.text_of("b") == "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "o.yaml:2: not YAML: "),
        ("{a: [1", "o.yaml:1: neither JSON nor YAML: "),
        ("", "o.yaml: holds nothing"),
        ("a: 1\na: 2", "o.yaml:2: the key 'a' is there twice"),
        ('{"a": 1, "a": 2}', "o.yaml: a key is there twice in one object"),
        ("a: {[1]: 2}", "o.yaml:1: a key must be text"),
        ("a: &a {b: *a}", "o.yaml:1: nested more than 32 levels deep"),
        ("a: &a {<<: *a}", "o.yaml:1: nested more than 32 levels deep"),
        ("a: " + "[" * 5000 + "]" * 5000, "o.yaml:1: nested more than 32 levels deep"),
        ("[" * 100_000, "o.yaml: "),
        ("a: " + "x" * (4 * 1024 * 1024), "o.yaml: larger than 4 MiB"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(text, "o.yaml")

    assert str(caught.value).startswith(message)


def test_a_small_file_that_would_become_large_is_refused() -> None:
    lines = ["a0: &a0 [" + ",".join("1" * 9) + "]"]
    lines += [f"a{i}: &a{i} [" + ",".join([f"*a{i - 1}"] * 9) + "]" for i in range(1, 8)]

    with pytest.raises(ConfigError, match="more than 100000 values"):
        given("\n".join(lines))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda top: top.need("secret").items(), "o.yaml:2: secret: expected a list, found something else"),
        (
            lambda top: top.need("secret").mapping(),
            "o.yaml:2: secret: expected a mapping, found something else",
        ),
        (
            lambda top: top.need("secret").flag(),
            "o.yaml:2: secret: expected true or false, found something else",
        ),
        (
            lambda top: top.need("secret").number(),
            "o.yaml:2: secret: expected a number, found something else",
        ),
        (lambda top: top.need("list").text(), "o.yaml:3: list: expected a text, found a list"),
        (
            lambda top: top.need("list").items()[0].text(),
            "o.yaml:3: list[0]: expected a text, found a mapping",
        ),
        (lambda top: top.need("gone"), "o.yaml:1: gone is missing"),
    ],
)
def test_a_value_of_another_kind_is_refused_without_being_shown(ask: object, message: str) -> None:
    found = given("a: 1\nsecret: hunter2\nlist: [{a: 1}]\n", "o.yaml")

    with pytest.raises(ConfigError) as caught:
        ask(found)  # type: ignore[operator]

    assert str(caught.value) == message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot read it: No such file or directory"):
        read(tmp_path / "nothing.yaml")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(b"a: \xff")

    with pytest.raises(ConfigError, match="raw: not UTF-8 text"):
        read(tmp_path / "raw")

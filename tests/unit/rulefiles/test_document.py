import time

import pytest

from replicator.rulefiles.document import DEPTH_LIMIT, SIZE_LIMIT_BYTES, Unquoted, parse


def messages(text: str | bytes) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    return [str(problem).removeprefix("f:") for problem in parse("f", raw).problems]


def test_values_keep_their_kind() -> None:
    document = parse("f", b'text: a\nquoted: "1.10"\nflag: true\ncount: -1\nlist: [x]\nmap: {a: b}\nnone:\n')

    assert document.value == {
        "text": "a",
        "quoted": "1.10",
        "flag": True,
        "count": -1,
        "list": ["x"],
        "map": {"a": "b"},
        "none": None,
    }
    assert document.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1.10",
            "1e3.",
            ".5",
            ".inf",
            ".nan",
            "010",
            "0x1F",
            "0b11",
            "1_000",
            "12:30:00",
            "1:30",
            "2024-01-01",
        ),
        *("no", "No", "NO", "yes", "on", "off", "=", "<<", "99999999999999999999", "2024-01-01T00:00:00Z"),
    ],
)
def test_a_value_that_is_not_what_it_looks_like_is_no_text_and_no_number(text: str) -> None:
    value = parse("f", f"a: {text}".encode()).value

    assert value in ({"a": text}, {"a": Unquoted(text)})
    assert isinstance(value["a"], Unquoted) or text == "1e3."


def test_text_that_only_resembles_a_number_is_text() -> None:
    assert parse("f", b"a: 1.2.3\nb: v1\nc: 08x\nd: '010'\ne: \"no\"").value == {
        "a": "1.2.3",
        "b": "v1",
        "c": "08x",
        "d": "010",
        "e": "no",
    }


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "\ufeff"])
def test_an_empty_file_is_no_mistake(text: str) -> None:
    document = parse("f", text.encode())

    assert (document.value, document.problems) == (None, ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: the key 'a' is already in line 1"),
        ("x: {a: 1, a: 2}\n", "1:11: the key 'a' is already in line 1"),
        (
            "a: &x {b: c}\n",
            "1:4: anchors and aliases (&name, *name) are not supported; repeat the value",
        ),
        ("a: {<<: {b: c}}\n", "1:5: merge keys (<<) are not supported; repeat the values"),
        (
            "a: !!python/object:os.system x\n",
            "1:4: the YAML tag 'tag:yaml.org,2002:python/object:os.system' is not supported",
        ),
        ("a: !secret x\n", "1:4: the YAML tag '!secret' is not supported"),
        ("a: !!set {x, y}\n", "1:4: the YAML tag 'tag:yaml.org,2002:set' is not supported"),
        ("a: !!binary aGk=\n", "1:4: the YAML tag 'tag:yaml.org,2002:binary' is not supported"),
        ("no: 1\n", '1:1: a key must be text; write it in quotes: "no"'),
        ("1: 1\n", '1:1: a key must be text; write it in quotes: "1"'),
        ("? [a]\n: 1\n", "1:3: a key must be text"),
        ("a: 1\n---\nb: 1\n", "2:1: a second document (---) in one file; put it in a file of its own"),
        ("a:\n\tb: 1\n", "2:1: not YAML: the line is indented with a tab; YAML wants spaces"),
        ("a: *\n", "1:5: not YAML: a value that begins with * must be in quotes"),
        ("a: @x\n", "1:4: not YAML: a value that begins with @ must be in quotes"),
        ("a: [!v]*\n", "1:7: not YAML: a value that begins with ! must be in quotes"),
        ("a: b: c\n", "1:5: not YAML: a colon where none may be: wrong indentation, or a value that must be in quotes"),
        ("a: [b\n", "2:1: not YAML: while parsing a flow sequence: did not find expected ',' or ']'"),
        ("a: \x01\n", "1:4: a control character, which YAML does not allow"),
        (b"a: b\nc: d\xff\n", "2:5: the file is not UTF-8 text from here on"),
        (b"\xef\xbb\xbf#\xff", "1:2: the file is not UTF-8 text from here on"),
        (
            "a: é\nb: ééé: x\n",
            "2:7: not YAML: a colon where none may be: wrong indentation, or a value that must be in quotes",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_once_and_at_its_place(text: str | bytes, expected: str) -> None:
    assert messages(text) == [expected]


def test_every_duplicate_key_is_told_and_the_first_one_counts() -> None:
    document = parse("f", b"a: 1\nb: 1\na: 2\nb: 2\n")

    assert [problem.line for problem in document.problems] == [3, 4]
    assert document.value == {"a": 1, "b": 1}


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    levels = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]

    assert messages("\n".join(["a0: &a0 [x]", *levels]))[0].startswith("1:5: anchors and aliases")


def test_depth_is_bounded() -> None:
    fits, too_deep = ("a: " + "[" * depth + "]" * depth for depth in (DEPTH_LIMIT - 1, DEPTH_LIMIT))

    assert messages(fits) == []
    assert messages(too_deep) == [f"1:{3 + DEPTH_LIMIT}: nested more than {DEPTH_LIMIT} levels deep"]


@pytest.mark.parametrize(
    "text", ["[" * 900_000, "- " * 400_000, "? " * 400_000, "{a: " * 200_000, "a: " + "[]," * 300_000]
)
def test_hostile_files_end_quickly(text: str) -> None:
    begun = time.monotonic()

    assert len(messages(text)) == 1
    assert time.monotonic() - begun < 5


def test_size_is_bounded() -> None:
    assert messages(b"# " + b"x" * (SIZE_LIMIT_BYTES - 2)) == []
    assert messages(b"# " + b"x" * (SIZE_LIMIT_BYTES - 1)) == ["1:1: the file is larger than 1 MiB"]


def test_the_number_of_values_is_bounded() -> None:
    assert "more than 100000 values" in messages("a: [" + "[]," * 100_000 + "]")[0]


def test_places_are_found_by_path() -> None:
    document = parse("f", b"a:\n  - b: c\n    d: {e: f}\nempty:\n")

    assert str(document.problem(("a", 0, "b"), "x")) == "f:2:8: x"
    assert str(document.problem(("a", 0, "b"), "x", of_key=True)) == "f:2:5: x"
    assert str(document.problem(("a", 0, "d", "e"), "x")) == "f:3:12: x"
    assert str(document.problem(("a", 0), "x")) == "f:2:5: x"
    assert str(document.problem(("empty",), "x")) == "f:4:1: x"
    assert str(document.problem((), "x")) == "f:1:1: x"


def test_what_a_path_names_in_vain_is_skipped() -> None:
    document = parse("f", b"a: {b: c}\n")

    assert str(document.problem(("a", "absent", "b"), "x")) == "f:1:8: x"
    assert str(document.problem(("absent",), "x")) == "f:1:1: x"
    assert str(document.problem(("a", 7), "x")) == "f:1:4: x"


def test_a_scalar_is_given_as_it_was_written() -> None:
    document = parse("f", b"a: 1.10\nb: [x]\n")

    assert document.written(("a",)) == "1.10"
    assert document.written(("b",)) is None


def test_windows_line_ends_are_line_ends() -> None:
    assert parse("f", b"a: b\r\nc: d\r\n").value == {"a": "b", "c": "d"}

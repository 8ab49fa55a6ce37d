"""Files that command nobody, packages that are who they say they are, and what is shown or decided elsewhere."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from replicator.rulefiles import RulesError
from replicator.rulefiles.directory import Snapshot
from replicator.rulefiles.document import parse
from replicator.rulefiles.load import build
from replicator.rules import glob_match
from replicator.rules.glob import check_asked_glob

ROOT = Path(__file__).parents[2]

ELSEWHERE = {
    "S16": "tests/chaos/test_q_messages.py::test_q12_a_worker_outlives_every_message_that_is_none_of_ours",
    "S26": "tests/integration/transfer/test_required_signatures.py"
    "::test_what_is_not_signed_well_is_parked_and_says_why",
    "S27": "tests/unit/rulefiles/test_load.py::test_two_rules_that_write_one_reference_are_a_mistake",
}

NOT_OURS = {
    "S24": "There is no container image and no chart in this repository yet: what they must say is asserted where they "
    "are made. docs/security.md names the rights that a process needs and those that it does not.",
    "S28": "Which rights a credential has at a registry is for that registry to say, and products share no API that "
    "tells it. A registry has one credential, so that deletes have none of their own; docs/security.md says which "
    "rights to give it.",
}

# S17: what YAML allows and people regret

SEXAGESIMAL, OCTAL, NORWAY = "12:30:00", "010", "no"
BOMBS = {
    "aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 9)) for c in b"bcdefghij"),
    "merge keys": b"a: &a {x: y}\nb: {<<: *a}\n",
    "a merge key alone": b"registries:\n  <<: {eu: {type: harbor}}\n",
    "a program": b"!!python/object/apply:os.system ['id']\n",
    "a Python name": b"rules: !!python/name:os.system\n",
    "depth": b"[" * 5000 + b"]" * 5000,
    "values": b"[" + b"1," * 200_000 + b"1]",
    "size": b"#" * (1024 * 1024 + 1),
    "twins": b"rules: []\nrules: []\n",
    "documents": b"---\na: 1\n---\nb: 1\n",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_s17_a_bomb_is_told_at_its_place_and_costs_nothing(bomb: str) -> None:
    began = time.thread_time()

    document = parse("f.yaml", BOMBS[bomb])

    assert document.problems
    assert all(problem.line >= 1 for problem in document.problems)
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize(
    "text", [SEXAGESIMAL, OCTAL, NORWAY, "1.10", "0x10", "2026-01-01", "yes", "~", "null"]
)
def test_s17_what_is_read_as_something_else_than_it_looks_like_is_no_name(text: str) -> None:
    raw = f"rules: [{{name: {text}, source: eu, destinations: [us]}}]\n".encode()

    with pytest.raises(RulesError) as caught:
        build(Snapshot(Path(), {"f.yaml": raw}), {})

    assert any(problem.line == 1 and "name" in problem.message for problem in caught.value.problems)


# S18: no pattern takes longer than its length times that of the name

EVIL = [
    *(
        "(a+)+$",
        "*a" * 256,
        "**/" * 170,
        "{a,a}" * 100,
        "{a,b,}" * 85,
        "[a-z]*" * 85,
        "{*a,*b}" * 70,
        "?*" * 256,
    ),
    *(
        "{" * 250 + "a" + "}" * 250,
        "{a,{b,{c,}}}" * 40,
        "*/" * 255 + "b",
        "a**b" * 128,
        "[^/]*a" * 85,
        "\\*" * 256,
    ),
]


@pytest.mark.parametrize("pattern", EVIL, ids=lambda pattern: pattern[:12])
def test_s18_no_pattern_is_slow_on_any_name(pattern: str) -> None:
    names = ["a" * 255, "a" * 254 + "b", "a/" * 127 + "a", "ab" * 127, "aaaaaaaaaa/" * 23]
    # Twice, and a generous limit: other tests run beside this one. A pattern that ran away would take years.
    assert min(seconds(lambda: [glob_match(pattern, name) for name in names]) for _ in range(2)) < 0.5
    assert min(seconds(lambda: checked(pattern)) for _ in range(2)) < 0.3


def seconds(do: Callable[[], object]) -> float:
    began = time.thread_time()
    do()
    return time.thread_time() - began


def checked(pattern: str) -> None:
    with suppress(ValueError):
        check_asked_glob(pattern)


# S25: what is installed is what was locked


def test_s25_every_package_is_locked_by_version_and_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]

    assert len(entries) > 60
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==[^ ]+ ", entry), entry[:60]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:60]
    assert not re.search(r"^\s*(-e|--index|--extra-index|--find-links|https?:)", lock, re.MULTILINE)
    assert "--require-hashes -r requirements.lock" in (ROOT / "Makefile").read_text()


def test_s25_the_lock_holds_what_the_project_asks_for() -> None:
    project, lock = ((ROOT / name).read_text() for name in ("pyproject.toml", "requirements.lock"))
    asked = re.findall(r'^    "([a-z0-9-]+)(?:\[[a-z,]+\])?[><=; "]', project, re.MULTILINE)
    locked = re.findall(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==", lock, re.MULTILINE)

    assert {"celery", "redis", "schemathesis"} <= set(asked)
    assert set(asked) - {"replicator"} <= set(locked)

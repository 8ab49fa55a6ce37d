import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from replicator.rulefiles import RuleBook, RulesError
from tests.unit.rulefiles.kit import CREDENTIAL, Clock, names, rule, write


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> RuleBook:
    return RuleBook(write(tmp_path / "rules", {"r.yaml": rule(name="one")}), {}, clock=clock)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "rules"


def test_the_first_load_must_succeed(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="unknown key"):
        RuleBook(write(tmp_path, {"r.yaml": "x: 1"}), {})
    with pytest.raises(RulesError, match="cannot read"):
        RuleBook(tmp_path / "gone", {})


def test_a_change_is_taken_up_at_the_next_look(book: RuleBook, rules: Path, clock: Clock) -> None:
    before = book.loaded_at
    write(rules, {"r.yaml": rule(name="two")})

    assert names(book) == ["one"]
    clock.pass_(1)
    assert names(book) == ["two"]
    assert book.loaded_at == before + 1
    assert book.error is None


def test_new_and_deleted_files_are_changes(book: RuleBook, rules: Path, clock: Clock) -> None:
    write(rules, {"more.yaml": "rules: [{name: more, source: us, destinations: [ap]}]"})
    clock.pass_(1)
    assert names(book) == ["more", "one"]

    (rules / "more.yaml").unlink()
    clock.pass_(1)
    assert names(book) == ["one"]


def test_a_file_that_was_touched_only_is_no_change(book: RuleBook, rules: Path, clock: Clock) -> None:
    before = book.current
    os.utime(rules / "r.yaml", (1, 1))
    clock.pass_(1)

    assert book.current is before


@pytest.mark.parametrize(
    "broken",
    [
        rule()[:-9] + "[",
        "a: &a [x]\nb: [*a, *a]\n",
        rule(filters='[{type: name, value: "a["}]'),
        rule() + "rules: []\n",
        rule(source="gone"),
        rule(source="'${GONE}'"),
        "x" * (1024 * 1024 + 1),
    ],
    ids=["half a file", "alias bomb", "bad glob", "duplicate key", "unknown registry", "variable", "size"],
)
def test_a_broken_revision_never_replaces_a_working_one(
    book: RuleBook, rules: Path, clock: Clock, broken: str
) -> None:
    before, since = book.current, book.loaded_at
    write(rules, {"r.yaml": broken})
    clock.pass_(1)

    assert book.current is before
    assert book.loaded_at == since
    assert book.error is not None
    assert book.error.startswith(f"{rules}/r.yaml:")


def test_a_mended_revision_is_taken_up(book: RuleBook, rules: Path, clock: Clock) -> None:
    write(rules, {"r.yaml": "x: 1"})
    clock.pass_(1)
    assert names(book) == ["one"]
    assert book.error is not None

    write(rules, {"r.yaml": rule(name="two")})
    clock.pass_(1)
    assert names(book) == ["two"]
    assert book.error is None


def test_going_back_to_the_working_revision_clears_the_error(
    book: RuleBook, rules: Path, clock: Clock
) -> None:
    text = (rules / "r.yaml").read_text()
    write(rules, {"r.yaml": "x: 1"})
    clock.pass_(1)
    assert names(book) == ["one"]

    write(rules, {"r.yaml": text})
    clock.pass_(1)
    assert names(book) == ["one"]
    assert book.error is None


def test_one_broken_file_keeps_the_other_files_as_they_were(
    book: RuleBook, rules: Path, clock: Clock
) -> None:
    write(rules, {"r.yaml": rule(name="two"), "more.yaml": "rules: ["})
    clock.pass_(1)

    assert names(book) == ["one"]


def test_rules_that_vanish_stay_in_force(book: RuleBook, rules: Path, clock: Clock) -> None:
    (rules / "r.yaml").unlink()
    clock.pass_(1)
    assert names(book) == ["one"]
    assert book.error == f"{rules}:1:1: all rule files are gone"

    shutil.rmtree(rules)
    clock.pass_(1)
    assert names(book) == ["one"]
    assert book.error == f"{rules}:1:1: cannot read the rules directory: No such file or directory"

    write(rules, {"r.yaml": rule(name="two")})
    clock.pass_(1)
    assert names(book) == ["two"]
    assert book.error is None


def test_an_empty_file_is_an_empty_rule_set(book: RuleBook, rules: Path, clock: Clock) -> None:
    write(rules, {"r.yaml": "# no rules on purpose\n"})
    clock.pass_(1)

    assert names(book) == []
    assert book.error is None


def test_an_empty_directory_may_be_filled(tmp_path: Path, clock: Clock) -> None:
    book = RuleBook(tmp_path, {}, clock=clock)
    assert names(book) == []

    write(tmp_path, {"r.yaml": rule(name="one")})
    clock.pass_(1)
    assert names(book) == ["one"]


def test_a_config_map_that_is_swapped_is_taken_up(tmp_path: Path, clock: Clock) -> None:
    write(tmp_path, {"..1/r.yaml": rule(name="one"), "..2/r.yaml": rule(name="two")})
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "r.yaml").symlink_to("..data/r.yaml")
    book = RuleBook(tmp_path, {}, clock=clock)
    assert names(book) == ["one"]

    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    shutil.rmtree(tmp_path / "..1")
    clock.pass_(1)
    assert names(book) == ["two"]


def test_files_that_are_still_being_written_wait_until_they_settle(
    book: RuleBook, rules: Path, clock: Clock
) -> None:
    for name in ("two", "three"):
        write(rules, {"r.yaml": rule(name=name)})
        clock.pass_(1)
        os.utime(rules / "r.yaml", (clock.now, clock.now - 0.1))
        assert names(book) == ["one"]

    clock.pass_(1)
    assert names(book) == ["three"]


def test_a_clock_behind_the_files_delays_by_one_look_only(rules: Path) -> None:
    write(rules, {"r.yaml": rule(name="one")})
    clock = Clock()
    clock.now = 1000.0
    book = RuleBook(rules, {}, clock=clock)

    write(rules, {"r.yaml": rule(name="two")})
    clock.pass_(1)
    assert names(book) == ["one"]
    clock.pass_(1)
    assert names(book) == ["two"]


def test_what_is_missing_outside_of_the_rule_files_is_tried_again(
    book: RuleBook, rules: Path, clock: Clock, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    text = rule(name="two").replace("secret: s}", f"secret_file: {secret}}}", 1)
    write(rules, {"r.yaml": text})
    clock.pass_(1)
    assert names(book) == ["one"]
    assert "cannot read the secret file" in str(book.error)

    secret.write_text("s")
    clock.pass_(5)
    assert names(book) == ["two"]


def test_warnings_are_those_of_the_rules_in_force(book: RuleBook, rules: Path, clock: Clock) -> None:
    assert book.warnings == []

    write(rules, {"r.yaml": rule(source="ap")})
    clock.pass_(1)
    assert names(book) == ["r"]
    assert ["webhook secret" in item.message for item in book.warnings] == [True]


def test_many_threads_may_ask_while_files_change(rules: Path) -> None:
    write(rules, {"r.yaml": rule(name="n0")})
    clock = Clock()
    book = RuleBook(rules, {}, clock=clock)
    stop, seen, failures = threading.Event(), set[str](), list[BaseException]()

    def ask() -> None:
        try:
            while not stop.is_set():
                seen.update(names(book))
        except RulesError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(1, 20):
        write(rules, {"r.yaml": rule(name=f"n{number}") if number % 3 else "rules: ["})
        clock.pass_(2)
        time.sleep(0.005)
    stop.set()
    for thread in threads:
        thread.join()

    assert failures == []
    clock.pass_(2)
    assert names(book) == ["n19"]
    assert {name for name in seen if int(name[1:]) % 3 == 0} <= {"n0"}


# A fork


class Halting(Mapping[str, str]):
    """Variables that `who` does not get to see before it is let go: it stands still in the middle of a load."""

    def __init__(self) -> None:
        self.halted, self.let_go = threading.Event(), threading.Event()
        self.who: threading.Thread | None = None

    def __getitem__(self, name: str) -> str:
        if threading.current_thread() is self.who:
            self.halted.set()
            self.let_go.wait(10)
        return "value"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_a_process_that_is_forked_in_the_middle_of_a_load_takes_up_what_is_there(
    rules: Path, clock: Clock
) -> None:
    environ = Halting()
    book = RuleBook(write(rules, {"r.yaml": rule(name="one")}), environ, clock=clock)
    write(rules, {"r.yaml": rule(name="two").replace("type: harbor", "type: harbor, " + CREDENTIAL)})
    clock.pass_(1)
    environ.who = threading.Thread(target=lambda: book.current)
    environ.who.start()
    assert environ.halted.wait(5)

    pid = os.fork()
    if pid == 0:
        os._exit(0 if names(book.forked()) == ["two"] else 1)
    _, status = os.waitpid(pid, 0)
    environ.let_go.set()
    environ.who.join()

    assert status == 0

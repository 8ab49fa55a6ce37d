import json

import pytest

from replicator.drift import Difference, Kind, Twins
from replicator.errors import ConfigError
from replicator.oci import Digest, Repository, Tag
from replicator.resync import Change, LaneSum, read, written
from replicator.rules import Destination, Rule

RULE = Rule("prod", "eu", (Destination("us"),))
TWINS = Twins(RULE, "us", Repository("team/api"), Repository("team/api"))
NEW, OLD = Digest.of(b"new"), Digest.of(b"old")
LANE = LaneSum(
    rule="prod",
    source="eu",
    destination="us",
    compared=3,
    kinds={Kind.ADD: 1},
    drift=1,
    bytes=5,
    seconds=None,
    complete=True,
)


def change(tag: str, *, size_bytes: int = 5, found: Digest | None = None) -> Change:
    kind = Kind.UPDATE if found else Kind.ADD
    return Change.of(Difference(TWINS, Tag(tag), kind, NEW, found, is_drift=True, size_bytes=size_bytes))


def text(*changes: Change, troubles: list[str] | None = None) -> str:
    return "\n".join(written(changes, revision="r1", ending=lambda: ([LANE], troubles or [])))


def test_a_plan_is_read_back_as_it_was_written() -> None:
    document = read(text(change("v1"), change("v2", found=OLD)), "plan.json")

    assert document.changes == [change("v1"), change("v2", found=OLD)]
    assert document.lanes == [LANE]
    assert document.rules == "r1"


def test_an_empty_plan_is_a_plan() -> None:
    assert read(text(), "plan.json").changes == []


def test_the_hash_does_not_depend_on_order_or_cost() -> None:
    one = read(text(change("v1"), change("v2")), "one").hash
    other = read(text(change("v2", size_bytes=99), change("v1")), "other").hash

    assert one == other
    assert one != read(text(change("v1"), change("v3")), "third").hash
    assert one != read(text(change("v1"), change("v2", found=OLD)), "fourth").hash


def test_a_plan_that_somebody_changed_is_refused() -> None:
    document = json.loads(text(change("v1"), change("v2")))
    del document["changes"][0]

    with pytest.raises(ConfigError, match="not those that its hash was made of"):
        read(json.dumps(document), "plan.json")


@pytest.mark.parametrize("broken", ["", "[]", "{}", text(change("v1"))[:-20], '{"version": 2}'])
def test_what_is_no_plan_is_refused(broken: str) -> None:
    with pytest.raises(ConfigError, match=r"plan\.json: not a plan"):
        read(broken, "plan.json")


def test_a_plan_of_a_world_that_could_not_be_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="incomplete: us does not answer"):
        read(text(change("v1"), troubles=["us does not answer"]), "plan.json")


def test_what_a_resync_does_something_about() -> None:
    assert change("v1").is_action
    assert not Change.of(Difference(TWINS, Tag("v1"), Kind.BLOCKED, NEW, OLD, is_drift=True)).is_action

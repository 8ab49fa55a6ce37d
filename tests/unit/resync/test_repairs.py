"""What a comparison that nobody asked for has done: counted, and careful with deletes."""

from collections.abc import Iterable

import pytest

from replicator.drift import Difference, Kind, Twins
from replicator.oci import Digest, Repository, Tag
from replicator.resync.enqueue import Wanted
from replicator.resync.repairs import Repairs
from replicator.resync.tally import Lane, Tally
from replicator.resync.tools import Trouble
from replicator.rules import Destination, Rule

LANE = ("prod", "us")
RULE = Rule("prod", "eu", (Destination("us"),), deletion=True)
DIGEST = Digest("sha256:" + "a" * 64)


def found(kind: Kind, *tags: str, detail: str = "") -> list[Difference]:
    twins = Twins(RULE, "us", Repository("team/api"), Repository("team/api"))
    return [Difference(twins, Tag(tag), kind, None, DIGEST, detail) for tag in tags]


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def repaired(
    *differences: Difference | Trouble, caught_up: Iterable[tuple[str, str]] = (LANE,)
) -> tuple[dict[str, Wanted], list[str]]:
    """The wanted jobs by tag, and what was held back."""
    tally = Tally({LANE: Lane("eu")})
    repairs = Repairs(tally, set(caught_up))
    jobs = {str(item.job.reference): item for item in repairs.jobs(tally.counted(differences))}
    return jobs, repairs.held_back


def test_what_differs_is_brought_in_line_and_was_lost() -> None:
    differing = (*found(Kind.ADD, "new"), *found(Kind.UPDATE, "moved"), *found(Kind.DELETE, "gone"))

    jobs, held_back = repaired(*differing, *found(Kind.IN_SYNC, "same"))

    assert {tag: (item.is_absent, item.was_lost) for tag, item in jobs.items()} == {
        "new": (True, True),
        "moved": (False, True),
        "gone": (False, True),
    }
    assert held_back == []


@pytest.mark.parametrize(
    "kind", [Kind.IN_SYNC, Kind.CONFLICT, Kind.KEPT, Kind.OWN, Kind.EXTRA, Kind.BLOCKED, Kind.SKIPPED]
)
def test_what_is_to_stay_as_it_is_gets_no_job(kind: Kind) -> None:
    assert repaired(*found(kind, "v1")) == ({}, [])


def test_what_a_lane_never_had_is_not_lost() -> None:
    jobs, _ = repaired(
        *found(Kind.ADD, "old"), *found(Kind.DELETE, "gone"), *found(Kind.IN_SYNC, "v1"), caught_up=()
    )

    assert {tag: item.was_lost for tag, item in jobs.items()} == {"old": False, "gone": False}


@pytest.mark.parametrize(
    ("there", "gone", "is_done"),
    [(1, 10, True), (1, 11, False), (400, 21, True), (400, 22, False), (0, 1, True), (0, 2, False)],
    ids=["ten", "more", "a twentieth", "more than that", "all of one", "all of two"],
)
def test_many_deletes_at_once_wait_for_a_person(there: int, gone: int, is_done: bool) -> None:
    jobs, held_back = repaired(
        *found(Kind.IN_SYNC, *names("v", there)), *found(Kind.DELETE, *names("gone", gone))
    )

    assert len(jobs) == (gone if is_done else 0)
    told = f"prod: us: {gone} deletes that nobody told of are not carried out: so many want a person's"
    assert [sentence.startswith(told) for sentence in held_back] == ([] if is_done else [True])


def test_what_strangers_have_there_does_not_show_that_the_source_is_there() -> None:
    jobs, held_back = repaired(*found(Kind.DELETE, "v1", "v2"), *found(Kind.EXTRA, *names("theirs", 5)))

    assert jobs == {}
    assert held_back


def test_nothing_is_deleted_where_something_could_not_be_read() -> None:
    jobs, held_back = repaired(
        *found(Kind.IN_SYNC, "v1"),
        *found(Kind.DELETE, "gone"),
        *found(Kind.ADD, "new"),
        Trouble("eu answered 500", (LANE,)),
    )

    assert list(jobs) == ["new"]
    assert held_back == [
        "prod: us: 1 deletes that nobody told of are not carried out: not everything could be read"
    ]


def test_what_has_had_its_time_goes_however_much_it_is_and_was_not_lost() -> None:
    jobs, held_back = repaired(*found(Kind.DELETE, *names("v", 30), detail="keep last 10"))

    assert len(jobs) == 30
    assert not any(item.was_lost for item in jobs.values())
    assert held_back == []

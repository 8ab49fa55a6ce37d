import pytest

from replicator.ledger import Habit
from replicator.rules import RegistryType
from replicator.transfer.ways import (
    CHUNK_BYTES,
    MIB,
    PRECIOUS_BYTES,
    RESUMABLE_BYTES,
    Blob,
    after_too_large,
    chunk_bytes,
    is_keepable,
)

SLOW, FAST = 5.0 * MIB, 200.0 * MIB
NOTHING = Habit()


def blob(
    size_bytes: int = 64 * MIB,
    kind: RegistryType = RegistryType.DISTRIBUTION,
    habit: Habit = NOTHING,
    *,
    least_bytes: int = 0,
    was_cut: bool = False,
) -> Blob:
    return Blob(size_bytes, kind, habit, least_bytes, was_cut)


@pytest.mark.parametrize(
    ("described", "bytes_per_s", "expected"),
    [
        (blob(0), SLOW, None),
        (blob(RESUMABLE_BYTES - 1), SLOW, None),
        (blob(RESUMABLE_BYTES), SLOW, CHUNK_BYTES),
        (blob(), FAST, None),
        (blob(), None, None),
        (blob(PRECIOUS_BYTES - 1), FAST, None),
        (blob(PRECIOUS_BYTES), FAST, CHUNK_BYTES),
        (blob(PRECIOUS_BYTES), None, CHUNK_BYTES),
        (blob(was_cut=True), FAST, CHUNK_BYTES),
        (blob(RESUMABLE_BYTES - 1, was_cut=True), FAST, None),
        (blob(habit=Habit(is_whole_only=True)), SLOW, None),
        (blob(kind=RegistryType.GAR), SLOW, None),
        (blob(PRECIOUS_BYTES, RegistryType.ECR), SLOW, None),
        (blob(kind=RegistryType.GHCR), SLOW, 4 * MIB),
        (blob(habit=Habit(body_limit_bytes=MIB)), FAST, MIB),
        (blob(MIB, habit=Habit(body_limit_bytes=MIB)), FAST, None),
        (blob(MIB + 1, habit=Habit(body_limit_bytes=MIB)), None, MIB),
        (blob(least_bytes=5 * MIB), SLOW, 5 * MIB),
        (blob(least_bytes=MIB), SLOW, CHUNK_BYTES),
        (blob(least_bytes=1 << 40), SLOW, None),
        (blob(RESUMABLE_BYTES, least_bytes=RESUMABLE_BYTES), SLOW, None),
    ],
)
def test_size_registry_and_pace_decide(
    described: Blob, bytes_per_s: float | None, expected: int | None
) -> None:
    assert chunk_bytes(described, bytes_per_s) == expected


def test_what_was_too_large_is_tried_smaller_until_it_is_not_worth_it() -> None:
    habit: Habit | None = NOTHING
    tried = [64 * MIB]

    while habit := after_too_large(habit or NOTHING, tried[-1]):
        assert habit.body_limit_bytes
        tried.append(habit.body_limit_bytes)

    assert tried == [64 * MIB, CHUNK_BYTES, MIB, MIB // 4]


def test_a_smaller_limit_follows_from_the_limit_that_was_believed() -> None:
    assert after_too_large(Habit(body_limit_bytes=MIB), 64 * MIB) == Habit(body_limit_bytes=MIB // 4)


def test_who_takes_no_chunks_is_not_asked_for_smaller_ones() -> None:
    assert after_too_large(Habit(is_whole_only=True), 64 * MIB) is None


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://us.example.com/v2/a/blobs/uploads/u1?_state=abc%3D", True),
        ("https://us.example.com/v2/a/blobs/uploads/u1?X-Amz-Signature=abc", False),
        ("https://us.example.com/v2/a/blobs/uploads/u1?x=1&sig=abc", False),
        ("https://us.example.com/v2/a/blobs/uploads/u1?access_token=abc", False),
    ],
)
def test_a_location_that_lets_its_bearer_in_is_not_kept(location: str, expected: bool) -> None:
    assert is_keepable(location) is expected

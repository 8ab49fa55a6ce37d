from collections.abc import Iterator

import pytest

from replicator.transfer.sending import cut, measured
from replicator.transfer.ways import MIB


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([b"abc"], [b"abc"]),
        ([b"abcd"], [b"abcd"]),
        ([b"abcde"], [b"abcd", b"e"]),
        ([b"a", b"b", b"cdef", b"ghijk"], [b"abcd", b"efgh", b"ijk"]),
        ([b"abcdefghij"], [b"abcd", b"efgh", b"ij"]),
    ],
)
def test_bytes_are_cut_into_chunks_of_one_size(pieces: list[bytes], expected: list[bytes]) -> None:
    assert [b"".join(chunk) for chunk in cut(pieces, 4)] == expected


def test_a_chunk_that_is_cleared_takes_nothing_from_the_next() -> None:
    seen = []
    for chunk in cut([b"abc", b"def", b"g"], 2):
        seen.append(b"".join(chunk))
        chunk.clear()

    assert seen == [b"ab", b"cd", b"ef", b"g"]


def timed(seconds: list[float], now: list[float]) -> Iterator[bytes]:
    """Half a MiB after each of these waits."""
    for each in seconds:
        now[0] += each
        yield b"x" * (MIB // 2)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0.5] * 20, MIB),
        ([0.005] * 20, 100 * MIB),
        ([0.005, 2.0, 0.005, 2.0, 0.005, 0.005, 0.005, 2.0, 0.005], 100 * MIB),
        ([], 0),
    ],
    ids=["slow", "fast", "busy", "empty"],
)
def test_a_source_is_as_fast_as_in_most_windows(seconds: list[float], expected: float) -> None:
    now = [0.0]

    pieces, bytes_per_s = measured(timed(seconds, now), clock=lambda: now[0])

    assert bytes_per_s == pytest.approx(expected)
    assert sum(map(len, pieces)) == len(seconds) * MIB // 2

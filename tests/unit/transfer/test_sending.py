import pytest

from replicator.transfer.sending import cut


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

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from replicator.resync.flow import Later, flow


def leaf(number: int) -> list[int]:
    return [number]


def branch(number: int) -> list[Later[int]]:
    return [Later(partial(leaf, 10 * number + digit)) for digit in range(3)]


def test_every_step_is_done_once() -> None:
    first: list[Later[int]] = [Later(partial(branch, number)) for number in range(40)]

    assert sorted(flow(first, threads=4)) == sorted(
        10 * number + digit for number in range(40) for digit in range(3)
    )


def test_nothing_to_do_gives_nothing() -> None:
    assert list(flow([], threads=2)) == []


def test_an_error_of_a_step_comes_through() -> None:
    def broken() -> list[int]:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(flow([Later(broken)], threads=2))


def test_the_beginning_is_read_no_faster_than_its_steps_are_done() -> None:
    begun = []
    hold = threading.Event()

    def endless() -> Iterator[Later[int]]:
        number = 0
        while True:
            begun.append(number)
            yield Later(partial(waits, number))
            number += 1

    def waits(number: int) -> list[int]:
        hold.wait(5)
        return [number]

    stream = flow(endless(), threads=3)
    hold.set()
    for _ in range(10):
        next(stream)
    stream.close()  # type: ignore[attr-defined]

    assert len(begun) < 10 + 3 * 2 * 3

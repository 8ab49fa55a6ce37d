from collections.abc import Iterator

import pytest

from replicator.errors import TemporaryError
from replicator.registry.failures import Topic
from replicator.registry.pace import Pace

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_byte_a_second_is_given_up_within_a_minute() -> None:
    clock = Clock()

    def trickle() -> Iterator[bytes]:
        while True:
            clock.now += 1
            yield b"x"

    with pytest.raises(TemporaryError, match="too slow"):
        for _ in Pace(Topic("reading", "eu"), 100 * MIB, clock=clock).timed(trickle()):
            pass

    assert 30 < clock.now <= 60


def test_a_fast_start_does_not_excuse_a_stall() -> None:
    clock = Clock()

    def stalling() -> Iterator[bytes]:
        for _ in range(1000):
            clock.now += 0.1
            yield bytes(64 * 1024)
        while True:
            clock.now += 5
            yield b"x"

    with pytest.raises(TemporaryError, match="too slow"):
        for _ in Pace(Topic("reading", "eu"), 10_000 * MIB, clock=clock).timed(stalling()):
            pass

    assert clock.now < 130


def test_a_slow_taker_does_not_make_its_source_slow() -> None:
    clock, taken = Clock(), 0

    for chunk in Pace(Topic("reading", "eu"), 100, clock=clock).timed([b"x"] * 100):
        clock.now += 60
        taken += len(chunk)

    assert taken == 100


def test_a_slow_taker_is_given_up() -> None:
    clock = Clock()

    def take() -> None:
        for _ in Pace(Topic("uploading to", "eu"), MIB, clock=clock).taken([b"x"] * 100):
            clock.now += 11

    with pytest.raises(TemporaryError, match="too slow"):
        take()


def test_just_above_the_floor_ends_by_the_deadline() -> None:
    clock = Clock()

    def slow() -> Iterator[bytes]:
        while True:
            clock.now += 1
            yield bytes(8 * 1024)

    with pytest.raises(TemporaryError, match="too slow"):
        for _ in Pace(Topic("reading", "eu"), 64 * MIB, clock=clock).timed(slow()):
            pass

    assert clock.now == pytest.approx(60 + 1024, abs=2)

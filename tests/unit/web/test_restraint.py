"""Strangers fill no log."""

import logging

from replicator.web.restraint import Restraint


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_so_many_pass_in_a_second_and_the_rest_is_counted() -> None:
    clock = Clock()
    restraint = Restraint(2, clock)

    first = [restraint.before_next() for _ in range(5)]
    clock.now += 1
    later = [restraint.before_next() for _ in range(3)]

    assert first == [0, 0, None, None, None]
    assert later == [3, 0, None]


def test_as_a_filter_it_says_so_in_the_next_line() -> None:
    clock = Clock()
    restraint = Restraint(1, clock)
    records = [logging.makeLogRecord({"msg": "x"}) for _ in range(4)]

    passed = [restraint.filter(record) for record in records[:3]]
    clock.now += 1
    passed.append(restraint.filter(records[3]))

    assert passed == [True, False, False, True]
    assert [getattr(record, "left_out", 0) for record in records] == [0, 0, 0, 2]

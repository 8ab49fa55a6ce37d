from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.rules import Schedule, is_due

VIENNA = "Europe/Vienna"
NIGHTLY = Schedule("0 30 2 * * *", VIENNA)
HOURLY = Schedule("30 * * * *", VIENNA)

MINUTES = st.sampled_from(["0", "30", "*/20", "5,50", "10-12", "*"])
HOURS = st.sampled_from(["0", "1,2,3", "2", "3", "*/6", "*", "22-23"])
DAYS = st.sampled_from(
    ["* * *", "1 * *", "L * *", "29 2 *", "* * SUN", "* 3,10 0L", "13 * FRI", "? * MON-FRI"]
)
SECONDS = st.sampled_from(["", "0 ", "15 ", "*/20 ", "59 "])
CRONS = st.builds("{}{} {} {}".format, SECONDS, MINUTES, HOURS, DAYS)
ZONES = st.sampled_from(
    ["UTC", VIENNA, "America/New_York", "Asia/Kolkata", "America/Sao_Paulo", "Pacific/Apia"]
)
SCHEDULES = st.builds(Schedule, CRONS, ZONES, st.sampled_from([0.0, 0.5, 300.0, 86400.0]))
NOWS = st.integers(946_684_800, 1_900_000_000).map(float) | st.floats(946_684_800, 1_900_000_000)


def at(text: str, *, timezone: str = VIENNA, second_time: bool = False) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=second_time).timestamp()


@pytest.mark.parametrize(
    ("cron", "now", "latest", "following"),
    [
        ("30 2 * * *", "2026-11-25 12:00", "2026-11-25 02:30", "2026-11-26 02:30"),
        ("30 2 * * *", "2026-11-25 02:30", "2026-11-25 02:30", "2026-11-26 02:30"),
        ("30 2 * * *", "2026-11-25 02:29:59", "2026-11-24 02:30", "2026-11-25 02:30"),
        ("0 30 2 * * *", "2026-11-25 12:00", "2026-11-25 02:30", "2026-11-26 02:30"),
        ("15 30 2 * * *", "2026-11-25 02:30:14", "2026-11-24 02:30:15", "2026-11-25 02:30:15"),
        ("*/20 30 2 * * *", "2026-11-25 02:30:30", "2026-11-25 02:30:20", "2026-11-25 02:30:40"),
        ("*/20 30 2 * * *", "2026-11-25 02:30:50", "2026-11-25 02:30:40", "2026-11-26 02:30:00"),
        ("0 0 2 ? * MON", "2026-11-25 12:00", "2026-11-23 02:00", "2026-11-30 02:00"),
        ("0 12 29 2 *", "2026-11-25 12:00", "2024-02-29 12:00", "2028-02-29 12:00"),
        ("0 0 L * *", "2024-03-01 00:00", "2024-02-29 00:00", "2024-03-31 00:00"),
        ("0 0 13 * 5", "2026-11-12 00:00", "2026-11-06 00:00", "2026-11-13 00:00"),
    ],
)  # fmt: skip
def test_five_and_six_fields(cron: str, now: str, latest: str, following: str) -> None:
    schedule = Schedule(cron, VIENNA)

    assert schedule.latest(at(now), salt="r") == at(latest)
    assert schedule.next(at(now), salt="r") == at(following)


def test_a_time_zone_counts() -> None:
    assert Schedule("0 2 * * *").latest(at("2026-11-25 12:00"), salt="r") == at("2026-11-25 03:00")


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_the_clock_leaves_out_is_due_when_the_hour_is_over(cron: str) -> None:
    schedule = Schedule(cron, VIENNA)

    assert schedule.next(at("2026-03-28 12:00"), salt="r") == at("2026-03-29 03:00")
    assert schedule.latest(at("2026-03-29 12:00"), salt="r") == at("2026-03-29 03:00")
    assert schedule.next(at("2026-03-29 03:00"), salt="r") == at("2026-03-30 02:30")


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_comes_twice_is_due_the_first_time_alone(cron: str) -> None:
    schedule = Schedule(cron, VIENNA)
    first = at("2026-10-25 02:30")

    for now in (at("2026-10-25 02:15", second_time=True), at("2026-10-25 02:45", second_time=True)):
        assert schedule.latest(now, salt="r") == first
        assert schedule.next(now, salt="r") == at("2026-10-26 02:30")
    assert schedule.next(at("2026-10-25 02:15"), salt="r") == first


def test_what_runs_every_hour_runs_every_hour_when_clocks_change() -> None:
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-25", 24)):
        moments = [HOURLY.next(at(f"{day} 00:00"), salt="r")]
        while moments[-1] < at(f"{day} 23:00"):
            moments.append(HOURLY.next(moments[-1], salt="r"))

        assert len(moments) == hours
        assert {later - earlier for earlier, later in pairwise(moments)} == {3600}


def test_two_times_that_the_clock_leaves_out_are_one_run() -> None:
    schedule = Schedule("0,30 2,3 * * *", VIENNA)
    moment, moments = at("2026-03-29 00:00"), []
    while moment < at("2026-03-29 12:00"):
        moment = schedule.next(moment, salt="r")
        moments.append(moment)

    assert moments[:-1] == [at("2026-03-29 03:00"), at("2026-03-29 03:30")]


@given(SCHEDULES, NOWS)
def test_latest_and_next_are_neighbours(schedule: Schedule, now: float) -> None:
    latest = schedule.latest(now, salt="r")
    following = schedule.next(now, salt="r")

    assert latest <= now < following
    assert schedule.latest(latest, salt="r") == latest
    assert schedule.latest(following, salt="r") == following
    assert schedule.next(latest, salt="r") == following
    assert schedule.latest((latest + following) / 2, salt="r") == latest


@given(SCHEDULES, NOWS, st.text(max_size=9))
def test_a_jitter_stays_within_its_bound_and_before_the_next_slot(
    schedule: Schedule, now: float, salt: str
) -> None:
    bare = Schedule(schedule.cron, schedule.timezone)
    moment = schedule.latest(now, salt=salt)
    slot = bare.latest(moment, salt=salt)

    assert 0 <= moment - slot <= schedule.jitter_s
    assert moment < bare.next(slot, salt=salt)


def test_a_jitter_spreads_rules_and_is_the_same_for_everybody() -> None:
    schedule = Schedule("0 2 * * *", jitter_s=300)
    again = Schedule("0 2 * * *", jitter_s=300)
    moments = {schedule.latest(1_764_072_000.0, salt=f"rule-{number}") for number in range(200)}

    assert len(moments) == 200
    assert max(moments) - min(moments) > 250
    assert moments == {again.latest(1_764_072_000.0, salt=f"rule-{number}") for number in range(200)}


def test_a_jitter_differs_from_day_to_day() -> None:
    schedule = Schedule("0 2 * * *", jitter_s=300)

    assert len({schedule.next(86400.0 * day, salt="r") % 86400 for day in range(20000, 20010)}) == 10


@given(SCHEDULES, NOWS, st.lists(st.integers(1, 40_000), max_size=30))
def test_no_moment_is_run_twice_and_none_before_its_time(
    schedule: Schedule, start: float, steps: list[int]
) -> None:
    last = now = start
    ran = []
    for step in steps:
        now += step
        moment = is_due(schedule, last=last, now=now, salt="r")
        if moment is not None:
            assert moment <= now
            ran.append(moment)
            last = moment

    assert ran == sorted(set(ran))
    assert not steps or is_due(schedule, last=last, now=now, salt="r") is None


def test_a_run_is_due_once() -> None:
    due = at("2026-11-25 02:30")

    assert is_due(NIGHTLY, last=at("2026-11-24 02:30"), now=due - 1, salt="r") is None
    assert is_due(NIGHTLY, last=at("2026-11-24 02:30"), now=due, salt="r") == due
    assert is_due(NIGHTLY, last=due, now=due + 3600, salt="r") is None


def test_missed_runs_are_caught_up_by_one() -> None:
    now = at("2026-11-25 12:00")

    moment = is_due(NIGHTLY, last=at("2026-11-01 02:30"), now=now, salt="r")

    assert moment == at("2026-11-25 02:30")
    assert is_due(NIGHTLY, last=moment, now=now, salt="r") is None


def test_a_schedule_that_is_new_has_missed_nothing() -> None:
    assert is_due(NIGHTLY, last=None, now=at("2026-11-25 12:00"), salt="r") is None


@pytest.mark.parametrize(
    ("cron", "reason"),
    [
        ("", "wrong number of fields"),
        ("@daily", "wrong number of fields"),
        ("* * * *", "wrong number of fields"),
        ("* * * * * * *", "wrong number of fields"),
        ("60 * * * *", "bad minute"),
        ("60 * * * * *", "bad second"),
        ("* 24 * * *", "bad hour"),
        ("* * 0 * *", "bad day-of-month"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("* * * 13 *", "bad month"),
        ("* * * * 8", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("9" * 5000 + " * * * *", "a number is too large"),
    ],
)
def test_a_bad_cron_says_what_is_wrong_with_it(cron: str, reason: str) -> None:
    with pytest.raises(ValueError, match="is no cron") as caught:
        Schedule(cron)

    assert f"is no cron ({reason}); it has five fields" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_cron_that_never_comes_is_none() -> None:
    with pytest.raises(ValueError, match="names no day that ever comes"):
        Schedule("0 0 */29 2 MON#4")


@pytest.mark.parametrize("name", ["", "Europe", "Europe/Wien", "/etc/localtime", "../UTC", "\0"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone such as"):
        Schedule("* * * * *", name)


def test_a_jitter_is_not_negative() -> None:
    with pytest.raises(ValueError, match="not negative"):
        Schedule("* * * * *", jitter_s=-1)


def test_a_schedule_reads_as_it_is_written() -> None:
    assert str(NIGHTLY) == "0 30 2 * * * (Europe/Vienna)"
    assert str(Schedule("0 2 * * *", jitter_s=300)) == "0 2 * * * (UTC), up to 300 s later"

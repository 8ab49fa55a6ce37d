import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.limits import (
    QUOTA_WINDOW_MAX_S,
    WINDOW,
    Quota,
    Window,
    bytes_at_once,
    eased,
    halved,
    jobs_on_return,
    jobs_on_trial,
    look_again_s,
    quota,
    recovery_s,
    requests_at_once,
)

MIB = 1024 * 1024
HUB = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "3;w=21600"}


def test_a_window_is_halved_down_to_one() -> None:
    assert [halved(size) for size in (32, 9, 2, 1)] == [16, 4, 1, 1]


def test_a_window_grows_by_one_a_second_once_its_pause_is_over() -> None:
    window = Window(8, since=100.0)

    assert [window.at(now, WINDOW) for now in (95.0, 100.0, 100.9, 101.0, 110.5)] == [8, 8, 8, 9, 18]


def test_a_window_never_grows_beyond_what_the_registry_bears() -> None:
    assert Window(8, since=0.0).at(1e9, 10) == 10


@given(st.integers(1, 1000), st.integers(1, 1000))
def test_a_window_is_whole_again_when_its_recovery_is_over(size: int, most: int) -> None:
    cut = halved(min(size, most))

    assert Window(cut, since=0.0).at(recovery_s(cut, most), most) == most
    assert recovery_s(most, most) == 0


@given(st.integers(1, 1000), st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
def test_a_window_only_grows_as_time_goes_by(size: int, moments: list[float]) -> None:
    earlier, later = sorted(moments)

    assert 1 <= Window(size, 10.0).at(earlier, 1000) <= Window(size, 10.0).at(later, 1000) <= 1000


def test_a_registry_that_came_back_is_given_twice_as_much_each_second() -> None:
    assert [jobs_on_return(back_s) for back_s in (-1.0, 0.0, 0.9, 1.0, 2.5, 3.0, 1e9)] == [
        1,
        1,
        1,
        2,
        4,
        8,
        2**20,
    ]


def test_a_registry_on_trial_is_given_one_job_and_one_more_where_that_takes_long() -> None:
    assert [jobs_on_trial(tried_s) for tried_s in (-1.0, 0.0, 44.9, 45.0, 100.0)] == [1, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [(1, (1, 1)), (2, (2, 1)), (4, (3, 1)), (8, (3, 2)), (64, (3, 21)), (2**20, (3, 25))],
)
def test_so_many_jobs_are_spread_over_doorbells(jobs: int, expected: tuple[int, int]) -> None:
    assert eased(jobs, doorbells=3, most=25) == expected


def test_where_there_is_no_place_nothing_is_eased() -> None:
    assert eased(8, doorbells=0, most=25)[0] == 0


@given(st.integers(1, 2**20), st.integers(1, 64), st.integers(1, 25))
def test_no_more_jobs_run_than_may(jobs: int, doorbells: int, most: int) -> None:
    bells, each = eased(jobs, doorbells=doorbells, most=most)

    assert 1 <= bells * each <= jobs
    assert bells <= doorbells
    assert each <= most


def test_a_portion_is_a_tenth_of_a_second_within_bounds() -> None:
    assert [requests_at_once(rate) for rate in (1, 9, 50, 1000)] == [1, 1, 5, 100]
    assert [bytes_at_once(rate) for rate in (64 * 1024, 5 * MIB, 500 * MIB)] == [64 * 1024, MIB // 2, MIB]


def test_who_stands_far_behind_looks_less_often() -> None:
    assert [look_again_s(place) for place in (0, 1, 4, 1000)] == [0.02, 0.04, 0.1, 0.25]


def test_the_quota_of_docker_hub_is_read() -> None:
    assert quota(HUB) == Quota(limit=100, remaining=3, window_s=21600)
    assert quota({**HUB, "ratelimit-remaining": "0 ; w=21600"}) == Quota(100, 0, 21600)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ratelimit-limit": "100;w=21600"},
        {"ratelimit-remaining": "3;w=21600"},
        {**HUB, "ratelimit-remaining": "3"},
        {**HUB, "ratelimit-remaining": "-3;w=21600"},
        {**HUB, "ratelimit-remaining": "101;w=21600"},
        {**HUB, "ratelimit-remaining": "3;w=60"},
        {**HUB, "ratelimit-remaining": "3;w=21600, 5;w=60"},
        {**HUB, "ratelimit-remaining": "\u0663;w=21600"},
        {**HUB, "ratelimit-remaining": "9" * 5000 + ";w=21600"},
        {**HUB, "ratelimit-remaining": "3;w=21600\n"},
        {"ratelimit-limit": "0;w=21600", "ratelimit-remaining": "0;w=21600"},
        {"ratelimit-limit": "100;w=0", "ratelimit-remaining": "3;w=0"},
        {f"ratelimit-{name}": f"3;w={QUOTA_WINDOW_MAX_S + 1}" for name in ("limit", "remaining")},
    ],
)
def test_a_quota_that_makes_no_sense_is_none(headers: dict[str, str]) -> None:
    assert quota(headers) is None


def test_work_that_can_wait_leaves_the_last_fifth_of_a_quota_alone() -> None:
    assert Quota(100, 20, 21600).rest_s == 0
    assert Quota(100, 3, 21600).rest_s == 0.17 * 21600
    assert Quota(100, 19, 60).rest_s == 60
    assert Quota(1, 0, 21600).rest_s == 0.2 * 21600

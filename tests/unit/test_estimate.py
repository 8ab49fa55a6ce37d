import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.estimate import Measured


def measured(*copies: tuple[float, float]) -> Measured:
    """Copies of (bytes, seconds)."""
    return Measured(
        len(copies),
        sum(size for size, _ in copies),
        sum(seconds for _, seconds in copies),
        sum(size**2 for size, _ in copies),
        sum(size * seconds for size, seconds in copies),
    )


def test_nothing_measured_gives_no_estimate() -> None:
    assert Measured().estimate_s(5, 5, at_once=1) is None


def test_a_copy_and_a_byte_each_have_their_price() -> None:
    sums = measured((0, 1.0), (100, 2.0), (200, 3.0))

    assert sums.estimate_s(10, 1000, at_once=1) == pytest.approx(10 * 1.0 + 1000 * 0.01)
    assert sums.estimate_s(10, 1000, at_once=4) == pytest.approx(5.0)


def test_copies_of_one_size_are_priced_by_number() -> None:
    assert measured((100, 2.0), (100, 4.0)).estimate_s(3, 100, at_once=1) == pytest.approx(9.0)


def test_copies_that_cost_less_than_nothing_without_bytes_are_priced_by_byte() -> None:
    assert measured((100, 1.0), (200, 3.0)).estimate_s(7, 150, at_once=1) == pytest.approx(2.0)


@given(
    st.lists(st.tuples(st.integers(0, 10**10), st.floats(0, 1e4)), min_size=1),
    st.integers(0, 10**6),
    st.integers(0, 10**13),
)
def test_no_estimate_is_negative(copies: list[tuple[float, float]], count: int, size: int) -> None:
    estimate = measured(*copies).estimate_s(count, size, at_once=1)

    assert estimate is not None
    assert estimate >= 0

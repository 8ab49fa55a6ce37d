"""The failures and the attacks that must lose, corrupt and reveal nothing, by the IDs that their tests carry.

`test_r2_...` in `tests/chaos` is the test of R2, `test_s6_...` in `tests/security` that of S6. What another test shows
already stands in its module's `ELSEWHERE`, as `path::name` of that test; what does not apply in its `NOT_OURS`, with
the reason.
"""

FAILURES = {
    "R": 12,  # receiving
    "Q": 17,  # queue and workers
    "C": 18,  # copying
    "D": 8,  # rules and deletes
    "A": 4,  # regions that send to each other
    "S": 30,  # security
}


def all_ids() -> set[str]:
    """Every ID, as `R2`."""
    return {f"{letter}{number}" for letter, last in FAILURES.items() for number in range(1, last + 1)}

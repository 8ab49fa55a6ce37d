"""What registries bear, decided from values alone: how much to ask for at once, how many requests may run at once after
a registry asked for fewer, and what its headers say of the rest of a quota.

Requests at once follow TCP (RFC 5681): an answer 429 halves the window once, however many answers say so together, and
from the end of the pause that was asked for it grows by one request a second, until it is what it was before.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

RETRY_AFTER_DEFAULT_S = 5.0
"""How long a registry is left alone that asks for it without saying how long."""
PORTION_S = 0.1
"""A process takes what it may send within so much time in one go: it asks the ledger ten times a second at most."""
PORTION_MIN_BYTES = 64 * 1024
PORTION_MAX_BYTES = 1024 * 1024
WINDOW = 32
"""Requests at once that a registry without a limit of its own is believed to bear, once it asked for fewer."""
GROWTH_PER_S = 1.0
LINE_STEP_S, LINE_CAP_S = 0.02, 0.25
RESERVE = 0.2
"""The share of a quota that is kept for what cannot wait."""
REST_MIN_S = 60.0
QUOTA_WINDOW_MAX_S = 7 * 86_400

PROBE_S = 45.0
"""How long the job may take that first tries a registry which was away: longer than a registry may hang."""
DOUBLES_IN_S = 1.0
"""How soon a registry that came back is given twice as much to do."""

_QUOTA = re.compile(r"([0-9]{1,9}) *; *w=([0-9]{1,9})\Z")


@dataclass(frozen=True, slots=True)
class Window:
    """How many requests may run at once: `size` at the moment `since`, which may be yet to come, then more."""

    size: int
    since: float

    def at(self, now: float, most: int) -> int:
        """How many may run `now`, at `most`."""
        grown = int(max(0.0, now - self.since) * GROWTH_PER_S)
        return max(1, min(most, self.size + grown))


def halved(window: int) -> int:
    """The window after the registry asked for fewer."""
    return max(1, window // 2)


def recovery_s(window: int, most: int) -> float:
    """Seconds in which a window grows until it is no limit any more."""
    return max(0, most - window) / GROWTH_PER_S


def jobs_on_trial(tried_for_s: float) -> int:
    """How many jobs may run at once at a registry that may be tried again, since so long, and of which none is done.

    One that did not fail in time does not hang, but may have much to bring, and others wait behind it.
    """
    return 1 + int(max(0.0, tried_for_s) // PROBE_S)


def jobs_on_return(back_for_s: float) -> int:
    """How many jobs may run at once at a registry that answers again, since so long: 1, 2, 4 and so on."""
    return int(2 ** min(20, max(0.0, back_for_s) // DOUBLES_IN_S))


def eased(jobs: int, *, doorbells: int, most: int) -> tuple[int, int]:
    """How many doorbells may be out at once, and of how many jobs each, so that no more than `jobs` run."""
    bells = min(doorbells, jobs)
    return bells, min(most, max(1, jobs // max(1, bells)))


def requests_at_once(requests_per_second: int) -> int:
    """How many requests a process takes out of a second's in one go."""
    return max(1, int(requests_per_second * PORTION_S))


def bytes_at_once(bandwidth: int) -> int:
    """How many bytes a process takes out of a second's in one go."""
    return min(PORTION_MAX_BYTES, max(PORTION_MIN_BYTES, int(bandwidth * PORTION_S)))


def look_again_s(place: int) -> float:
    """How long who has so many before it in the line for a request waits before it looks again."""
    return min(LINE_CAP_S, LINE_STEP_S * (place + 1))


@dataclass(frozen=True, slots=True)
class Quota:
    """So many requests of `limit` in any `window_s` seconds `remain`, as Docker Hub says with each manifest."""

    limit: int
    remaining: int
    window_s: int

    @property
    def rest_s(self) -> float:
        """How long work that can wait leaves what remains to work that cannot; 0 while there is enough for both.

        The time in which, evenly spread, as many come back as are missing from the reserve.
        """
        missing = self.limit * RESERVE - self.remaining
        if missing <= 0:
            return 0.0
        return max(REST_MIN_S, missing / self.limit * self.window_s)


def quota(headers: Mapping[str, str]) -> Quota | None:
    """What `RateLimit-Limit: 100;w=21600` and `RateLimit-Remaining: 3;w=21600` say; None for all else, such as figures
    that contradict each other or a window that nobody has.
    """
    remaining = headers.get("ratelimit-remaining")
    if remaining is None:
        return None
    left, most = _QUOTA.match(remaining), _QUOTA.match(headers.get("ratelimit-limit", ""))
    if not left or not most or left[2] != most[2]:
        return None
    found = Quota(int(most[1]), int(left[1]), int(most[2]))
    is_sound = 0 < found.limit >= found.remaining and 0 < found.window_s <= QUOTA_WINDOW_MAX_S
    return found if is_sound else None

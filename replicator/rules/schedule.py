"""When a scheduled rule runs: cron, a time zone, and a jitter on which the whole fleet agrees.

A *slot* is a time that the cron names. A *moment* is when its run is due: the slot and a jitter, which never reaches
the next slot. So slots and moments have the same order, and every slot has one run.

Where clocks change, a cron that names hour and minute keeps to the clock on the wall, as Debian's cron does: what falls
into the hour that is left out is due when that is over, and what falls into the hour that comes twice is due the first
time. One with `*` as its hour or minute goes on with the time that passes. Seconds are kept apart from the rest, so
that a cron of six fields behaves as one of five does.
"""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import takewhile
from math import floor
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

_FORM = "it has five fields (minute, hour, day, month, weekday), or six with the seconds first"
_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron of five fields, or of six with the seconds first, in a time zone. All times are seconds since the epoch.

    Raises ValueError if the cron is none or never comes, if there is no such time zone, or if the jitter is negative.
    """

    cron: str
    timezone: str = "UTC"
    jitter_s: float = 0.0

    def __post_init__(self) -> None:
        check_cron(self.cron)
        check_timezone(self.timezone)
        if self.jitter_s < 0:
            raise ValueError("a jitter is not negative")

    def latest(self, now: float, *, salt: str) -> float:
        """The newest moment up to `now`. `salt` tells schedules apart that are written alike: the rule's name, say."""
        slot = self._slot_until(now)
        moment = self._moment(slot, salt)
        return moment if moment <= now else self._moment(self._slot_until(slot - 1), salt)

    def next(self, now: float, *, salt: str) -> float:
        """The first moment after `now`."""
        moment = self._moment(self._slot_until(now), salt)
        return moment if moment > now else self._moment(self._slot_after(now), salt)

    def __str__(self) -> str:
        jitter = f", up to {self.jitter_s:g} s later" if self.jitter_s else ""
        return f"{self.cron} ({self.timezone}){jitter}"

    def _moment(self, slot: float, salt: str) -> float:
        # A hash, not a dice: whoever asks, and however often, the slot has one moment.
        known = hashlib.blake2b(f"{salt}|{slot:.0f}".encode(), digest_size=6).digest()
        share = int.from_bytes(known) / 2.0**48
        return slot + share * min(self.jitter_s, self._slot_after(slot) - slot)

    def _slot_until(self, now: float) -> float:
        minute = self._minute_until(now)
        seconds = _parsed(self.cron).seconds
        count = bisect_right(seconds, now - minute)
        return minute + seconds[count - 1] if count else self._minute_until(minute - 1) + seconds[-1]

    def _slot_after(self, now: float) -> float:
        minute = self._minute_until(now)
        seconds = _parsed(self.cron).seconds
        count = bisect_right(seconds, now - minute)
        return minute + seconds[count] if count < len(seconds) else self._minute_after(now) + seconds[0]

    def _minute_until(self, now: float) -> float:
        # Going back, cronsim forgets the first of two hours that look alike. Going on from there finds it.
        back = next(CronSim(_parsed(self.cron).minutes, self._at(floor(now) + 1), reverse=True))
        onward = (found.timestamp() for found in CronSim(_parsed(self.cron).minutes, back))
        return max([back.timestamp(), *takewhile(lambda found: found <= now, onward)])

    def _minute_after(self, now: float) -> float:
        onward = (found.timestamp() for found in CronSim(_parsed(self.cron).minutes, self._at(now)))
        return next(found for found in onward if found > now)

    def _at(self, now: float) -> datetime:
        zone: tzinfo = UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
        return datetime.fromtimestamp(now, zone)


def is_due(schedule: Schedule, *, last: float | None, now: float, salt: str) -> float | None:
    """The moment whose run is due, or None. `last` is the moment of the last run.

    Runs that were missed are caught up once, by the newest of them. A schedule that nobody has seen before (`last` is
    None) has missed nothing: its count begins `now`.
    """
    if last is None:
        return None
    moment = schedule.latest(now, salt=salt)
    return moment if moment > last else None


def check_cron(text: str) -> None:
    """Raise ValueError, in plain words, unless `text` is a cron that comes some day."""
    try:
        found = next(CronSim(_parsed(text).minutes, _SOME_DAY), None)
    except (CronSimError, ValueError) as exc:
        raise ValueError(f"{text[:80]!r} is no cron ({_reason(exc)}); {_FORM}") from exc
    if found is None:
        raise ValueError(f"{text[:80]!r} names no day that ever comes")


def check_timezone(name: str) -> None:
    """Raise ValueError unless `name` is a time zone of the IANA data base."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError(f"{name[:80]!r} is no time zone such as Europe/Vienna") from exc


@dataclass(frozen=True, slots=True)
class _Parsed:
    minutes: str
    """A cron of five fields."""
    seconds: tuple[int, ...]
    """The seconds within each of those minutes, sorted."""


@lru_cache(maxsize=1024)
def _parsed(text: str) -> _Parsed:
    # robfig's cron, which Harbor has, writes ? for a day or weekday that does not matter.
    fields = ["*" if field == "?" else field for field in text.split()]
    if len(fields) not in {5, 6}:
        raise CronSimError("Wrong number of fields")
    seconds = CronSim(f"{fields[0]} * * * * *", _SOME_DAY).seconds if len(fields) == 6 else {0}
    return _Parsed(" ".join(fields[-5:]), tuple(sorted(seconds)))


def _reason(exc: Exception) -> str:
    return str(exc).lower() if isinstance(exc, CronSimError) else "a number is too large"

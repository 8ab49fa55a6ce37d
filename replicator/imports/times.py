"""Go's durations and the cron lines of Go's most used library, as cron lines of ours."""

import re

from replicator.rules.schedule import check_cron, check_timezone

_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MINUTES = {each: f"*/{each} * * * *" for each in (2, 3, 4, 5, 6, 10, 12, 15, 20, 30)}
_EVEN = {
    1: "* * * * *",
    **_MINUTES,
    60: "0 * * * *",
    **{60 * each: f"0 */{each} * * *" for each in (2, 3, 4, 6, 8, 12)},
    1440: "0 0 * * *",
}
"""Intervals in minutes that a cron line keeps at all times of the day."""

Schedule = tuple[str, str, str]
"""A cron line, its time zone, and a remark where it is not what it was."""


def cron_of_interval(text: str) -> Schedule:
    """Every so often; the next shorter interval where no cron line can say it. Raises ValueError for no duration."""
    minutes = _seconds(text) / 60
    even = max((each for each in _EVEN if each <= minutes), default=1)
    remark = "" if even == minutes else f"it was every {text}, which no cron line says"
    return _EVEN[even], "UTC", remark


def cron_of_schedule(text: str) -> Schedule:
    """The same line. Raises ValueError for what is none of five fields and no `@daily` or the like."""
    zone, line = "UTC", text.strip()
    remark = "the original took the time zone of its machine; set yours"
    found = re.match(r"(?:CRON_)?TZ=(\S+)\s+(.*)", line)
    if found:
        zone, line, remark = found[1], found[2], ""
    if line.startswith("@every "):
        return cron_of_interval(line.removeprefix("@every ").strip())
    line = cron_line(_NAMED.get(line, line), fields=5)
    check_timezone(zone)
    return line, zone, remark


def cron_line(text: str, *, fields: int) -> str:
    """The cron line in its plainest form; raises ValueError for one that our rules would not take."""
    found = text.split()
    if len(found) != fields:
        raise ValueError(f"expected a cron line of {fields} fields{', seconds first' if fields == 6 else ''}")
    line = " ".join(found)
    check_cron(line)
    return line


def _seconds(text: str) -> float:
    if not text or _PART.sub("", text):
        raise ValueError("expected a duration such as 90m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))

"""Strict reading of notification bodies, which are untrusted even from an authentic sender.

JSON is read more strictly than `json` does it: duplicate keys, NaN and deep nesting are refused, because two readers
could otherwise see two different events. What identifies an artifact must be right or its event is malformed; what
only decorates an event (actor, time, the sender's id) is dropped where it does not fit. Knows no sender.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

from replicator.events.event import Event
from replicator.oci import Digest, Repository, Tag

Fields = dict[str, object]
"""A JSON object."""

DEPTH_LIMIT = 20
EVENTS_LIMIT = 1000
"""Events in one body. The senders put a handful; each becomes jobs in one transaction, so there is an end to it."""
VALUES_LIMIT = 40_000
"""Values in one body, counted by the signs that set them apart. A thousand events have 30,000; 4 MiB of nothing but
brackets would take most of a second."""
TEXT_LIMIT = 255
"""Characters of free text (an actor, a media type) that an event may carry."""

# RFC 3339, section 5.6. `[0-9]`, not `\d`, which takes the digits of every script.
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z"
)
_LATEST_S = 253402300800.0  # the year 10000, where datetime ends
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
# RFC 6838, section 4.2. The types of manifests, layers and configs are all below `application/`.
_MEDIA_TYPE = re.compile(r"application/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\Z")


class MalformedEvent(ValueError):
    """A notification, or one event in it, that cannot be understood. The message quotes at most 80 characters."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one notification held.

    `ignored` counts what is no push or delete of a manifest. `malformed` says of each event that could not be
    understood why: the events beside it are not lost for its sake. `senders` are the processes that sent the events,
    where they say so: what they keep in memory ends with them.
    """

    events: tuple[Event, ...] = ()
    ignored: int = 0
    malformed: tuple[str, ...] = ()
    senders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notification as it arrived at the endpoint of the configured `registry`, its JSON already read."""

    registry: str
    content_type: str
    fields: Fields


def read_fields(body: bytes) -> Fields:
    """The JSON object that `body` holds in UTF-8. Raises MalformedEvent for all else."""
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > VALUES_LIMIT:
        raise MalformedEvent(f"the body holds more than {VALUES_LIMIT} values")
    try:
        document = json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite
        )
    except RecursionError as exc:
        raise MalformedEvent(f"the body is nested deeper than {DEPTH_LIMIT}") from exc
    except MalformedEvent:
        raise
    except ValueError as exc:
        raise MalformedEvent(f"the body is not JSON in UTF-8: {str(exc)[:80]}") from exc
    fields = _fields(document, "the body")
    _check_depth(fields)
    return fields


def gather(entries: list[object], read: Callable[[Fields], Event | None]) -> Parsed:
    """Every entry read into an event; one that `read` gives None for is ignored, one that it refuses is malformed."""
    events: list[Event] = []
    malformed: list[str] = []
    ignored = 0
    for number, entry in enumerate(entries, start=1):
        try:
            event = read(_fields(entry, "it"))
        except ValueError as exc:
            malformed.append(f"event {number}: {exc}")
            continue
        if event is None:
            ignored += 1
        else:
            events.append(event)
    return Parsed(tuple(events), ignored, tuple(malformed))


def child(fields: Fields, key: str) -> Fields:
    """The object under `key`, empty if absent or null. Raises MalformedEvent for another type."""
    value = fields.get(key)
    return {} if value is None else _fields(value, key)


def children(fields: Fields, key: str) -> list[object]:
    """The array under `key`. Raises MalformedEvent if it is absent, no array or longer than EVENTS_LIMIT."""
    value = fields.get(key)
    if not isinstance(value, list):
        raise MalformedEvent(f"{key} is not an array")
    if len(value) > EVENTS_LIMIT:
        raise MalformedEvent(f"{key} has {len(value)} entries, more than {EVENTS_LIMIT}")
    return value


def word(fields: Fields, key: str) -> str | None:
    """The text under `key`, None if absent, null or empty. Raises MalformedEvent for another type."""
    value = fields.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise MalformedEvent(f"{key} is not text")
    return value


def repository(fields: Fields, key: str) -> Repository:
    """The repository under `key`. Raises ValueError if there is none or it is no repository name."""
    text = word(fields, key)
    if text is None:
        raise MalformedEvent(f"{key} is missing")
    return Repository(text)


def tag(fields: Fields, key: str) -> Tag | None:
    """The tag under `key`, if any. Raises ValueError if it is no tag."""
    text = word(fields, key)
    return None if text is None else Tag(text)


def digest(fields: Fields, key: str) -> Digest | None:
    """The digest under `key`, if any. Raises ValueError if it is no digest."""
    text = word(fields, key)
    return None if text is None else Digest(text)


def actor(fields: Fields, key: str) -> str | None:
    """Who did it, for display; None unless it is short printable text that is no URL."""
    value = fields.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT:
        return None
    return value if value.isprintable() and "://" not in value else None


def media_type(fields: Fields, key: str) -> str | None:
    """The media type without its parameters; None unless it is one of `application/`."""
    value = fields.get(key)
    if not isinstance(value, str) or len(value) > TEXT_LIMIT:
        return None
    essence = value.partition(";")[0].strip().lower()
    return essence if _MEDIA_TYPE.match(essence) else None


def timestamp(fields: Fields, key: str) -> float | None:
    """The RFC 3339 time under `key` as seconds since the epoch; None for anything else, Go's zero time included.

    Go writes nine digits of a second; what is finer than a microsecond is cut off.
    """
    value = fields.get(key)
    if not isinstance(value, str) or not _TIMESTAMP.match(value):
        return None
    try:
        return _plausible(datetime.fromisoformat(value.upper()).timestamp())
    except ValueError:  # month 13, second 60
        return None


def unix_time(fields: Fields, key: str) -> float | None:
    """The whole seconds since the epoch under `key`; None for anything else."""
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _LATEST_S:
        return None
    return _plausible(float(value))


def sender_id(fields: Fields, key: str) -> str | None:
    """The sender's id of the event; None where it has none, or one that is not plain enough to keep."""
    value = fields.get(key)
    return value if isinstance(value, str) and _ID.match(value) else None


def derived_id(parts: Iterable[object]) -> str:
    """An id for an event whose sender gave none: equal for a redelivery, because made of the event's own parts."""
    text = json.dumps([None if part is None else str(part) for part in parts])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _fields(value: object, what: str) -> Fields:
    if not isinstance(value, dict):
        raise MalformedEvent(f"{what} is not an object")
    return value


def _unique(pairs: list[tuple[str, object]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedEvent("the body has an object with a duplicate key")
    return fields


def _refuse(constant: str) -> NoReturn:
    raise MalformedEvent(f"the body holds {constant}, which is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise MalformedEvent("the body holds a number beyond all bounds")
    return number


def _check_depth(fields: Fields) -> None:
    level: list[Iterable[object]] = [fields.values()]
    for _ in range(DEPTH_LIMIT):
        level = [_items(item) for items in level for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise MalformedEvent(f"the body is nested deeper than {DEPTH_LIMIT}")


def _items(value: dict[str, object] | list[object]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value


def _plausible(seconds: float) -> float | None:
    return seconds if 0 < seconds < _LATEST_S else None

"""Notifications: whatever an authentic sender posts is events, or refused."""

import json
import random
from dataclasses import replace

from replicator.events import PARSERS, MalformedEvent, Parsed, parse
from tests.fuzz.engine import Target
from tests.fuzz.spoiling import respelt, scratched, some, value
from tests.unit.events.bodies import BODIES as PLAIN
from tests.unit.events.bodies import EVIL, artifact_data, cloud_event, resource

BODIES = (*PLAIN, cloud_event(type="harbor.artifact.deleted", data=artifact_data(resource(), resource())))
DOCUMENTS = tuple(json.loads(body) for body in BODIES)
KINDS = (*PARSERS, *PARSERS, *PARSERS, "quay")
CONTENT_TYPES = (
    "application/json",
    "application/json",
    "application/cloudevents+json",
    "",
    "text/plain",
    "\ud800",
    "a;b=c",
)
_MESSAGE_CHARACTERS = 600

Input = tuple[str, str, bytes]


def _keys(document: object) -> set[str]:
    if isinstance(document, dict):
        return set(document) | {key for child in document.values() for key in _keys(child)}
    return {key for child in document for key in _keys(child)} if isinstance(document, list) else set()


KEYS = sorted({key for document in DOCUMENTS for key in _keys(document)})


def make(rng: random.Random) -> Input:
    """A kind of registry, a content type and a body."""
    kind, way = some(rng, KINDS), rng.random()
    if way < 0.5:
        body = _written(rng, respelt(rng, some(rng, DOCUMENTS), KEYS))
    elif way < 0.75:
        body = scratched(rng, some(rng, BODIES))
    elif way < 0.9:
        body = _written(rng, value(rng, KEYS))
    elif way < 0.98:
        body = scratched(rng, _written(rng, respelt(rng, some(rng, DOCUMENTS), KEYS)))
    elif way < 0.9995:
        body = rng.randbytes(rng.randrange(64))
    else:
        body = _heavy(rng)
    return kind, some(rng, CONTENT_TYPES), body


def _written(rng: random.Random, document: object) -> bytes:
    text = json.dumps(document, ensure_ascii=rng.random() < 0.8)
    return text.encode(errors="replace")


def _heavy(rng: random.Random) -> bytes:
    piece = some(
        rng,
        (b"[],", b"{},", b'{"a":{"a":{}}},', b"1,", b"1.5,", b'"",', b'"\\u0041",', b"1" * 4200 + b",", b" "),
    )
    size = rng.choice((1 << 16, 1 << 20, 1 << 22))
    start = some(rng, (b'{"events":[', b'{"type":"PUSH_ARTIFACT","event_data":{"resources":[', b"[" * 10))
    return start + piece * (size // len(piece)) + b"0]}"


def check(fed: Input) -> None:
    """Raises for anything but events that are sound, or a refusal that is short."""
    kind, content_type, body = fed
    try:
        parsed = parse(kind, "eu", content_type, body)
    except MalformedEvent as exc:
        parsed = Parsed(malformed=(str(exc),))
    for one in parsed.events:
        said = repr(one)
        assert one.registry == "eu"
        assert one.id
        assert "://" not in said
        # A name may look like a host. What else an event holds cannot.
        assert EVIL not in repr(replace(one, repository="", tag=None, actor=None))
        said.encode()
    for text in parsed.malformed:
        assert len(text) < _MESSAGE_CHARACTERS
        assert text.isprintable()


TARGET = Target("bodies", make, check, 1_000_000)

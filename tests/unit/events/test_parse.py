"""What holds for every sender: only known outcomes, and nothing of a payload that we could connect to."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.events import PARSERS, Event, MalformedEvent, Parsed, parse
from replicator.oci import Digest, Repository, Tag
from replicator.rules import RegistryType
from tests.unit.events.bodies import (
    BODIES,
    D1,
    EVIL,
    artifact_data,
    cloud_event,
    default,
    envelope,
    event,
    resource,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every spot in a JSON document where a value stands: a container and the key or index in it."""
    keys = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    return [(value, key) for key in keys] + [spot for key in keys for spot in places(value[key])]


GOOD = st.sampled_from(BODIES)
KINDS = st.sampled_from([*PARSERS, "quay", ""])
CONTENT_TYPES = st.sampled_from(["", "application/json", "application/cloudevents+json", "\ud800"])

# Values that a field may wrongly hold, and the hostile ones among them.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", D1, "v1", "a/b", "../..", f"https://{EVIL}/a", f"{EVIL}:443", "\ud800", "a\x00", "x" * 9999]
    ),
)
KEYS = st.sampled_from(sorted({str(key) for body in BODIES for _, key in places(json.loads(body))}))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)


def outcome(kind: str, content_type: str, body: bytes) -> Parsed:
    try:
        return parse(kind, "eu", content_type, body)
    except MalformedEvent as exc:
        return Parsed(malformed=(str(exc),))


def assert_sound(parsed: Parsed) -> None:
    for one in parsed.events:
        assert isinstance(one, Event)
        assert one.registry == "eu"
        assert isinstance(one.repository, Repository)
        assert isinstance(one.tag, Tag | None)
        assert isinstance(one.digest, Digest | None)
        assert "://" not in repr(one)
        assert one.id
        repr(one).encode()
    for text in parsed.malformed:
        assert len(text) < 600
        assert text.isprintable()


@given(KINDS, CONTENT_TYPES, st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(kind: str, content_type: str, body: bytes) -> None:
    assert_sound(outcome(kind, content_type, body))


@given(KINDS, CONTENT_TYPES, VALUES)
def test_any_json_is_parsed_or_refused(kind: str, content_type: str, document: object) -> None:
    assert_sound(outcome(kind, content_type, json.dumps(document).encode()))


@given(KINDS, CONTENT_TYPES, GOOD, st.data())
def test_a_good_body_with_one_wrong_value_is_parsed_or_refused(
    kind: str, content_type: str, body: bytes, data: st.DataObject
) -> None:
    document = json.loads(body)
    place, key = data.draw(st.sampled_from(places(document)))
    place[key] = data.draw(VALUES)

    parsed = outcome(kind, content_type, json.dumps(document).encode())

    assert_sound(parsed)


@given(KINDS, GOOD, st.data())
def test_a_good_body_with_one_wrong_byte_is_parsed_or_refused(
    kind: str, body: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(body) - 1))

    assert_sound(
        outcome(kind, "application/json", body[:at] + data.draw(st.binary(max_size=3)) + body[at + 1 :])
    )


@given(GOOD)
def test_no_host_of_a_payload_survives(body: bytes) -> None:
    assert EVIL.encode() in body

    for kind in PARSERS:
        assert EVIL not in repr(outcome(kind, "application/json", body))


def test_a_body_may_hold_a_thousand_events_with_all_that_senders_say_of_them() -> None:
    assert len(parse("distribution", "eu", "", envelope(*[event()] * 1000)).events) == 1000
    assert (
        len(parse("harbor", "eu", "", default(event_data=artifact_data(*[resource()] * 1000))).events) == 1000
    )


def test_the_same_body_gives_the_same_events_again() -> None:
    for kind, body in [("distribution", envelope(event())), ("harbor", default()), ("harbor", cloud_event())]:
        assert parse(kind, "eu", "", body) == parse(kind, "eu", "", body)


def test_parsers_are_kept_by_registry_type() -> None:
    assert set(PARSERS) <= set(RegistryType)
    assert parse(RegistryType.HARBOR, "eu", "", default()) == parse("harbor", "eu", "", default())


def test_a_sender_without_a_parser_is_refused_by_name() -> None:
    with pytest.raises(MalformedEvent, match="quay"):
        parse("quay", "eu", "application/json", b"{}")

"""Strict JSON, and the fields that events are made of."""

import json

import pytest

from replicator.events import payload
from replicator.events.payload import MalformedEvent, Parsed, read_fields


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{} {}", "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        ('{"a": 1}'.encode("utf-16"), "not JSON"),
        (b'{"a": "\n"}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not JSON"),
        (b"null", "not an object"),
        (b"[{}]", "not an object"),
        (b'"events"', "not an object"),
        (b'{"a": 1, "a": 2}', "duplicate key"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "duplicate key"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": [-Infinity]}', "-Infinity"),
        (b'{"a": 1e999}', "beyond all bounds"),
        (b'{"a": -1e999}', "beyond all bounds"),
        (nested(21), "deeper than 20"),
        (nested(30_000), "deeper than 20"),
        (b"[" * 30_000, "deeper than 20"),
        (nested(100_000), "more than 40000 values"),
        (b"[" * 1_000_000, "more than 40000 values"),
        (b'{"events": [' + b"{}," * 20_001 + b"{}]}", "more than 40000 values"),
        (b'{"events": [' + b"1," * 40_000 + b"1]}", "more than 40000 values"),
        (b'{"a":' + b"[" * 20 + b"]" * 20 + b"}", "deeper than 20"),
    ],
)
def test_what_is_no_strict_json_object_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(MalformedEvent, match=said):
        read_fields(body)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", {}),
        (b' {"a": [1, 2.5, true, null, "x"]} ', {"a": [1, 2.5, True, None, "x"]}),
        ('{"a": "é"}'.encode(), {"a": "é"}),
        (nested(20), json.loads(nested(20))),
    ],
)
def test_a_json_object_is_read_as_it_stands(body: bytes, fields: object) -> None:
    assert read_fields(body) == fields


def test_a_message_quotes_little_of_the_body() -> None:
    with pytest.raises(MalformedEvent) as caught:
        read_fields(b'{"a": ' + b"x" * 100_000)

    assert len(str(caught.value)) < 200


def test_entries_are_told_apart_as_events_ignored_and_malformed() -> None:
    def refuse(fields: payload.Fields) -> None:
        payload.repository(fields, "name")

    parsed = payload.gather([{"name": "a/b"}, {"name": "A"}, [], {}], refuse)

    assert parsed == Parsed(
        ignored=1,
        malformed=(
            "event 2: not a repository name: 'A'",
            "event 3: it is not an object",
            "event 4: name is missing",
        ),
    )


@pytest.mark.parametrize("value", [1, True, [], "text", 0, ""])
def test_an_object_of_another_type_is_malformed(value: object) -> None:
    with pytest.raises(MalformedEvent):
        payload.child({"key": value}, "key")


@pytest.mark.parametrize("fields", [{}, {"key": None}])
def test_an_absent_object_is_empty(fields: payload.Fields) -> None:
    assert payload.child(fields, "key") == {}


@pytest.mark.parametrize("value", [None, {}, "text", 5, [0] * 1001])
def test_an_array_of_another_type_or_of_too_many_is_malformed(value: object) -> None:
    with pytest.raises(MalformedEvent):
        payload.children({"key": value}, "key")


def test_an_array_may_hold_a_thousand() -> None:
    assert len(payload.children({"key": [0] * 1000}, "key")) == 1000


@pytest.mark.parametrize("value", [5, True, [], {}, 0, False])
def test_a_word_of_another_type_is_malformed(value: object) -> None:
    with pytest.raises(MalformedEvent):
        payload.word({"key": value}, "key")


@pytest.mark.parametrize(
    "name",
    [
        "../etc/passwd",
        "a/../b",
        "/a",
        "a/",
        "a//b",
        "A/b",
        "a b",
        "a\nb",
        "a\n",
        "a\x00b",
        "a%2e%2e/b",
        "a:b",
        "a@b",
        "https://evil.example.net/a",
        "evil.example.net:443/a",
        "a?x=1",
        "a#b",
        "a\\b",
        "\uff41/b",
        "\ud800",
        ".",
        "..",
        "a" * 256,
        "a/" * 200_000 + "a",
    ],
)
def test_a_path_trick_is_no_repository(name: str) -> None:
    with pytest.raises(ValueError, match="not a repository name"):
        payload.repository({"key": name}, "key")


@pytest.mark.parametrize("text", ["../a", "-a", ".a", "a/b", "a:b", "a\n", "a b", "\x1b[2J", "é", "a" * 129])
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a tag"):
        payload.tag({"key": text}, "key")


@pytest.mark.parametrize("text", ["sha256:", "sha256:" + "F" * 64, "md5:" + "a" * 32, "a" * 64, "sha256:../"])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        payload.digest({"key": text}, "key")


@pytest.mark.parametrize(
    ("value", "actor"),
    [
        ("robot$payments+ci", "robot$payments+ci"),
        ("CN=Zoë, OU=build", "CN=Zoë, OU=build"),
        ("a" * 255, "a" * 255),
        ("a" * 256, None),
        ("", None),
        (None, None),
        (5, None),
        ({"name": "x"}, None),
        ("a\nb", None),
        ("\x1b[31m", None),
        ("\u202eevil", None),
        ("\ud800", None),
        ("https://evil.example.net", None),
    ],
)
def test_an_actor_is_short_and_printable(value: object, actor: str | None) -> None:
    assert payload.actor({"key": value}, "key") == actor


@pytest.mark.parametrize(
    ("value", "media_type"),
    [
        ("application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.index.v1+json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("text/html", None),
        ("application/", None),
        ("application/x\n", "application/x"),
        ("application/x y", None),
        ("application/" + "x" * 500, None),
        ("https://evil.example.net/", None),
        (7, None),
        (None, None),
    ],
)
def test_a_media_type_is_one_of_application(value: object, media_type: str | None) -> None:
    assert payload.media_type({"key": value}, "key") == media_type


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-03-04T09:15:27.418220331Z", 1772615727.41822),
        ("2026-03-04T09:15:27.4Z", 1772615727.4),
        ("2026-03-04T09:15:27Z", 1772615727.0),
        ("2026-03-04t09:15:27z", 1772615727.0),
        ("2026-03-04 09:15:27Z", 1772615727.0),
        ("2026-03-04T11:15:27.000+02:00", 1772615727.0),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59-14:00", None),
        ("2026-03-04T09:15:27", None),
        ("2026-03-04T09:15:27.0123456789Z", None),
        ("2026-02-30T09:15:27Z", None),
        ("2026-03-04T09:15:60Z", None),
        ("2026-03-04T09:15:27+99:00", None),
        ("2026-03-04", None),
        ("٢٠٢٦-03-04T09:15:27Z", None),
        ("2026-03-04T09:15:27Z\n", None),
        ("9" * 100_000, None),
        (1772615727, None),
        (None, None),
    ],
)
def test_a_timestamp_is_rfc_3339(value: object, seconds: float | None) -> None:
    assert payload.timestamp({"key": value}, "key") == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1772615727, 1772615727.0),
        (0, None),
        (-1, None),
        (10**30, None),
        (10**400, None),
        (-(10**400), None),
        (True, None),
        (1.5, None),
        ("1772615727", None),
        (None, None),
    ],
)
def test_a_unix_time_is_a_whole_number_of_seconds(value: object, seconds: float | None) -> None:
    assert payload.unix_time({"key": value}, "key") == seconds


@pytest.mark.parametrize(
    "value", [None, "", 5, [], "a b", "a|b", "evil.example.net", "a\n", "a" * 65, "\ud800"]
)
def test_an_id_that_is_not_plain_is_none(value: object) -> None:
    assert payload.sender_id({"key": value}, "key") is None


def test_a_derived_id_depends_on_every_part() -> None:
    ids = {
        payload.derived_id(parts)
        for parts in [("a", "b"), ("ab", ""), ("a", None), ("a", "None"), ("\ud800",)]
    }

    assert len(ids) == 5

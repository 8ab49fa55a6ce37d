"""Every shape of event that CNCF Distribution 2.8 and 3, and GitLab, post."""

import json
from typing import Any

import pytest

from replicator.events import Action, DeleteKind, Event, MalformedEvent, Parsed, parse
from replicator.oci import DOCKER_MANIFEST, Digest, Repository, Tag
from tests.unit.events.bodies import D1, D2, EVIL, INDEX, SENDER, Fields, envelope, event, target

V1 = "application/vnd.docker.distribution.events.v1+json"
V2 = "application/vnd.docker.distribution.events.v2+json"


def parsed(*events: object) -> Parsed:
    return parse("distribution", "eu", V1, envelope(*events))


def only(*events: object) -> Event:
    [found] = parsed(*events).events
    return found


@pytest.mark.parametrize("kind", ["distribution", "gitlab"])
@pytest.mark.parametrize("content_type", [V1, V2, "application/json", ""])
def test_a_push_by_tag_carries_everything_we_keep(kind: str, content_type: str) -> None:
    found = parse(kind, "eu", content_type, envelope(event()))

    assert found == Parsed(
        events=(
            Event(
                registry="eu",
                action=Action.PUSH,
                repository=Repository("payments/api"),
                tag=Tag("2.4.1"),
                digest=Digest(D1),
                media_type=INDEX,
                actor="ci-payments",
                occurred_at=1772615727.41822,
                id="0b6f6d0e-58d2-4b5e-9a0d-3b0b3a0f9c11",
            ),
        ),
        senders=frozenset([SENDER]),
    )


@pytest.mark.parametrize("tag", [None, ""])
def test_a_child_of_an_index_has_no_tag(tag: str | None) -> None:
    child = target(tag=None, mediaType=DOCKER_MANIFEST)

    found = only(event(target=child if tag is None else child | {"tag": tag}))

    assert (found.tag, found.digest, found.media_type) == (None, D1, DOCKER_MANIFEST)


def test_a_push_may_come_without_digest() -> None:
    found = only(event(target=target(digest=None)))

    assert (found.tag, found.digest) == ("2.4.1", None)


@pytest.mark.parametrize("action", ["pull", "mount", "rename", "PUSH", "prune"])
def test_other_actions_are_ignored(action: str) -> None:
    assert parsed(event(action=action)) == Parsed(ignored=1, senders=frozenset([SENDER]))


def test_a_mount_is_ignored_whatever_its_target() -> None:
    mount = target(fromRepository="other/repo", tag=None, mediaType="application/octet-stream", url=None)

    assert parsed(event(action="mount", target=mount)) == Parsed(ignored=1, senders=frozenset([SENDER]))


@pytest.mark.parametrize(
    "blob",
    [
        {"url": f"https://{EVIL}/v2/payments/api/blobs/{D1}"},
        {"url": f"https://{EVIL}/v2/payments/api/blobs/{D1}?ns=x", "mediaType": None},
        {"url": f"http://{EVIL}/prefix/v2/a/manifests/blobs/{D1}", "mediaType": "application/octet-stream"},
        {"url": None, "mediaType": "application/octet-stream"},
        {"url": "", "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"},
        {"url": 5, "mediaType": "application/vnd.oci.image.config.v1+json"},
    ],
)
@pytest.mark.parametrize("action", ["push", "delete"])
def test_a_blob_is_ignored(blob: Fields, action: str) -> None:
    assert parsed(event(action=action, target=target(tag=None, **blob))) == Parsed(
        ignored=1, senders=frozenset([SENDER])
    )


@pytest.mark.parametrize(
    "manifest",
    [
        {"repository": "a/blobs/b", "url": f"https://{EVIL}/v2/a/blobs/b/manifests/{D1}"},
        {"repository": "a/blobs", "url": f"/v2/a/blobs/manifests/{D1}"},
        {"mediaType": "application/vnd.docker.distribution.manifest.v1+prettyjws"},
        {"url": None},
        {"url": None, "mediaType": None},
        {"url": ["https://"], "mediaType": {"a": 1}},
        {"url": None, "mediaType": "application/vnd.example.manifest+json", "tag": "v1"},
    ],
)
def test_a_manifest_is_not_taken_for_a_blob(manifest: Fields) -> None:
    assert only(event(target=target(**{"tag": None} | manifest))).digest == D1


def test_references_change_nothing() -> None:
    references = [
        {"mediaType": "application/octet-stream", "digest": D2, "size": 1, "url": f"https://{EVIL}/x"}
    ]
    more = {"references": references, "annotations": {"a": "b"}, "urls": [f"https://{EVIL}"], "platform": {}}

    assert only(event(target=target(**more))) == only(event())


@pytest.mark.parametrize(
    ("gone", "kind"),
    [
        ({"tag": "2.4.1"}, DeleteKind.TAG),
        ({"tag": "2.4.1", "digest": D1}, DeleteKind.TAG),
        ({"digest": D1}, DeleteKind.UNKNOWN),
        ({}, DeleteKind.REPOSITORY),
    ],
)
def test_a_delete_is_of_a_tag_a_digest_or_the_repository(gone: Fields, kind: DeleteKind) -> None:
    found = only(event(action="delete", target={"repository": "payments/api"} | gone))

    assert (found.action, found.delete_kind) == (Action.DELETE, kind)
    assert (found.tag, found.digest) == (gone.get("tag"), gone.get("digest"))


def test_a_delete_by_digest_in_2_8_is_followed_by_one_for_each_tag() -> None:
    by_digest = event(id="c1", action="delete", target={"digest": D1, "repository": "payments/api"}, actor={})
    by_tag = event(id="c2", action="delete", target={"tag": "2.4.1", "repository": "payments/api"}, source={})

    found = parsed(by_digest, by_tag).events

    assert [(one.id, one.delete_kind) for one in found] == [
        ("c1", DeleteKind.UNKNOWN),
        ("c2", DeleteKind.TAG),
    ]


def test_the_good_events_of_an_envelope_survive_the_bad_ones() -> None:
    bad = event(target=target(repository="../../etc"))

    found = parsed(bad, event(id="good-1"), 7, event(action="pull"), event(id="good-2"))

    assert [one.id for one in found.events] == ["good-1", "good-2"]
    assert found.ignored == 1
    assert found.malformed == (
        "event 1: not a repository name: '../../etc'",
        "event 3: it is not an object",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"action": None},
        {"action": 5},
        {"action": ""},
        {"target": None},
        {"target": []},
        {"target": "payments/api"},
        {"target": target(repository=None)},
        {"target": target(repository=5)},
        {"target": target(repository="a\x00b")},
        {"target": target(tag=5)},
        {"target": target(tag="../x")},
        {"target": target(tag=5, url=None, mediaType="application/octet-stream")},
        {"target": target(digest=[])},
        {"target": target(digest="sha256:beef")},
        {"target": target(tag=None, digest=None)},
    ],
)
def test_an_event_that_names_no_artifact_is_malformed(changes: Fields) -> None:
    fields = {key: value for key, value in (event() | changes).items() if value is not None}

    found = parsed(fields)

    assert (found.events, found.ignored, len(found.malformed)) == ((), 0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None, "timestamp": None, "request": None, "actor": None, "source": None},
        {"id": 5, "timestamp": 5, "request": 5, "actor": 5, "source": 5},
        {"id": f"https://{EVIL}", "timestamp": "yesterday", "actor": {"name": 5}},
        {"id": "\ud800", "timestamp": "\ud800", "actor": {"name": "\ud800"}},
    ],
)
def test_what_only_decorates_an_event_may_be_missing_or_wrong(changes: Fields) -> None:
    found = only(event(**changes))

    assert (found.tag, found.actor, found.occurred_at) == ("2.4.1", None, None)
    assert len(found.id) == 32


def test_a_derived_id_is_stable_and_tells_events_apart() -> None:
    def id_of(**changes: Any) -> str:
        return only(event(id=None, **changes)).id

    assert id_of() == id_of(request={"id": "another"})
    assert len({id_of(), id_of(timestamp="2026-03-04T09:15:28Z"), id_of(target=target(digest=D2))}) == 3


def test_gitlab_says_more_of_its_actors() -> None:
    actor = {"name": "root", "user_type": "gitlab_or_ldap", "user": {"id": 1}}

    [found] = parse("gitlab", "eu", V1, envelope(event(actor=actor))).events

    assert found.actor == "root"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"events": None},
        {"events": {}},
        {"events": "x"},
        {"events": [event(id=str(n)) for n in range(1001)]},
    ],
)
def test_what_is_no_envelope_is_refused(document: Fields) -> None:
    with pytest.raises(MalformedEvent, match="events"):
        parse("distribution", "eu", V1, json.dumps(document).encode())


def test_an_empty_envelope_holds_nothing() -> None:
    assert parsed() == Parsed()


@pytest.mark.parametrize(
    "source", [None, "x", 5, [], {}, {"instanceID": None}, {"instanceID": 5}, {"instanceID": "a b"}]
)
def test_an_event_whose_sender_has_no_plain_name_is_taken_without(source: object) -> None:
    found = parsed(event(source=source), event())

    assert len(found.events) == 2
    assert found.senders == {SENDER}


def test_what_is_no_event_has_no_sender() -> None:
    found = parsed("junk", event(source={"instanceID": "other"}))

    assert len(found.malformed) == 1
    assert found.senders == {"other"}

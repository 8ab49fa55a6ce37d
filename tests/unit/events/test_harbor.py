"""Every notification that Harbor posts, in both of its formats."""

import json
from typing import Any

import pytest

from replicator.events import Action, DeleteKind, Event, MalformedEvent, Parsed, parse
from replicator.oci import Digest, Repository, Tag
from tests.unit.events.bodies import (
    D1,
    D2,
    EVIL,
    Fields,
    artifact_data,
    cloud_event,
    default,
    resource,
    retention_data,
)

CLOUD = "application/cloudevents+json"


def parsed(body: bytes, content_type: str = "application/json") -> Parsed:
    return parse("harbor", "eu", content_type, body)


def only(body: bytes) -> Event:
    [found] = parsed(body).events
    return found


def test_a_push_in_the_default_format_carries_everything_we_keep() -> None:
    found = only(default())

    assert found == Event(
        registry="eu",
        action=Action.PUSH,
        repository=Repository("payments/api"),
        tag=Tag("2.4.1"),
        digest=Digest(D1),
        actor="robot$payments+ci",
        occurred_at=1772615727.0,
        id=found.id,
    )


@pytest.mark.parametrize("content_type", [CLOUD, CLOUD + "; charset=UTF-8", "Application/CloudEvents+JSON"])
def test_a_push_as_cloud_event_keeps_its_id(content_type: str) -> None:
    assert parsed(cloud_event(), content_type).events == (
        Event(
            registry="eu",
            action=Action.PUSH,
            repository=Repository("payments/api"),
            tag=Tag("2.4.1"),
            digest=Digest(D1),
            actor="alice",
            occurred_at=1772615727.0,
            id="7f1e7b16-9a63-49f6-9b0e-77c9a1a1d001",
        ),
    )


def test_a_cloud_event_is_known_by_its_body_or_its_content_type() -> None:
    bare = cloud_event(specversion=None)

    assert parsed(cloud_event(), "application/json") == parsed(cloud_event(), CLOUD) == parsed(bare, CLOUD)


@pytest.mark.parametrize(
    "body", [default(type="DELETE_ARTIFACT"), cloud_event(type="harbor.artifact.deleted")]
)
def test_a_deleted_artifact_is_a_deleted_manifest(body: bytes) -> None:
    found = only(body)

    assert (found.action, found.delete_kind) == (Action.DELETE, DeleteKind.MANIFEST)
    assert (found.tag, found.digest) == ("2.4.1", D1)


@pytest.mark.parametrize(
    "kind",
    [
        "PULL_ARTIFACT",
        "REPLICATION",
        "SCANNING_COMPLETED",
        "SCANNING_FAILED",
        "SCANNING_STOPPED",
        "QUOTA_EXCEED",
        "QUOTA_WARNING",
        "CREATE_TAG",
        "SOMETHING_NEW",
    ],
)
def test_other_notifications_of_the_default_format_are_ignored(kind: str) -> None:
    assert parsed(default(type=kind)) == Parsed(ignored=1)


@pytest.mark.parametrize(
    "kind",
    [
        "harbor.artifact.pulled",
        "harbor.replication.status.changed",
        "harbor.scan.completed",
        "harbor.scan.failed",
        "harbor.scan.stopped",
        "harbor.quota.exceeded",
        "harbor.quota.warned",
        "harbor.tag.created",
    ],
)
def test_other_cloud_events_are_ignored(kind: str) -> None:
    assert parsed(cloud_event(type=kind), CLOUD) == Parsed(ignored=1)


def test_harbors_own_replication_is_no_push() -> None:
    done = [
        {"type": "image", "status": "Success", "name_tag": "api [1 item(s) in total]", "references": ["v1"]}
    ]
    replication = {
        "harbor_hostname": EVIL,
        "job_status": "Success",
        "src_resource": {"registry_type": "harbor", "endpoint": f"https://{EVIL}", "namespace": "payments"},
        "successful_artifact": done,
    }

    assert parsed(default(type="REPLICATION", event_data={"replication": replication})) == Parsed(ignored=1)


@pytest.mark.parametrize(
    ("fields", "tag", "digest"),
    [
        (resource(tag=D1), None, D1),
        (resource(tag=D1, digest=None), None, D1),
        (resource(tag=D2), None, D1),
        (resource(tag=None), None, D1),
        (resource(tag=""), None, D1),
        (resource(digest=None), "2.4.1", None),
        (resource(resource_url=None), "2.4.1", D1),
        (resource(resource_url=5, scan_overview={"a": {"b": 1}}), "2.4.1", D1),
    ],
)
def test_a_tag_that_is_a_digest_is_no_tag(fields: Fields, tag: str | None, digest: str | None) -> None:
    found = only(default(event_data=artifact_data(fields)))

    assert (found.tag, found.digest) == (tag, digest)


def test_an_artifact_deleted_without_digest_is_known_by_its_tag() -> None:
    found = only(default(type="DELETE_ARTIFACT", event_data=artifact_data(resource(digest=None))))

    assert (found.delete_kind, found.tag, found.digest) == (DeleteKind.TAG, "2.4.1", None)


def test_an_accessory_is_an_untagged_push() -> None:
    found = only(default(event_data=artifact_data(resource(digest=D2, tag=D2))))

    assert (found.action, found.tag, found.digest) == (Action.PUSH, None, D2)


@pytest.mark.parametrize("kind", ["TAG_RETENTION", "harbor.tag_retention.finished"])
def test_retention_deletes_tags_and_digests(kind: str) -> None:
    data = retention_data("api:v1", "team/web:v2", f"api@{D1}", "")

    found = parsed(default(type=kind, operator="SCHEDULE", event_data=data))

    assert [(one.repository, one.tag, one.digest, one.delete_kind) for one in found.events] == [
        ("payments/api", "v1", None, DeleteKind.TAG),
        ("payments/team/web", "v2", None, DeleteKind.TAG),
        ("payments/api", None, D1, DeleteKind.MANIFEST),
    ]
    assert {one.action for one in found.events} == {Action.DELETE}
    assert (found.ignored, found.malformed) == (1, ())
    assert len({one.id for one in found.events}) == 3


def test_retention_without_project_names_the_repository_in_full() -> None:
    found = only(
        default(type="TAG_RETENTION", event_data=retention_data("payments/api:v1", project_name=None))
    )

    assert found.repository == "payments/api"


@pytest.mark.parametrize(
    "data",
    [{}, {"retention": {}}, {"retention": {"deleted_artifact": []}}, retention_data(deleted_artifact=[])],
)
def test_retention_that_deleted_nothing_is_ignored(data: Fields) -> None:
    assert parsed(default(type="TAG_RETENTION", event_data=data)) == Parsed(ignored=1)


@pytest.mark.parametrize(
    "name_tag", ["api", "api:", ":v1", "api:../x", "../api:v1", "api@sha256:beef", f"@{D1}", f"a:v1@{D1}"]
)
def test_a_bad_retention_entry_is_malformed_and_its_neighbours_are_not(name_tag: str) -> None:
    found = parsed(default(type="TAG_RETENTION", event_data=retention_data("api:v1", name_tag, "api:v2")))

    assert [one.tag for one in found.events] == ["v1", "v2"]
    assert [text[:8] for text in found.malformed] == ["event 2:"]


def test_several_resources_become_several_events_with_ids_of_their_own() -> None:
    data = artifact_data(resource(), resource(tag="2.4"), resource(tag=5))

    found = parsed(cloud_event(data=data))

    assert [one.tag for one in found.events] == ["2.4.1", "2.4"]
    assert len({one.id for one in found.events}) == 2
    assert found.malformed == ("event 3: tag is not text",)


def test_a_derived_id_is_stable_and_tells_events_apart() -> None:
    changed: list[dict[str, Any]] = [
        {},
        {"occur_at": 1772615728},
        {"type": "DELETE_ARTIFACT"},
        {"event_data": artifact_data(resource(tag="2.5"))},
        {"event_data": artifact_data(resource(digest=D2))},
    ]

    assert len({only(default(**changes)).id for changes in changed}) == 5
    assert only(default()).id == only(default(operator="another")).id


@pytest.mark.parametrize(
    "changes",
    [
        {"operator": None, "occur_at": None},
        {"operator": 5, "occur_at": "now"},
        {"operator": "\x07", "occur_at": True},
        {"operator": f"https://{EVIL}", "occur_at": 1e9},
    ],
)
def test_what_only_decorates_an_event_may_be_missing_or_wrong(changes: Fields) -> None:
    found = only(default(**changes))

    assert (found.tag, found.actor, found.occurred_at) == ("2.4.1", None, None)


@pytest.mark.parametrize(
    "data",
    [
        artifact_data() | {"repository": {}},
        artifact_data() | {"repository": []},
        artifact_data() | {"repository": {"repo_full_name": "payments/../secret"}},
        artifact_data() | {"repository": {"repo_full_name": "https://evil.example.net/a"}},
        artifact_data(resource(tag=["v1"])),
        artifact_data(resource(tag="v1\n")),
        artifact_data(resource(digest=5)),
        artifact_data(resource(tag="sha256:beef")),
        artifact_data(resource(tag=None, digest=None)),
        artifact_data("2.4.1"),
    ],
)
def test_an_event_that_names_no_artifact_is_malformed(data: Fields) -> None:
    found = parsed(default(event_data=data))

    assert (found.events, found.ignored, len(found.malformed)) == ((), 0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": None},
        {"type": 5},
        {"type": ["PUSH_ARTIFACT"]},
        {"event_data": None},
        {"event_data": []},
        {"event_data": {"resources": []}},
        {"event_data": {"resources": {}}},
        {"event_data": artifact_data(*[resource()] * 1001)},
        {"type": "TAG_RETENTION", "event_data": {"retention": []}},
        {"type": "TAG_RETENTION", "event_data": {"retention": {"deleted_artifact": {}}}},
        {"type": "TAG_RETENTION", "event_data": retention_data("api:v1", project_name=5)},
    ],
)
def test_what_is_no_notification_of_harbor_is_refused(changes: Fields) -> None:
    with pytest.raises(MalformedEvent):
        parsed(default(**changes))


def test_the_data_of_the_other_format_is_not_read() -> None:
    body = json.loads(default()) | {"specversion": "1.0"}

    with pytest.raises(MalformedEvent, match="resources"):
        parsed(json.dumps(body).encode())

"""Notification bodies as the senders write them, for tests to vary."""

import json
from typing import Any

D1 = "sha256:" + "3f" * 32
D2 = "sha256:" + "a1" * 32
INDEX = "application/vnd.oci.image.index.v1+json"
EVIL = "evil.example.net"
"""The host that hostile payloads name wherever a host or a URL fits."""
SENDER = "9f0d4c60-2a3e-4f8f-8f3e-2a6c0a7d1b22"
"""The process of the registry that sends every event here."""

Fields = dict[str, Any]


def target(**changes: Any) -> Fields:
    """The target of a manifest push by tag; a change to None takes the key out."""
    fields = {
        "mediaType": INDEX,
        "digest": D1,
        "size": 856,
        "length": 856,
        "repository": "payments/api",
        "url": f"https://{EVIL}/v2/payments/api/manifests/{D1}",
        "tag": "2.4.1",
    }
    return _changed(fields, changes)


def event(**changes: Any) -> Fields:
    """An event of CNCF Distribution: a manifest push unless changed."""
    fields = {
        "id": "0b6f6d0e-58d2-4b5e-9a0d-3b0b3a0f9c11",
        "timestamp": "2026-03-04T09:15:27.418220331Z",
        "action": "push",
        "target": target(),
        "request": {
            "id": "5a2b7f4e-1f8e-4a53-8f0a-0c9a3d0d5a44",
            "addr": f"{EVIL}:51422",
            "host": EVIL,
            "method": "PUT",
            "useragent": "buildkit/v0.17",
        },
        "actor": {"name": "ci-payments"},
        "source": {"addr": f"{EVIL}:5000", "instanceID": SENDER},
    }
    return _changed(fields, changes)


def envelope(*events: object) -> bytes:
    """The body that CNCF Distribution posts."""
    return json.dumps({"events": list(events)}).encode()


def resource(**changes: Any) -> Fields:
    """A resource of a Harbor artifact event."""
    fields = {"digest": D1, "tag": "2.4.1", "resource_url": f"{EVIL}/payments/api:2.4.1"}
    return _changed(fields, changes)


def artifact_data(*resources: object) -> Fields:
    """What Harbor says of pushed and deleted artifacts."""
    return {
        "resources": list(resources) or [resource()],
        "repository": {
            "date_created": 1769900000,
            "name": "api",
            "namespace": "payments",
            "repo_full_name": "payments/api",
            "repo_type": "private",
        },
    }


def retention_data(*name_tags: str, **changes: Any) -> Fields:
    """What Harbor says of a tag retention run."""
    deleted = [{"type": "image", "status": "SUCCESS", "name_tag": text} for text in name_tags]
    fields = {
        "total": 5,
        "retained": 4,
        "harbor_hostname": EVIL,
        "project_name": "payments",
        "retention_policy_id": 3,
        "retention_rule": [{"template": "latestPushedK", "params": {"latestPushedK": 1}}],
        "result": "SUCCESS",
        "deleted_artifact": deleted,
    }
    return {"retention": _changed(fields, changes)}


def default(**changes: Any) -> bytes:
    """The body that Harbor posts in its Default format: a push unless changed."""
    fields = {
        "type": "PUSH_ARTIFACT",
        "occur_at": 1772615727,
        "operator": "robot$payments+ci",
        "event_data": artifact_data(),
    }
    return json.dumps(_changed(fields, changes)).encode()


def cloud_event(**changes: Any) -> bytes:
    """The body that Harbor posts in its CloudEvents format: a push unless changed."""
    fields = {
        "specversion": "1.0",
        "id": "7f1e7b16-9a63-49f6-9b0e-77c9a1a1d001",
        "source": f"//{EVIL}/projects/12/webhook/policies/4",
        "type": "harbor.artifact.pushed",
        "time": "2026-03-04T09:15:27Z",
        "datacontenttype": "application/json",
        "requestid": "1c0b6a4e-b0f7-4a0e-8a77-5ad1d7a0f002",
        "operator": "alice",
        "data": artifact_data(),
    }
    return json.dumps(_changed(fields, changes)).encode()


def _changed(fields: Fields, changes: Fields) -> Fields:
    return {key: value for key, value in (fields | changes).items() if value is not None}


BODIES = (
    envelope(event()),
    envelope(event(), event(action="delete"), event(action="pull")),
    default(),
    default(type="TAG_RETENTION", event_data=retention_data("api:v1", f"api@{D1}")),
    default(type="DELETE_ARTIFACT", event_data=artifact_data(resource(), resource(tag=D1))),
    cloud_event(),
)
"""One of every kind."""

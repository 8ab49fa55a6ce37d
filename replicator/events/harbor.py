"""Harbor's notifications, in its Default format and as structured CloudEvents.

Harbor tells of pushed and deleted artifacts, and of what a tag retention run deleted. Adding or removing a tag by hand
fires nothing, a deleted artifact is told with the first of its tags alone, and a retention run with the last artifact
that it deleted: only a comparison of the registries finds the others. `resource_url` is never read.
"""

from dataclasses import dataclass, replace
from functools import partial

from replicator.events import payload
from replicator.events.event import Action, DeleteKind, Event
from replicator.events.payload import Delivery, Fields, MalformedEvent, Parsed
from replicator.oci import Digest, Reference, Repository, Tag, parse_reference

_CLOUD_EVENTS = "application/cloudevents+json"
_ARTIFACT_ACTIONS = {
    "PUSH_ARTIFACT": Action.PUSH,
    "harbor.artifact.pushed": Action.PUSH,
    "DELETE_ARTIFACT": Action.DELETE,
    "harbor.artifact.deleted": Action.DELETE,
}
_RETENTION = frozenset({"TAG_RETENTION", "harbor.tag_retention.finished"})


@dataclass(frozen=True, slots=True)
class _Notice:
    """What both formats say, in one shape."""

    registry: str
    type: str
    data: Fields
    actor: str | None
    occurred_at: float | None
    id: str | None


def parse(delivery: Delivery) -> Parsed:
    """The pushes and deletes that a notification tells of. Raises MalformedEvent if it is none of Harbor's."""
    notice = _notice(delivery)
    if notice.type in _RETENTION:
        return _retention(notice)
    action = _ARTIFACT_ACTIONS.get(notice.type)
    if action is None:
        return Parsed(ignored=1)
    resources = payload.children(notice.data, "resources")
    if not resources:
        raise MalformedEvent(f"{notice.type} names no resource")
    return payload.gather(resources, partial(_resource, _told_apart(notice, resources), action))


def _notice(delivery: Delivery) -> _Notice:
    fields = delivery.fields
    # A gateway in between may rename the content type, so the attribute that every CloudEvent must have counts too.
    is_cloud_event = delivery.content_type.lower().startswith(_CLOUD_EVENTS) or "specversion" in fields
    kind = payload.word(fields, "type")
    if kind is None:
        raise MalformedEvent("type is missing")
    return _Notice(
        registry=delivery.registry,
        type=kind,
        data=payload.child(fields, "data" if is_cloud_event else "event_data"),
        actor=payload.actor(fields, "operator"),
        occurred_at=payload.timestamp(fields, "time")
        if is_cloud_event
        else payload.unix_time(fields, "occur_at"),
        id=payload.sender_id(fields, "id") if is_cloud_event else None,
    )


def _told_apart(notice: _Notice, entries: list[object]) -> _Notice:
    # The sender's id is the notification's: where that holds several events, each gets one of its own.
    return notice if len(entries) == 1 else replace(notice, id=None)


def _resource(notice: _Notice, action: Action, fields: Fields) -> Event:
    repository = payload.repository(payload.child(notice.data, "repository"), "repo_full_name")
    digest = payload.digest(fields, "digest")
    reference = _reference(fields)
    if isinstance(reference, Digest):  # so Harbor writes the tag of an artifact that has none
        return _event(notice, action, repository=repository, tag=None, digest=digest or reference)
    if reference is None and digest is None:
        raise MalformedEvent(f"the resource of {repository} has neither tag nor digest")
    return _event(notice, action, repository=repository, tag=reference, digest=digest)


def _reference(fields: Fields) -> Reference | None:
    text = payload.word(fields, "tag")
    return None if text is None else parse_reference(text)


def _retention(notice: _Notice) -> Parsed:
    retention = payload.child(notice.data, "retention")
    if retention.get("deleted_artifact") in (None, []):
        return Parsed(ignored=1)
    deleted = payload.children(retention, "deleted_artifact")
    project = payload.word(retention, "project_name")
    return payload.gather(deleted, partial(_retired, _told_apart(notice, deleted), project))


def _retired(notice: _Notice, project: str | None, fields: Fields) -> Event | None:
    """The deletion of one artifact: `name_tag` is `api:v1` or `api@sha256:…`, without the project."""
    text = payload.word(fields, "name_tag")
    if text is None:  # an artifact without a tag, of which Harbor says no more
        return None
    name, at, digest = text.partition("@")
    tag = ""
    if not at:
        name, _, tag = text.rpartition(":")
    repository = Repository(f"{project}/{name}" if project else name)
    return _event(
        notice,
        Action.DELETE,
        repository=repository,
        tag=None if at else Tag(tag),
        digest=Digest(digest) if at else None,
    )


def _event(
    notice: _Notice, action: Action, *, repository: Repository, tag: Tag | None, digest: Digest | None
) -> Event:
    parts = (notice.registry, notice.type, notice.occurred_at, repository, digest, tag)
    # Harbor deletes artifacts, whatever tags they have. Where it gives no digest, the tag is all that we know is gone.
    kind = DeleteKind.TAG if digest is None else DeleteKind.MANIFEST
    return Event(
        registry=notice.registry,
        action=action,
        repository=repository,
        tag=tag,
        digest=digest,
        delete_kind=kind if action is Action.DELETE else None,
        actor=notice.actor,
        occurred_at=notice.occurred_at,
        id=notice.id or payload.derived_id(parts),
    )

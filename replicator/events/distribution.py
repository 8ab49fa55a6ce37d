"""The notifications of CNCF Distribution 2.8 and 3, and of GitLab's registry, which is a fork of it.

An envelope holds any number of events: 3 sends one, 2.8 sends more at times. Most of what happens at a registry is of
no interest here: pulls, mounts and the upload of blobs.
"""

from dataclasses import replace
from functools import partial

from replicator.events import payload
from replicator.events.event import Action, DeleteKind, Event
from replicator.events.payload import Delivery, Fields, MalformedEvent, Parsed
from replicator.oci import MANIFEST_TYPES, Digest, Tag

_ACTIONS = {"push": Action.PUSH, "delete": Action.DELETE}


def parse(delivery: Delivery) -> Parsed:
    """The pushes and deletes of manifests in an envelope. Raises MalformedEvent if it is no envelope."""
    entries = payload.children(delivery.fields, "events")
    found = payload.gather(entries, partial(_event, delivery.registry))
    return replace(found, senders=frozenset(filter(None, map(_sender, entries))))


def _event(registry: str, fields: Fields) -> Event | None:
    word = payload.word(fields, "action")
    if word is None:
        raise MalformedEvent("action is missing")
    action = _ACTIONS.get(word)
    target = payload.child(fields, "target")
    if action is None or _is_blob(target):
        return None
    repository = payload.repository(target, "repository")
    tag, digest = payload.tag(target, "tag"), payload.digest(target, "digest")
    if action is Action.PUSH and tag is None and digest is None:
        raise MalformedEvent(f"the push to {repository} has neither tag nor digest")
    occurred_at = payload.timestamp(fields, "timestamp")
    parts = (registry, action, repository, tag, digest, occurred_at)
    return Event(
        registry=registry,
        action=action,
        repository=repository,
        tag=tag,
        digest=digest,
        media_type=payload.media_type(target, "mediaType"),
        delete_kind=_delete_kind(tag, digest) if action is Action.DELETE else None,
        actor=_actor(fields),
        occurred_at=occurred_at,
        id=payload.sender_id(fields, "id") or payload.derived_id(parts),
    )


def _sender(entry: object) -> str | None:
    # A name that the process gives itself as it starts. It decorates an event, so that a strange one is no name.
    source = entry.get("source") if isinstance(entry, dict) else None
    return payload.sender_id(source, "instanceID") if isinstance(source, dict) else None


def _is_blob(target: Fields) -> bool:
    # The last segment but one of the URL decides: `blobs` may also be part of a repository's name. The URL is read
    # for this word only.
    url = target.get("url")
    segments = url.partition("?")[0].split("/") if isinstance(url, str) else []
    kind = segments[-2] if len(segments) > 1 else ""
    if kind in ("blobs", "manifests"):
        return kind == "blobs"
    media_type = payload.media_type(target, "mediaType")
    return media_type is not None and media_type not in MANIFEST_TYPES and payload.word(target, "tag") is None


def _delete_kind(tag: Tag | None, digest: Digest | None) -> DeleteKind:
    if tag is not None:
        return DeleteKind.TAG
    # The deletion of a blob looks like that of a manifest: only the registry can tell.
    return DeleteKind.UNKNOWN if digest is not None else DeleteKind.REPOSITORY


def _actor(fields: Fields) -> str | None:
    value = fields.get("actor")
    return payload.actor(value, "name") if isinstance(value, dict) else None

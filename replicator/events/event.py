"""What a registry said happened: one push or delete, whoever the sender was."""

from dataclasses import dataclass
from enum import StrEnum

from replicator.oci import Digest, Repository, Tag


class Action(StrEnum):
    """What happened at the registry; everything else a sender reports is dropped."""

    PUSH = "push"
    DELETE = "delete"


class DeleteKind(StrEnum):
    """What a delete event is about. Distribution tells a manifest's deletion from a blob's by nothing: UNKNOWN."""

    TAG = "tag"
    MANIFEST = "manifest"
    REPOSITORY = "repository"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Event:
    """One push or delete. It is a hint: jobs read the registry itself. No host or URL of a payload survives parsing."""

    registry: str
    """The configured name of the registry whose endpoint received it, never a host from the payload."""
    action: Action
    repository: Repository
    tag: Tag | None = None
    digest: Digest | None = None
    media_type: str | None = None
    delete_kind: DeleteKind | None = None
    actor: str | None = None
    occurred_at: float | None = None
    """Seconds since the epoch by the sender's clock: for display and propagation time, never for order."""
    id: str = ""
    """The sender's id, or a hash of the event where it has none."""

"""Dead letters: notifications that were authentic and that nobody could read."""

from dataclasses import dataclass
from typing import Self

from replicator.ledger.connect import raw


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notification that nobody could read. Of one that is not `is_whole` only the beginning of the body was kept."""

    id: str
    registry: str
    content_type: str
    body: bytes
    size_bytes: int
    reason: str
    received_at: float
    trace: str | None
    is_whole: bool = True

    @classmethod
    def from_entry(cls, entry: str, fields: dict[str, str]) -> Self:
        """The dead letter in a stream entry."""
        body, size_bytes = raw(fields["body"]), int(fields["size_bytes"])
        return cls(
            id=entry,
            registry=fields["registry"],
            content_type=fields["content_type"],
            body=body,
            size_bytes=size_bytes,
            reason=fields["reason"],
            received_at=float(fields["received_at"]),
            trace=fields["trace"] or None,
            is_whole=len(body) == size_bytes,
        )

"""Putting a deleted manifest back where it was, as long as its destination still holds the blobs.

No record of a copy is written: what was put back counts as a person's. So no later delete of ours takes it again
without an approval, and a rule that has the destination as its source copies it on, like any push there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from replicator.errors import PermanentError
from replicator.ledger import Deletion
from replicator.oci import Digest, Manifest, parse_manifest
from replicator.operate.desk import Desk
from replicator.registry import RegistryClient

_DEPTH = 4
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Undeleted:
    """What was written: the digests of the manifests, the one that was asked for last; none if all was there."""

    deletion: Deletion
    written: tuple[Digest, ...]


def undelete(desk: Desk, deletion: Deletion, *, force: bool = False) -> Undeleted:
    """Afterwards the reference holds what was deleted, children included.

    Raises PermanentError if the reference holds something else now and `force` does not overwrite it, or if blobs or
    children are gone; then nothing was written under the reference.
    """
    client = desk.client(deletion.destination)
    head = client.head_manifest(deletion.repository, deletion.reference)
    if head and head.digest == deletion.digest:
        return Undeleted(deletion, ())
    if head and not force:
        raise PermanentError(f"{deletion.name} holds {head.digest} now, which is written over only by force")
    manifests = list(_whole(desk, client, deletion, _DEPTH))
    # Its digest, too: as a manifest of ours without a tag it would go by retention.
    for reference in (deletion.reference, deletion.digest):
        desk.ledger.fleet.forget(deletion.destination, deletion.repository, reference)
    for manifest in manifests[:-1]:
        client.put_manifest(deletion.repository, manifest.digest, manifest)
    client.put_manifest(deletion.repository, deletion.reference, manifests[-1])
    return Undeleted(deletion, tuple(manifest.digest for manifest in manifests))


def _whole(desk: Desk, client: RegistryClient, deletion: Deletion, depth: int) -> Iterator[Manifest]:
    """The manifest and, before it, each child that is to be written too. Raises PermanentError if a part is gone."""
    manifest = parse_manifest(deletion.manifest_raw, deletion.media_type, expected=deletion.digest)
    blobs = [blob for blob in manifest.blobs if not blob.is_foreign]
    gone = [blob.digest for blob in blobs if not client.has_blob(deletion.repository, blob)]
    for child in manifest.children:
        if client.head_manifest(deletion.repository, child.digest):
            continue
        logged = desk.ledger.deletions.of_digest(deletion.destination, deletion.repository, child.digest)
        if logged and depth:
            yield from _whole(desk, client, logged, depth - 1)
        else:
            gone.append(child.digest)
    if gone:
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        raise PermanentError(
            f"{deletion.name}: {deletion.destination} no longer holds {', '.join(gone[:_NAMED])}{more}, which"
            f" {deletion.digest} needs: push it to the source again, or resync from the source instead"
        )
    yield manifest

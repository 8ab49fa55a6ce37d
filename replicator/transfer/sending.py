"""Bringing one blob to the destination: by a mount, or by an upload session that ends in one PUT."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replicator.errors import PermanentError, TemporaryError
from replicator.oci import Descriptor, Repository
from replicator.transfer.lease import Lease
from replicator.transfer.moved import Moved
from replicator.transfer.route import Route


@dataclass(frozen=True, slots=True)
class Sender:
    """Brings blobs of one job, one at a time. It checks the lease with every piece."""

    route: Route
    lease: Lease

    def bring(self, blob: Descriptor, *, mount_from: Repository | None) -> Moved:
        """Afterwards the destination's repository holds the blob; how it came."""
        route = self.route
        upload = route.destination.start_upload(route.target, blob.digest, mount_from=mount_from)
        if upload is None:
            return Moved(present=1) if mount_from == route.target else Moved(mounted=1)
        try:
            with route.source.open_blob(route.repository, blob) as chunks:
                route.destination.finish_upload(upload, blob, self._guarded(chunks))
        except (PermanentError, TemporaryError):
            route.destination.cancel_upload(upload)
            raise
        return Moved(size_bytes=blob.size_bytes, copied=1)

    def _guarded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.lease.check()
            yield chunk

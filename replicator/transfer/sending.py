"""Bringing one blob to the destination: by a mount or an upload, whole or in chunks, from where an earlier one stood.

Where a large upload stands is kept in Redis, so that whoever brings the blob next asks the registry how far it got and
goes on from there. The state of a hash cannot be kept. So who goes on reads only the rest from the source, with a
Range, and the registry's own check of the digest in the closing PUT is the proof that all of it is right: it hashes
every byte of the blob, those of the first try too, and refuses what does not match. To read the beginning again and
hash it here would prove nothing more about what the registry holds, and cost the source everything again. An upload
that fails this proof is begun anew, and then every byte is hashed here.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from statistics import median

from replicator.errors import Corrupt, PermanentError, RateLimited, TemporaryError, TooLarge, Unsupported
from replicator.ledger import Habit, Place
from replicator.oci import Descriptor, Repository
from replicator.registry import Upload
from replicator.transfer.lease import Lease
from replicator.transfer.moved import Moved
from replicator.transfer.route import Route
from replicator.transfer.ways import (
    CHUNK_BYTES,
    MIB,
    RESUMABLE_BYTES,
    Blob,
    after_too_large,
    chunk_bytes,
    is_keepable,
)

_TRIES = 3
"""How often one chunk is sent while the registry says that it did not take it whole."""
_BUFFERS = threading.BoundedSemaphore(4)
"""So many uploads of this process may hold a chunk at a time; the others go in one request."""


_WINDOW_BYTES = MIB // 2


@dataclass(frozen=True, slots=True)
class Sender:
    """Brings blobs of one job, one at a time. It checks the lease with every piece."""

    route: Route
    lease: Lease

    def bring(self, blob: Descriptor, *, mount_from: Repository | None) -> Moved:
        """Afterwards the destination's repository holds the blob; how it came.

        `mount_from` is where at the destination it may be already, None for a blob that is to be sent in any case.
        """
        kept = self._kept(blob) if mount_from == self.route.target else None
        stands = self.route.destination.look_up_upload(kept) if kept else None
        if stands and stands.offset <= blob.size_bytes and (moved := self._resumed(blob, stands)):
            return moved
        upload = self._opened(blob, mount_from)
        if upload is None:
            return Moved(present=1) if mount_from == self.route.target else Moved(mounted=1)
        self._send(blob, upload, was_cut=kept is not None)
        return Moved(size_bytes=blob.size_bytes, copied=1)

    def _kept(self, blob: Descriptor) -> Upload | None:
        if blob.size_bytes < RESUMABLE_BYTES:
            return None
        route = self.route
        place = route.fleet.uploads.kept(route.job.destination, route.target, blob.digest)
        return Upload(route.target, blob.digest, place.location, place.offset) if place else None

    def _opened(self, blob: Descriptor, mount_from: Repository | None = None) -> Upload | None:
        return self.route.destination.start_upload(self.route.target, blob.digest, mount_from=mount_from)

    def _resumed(self, blob: Descriptor, upload: Upload) -> Moved | None:
        """Send the rest. None where the registry then says that all of it together is not the blob."""
        shipment = Shipment(self.route, self.lease, blob, upload)
        try:
            shipment.send(self._known(shipment, self._habit, was_cut=True))
        except (Corrupt, Unsupported):
            return None
        return Moved(size_bytes=blob.size_bytes - upload.offset, resumed=1)

    def _send(self, blob: Descriptor, upload: Upload, *, was_cut: bool) -> None:
        """Send it from its first byte; in another way, if the registry refuses the one that was chosen."""
        learned: Habit | None = None
        opened: Upload | None = upload
        while opened:  # else it landed meanwhile
            shipment = Shipment(self.route, self.lease, blob, opened)
            known = self._known(shipment, learned or self._habit, was_cut=was_cut)
            try:
                shipment.send(known)
                break
            except TooLarge:
                learned = after_too_large(known.habit, blob.size_bytes)
                if learned is None:
                    raise
            except Unsupported:
                if chunk_bytes(known, 0.0) is None:
                    raise
                learned = Habit(is_whole_only=True)
            opened = self._opened(blob)
        if learned:
            self.route.fleet.uploads.learn(self.route.job.destination, learned)

    @property
    def _habit(self) -> Habit:
        return self.route.fleet.uploads.habit(self.route.job.destination)

    def _known(self, shipment: "Shipment", habit: Habit, *, was_cut: bool) -> Blob:
        return Blob(
            shipment.blob.size_bytes,
            self.route.destination.kind,
            habit,
            least_bytes=shipment.upload.chunk_min_bytes,
            was_cut=was_cut,
        )


@dataclass
class Shipment:
    """One blob on its way through one upload session, which stands at `upload`."""

    route: Route
    lease: Lease
    blob: Descriptor
    upload: Upload
    is_kept: bool = False

    def send(self, known: Blob) -> None:
        """Send all that the session lacks, and close it. A session that nobody may take up again is given up."""
        try:
            self._send(known)
        except (PermanentError, TemporaryError) as exc:
            if isinstance(exc, PermanentError) or not self.is_kept:
                self.route.destination.cancel_upload(self.upload)
                self._forget()
            raise
        self._forget()

    def _send(self, known: Blob) -> None:
        start = self.upload.offset
        if start and start == self.blob.size_bytes:
            self.route.destination.finish_upload(self.upload, self.blob, ())
            return
        source, repository = self.route.source, self.route.repository
        with source.open_blob(repository, self.blob, start=start) as read, _room(known) as has_room:
            self._pass_on(self._guarded(read), known, has_room=has_room)

    def _pass_on(self, pieces: Iterator[bytes], known: Blob, *, has_room: bool) -> None:
        bytes_per_s = None
        if has_room:
            pieces, bytes_per_s = measured(pieces)
        size_bytes = chunk_bytes(known, bytes_per_s)
        if not has_room and known.habit.body_limit_bytes is None:
            size_bytes = None
        self._keep()
        if size_bytes is None:
            self.route.destination.finish_upload(self.upload, self.blob, pieces)
            return
        for chunk in cut(pieces, size_bytes):
            if self.upload.offset + sum(map(len, chunk)) < self.blob.size_bytes:
                self._send_chunk(chunk)
                self._keep()
            else:
                self.route.destination.finish_upload(self.upload, self.blob, chunk)
            chunk.clear()  # before the next one is read: no more than one is ever in memory

    def _send_chunk(self, chunk: Sequence[bytes]) -> None:
        """Send it, and what the registry lacks of it once more where it broke off."""
        end = self.upload.offset + sum(map(len, chunk))
        for tries_left in reversed(range(_TRIES)):
            try:
                self.upload = self.route.destination.send_chunk(self.upload, chunk)
                return
            except RateLimited:
                raise
            except TemporaryError:
                stands = self.route.destination.look_up_upload(self.upload) if tries_left else None
                if stands is None or not self.upload.offset <= stands.offset <= end:
                    raise
            chunk = list(_without(chunk, stands.offset - self.upload.offset))
            self.upload = stands
            if stands.offset == end:
                return

    def _keep(self) -> None:
        if self.blob.size_bytes >= RESUMABLE_BYTES and is_keepable(self.upload.location):
            place = Place(self.upload.location, self.upload.offset)
            self.route.fleet.uploads.keep(
                self.route.job.destination, self.route.target, self.blob.digest, place
            )
            self.is_kept = True

    def _forget(self) -> None:
        if self.is_kept:
            self.route.fleet.uploads.forget(self.route.job.destination, self.route.target, self.blob.digest)

    def _guarded(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.lease.check()
            yield piece


@contextmanager
def _room(known: Blob) -> Iterator[bool]:
    """Whether this upload may hold a chunk in memory; those that never want to are not asked."""
    has_room = chunk_bytes(known, 0.0) is not None and _BUFFERS.acquire(blocking=False)
    try:
        yield has_room
    finally:
        if has_room:
            _BUFFERS.release()


def measured(
    pieces: Iterator[bytes], *, clock: Callable[[], float] = time.monotonic
) -> tuple[Iterator[bytes], float]:
    """The same pieces, and how many bytes a second the first of them came at, a chunk's worth.

    It is the middle one of several windows: a busy machine makes some wait, a slow line all of them.
    """
    head: list[bytes] = []
    rates: list[float] = []
    size_bytes, began = 0, clock()
    for piece in pieces:
        head.append(piece)
        size_bytes += len(piece)
        if size_bytes >= _WINDOW_BYTES:
            now = clock()
            rates.append(size_bytes / max(now - began, 1e-9))
            size_bytes, began = 0, now
        if len(rates) == CHUNK_BYTES // _WINDOW_BYTES:
            break
    return chain(head, pieces), median(rates) if rates else 0.0


def cut(pieces: Iterable[bytes], size_bytes: int) -> Iterator[list[bytes]]:
    """The same bytes in chunks of `size_bytes`, the last one shorter; each a list of pieces."""
    chunk: list[bytes] = []
    room = size_bytes
    for piece in pieces:
        rest = piece
        while len(rest) >= room:
            whole, rest = [*chunk, rest[:room]], rest[room:]
            chunk, room = [], size_bytes
            yield whole
        if rest:
            chunk.append(rest)
            room -= len(rest)
    if chunk:
        yield chunk


def _without(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))

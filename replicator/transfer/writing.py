"""Carrying out a plan at the destination: blobs side by side, then the manifests one after another, the tag last."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field

from replicator.errors import MissingContent, PermanentError, TemporaryError
from replicator.oci import Descriptor, Digest
from replicator.plan import CopyBlob, Plan, PutManifest
from replicator.registry import Upload
from replicator.telemetry import BLOBS, BYTES, tracer
from replicator.transfer.lease import Lease
from replicator.transfer.listing import Lists
from replicator.transfer.route import Route

BLOBS_AT_ONCE = 4
LARGE_BYTES = 1024 * 1024
"""A blob of this size is remembered as soon as it is there, so that jobs at work now mount it; smaller ones together,
when the last of them is: each remembering costs Redis a write to its disk."""


def new_hands() -> ThreadPoolExecutor:
    """Threads that copy blobs side by side. They are started when first needed, and kept: a job takes milliseconds."""
    return ThreadPoolExecutor(BLOBS_AT_ONCE, thread_name_prefix="blob")


@dataclass
class Moved:
    """What a job moved: blobs, their bytes, and the signatures and referrers that came along."""

    size_bytes: int = 0
    copied: int = 0
    mounted: int = 0
    present: int = 0
    followers: int = 0

    def add(self, other: "Moved") -> None:
        """Count `other` in."""
        self.size_bytes += other.size_bytes
        self.copied += other.copied
        self.mounted += other.mounted
        self.present += other.present
        self.followers += other.followers

    def count(self, source: str, destination: str) -> None:
        """Tell the metrics."""
        BYTES.labels(source, destination).inc(self.size_bytes)
        for how in ("copied", "mounted", "present"):
            BLOBS.labels(destination, how).inc(getattr(self, how))


@dataclass
class Writer:
    """Carries out plans of one job, blobs by several `hands`. It checks the lease before every write that counts."""

    route: Route
    lease: Lease
    hands: ThreadPoolExecutor
    moved: Moved = field(default_factory=Moved)
    wrote: bool = False
    _small: list[Digest] = field(default_factory=list)

    def carry_out(self, plan: Plan) -> None:
        """Afterwards the destination holds everything that the plan names.

        A destination may take a mount, or call a blob present, and miss it all the same when the manifest comes
        (garbage collection, eventual consistency): then every blob is sent once more, without trust. If that does not
        help either, MissingContent, and the fleet no longer believes that anything of this is there.
        """
        self._copy_blobs(plan.blobs)
        self._remember_small()
        for repaired in (False, True):
            try:
                self._write(plan)
            except MissingContent:
                if repaired:
                    self._doubt(plan)
                    raise
                self._send_again(plan.blobs)
                self._remember_small()
            else:
                break

    def _write(self, plan: Plan) -> None:
        lists = Lists.of(plan, self.route, self.lease)
        for step in plan.writes:
            self.lease.check()
            self.wrote = True
            with tracer.start_as_current_span(
                "replicator.write", attributes={"oci.reference": step.reference}
            ):
                if isinstance(step, PutManifest):
                    destination, target = self.route.destination, self.route.target
                    says_subject = destination.put_manifest(target, step.reference, step.manifest)
                    lists.note(step.manifest, says_subject=says_subject)
                else:
                    lists.bring(step)

    def _copy_blobs(self, blobs: tuple[CopyBlob, ...]) -> None:
        if len(blobs) < 2:
            for step in blobs:
                self.moved.add(self._copy_blob(step))
            return
        # Each thread needs a context of its own, or its spans would not belong to the job's trace.
        running = [self.hands.submit(copy_context().run, self._copy_blob, step) for step in blobs]
        try:
            for future in running:
                self.moved.add(future.result())
        finally:
            for future in running:
                future.cancel()
            wait(running)

    def _copy_blob(self, step: CopyBlob) -> Moved:
        if step.is_there:
            return Moved(present=1)
        route = self.route
        self.lease.check()
        with tracer.start_as_current_span("replicator.blob", attributes={"oci.digest": step.blob.digest}):
            upload = route.destination.start_upload(
                route.target, step.blob.digest, mount_from=step.mount_from
            )
            if upload is None:
                self._is_there(step.blob)
                return Moved(present=1) if step.mount_from == route.target else Moved(mounted=1)
            return self._send(step.blob, upload)

    def _send_again(self, blobs: tuple[CopyBlob, ...]) -> None:
        for step in blobs:
            self.route.fleet.misremembered(self.route.job.destination, step.blob.digest)
            upload = self.route.destination.start_upload(self.route.target, step.blob.digest, mount_from=None)
            if upload is not None:
                self.moved.add(self._send(step.blob, upload))

    def _send(self, blob: Descriptor, upload: Upload) -> Moved:
        route = self.route
        try:
            with route.source.open_blob(route.repository, blob) as chunks:
                guarded = self._guarded(chunks)
                route.destination.finish_upload(upload, blob, guarded)
        except (PermanentError, TemporaryError):
            route.destination.cancel_upload(upload)
            raise
        self._is_there(blob)
        return Moved(size_bytes=blob.size_bytes, copied=1)

    def _is_there(self, blob: Descriptor) -> None:
        if blob.size_bytes >= LARGE_BYTES:
            self._remember(blob.digest)
        else:
            self._small.append(blob.digest)

    def _remember_small(self) -> None:
        self._remember(*self._small)
        self._small.clear()

    def _remember(self, *digests: Digest) -> None:
        self.route.fleet.remember(self.route.job.destination, self.route.target, digests)

    def _guarded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.lease.check()
            yield chunk

    def _doubt(self, plan: Plan) -> None:
        for copy in plan.blobs:
            self.route.fleet.misremembered(self.route.job.destination, copy.blob.digest)
        for step in plan.writes:
            if isinstance(step, PutManifest):
                for digest in (step.manifest.digest, *(child.digest for child in step.manifest.children)):
                    self.route.fleet.misremembered(self.route.job.destination, digest)

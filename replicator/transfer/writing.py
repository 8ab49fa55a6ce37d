"""Carrying out a plan at the destination: the blobs first, then the manifests one after another, the tag last."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from replicator.errors import ManifestInvalid, MissingContent, SparseRefused
from replicator.plan import Plan, PutManifest
from replicator.telemetry import tracer
from replicator.transfer.blobs import Porter
from replicator.transfer.lease import Lease
from replicator.transfer.listing import Lists
from replicator.transfer.moved import Moved
from replicator.transfer.route import Route


@dataclass
class Writer:
    """Carries out plans of one job, blobs by several `hands`. It checks the lease before every write that counts."""

    route: Route
    lease: Lease
    hands: ThreadPoolExecutor
    moved: Moved = field(default_factory=Moved)
    wrote: bool = False
    last_look: Callable[[], None] | None = None
    """What is done before the reference itself is written, if anything; it raises if that must not be."""

    def carry_out(self, plan: Plan) -> None:
        """Afterwards the destination holds everything that the plan names.

        A destination may take a mount, or call a blob present, and miss it all the same when the manifest comes
        (garbage collection, eventual consistency): then the blobs that it says it misses, or all if it does not say,
        are sent once more, without trust. If that does not help either, MissingContent, and the fleet no longer
        believes that anything of this is there. SparseRefused if it misses what the plan leaves out on purpose.
        """
        porter = Porter(self.route, self.lease, self.hands, self.moved)
        porter.bring(plan.blobs)
        for repaired in (False, True):
            try:
                self._write(plan)
            except MissingContent as exc:
                if repaired:
                    self._doubt(plan)
                    raise
                said = exc.missing
                porter.send_again([step for step in plan.blobs if not said or step.blob.digest in said])
            else:
                break

    def _write(self, plan: Plan) -> None:
        lists = Lists.of(plan, self.route, self.lease)
        for step in plan.writes:
            if self.last_look and step.reference == self.route.landing:
                self.last_look()
            self.lease.check()
            self.wrote = True
            with tracer.start_as_current_span(
                "replicator.write", attributes={"oci.reference": step.reference}
            ):
                if isinstance(step, PutManifest):
                    lists.note(step.manifest, says_subject=self._put(step))
                else:
                    lists.bring(step)

    def _put(self, step: PutManifest) -> bool | None:
        """Write it. Gives what the registry says of the subject, as `put_manifest` does."""
        try:
            return self.route.destination.put_manifest(self.route.target, step.reference, step.manifest)
        except (MissingContent, ManifestInvalid) as exc:
            misses_more = isinstance(exc, MissingContent) and not exc.missing <= step.left_out
            if not step.left_out or misses_more:
                raise
            raise SparseRefused(str(exc)) from exc

    def _doubt(self, plan: Plan) -> None:
        for copy in plan.blobs:
            self.route.fleet.misremembered(self.route.job.destination, copy.blob.digest)
        for step in plan.writes:
            if isinstance(step, PutManifest):
                for digest in (step.manifest.digest, *(child.digest for child in step.manifest.children)):
                    self.route.fleet.misremembered(self.route.job.destination, digest)

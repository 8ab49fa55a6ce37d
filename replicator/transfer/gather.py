"""Reading an artifact at the source with everything that travels with it: children, companion tags, referrers.

Where the fleet knows that the destination's repository holds a child manifest already, one HEAD there takes the place
of reading the child and all of its blobs. Nothing is believed to be there without that HEAD.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from replicator.errors import Corrupt, PermanentError
from replicator.oci import (
    MANIFEST_TYPES,
    Descriptor,
    Digest,
    Manifest,
    Tag,
    companion_tags,
    referrers_tag,
)
from replicator.plan import Artifact
from replicator.registry import RegistryClient
from replicator.rules import Signatures
from replicator.transfer.route import Route

DEPTH_LIMIT = 4
"""Indexes within indexes, and referrers of referrers, beyond this are refused: nobody builds them but to hurt."""
MANIFEST_COUNT_LIMIT = 1000
MANIFEST_BYTES_LIMIT = 32 * 1024 * 1024
SUBJECT_WAIT_S = 600.0
"""How long a signature or referrer waits for a subject that was said to be on its way: large images take minutes."""

REFERRERS_API = "referrers-api"
"""The name under which the fleet remembers whether a registry has the OCI 1.1 referrers API."""


def gather(route: Route, manifest: Manifest, *, trusts: bool = True) -> Artifact:
    """`manifest` with its children and, unless the rule ignores them, the signatures and referrers of all of these.

    With `trusts` False none of it is left out for being at the destination already.
    """
    gathering = _Gathering(route, trusts)
    if gathering.known_there([manifest.digest]):
        artifact = Artifact(
            manifest, is_there=True
        )  # under another tag, so that this one is all there is to write
    else:
        artifact = gathering.tree(manifest, depth=0)
    if route.rule.signatures is Signatures.IGNORE:
        return artifact
    return gathering.with_followers(artifact, depth=0)


def gather_referrers(
    route: Route, descriptors: Iterable[Descriptor], *, trusts: bool = True
) -> tuple[Artifact, ...]:
    """The artifacts that a source's referrers list names."""
    return _Gathering(route, trusts).referrers(descriptors, depth=0)


def has_referrers_api(route: Route, registry: RegistryClient, subject: Digest) -> bool:
    """Whether `registry` lists referrers itself: asked once a day, with a digest that is known to be there."""
    known = route.fleet.capability(registry.name, REFERRERS_API)
    if known is None:
        repository = route.repository if registry is route.source else route.target
        known = registry.referrers(repository, subject) is not None
        route.fleet.learn(registry.name, REFERRERS_API, known)
    return known


def signed_by_others(route: Route, tag: Tag) -> bool:
    """Whether the destination holds a companion there that we did not put there: who promotes leaves it alone.

    Each stage may sign for itself, and cosign keeps all signatures of a subject under one tag.
    """
    head = route.destination.head_manifest(route.target, tag)
    record = route.fleet.copied(route.job.destination, route.target, tag)
    return head is not None and (record is None or head.digest not in (record.digest, record.intent))


@dataclass
class _Gathering:
    """One walk over the source. It bounds what a hostile source can make us read."""

    route: Route
    trusts: bool
    seen: set[Digest] = field(default_factory=set)
    size_bytes: int = 0
    tags: frozenset[Tag] | None = None

    def tree(self, manifest: Manifest, *, depth: int) -> Artifact:
        self._count(manifest, depth)
        children, loose = [], []
        known = self.known_there([child.digest for child in manifest.children])
        for descriptor in manifest.children:
            if descriptor.digest in self.seen or descriptor.digest in known:
                continue
            child = self.route.source.get_manifest(self.route.repository, descriptor.digest)
            if child:
                self._check_size(child, descriptor)
                children.append(self.tree(child, depth=depth + 1))
            elif descriptor.media_type in MANIFEST_TYPES:
                raise Corrupt(f"{self.route.start}: the index names {descriptor.digest}, which is not there")
            else:
                loose.append(descriptor)
        return Artifact(manifest, children=tuple(children), loose=tuple(loose))

    def _check_size(self, child: Manifest, descriptor: Descriptor) -> None:
        # Nobody could pull it: clients read no more than the size that the index says (OCI image spec, "Descriptors").
        if len(child.raw) != descriptor.size_bytes:
            raise Corrupt(
                f"{self.route.start}: the index says that {child.digest} has {descriptor.size_bytes} bytes, "
                f"it has {len(child.raw)}"
            )

    def with_followers(self, artifact: Artifact, *, depth: int) -> Artifact:
        """`artifact` with the companions and referrers of itself and of its children.

        First it is said that all of these are on their way: what is attached to one of them after we looked finds
        that it has to wait, and follows by a job of its own.
        """
        for part in artifact.walk():
            route = self.route
            digest, job_id = part.manifest.digest, route.claim.id
            route.fleet.expect_subject(
                route.job.destination, route.target, digest, job_id=job_id, ttl_s=SUBJECT_WAIT_S
            )
        return self._followed(artifact, depth)

    def _followed(self, artifact: Artifact, depth: int) -> Artifact:
        subject = artifact.manifest.digest
        return replace(
            artifact,
            children=tuple(self._followed(child, depth) for child in artifact.children),
            companions=self.companions(subject, self._source_tags(), depth=depth),
            referrers=self.referrers(self._referrers_of(subject), depth=depth),
        )

    def companions(
        self, subject: Digest, tags: frozenset[Tag], *, depth: int
    ) -> tuple[tuple[Tag, Artifact], ...]:
        found = []
        for tag in companion_tags(subject):
            manifest = tag in tags and self.route.source.get_manifest(self.route.repository, tag)
            if (
                manifest
                and manifest.digest not in self.seen
                and not self._is_there_from_us(tag, manifest.digest)
                and not (self.route.is_promotion and signed_by_others(self.route, tag))
            ):
                found.append((tag, self.tree(manifest, depth=depth + 1)))
        return tuple(found)

    def _is_there_from_us(self, tag: Tag, digest: Digest) -> bool:
        # Asked only where the fleet says so: a signature that was never here costs no request.
        route = self.route
        record = route.fleet.copied(route.job.destination, route.target, tag)
        if not self.trusts or record is None or record.digest != digest:
            return False
        head = route.destination.head_manifest(route.target, tag)
        return head is not None and head.digest == digest

    def referrers(self, descriptors: Iterable[Descriptor], *, depth: int) -> tuple[Artifact, ...]:
        found = []
        for descriptor in descriptors:
            if descriptor.digest in self.seen:
                continue
            manifest = self.route.source.get_manifest(self.route.repository, descriptor.digest)
            if manifest:
                artifact = self.tree(manifest, depth=depth + 1)
                found.append(self.with_followers(artifact, depth=depth + 1))
        return tuple(found)

    def _referrers_of(self, subject: Digest) -> list[Descriptor]:
        source, repository = self.route.source, self.route.repository
        if self.route.fleet.capability(source.name, REFERRERS_API) is not False:
            listed = source.referrers(repository, subject)
            self.route.fleet.learn(source.name, REFERRERS_API, listed is not None)
            if listed is not None:
                return listed
        if referrers_tag(subject) not in self._source_tags():
            return []
        return source.tagged_referrers(repository, subject)

    def _source_tags(self) -> frozenset[Tag]:
        # One listing tells the companions of every manifest of the tree: cheaper than a HEAD for each name.
        if self.tags is None:
            self.tags = frozenset(self.route.source.tags(self.route.repository) or ())
        return self.tags

    def known_there(self, digests: list[Digest]) -> frozenset[Digest]:
        """Those of `digests` that the fleet believes to be manifests of the target, and a HEAD there confirms."""
        route = self.route
        locations = route.fleet.locations(route.job.destination, digests) if self.trusts else {}
        return frozenset(
            digest
            for digest, repository in locations.items()
            if repository == route.target and route.destination.head_manifest(route.target, digest)
        )

    def _count(self, manifest: Manifest, depth: int) -> None:
        self.seen.add(manifest.digest)
        self.size_bytes += len(manifest.raw)
        if depth > DEPTH_LIMIT:
            raise PermanentError(f"{self.route.start}: manifests are nested more than {DEPTH_LIMIT} deep")
        if len(self.seen) > MANIFEST_COUNT_LIMIT or self.size_bytes > MANIFEST_BYTES_LIMIT:
            raise PermanentError(
                f"{self.route.start}: more than {MANIFEST_COUNT_LIMIT} manifests or 32 MiB of them"
            )

"""Reading an artifact at the source with everything that travels with it: children, companion tags, referrers.

Where the fleet knows that the destination's repository holds a child manifest or a referrer already, one HEAD there
takes the place of its blobs, and of the child's manifest if nothing follows it. Nothing is believed to be there without
that HEAD.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from replicator.errors import Corrupt, PermanentError
from replicator.ledger import Sighting
from replicator.oci import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Digest,
    Manifest,
    Tag,
    companion_tags,
    referrers_tag,
)
from replicator.plan import Artifact
from replicator.platforms import Choice
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
OCI_SUBJECT = "oci-subject"
"""The same for whether it says of a referrer that is pushed that it listed it; where it does not, we keep a list."""


def gather(route: Route, choice: Choice, *, trusts: bool = True) -> Artifact:
    """What was chosen with its children and, unless the rule ignores them, the signatures and referrers of all these.

    With `trusts` False none of it is left out for being at the destination already.
    """
    gathering, manifest = _Gathering(route, trusts), choice.manifest
    if not choice.left_out and gathering.known_there([manifest.digest]):
        artifact = gathering.there(manifest, depth=0)  # under another tag: this one is all there is to write
    else:
        artifact = gathering.tree(choice, depth=0)
    if route.rule.signatures is Signatures.IGNORE:
        return artifact
    return gathering.with_followers(artifact, depth=0)


def gather_referrers(
    route: Route, descriptors: Iterable[Descriptor], *, trusts: bool = True
) -> tuple[Artifact, ...]:
    """The artifacts that a source's referrers list names."""
    return _Gathering(route, trusts).referrers(descriptors, depth=0)


def subject_of_list(route: Route, tag: Tag, index: Manifest) -> Digest | None:
    """Whose referrers the source lists under a tag that is too short to say so: what the first of them refers to."""
    for descriptor in index.children[:MANIFEST_COUNT_LIMIT]:
        referrer = route.source.get_manifest(route.repository, descriptor.digest)
        if referrer and referrer.subject and referrers_tag(referrer.subject) == tag:
            return referrer.subject
    return None


def keeps_lists(route: Route, subject: Digest) -> bool:
    """Whether the destination is known to list referrers itself: asked once a day, about one of its manifests."""
    fleet, name = route.fleet, route.destination.name
    if fleet.capability(name, OCI_SUBJECT) is False:
        return False
    known = fleet.capability(name, REFERRERS_API)
    if known is None:
        known = route.destination.serves_referrers(route.target, subject)
        if known is not None:
            fleet.learn(name, REFERRERS_API, known)
    return bool(known)


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
    seen: dict[Digest, Manifest] = field(default_factory=dict)
    size_bytes: int = 0
    asked: int = 0
    known: set[Digest] = field(default_factory=set)
    by_subject: dict[Digest, list[Descriptor]] = field(default_factory=dict)
    tags: frozenset[Tag] | None = None

    def tree(self, choice: Choice, *, depth: int) -> Artifact:
        manifest = choice.manifest
        self._count(manifest, depth)
        children, loose = [], []
        known = self.known_there([child.digest for child in choice.kept])
        self.known |= known
        for descriptor in choice.kept:
            if descriptor.digest in self.seen or descriptor.digest in known:
                continue
            child = choice.below.get(descriptor.digest) or self._child(descriptor)
            if child:
                self._check_size(child.manifest, descriptor)
                children.append(self.tree(child, depth=depth + 1))
            elif descriptor.media_type in MANIFEST_TYPES:
                raise Corrupt(f"{self.route.start}: the index names {descriptor.digest}, which is not there")
            else:
                loose.append(descriptor)
        return Artifact(manifest, children=tuple(children), loose=tuple(loose), left_out=choice.left_out)

    def _child(self, descriptor: Descriptor) -> Choice | None:
        child = self._read(descriptor.digest)
        return Choice.whole(child) if child else None

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
        route = self.route
        subjects = [part.manifest.digest for part in artifact.walk()]
        route.fleet.expect_subjects(
            route.job.destination, route.target, subjects, job_id=route.claim.id, ttl_s=SUBJECT_WAIT_S
        )
        return self._followed(artifact, self._tags_for(_named_by(artifact)), depth)

    def _followed(self, artifact: Artifact, tags: frozenset[Tag], depth: int) -> Artifact:
        subject = artifact.manifest.digest
        children = [self._followed(child, tags, depth) for child in artifact.children]
        return replace(
            artifact,
            children=(*children, *self._followed_there(artifact, tags, depth)),
            companions=self.companions(subject, tags, depth=depth),
            referrers=self.referrers(self._referrers_of(subject, tags), depth=depth),
        )

    def _followed_there(self, artifact: Artifact, tags: frozenset[Tag], depth: int) -> Iterator[Artifact]:
        """The children that were left out because they are there already, if something follows them or may.

        They may have come by a rule that ignores signatures, or before anybody signed them.
        """
        for child in artifact.manifest.children:
            if child.digest in self.seen or child.media_type not in MANIFEST_TYPES:
                continue
            if (artifact.is_there or child.digest in self.known) and self._may_be_followed(child, tags):
                manifest = self._read(child.digest)
                if manifest:
                    there = self.there(manifest, depth=depth + 1)
                    below = self._tags_for(_named_by(there))
                    yield self._followed(there, below, depth + 1 if manifest.is_index else depth)

    def _may_be_followed(self, child: Descriptor, tags: frozenset[Tag]) -> bool:
        is_signed = any(tag in tags for tag in companion_tags(child.digest))
        return is_signed or child.media_type in INDEX_TYPES or bool(self._referrers_of(child.digest, tags))

    def companions(
        self, subject: Digest, tags: frozenset[Tag], *, depth: int
    ) -> tuple[tuple[Tag, Artifact], ...]:
        found = []
        for tag in companion_tags(subject):
            manifest = tag in tags and self.route.source.get_manifest(self.route.repository, tag)
            if (
                manifest
                and not self._is_there_from_us(tag, manifest.digest)
                and not (self.route.is_promotion and signed_by_others(self.route, tag))
            ):
                met = self._met_again(manifest.digest)
                found.append((tag, met or self._companion(manifest, tags, depth + 1)))
        return tuple(found)

    def _companion(self, manifest: Manifest, tags: frozenset[Tag], depth: int) -> Artifact:
        # An SBOM that cosign attached may be signed as well; the listing says so.
        companion = self.tree(Choice.whole(manifest), depth=depth)
        return replace(companion, companions=self.companions(manifest.digest, tags, depth=depth))

    def _met_again(self, digest: Digest) -> Artifact | None:
        manifest = self.seen.get(digest)
        return Artifact(manifest, is_there=True) if manifest else None

    def _is_there_from_us(self, tag: Tag, digest: Digest) -> bool:
        # Asked only where the fleet says so: a signature that was never here costs no request.
        route = self.route
        record = route.fleet.copied(route.job.destination, route.target, tag)
        if not self.trusts or record is None or record.digest != digest:
            return False
        head = route.destination.head_manifest(route.target, tag)
        return head is not None and head.digest == digest

    def referrers(self, descriptors: Iterable[Descriptor], *, depth: int) -> tuple[Artifact, ...]:
        """The artifacts that are listed. Where one is there already, it has to be listed at most."""
        found = []
        wanted = list(descriptors)
        known = self.known_there([item.digest for item in wanted if item.digest not in self.seen])
        for digest in dict.fromkeys(item.digest for item in wanted):
            if met := self._met_again(digest):
                found.append(met)
            elif manifest := self._read(digest):
                artifact = (
                    self.there(manifest, depth=depth + 1)
                    if digest in known
                    else self.tree(Choice.whole(manifest), depth=depth + 1)
                )
                found.append(self.with_followers(artifact, depth=depth + 1))
        return tuple(found)

    def there(self, manifest: Manifest, *, depth: int) -> Artifact:
        """A manifest that the destination is known to hold, with all that it names."""
        self._count(manifest, depth)
        return Artifact(manifest, is_there=True)

    def _referrers_of(self, subject: Digest, tags: frozenset[Tag]) -> list[Descriptor]:
        if subject not in self.by_subject:
            self.by_subject[subject] = [*self._listed(subject, tags)]
        return self.by_subject[subject]

    def _listed(self, subject: Digest, tags: frozenset[Tag]) -> Iterator[Descriptor]:
        # Both are read: a registry that came by the API lately may list there only what was pushed since.
        source, fleet = self.route.source, self.route.fleet
        if fleet.capability(source.name, REFERRERS_API) is not False:
            listed = source.referrers(self.route.repository, subject)
            if listed is None:
                fleet.learn(source.name, REFERRERS_API, False)
            yield from listed or ()
        if referrers_tag(subject) in tags:
            yield from source.tagged_referrers(self.route.repository, subject)

    def _tags_for(self, subjects: Iterable[Digest]) -> frozenset[Tag]:
        """The tags at the source that may hold companions and referrers of `subjects`, and perhaps others.

        One listing tells them for every manifest of the tree: cheaper than a HEAD for each name. A comparison that
        submitted this job listed them for all jobs of the repository. That holds for as long as no companion came: one
        that comes makes the fleet forget the listing, before it looks whether its subject is expected.
        """
        route = self.route
        if self.tags is None and route.claim.action is None and not route.claim.is_repair:
            wanted = [
                tag for subject in subjects for tag in (*companion_tags(subject), referrers_tag(subject))
            ]
            listed = route.fleet.companions.listed(route.rule.source, route.repository, wanted)
            if listed is not None:
                return listed
        if self.tags is None:
            self.tags = frozenset(route.source.tags(route.repository) or ())
        return self.tags

    def known_there(self, digests: list[Digest]) -> frozenset[Digest]:
        """Those of `digests` that the fleet believes to be manifests of the target, and a HEAD there confirms."""
        route = self.route
        seen: Mapping[Digest, Sighting] = {}
        if self.trusts:
            seen = route.fleet.sightings(route.job.destination, digests, best=route.target)
        return frozenset(
            digest
            for digest, sighting in seen.items()
            if sighting.repository == route.target and route.destination.head_manifest(route.target, digest)
        )

    def _read(self, digest: Digest) -> Manifest | None:
        # What is not there counts as well: a list of referrers may name a great many such.
        self.asked += 1
        if self.asked > 2 * MANIFEST_COUNT_LIMIT:
            raise PermanentError(f"{self.route.start}: names more than {2 * MANIFEST_COUNT_LIMIT} others")
        return self.route.source.get_manifest(self.route.repository, digest)

    def _count(self, manifest: Manifest, depth: int) -> None:
        self.seen[manifest.digest] = manifest
        self.size_bytes += len(manifest.raw)
        if depth > DEPTH_LIMIT:
            raise PermanentError(f"{self.route.start}: manifests are nested more than {DEPTH_LIMIT} deep")
        if len(self.seen) > MANIFEST_COUNT_LIMIT or self.size_bytes > MANIFEST_BYTES_LIMIT:
            raise PermanentError(
                f"{self.route.start}: more than {MANIFEST_COUNT_LIMIT} manifests or 32 MiB of them"
            )


def _named_by(artifact: Artifact) -> list[Digest]:
    """The manifests of a tree, those that were left out of it because they are there included."""
    return [
        digest
        for part in artifact.walk()
        for digest in (part.manifest.digest, *(child.digest for child in part.manifest.children))
    ]

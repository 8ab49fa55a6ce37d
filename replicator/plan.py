"""What has to happen at a destination so that one reference there is what the source holds: decided from values alone.

`verdict` says whether anything is to be done, `steps` lists it in the order that keeps every prefix harmless:

    blobs  →  child manifests  →  the subject by digest, then its signatures and referrers  →  the tag

Only the last step shows anything to somebody who pulls, so a plan may be interrupted after any step and planned again.
Where a rule's platforms leave out some of an index, its children are those that the rule keeps.

What follows comes after the whole tree that it follows, the children's followers included. A signature may be an index
that names a manifest of that tree, or be a manifest of it; and whoever gathers an artifact reads each manifest once, so
that it has its bytes where it was met first. Met again, it stands there as one that is there: by then it is.
Nothing here reads a registry; `transfer` collects the values and carries the steps out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from replicator.errors import PermanentError
from replicator.oci import (
    OCI_INDEX,
    Descriptor,
    Digest,
    Manifest,
    Reference,
    Repository,
    Tag,
    index_of,
    parse_manifest,
    referrers_tag,
    relisted,
)

Follower = tuple[Reference, Digest]
"""What is written beside a reference: a companion tag with its content, or a referrer by its digest."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A manifest with everything that travels with it.

    `children` are the manifests of an index, `companions` the artifacts that cosign keeps under tags of their own,
    `referrers` those that name this one as their subject. `loose` are entries of an index that are blobs (BuildKit
    caches). A child that the destination is known to hold is left out of `children`; `is_there` says the same of the
    manifest itself, with all that it points to. `left_out` is what it names, at any depth, and nobody wants there.
    """

    manifest: Manifest
    children: tuple["Artifact", ...] = ()
    companions: tuple[tuple[Tag, "Artifact"], ...] = ()
    referrers: tuple["Artifact", ...] = ()
    loose: tuple[Descriptor, ...] = ()
    is_there: bool = False
    left_out: frozenset[Digest] = frozenset()

    def followers(self) -> Iterator[Follower]:
        """The references under which its signatures and referrers are kept, and what they hold."""
        for part in self.walk():
            yield from ((tag, companion.manifest.digest) for tag, companion in part.companions)
            yield from ((referrer.manifest.digest, referrer.manifest.digest) for referrer in part.referrers)

    def walk(self) -> Iterator["Artifact"]:
        """This artifact and all that travels with it, what is pointed to before what points."""
        for child in self.children:
            yield from child.walk()
        yield self
        for _, companion in self.companions:
            yield from companion.walk()
        for referrer in self.referrers:
            yield from referrer.walk()


@dataclass(frozen=True, slots=True)
class CopyBlob:
    """Bring one blob over. `mount_from` is where at the destination it may be already, the same repository included.

    None stands for a blob that is to be sent in any case. `is_there` says that it was seen in the repository so lately
    that nobody needs to ask; if the registry misses it all the same, it is sent.
    """

    blob: Descriptor
    mount_from: Repository | None
    is_there: bool = False


@dataclass(frozen=True, slots=True)
class PutManifest:
    """Write a manifest's exact bytes under a digest or a tag. `left_out` is what it names and is not to be there."""

    manifest: Manifest
    reference: Reference
    left_out: frozenset[Digest] = frozenset()


@dataclass(frozen=True, slots=True)
class ListReferrers:
    """Make sure that the referrers tag of `subject` lists `referrers`: for registries without a referrers API."""

    subject: Digest
    referrers: tuple[Descriptor, ...]

    @property
    def reference(self) -> Tag:
        """The tag that holds the list."""
        return referrers_tag(self.subject)


Write = PutManifest | ListReferrers


@dataclass(frozen=True, slots=True)
class Plan:
    """`blobs` first, in any order and at the same time; then `writes`, one after another."""

    blobs: tuple[CopyBlob, ...]
    writes: tuple[Write, ...]

    @property
    def manifests(self) -> tuple[Digest, ...]:
        """The digests of the manifests that are there when all is written, with everything that they name."""
        return tuple(
            step.manifest.digest
            for step in self.writes
            if isinstance(step, PutManifest) and not step.left_out
        )


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known of the destination before anything is written there.

    `locations` says which of its repositories is known to hold a blob, `certain` which blobs the repository itself was
    seen to hold just now. `lists_referrers` is False where it has no referrers API, so that the referrers tag has to
    be kept by us.
    """

    repository: Repository
    locations: Mapping[Digest, Repository]
    lists_referrers: bool
    certain: frozenset[Digest] = frozenset()

    def copies(self, blobs: Iterable[Descriptor]) -> tuple[CopyBlob, ...]:
        """The steps that bring `blobs`: each may be mounted from where it is known to be, else from right here."""
        return tuple(
            CopyBlob(
                blob, self.locations.get(blob.digest, self.repository), is_there=blob.digest in self.certain
            )
            for blob in blobs
        )


def steps(artifact: Artifact, reference: Reference, ground: Ground) -> Plan:
    """What brings `reference` at the destination to `artifact`."""
    subject = artifact.manifest.subject
    if subject and not ground.lists_referrers:
        # By digest first: a list of referrers is an index, and a registry takes none whose entries are not there.
        writes = [*_writes(artifact, ground), ListReferrers(subject, (artifact.manifest.descriptor,))]
    else:
        writes = _before(artifact, ground)
    writes.append(_put(artifact, reference))
    return Plan(ground.copies(blobs_of([artifact])), _unique(writes))


def follow_up(subject: Digest, referrers: tuple[Artifact, ...], ground: Ground) -> Plan:
    """What brings `referrers` over to a destination that holds their `subject` already."""
    writes: list[Write] = [write for referrer in referrers for write in _writes(referrer, ground)]
    if not ground.lists_referrers:
        writes.append(_listing(subject, referrers))
    return Plan(ground.copies(blobs_of(referrers)), _unique(writes))


def merged_list(listed: Manifest | None, referrers: Iterable[Descriptor]) -> Manifest | None:
    """The referrers tag's index with `referrers` in it, or None if it has them all.

    What others listed stays as they wrote it (OCI 1.1, "Pushing Manifests with Subject"). Raises PermanentError if the
    tag holds something that is no such index: that is somebody else's, and is not overwritten.
    """
    known = {entry.digest for entry in _entries(listed)}
    missing = {entry.digest: entry for entry in referrers if entry.digest not in known}
    if not missing:
        return None
    raw = listed.raw if listed else index_of([])
    return parse_manifest(relisted(raw, added=missing.values()), OCI_INDEX)


def thinned_list(listed: Manifest | None, gone: Digest) -> Manifest | None:
    """The referrers tag's index without `gone`, or None if that is not in there."""
    if listed is None or gone not in {entry.digest for entry in listed.children}:
        return None
    return parse_manifest(relisted(listed.raw, gone={gone}), listed.media_type)


def _entries(listed: Manifest | None) -> tuple[Descriptor, ...]:
    if listed and listed.media_type != OCI_INDEX:
        raise PermanentError(f"the referrers tag holds {listed.digest}, which is not an index of referrers")
    return listed.children if listed else ()


def blobs_of(artifacts: Iterable[Artifact]) -> tuple[Descriptor, ...]:
    """Every blob that `artifacts` need at a destination, once each. Foreign layers stay where they are."""
    needed = {
        blob.digest: blob
        for artifact in artifacts
        for part in artifact.walk()
        for blob in (*part.manifest.blobs, *part.loose)
        if not part.is_there and not blob.is_foreign
    }
    return tuple(needed.values())


def _writes(artifact: Artifact, ground: Ground) -> Iterator[Write]:
    yield from _tree(artifact)
    yield from _following(artifact, ground)


def _tree(artifact: Artifact) -> Iterator[Write]:
    for child in artifact.children:
        yield from _tree(child)
    if not artifact.is_there:
        yield _put(artifact, artifact.manifest.digest)


def _following(artifact: Artifact, ground: Ground) -> Iterator[Write]:
    for child in artifact.children:
        yield from _following(child, ground)
    for tag, companion in artifact.companions:
        yield from _before(companion, ground)
        yield _put(companion, tag)
    for referrer in artifact.referrers:
        yield from _writes(referrer, ground)
    if artifact.referrers and not ground.lists_referrers:
        yield _listing(artifact.manifest.digest, artifact.referrers)


def _listing(subject: Digest, referrers: tuple[Artifact, ...]) -> ListReferrers:
    return ListReferrers(subject, tuple(referrer.manifest.descriptor for referrer in referrers))


def _before(artifact: Artifact, ground: Ground) -> list[Write]:
    # Where nothing follows the subject, the tag's own PUT brings its bytes: one request less.
    writes = [*_writes(artifact, ground)]
    top = _put(artifact, artifact.manifest.digest)
    return writes[:-1] if writes and writes[-1] == top else writes


def _put(artifact: Artifact, reference: Reference) -> PutManifest:
    return PutManifest(artifact.manifest, reference, artifact.left_out)


def _unique(writes: Iterable[Write]) -> tuple[Write, ...]:
    return tuple(dict.fromkeys(writes))

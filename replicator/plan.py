"""What has to happen at a destination so that one reference there is what the source holds: decided from values alone.

`decide` says whether anything is to be done, `steps` lists it in the order that keeps every prefix harmless:

    blobs  →  child manifests  →  the subject by digest, then its signatures and referrers  →  the tag

Only the last step shows anything to somebody who pulls, so a plan may be interrupted after any step and planned again.
Nothing here reads a registry; `transfer` collects the values and carries the steps out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from replicator.oci import Descriptor, Digest, Manifest, Reference, Repository, Tag, referrers_tag


class Verdict(Enum):
    """What a reference at a destination needs."""

    UNCHANGED = auto()
    COPY = auto()
    KEEP = auto()
    """It differs, and `override: false` says that it stays."""
    ECHO = auto()
    """It differs, but the source's content came from there: the destination's own newer content will come over."""
    CONFLICT = auto()
    """Another rule, with another source, wrote it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What `decide` needs to know of a reference that exists at the source."""

    wanted: Digest
    found: Digest | None
    override: bool
    came_from_destination: bool = False
    written_by_another: bool = False


def decide(facts: Facts) -> Verdict:
    """The verdict on a reference that exists at the source."""
    if facts.found == facts.wanted:
        return Verdict.UNCHANGED
    if facts.came_from_destination:
        return Verdict.ECHO
    if facts.found is None:
        return Verdict.COPY
    if facts.written_by_another:
        return Verdict.CONFLICT
    return Verdict.COPY if facts.override else Verdict.KEEP


@dataclass(frozen=True, slots=True)
class Artifact:
    """A manifest with everything that travels with it.

    `children` are the manifests of an index, `companions` the artifacts that cosign keeps under tags of their own,
    `referrers` those that name this one as their subject. `loose` are entries of an index that are blobs (BuildKit
    caches). A child that the destination is known to hold complete is left out of `children`.
    """

    manifest: Manifest
    children: tuple["Artifact", ...] = ()
    companions: tuple[tuple[Tag, "Artifact"], ...] = ()
    referrers: tuple["Artifact", ...] = ()
    loose: tuple[Descriptor, ...] = ()

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
    """Bring one blob over. `mount_from` is where at the destination it may be already, the same repository included."""

    blob: Descriptor
    mount_from: Repository


@dataclass(frozen=True, slots=True)
class PutManifest:
    """Write a manifest's exact bytes under a digest or a tag."""

    manifest: Manifest
    reference: Reference


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


def steps(
    artifact: Artifact,
    reference: Reference,
    *,
    repository: Repository,
    locations: Mapping[Digest, Repository],
    lists_referrers: bool,
) -> Plan:
    """What brings `reference` of the destination's `repository` to `artifact`.

    `locations` says which repository of the destination is known to hold a blob. `lists_referrers` is False where the
    destination has no referrers API, so that the referrers tag has to be kept by us.
    """
    blobs = tuple(
        CopyBlob(blob, locations.get(blob.digest, repository)) for blob in blobs_of([artifact]).values()
    )
    writes = [*_writes(artifact, lists_referrers)]
    top = PutManifest(artifact.manifest, artifact.manifest.digest)
    last = PutManifest(artifact.manifest, reference)
    if writes[-1] == top:
        # Nothing follows the subject, so that the tag may bring its bytes: one request less.
        writes.pop()
    return Plan(blobs, (*_unique(writes), last))


def follow_up(
    artifact: Artifact,
    *,
    repository: Repository,
    locations: Mapping[Digest, Repository],
    lists_referrers: bool,
) -> Plan:
    """What brings the companions and referrers of an artifact over whose own bytes the destination holds already."""
    companions = [companion for _, companion in artifact.companions]
    blobs = blobs_of([*companions, *artifact.referrers])
    return Plan(
        tuple(CopyBlob(blob, locations.get(blob.digest, repository)) for blob in blobs.values()),
        _unique(_following(artifact, lists_referrers)),
    )


def blobs_of(artifacts: Iterable[Artifact]) -> dict[Digest, Descriptor]:
    """Every blob that `artifacts` need at a destination, once each. Foreign layers stay where they are."""
    return {
        blob.digest: blob
        for artifact in artifacts
        for part in artifact.walk()
        for blob in (*part.manifest.blobs, *part.loose)
        if not blob.is_foreign
    }


def _writes(artifact: Artifact, lists_referrers: bool) -> Iterator[Write]:
    for child in artifact.children:
        yield from _writes(child, lists_referrers)
    yield PutManifest(artifact.manifest, artifact.manifest.digest)
    yield from _following(artifact, lists_referrers)


def _following(artifact: Artifact, lists_referrers: bool) -> Iterator[Write]:
    for tag, companion in artifact.companions:
        yield from _all_but_last(companion, lists_referrers)
        yield PutManifest(companion.manifest, tag)
    for referrer in artifact.referrers:
        yield from _writes(referrer, lists_referrers)
    if artifact.referrers and not lists_referrers:
        found = tuple(referrer.manifest.descriptor for referrer in artifact.referrers)
        yield ListReferrers(artifact.manifest.digest, found)


def _all_but_last(companion: Artifact, lists_referrers: bool) -> Iterator[Write]:
    writes = [*_writes(companion, lists_referrers)]
    top = PutManifest(companion.manifest, companion.manifest.digest)
    yield from writes[:-1] if writes[-1] == top else writes


def _unique(writes: Iterable[Write]) -> tuple[Write, ...]:
    return tuple(dict.fromkeys(writes))

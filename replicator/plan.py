"""What has to happen at a destination so that one reference there is what the source holds: decided from values alone.

`decide` says whether anything is to be done, `steps` lists it in the order that keeps every prefix harmless:

    blobs  →  child manifests  →  the subject by digest, then its signatures and referrers  →  the tag

Only the last step shows anything to somebody who pulls, so a plan may be interrupted after any step and planned again.
Where a rule's platforms leave out some of an index, its children are those that the rule keeps.

What follows comes after the whole tree that it follows, the children's followers included. A signature may be an index
that names a manifest of that tree, or be a manifest of it; and whoever gathers an artifact reads each manifest once, so
that it has its bytes where it was met first. Met again, it stands there as one that is there: by then it is.
Nothing here reads a registry; `transfer` collects the values and carries the steps out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

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
from replicator.platforms import Platforms, covers


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
class Written:
    """What the fleet remembers to have written under one reference.

    `start` is the place that the content was read from, `origins` are the places that it came through, that one
    included. `digest` is what was verified, `intent` what was set out for last; `at` is when this last changed. Of an
    index only the images for `platforms` may be there; `made_from` is the source's digest if the index was rebuilt.
    """

    start: str
    digest: Digest | None
    intent: Digest | None
    origins: tuple[str, ...]
    at: float
    platforms: Platforms = ()
    made_from: Digest | None = None

    def rebuilt_of(self, source: Digest | None, platforms: Platforms) -> Digest | None:
        """The index that was rebuilt of `source` for these platforms, if that is what was verified last."""
        is_settled = self.digest == self.intent and set(self.platforms) == set(platforms)
        return self.digest if is_settled and source is not None and source == self.made_from else None


def place(registry: str, repository: Repository, reference: Reference) -> str:
    """One reference of one registry as text, unique among all: what origins are, and `start` and `end`."""
    return f"{registry}|{repository}|{reference}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What `decide` needs to know of a reference that exists at the source. `start` and `end` are its two places.

    `here` is what we wrote at the source, and `there` at the destination. `is_resync` says that no event told of a
    change, `is_answered` that a rule copies the destination's reference on, so that a change of it is heard of, and
    `is_strangers` that the rule which wrote `there` still wants it, and has nothing to do with this one's source.
    `platforms` are those that the rule wants of an index.
    """

    wanted: Digest
    found: Digest | None
    start: str
    end: str
    override: bool
    is_approved: bool = False
    here: Written | None = None
    there: Written | None = None
    is_resync: bool = False
    is_answered: bool = False
    is_strangers: bool = False
    platforms: Platforms = ()


def decide(facts: Facts) -> Verdict:
    """The verdict on a reference that exists at the source."""
    if facts.found == facts.wanted:
        return Verdict.COPY if lacks_platforms(facts) else Verdict.UNCHANGED
    if _is_echo(facts):
        return Verdict.ECHO
    if facts.found is None or facts.is_approved:
        return Verdict.COPY
    if facts.there and facts.there.start != facts.start and facts.is_strangers:
        return Verdict.CONFLICT
    return Verdict.COPY if facts.override else Verdict.KEEP


def lacks_platforms(facts: Facts) -> bool:
    """Whether the destination holds the very index that is wanted, from us, but not all of its images that are."""
    there = facts.there
    return (
        there is not None
        and there.digest == facts.found
        and there.made_from is None
        and not covers(there.platforms, facts.platforms)
    )


def _is_echo(facts: Facts) -> bool:
    """Whether what the source holds came from the destination, which will send by itself what it has now.

    Where pushes at several places crossed each other, each of two places may have its content from the other, and would
    wait for it for ever. Then the greater digest goes on: which one it is says nothing, but both agree on it whoever
    asks and whenever, so that it ends.
    """
    if not _came_back(facts):
        return False
    if facts.found is None or not _came_back(_turned_round(facts, facts.found)):
        return True
    return facts.wanted < facts.found


def _turned_round(facts: Facts, found: Digest) -> Facts:
    """What a job would decide upon that copies the other way."""
    return replace(
        facts,
        wanted=found,
        found=facts.wanted,
        start=facts.end,
        end=facts.start,
        here=facts.there,
        there=facts.here,
        is_answered=True,
    )


def _came_back(facts: Facts) -> bool:
    here, there = facts.here, facts.there
    if here is None or facts.wanted not in (here.digest, here.intent) or facts.end not in here.origins:
        return False
    if facts.found is None and facts.is_resync:
        return False  # a resync restores what the destination lost
    if there and there.start == facts.start and there.at > here.at:
        return False  # the source had other content meanwhile, and sent it: somebody went back to this one
    return facts.is_answered


def origins(facts: Facts) -> tuple[str, ...]:
    """The places that a copy comes through, for its record: those of what we put at the source, and the source.

    What came from the destination and is copied back all the same is new there, as if it had been pushed.
    """
    here = facts.here
    if here is None or facts.wanted not in (here.digest, here.intent) or facts.end in here.origins:
        return (facts.start,)
    return (*here.origins, facts.start)


def was_cut_short(facts: Facts) -> bool:
    """Whether the destination holds what we set out to put there, and nobody lived to note it."""
    there = facts.there
    return there is not None and facts.found == facts.wanted == there.intent != there.digest


def is_lost(facts: Facts) -> bool:
    """Whether the destination lacks what we put there: then nothing that is believed to be there is worth a request."""
    there = facts.there
    return there is not None and facts.found is None and facts.wanted in (there.digest, there.made_from)


class Removal(Enum):
    """What becomes of a reference that the source no longer has, as far as it can be said before anybody waits."""

    NOTHING = auto()
    """The destination does not have it either."""
    KEEP = auto()
    """The rule does not delete."""
    NOT_OURS = auto()
    """The destination holds something there that we did not put there."""
    WAIT = auto()
    """It may go once the source has said so twice."""


def decide_removal(*, found: Digest | None, put_there: tuple[Digest | None, ...], deletion: bool) -> Removal:
    """The verdict on a reference that the source no longer has. `put_there` is what we know to have written."""
    if found is None:
        return Removal.NOTHING
    if not deletion:
        return Removal.KEEP
    return Removal.WAIT if found in put_there else Removal.NOT_OURS


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

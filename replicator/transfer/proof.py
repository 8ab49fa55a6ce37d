"""Proof that a destination holds what it should: the tag, every manifest and blob below it, signatures and referrers.

It believes nothing but what the registry answers now: no record of the fleet, and not that a manifest's presence says
anything of what it names. What is wrong is a defect; a registry that does not answer is an error, which is neither.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from replicator.errors import Corrupt, PermanentError, Unsupported
from replicator.oci import (
    MANIFEST_TYPES,
    Descriptor,
    Digest,
    Manifest,
    Reference,
    Repository,
    Tag,
    companion_subject,
    companion_tags,
    named,
    referrers_tag,
)
from replicator.registry import RegistryClient
from replicator.transfer.defects import Defect, DefectKind, Proof
from replicator.transfer.gather import DEPTH_LIMIT, MANIFEST_BYTES_LIMIT, MANIFEST_COUNT_LIMIT
from replicator.transfer.selection import Selection


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a copy, whose signatures and referrers have to be at the destination too."""

    client: RegistryClient
    repository: Repository


@dataclass
class Prover:
    """Proves references of one repository of a destination. Safe for several threads; best made once a repository.

    `deep` re-reads and hashes every blob, in constant memory. `seen` holds what was proved already and is not asked
    for again; provers of one run may share it, whatever their registries and repositories. Without an `origin` nothing
    is said of signatures and referrers. What the `selection` leaves out of an index need not be there.
    """

    destination: RegistryClient
    repository: Repository
    origin: Origin | None = None
    deep: bool = False
    seen: set[bytes] = field(default_factory=set)
    selection: Selection | None = None
    _origin_tags: frozenset[Tag] | None = field(default=None, init=False)
    _without_referrers_api: set[str] = field(default_factory=set, init=False)

    def prove(self, reference: Reference, expected: Digest) -> Proof:
        """Whether `reference` holds `expected`, and everything that belongs to it is there. Each defect is told once.

        Raises the registries' errors, and PermanentError for manifests nested or numbered beyond all sense.
        """
        walk = _Walk(self, f"{self.destination.name}/{named(self.repository, reference)}")
        is_companion = isinstance(reference, Tag) and companion_subject(reference) is not None
        walk.prove(_Wanted(reference, expected, _ATTACHED_TOP if is_companion else _TOP))
        size_bytes = walk.manifest_bytes + walk.blob_bytes
        return Proof(
            walk.manifests, walk.blobs, size_bytes, walk.signatures, tuple(dict.fromkeys(walk.defects))
        )

    def defect_of(self, blob: Descriptor, name: str) -> Defect | None:
        """What is wrong with a blob that `name` needs; None if it is there and right, now or when it was proved."""
        mark = self.mark("blob", blob.digest)
        defect = None if mark in self.seen else self._defect_of(blob, name)
        if defect is None:
            self.seen.add(mark)
        return defect

    def _defect_of(self, blob: Descriptor, name: str) -> Defect | None:
        damage = self._reread(blob) if self.deep else None
        if self.deep and damage is None:
            return None
        size = self.destination.blob_size(self.repository, blob)
        what = f"{name}: the blob {blob.digest}"
        if size is None:
            return Defect(DefectKind.MISSING_BLOB, blob.digest, f"{what} is absent", blob.digest)
        if size != blob.size_bytes:
            said = f"{what} has {size} bytes, expected {blob.size_bytes}"
            return Defect(DefectKind.WRONG_SIZE, blob.digest, said, blob.digest)
        if damage:
            return Defect(DefectKind.CORRUPT, blob.digest, f"{name}: {damage}", blob.digest)
        return None

    def _reread(self, blob: Descriptor) -> str | None:
        try:
            with self.destination.open_blob(self.repository, blob) as chunks:
                for _ in chunks:
                    pass
        except Corrupt as exc:
            return str(exc)
        return None

    def mark(self, what: str, digest: Digest) -> bytes:
        """The element of `seen` that stands for `digest` as a `what`, proved as thoroughly as this prover does it."""
        scope = f"{self.origin.client.name}|{self.origin.repository}" if self.origin else ""
        if self.selection and what == _SUBJECT:
            scope += "|" + " ".join(map(str, self.selection.platforms))
        mark = f"{what}|{self.deep}|{scope}|{self.destination.name}|{self.repository}|{digest}"
        return hashlib.blake2b(mark.encode(), digest_size=16).digest()  # there may be millions

    def entries(self, index: Manifest) -> tuple[Descriptor, ...]:
        """Those of its entries that have to be there."""
        return self.selection.choice(index).kept if self.selection else index.children

    # What the source has for a subject

    def companions(self, subject: Digest) -> Iterator[tuple[Tag, Digest]]:
        """The companion tags that the source has for `subject`, and what they hold."""
        origin = self.origin
        for tag in companion_tags(subject) if origin else ():
            if origin and tag in self._source_tags(origin):
                head = origin.client.head_manifest(origin.repository, tag)
                if head:
                    yield tag, head.digest

    def referrers(self, subject: Digest) -> list[Descriptor]:
        """What the source lists as referrers of `subject`."""
        if self.origin is None:
            return []
        listed = self._listed(self.origin.client, self.origin.repository, subject) or []
        if referrers_tag(subject) in self._source_tags(self.origin):
            listed += self.origin.client.tagged_referrers(self.origin.repository, subject)
        return list({item.digest: item for item in listed}.values())

    def listed_here(self, subject: Digest, wanted: list[Descriptor]) -> frozenset[Digest]:
        """What the destination lists as referrers of `subject`: by its API, by a tag, or those it lacks here there."""
        listed = {item.digest for item in self._listed(self.destination, self.repository, subject) or ()}
        if any(item.digest not in listed for item in wanted):
            listed.update(item.digest for item in self.destination.tagged_referrers(self.repository, subject))
        return frozenset(listed)

    def is_at_source(self, referrer: Digest) -> bool:
        """Whether the source has it: a list may name what was never pushed, or is gone, and cannot be copied."""
        return bool(self.origin and self.origin.client.head_manifest(self.origin.repository, referrer))

    def _listed(
        self, client: RegistryClient, repository: Repository, subject: Digest
    ) -> list[Descriptor] | None:
        if client.name in self._without_referrers_api:
            return None
        listed = client.referrers(repository, subject)
        if listed is None:
            self._without_referrers_api.add(client.name)
        return listed

    def _source_tags(self, origin: Origin) -> frozenset[Tag]:
        # One listing tells the companions of every subject in the repository.
        if self._origin_tags is None:
            self._origin_tags = frozenset(origin.client.tags(origin.repository) or ())
        return self._origin_tags


@dataclass(frozen=True, slots=True)
class _Role:
    """What a manifest is to the reference that is proved: how it is called, and what is wrong without it."""

    name: str
    missing: DefectKind
    wrong: DefectKind
    has_followers: bool = True
    is_selected: bool = False
    """Whether the rule's platforms are asked what of it has to be there. What is attached is there whole."""


_SUBJECT = "subject"
_TOP = _Role("", DefectKind.ABSENT, DefectKind.WRONG_DIGEST, is_selected=True)
_ATTACHED_TOP = replace(_TOP, is_selected=False)
_CHILD = _Role("child", DefectKind.MISSING_CHILD, DefectKind.MISSING_CHILD)
_REFERRER = _Role("referrer", DefectKind.MISSING_SIGNATURE, DefectKind.WRONG_SIGNATURE)
# Nobody signs a signature: cosign keeps all of them in one.
_COMPANION = replace(_REFERRER, name="signature", has_followers=False)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A manifest that has to be there: under which reference, with which digest and, if that was said, which size."""

    reference: Reference
    digest: Digest
    role: _Role
    size_bytes: int | None = None


@dataclass
class _Walk:
    """One walk over what the destination holds under a reference, with bounds to what it can make us read."""

    prover: Prover
    name: str
    manifests: int = 0
    manifest_bytes: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    signatures: int = 0
    defects: list[Defect] = field(default_factory=list)

    def prove(self, wanted: _Wanted, depth: int = 0) -> None:
        mark = self.prover.mark(_SUBJECT if wanted.role.has_followers else "companion", wanted.digest)
        if mark in self.prover.seen:
            if isinstance(wanted.reference, Tag):
                head = self.prover.destination.head_manifest(self.prover.repository, wanted.reference)
                self._compare(head.digest if head else None, wanted)
            return
        before = len(self.defects)
        manifest = self._read(wanted)
        if manifest is None:
            return
        self._count(manifest, depth)
        self._below(manifest, wanted.role, depth)
        if wanted.role.has_followers:
            self._followers(wanted.digest, depth)
        if len(self.defects) == before:
            self.prover.seen.add(mark)

    def _read(self, wanted: _Wanted) -> Manifest | None:
        destination, repository = self.prover.destination, self.prover.repository
        try:
            manifest = destination.get_manifest(repository, wanted.reference)
        except Corrupt as exc:
            self._note(DefectKind.CORRUPT, wanted, f"{self.name}: {exc}")
            return None
        except Unsupported:
            # It may be something else by now, of a kind that we do not copy.
            head = destination.head_manifest(repository, wanted.reference)
            if self._compare(head.digest if head else None, wanted):
                raise
            return None
        found = Digest.of(manifest.raw, wanted.digest.algorithm) if manifest else None
        if not self._compare(found, wanted) or manifest is None:
            return None
        if wanted.size_bytes not in (None, len(manifest.raw)):
            said = f"has {len(manifest.raw)} bytes, the index says {wanted.size_bytes}"
            self._note(DefectKind.WRONG_SIZE, wanted, f"{self._named(wanted)} {said}")
        return manifest

    def _compare(self, found: Digest | None, wanted: _Wanted) -> bool:
        if found == wanted.digest:
            return True
        expected = f", expected {wanted.digest}" if isinstance(wanted.reference, Tag) else ""
        if found:
            self._note(wanted.role.wrong, wanted, f"{self._named(wanted)} holds {found}{expected}")
        else:
            self._note(wanted.role.missing, wanted, f"{self._named(wanted)} is absent{expected}")
        return False

    def _named(self, wanted: _Wanted) -> str:
        if not wanted.role.name:
            return self.name
        return f"{self.name}: the {wanted.role.name} {wanted.reference}"

    def _below(self, manifest: Manifest, role: _Role, depth: int) -> None:
        destination, repository = self.prover.destination, self.prover.repository
        below = replace(_CHILD, has_followers=role.has_followers, is_selected=role.is_selected)
        for child in self.prover.entries(manifest) if role.is_selected else manifest.children:
            if child.media_type in MANIFEST_TYPES or destination.head_manifest(repository, child.digest):
                self.prove(_Wanted(child.digest, child.digest, below, child.size_bytes), depth + 1)
            else:
                self._blob(child)  # an entry that is a blob, as in BuildKit's caches
        for blob in manifest.blobs:
            if not blob.is_foreign:
                self._blob(blob)

    def _blob(self, blob: Descriptor) -> None:
        if self.prover.mark("blob", blob.digest) in self.prover.seen:
            return
        self.blobs += 1
        defect = self.prover.defect_of(blob, self.name)
        if defect:
            self.defects.append(defect)
        else:
            self.blob_bytes += blob.size_bytes

    def _followers(self, subject: Digest, depth: int) -> None:
        for tag, digest in self.prover.companions(subject):
            self.signatures += 1
            self.prove(_Wanted(tag, digest, _COMPANION), depth + 1)
        referrers = self.prover.referrers(subject)
        listed = self.prover.listed_here(subject, referrers) if referrers else frozenset()
        for referrer in referrers:
            if referrer.digest in listed or self.prover.is_at_source(referrer.digest):
                self._referrer(referrer.digest, depth, is_listed=referrer.digest in listed)

    def _referrer(self, referrer: Digest, depth: int, *, is_listed: bool) -> None:
        self.signatures += 1
        before = len(self.defects)
        wanted = _Wanted(referrer, referrer, _REFERRER)
        self.prove(wanted, depth + 1)
        if not is_listed and len(self.defects) == before:
            said = f"{self.name}: the referrer {referrer} is there, but in no list of referrers"
            self._note(DefectKind.UNLISTED_REFERRER, wanted, said)

    def _note(self, kind: DefectKind, wanted: _Wanted, sentence: str) -> None:
        self.defects.append(Defect(kind, wanted.digest, sentence, wanted.reference))

    def _count(self, manifest: Manifest, depth: int) -> None:
        self.manifests += 1
        self.manifest_bytes += len(manifest.raw)
        if depth > DEPTH_LIMIT:
            raise PermanentError(f"{self.name}: manifests are nested more than {DEPTH_LIMIT} deep")
        if self.manifests > MANIFEST_COUNT_LIMIT or self.manifest_bytes > MANIFEST_BYTES_LIMIT:
            raise PermanentError(f"{self.name}: more than {MANIFEST_COUNT_LIMIT} manifests or 32 MiB of them")

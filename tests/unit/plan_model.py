"""Artifacts as they may lie at a source, and a model of the registry that plans are carried out on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from replicator.oci import (
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    Reference,
    Repository,
    Tag,
    companion_tags,
    parse_manifest,
    referrers_tag,
)
from replicator.plan import (
    Artifact,
    CopyBlob,
    Facts,
    Ground,
    ListReferrers,
    Plan,
    PutManifest,
    Verdict,
    Write,
    decide,
    merged_list,
    steps,
)

HERE = Repository("team/api")
V1 = Tag("v1")
OLD, NEW = Digest.of(b"old"), Digest.of(b"new")
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


# Artifacts


def blob(name: str, *, is_foreign: bool = False) -> dict[str, object]:
    kind = {"mediaType": FOREIGN, "urls": ["https://elsewhere"]} if is_foreign else {"mediaType": LAYER}
    return kind | {"digest": Digest.of(name.encode()), "size": len(name)}


def pointer(manifest: Manifest) -> dict[str, object]:
    return {"mediaType": manifest.media_type, "digest": manifest.digest, "size": len(manifest.raw)}


def image(*layers: dict[str, object], subject: Manifest | None = None, note: str = "") -> Manifest:
    document = {"config": blob("config"), "layers": layers, "annotations": {"note": note}}
    if subject:
        document["subject"] = pointer(subject)
    return parse_manifest(json.dumps(document).encode(), OCI_MANIFEST)


def index(*entries: dict[str, object], subject: Manifest | None = None) -> Manifest:
    document: dict[str, object] = {"manifests": entries}
    if subject:
        document["subject"] = pointer(subject)
    return parse_manifest(json.dumps(document).encode(), OCI_INDEX)


LAYERS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2)
NOTES = st.sampled_from(["x", "y", "z"])


@st.composite
def artifacts(draw: st.DrawFn, depth: int = 2, subject: Manifest | None = None) -> Artifact:
    """A tree as it may lie at a source: indexes, signatures, referrers, shared layers and foreign ones."""
    children: list[Artifact] = []
    loose: tuple[Descriptor, ...] = ()
    if depth and draw(st.booleans()):
        children = draw(st.lists(artifacts(depth - 1), max_size=2))
        caches = [blob(name) for name in draw(st.lists(st.sampled_from("de"), max_size=1))]
        manifest = index(*[pointer(child.manifest) for child in children], *caches, subject=subject)
        loose = manifest.children[len(children) :]
    else:
        layers = [blob(name) for name in draw(LAYERS)]
        foreign = [blob("f", is_foreign=True)] if draw(st.booleans()) else []
        manifest = image(*layers, *foreign, subject=subject, note=draw(NOTES))
    return Artifact(
        manifest,
        children=tuple(children),
        companions=tuple(draw(companions(manifest)) if depth else ()),
        referrers=tuple(draw(st.lists(artifacts(depth - 1, subject=manifest), max_size=2)) if depth else ()),
        loose=loose,
    )


@st.composite
def companions(draw: st.DrawFn, subject: Manifest) -> list[tuple[Tag, Artifact]]:
    tags = [tag for tag in companion_tags(subject.digest) if draw(st.integers(0, 3)) == 0]
    return [(tag, Artifact(image(blob(tag), note=draw(NOTES)))) for tag in tags]


# The model


class RefusedError(Exception):
    """The model's registry would answer MANIFEST_BLOB_UNKNOWN."""


@dataclass
class Model:
    """One repository of a registry that takes a manifest only if all that it names, but for its subject, is there."""

    blobs: set[Digest] = field(default_factory=set)
    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    tags: dict[Tag, Digest] = field(default_factory=dict)
    remembered: set[Digest] = field(default_factory=set)
    """What the fleet believes to be here: what plans brought that were carried out to their end."""

    def carry_out(self, plan: Plan) -> Iterator[CopyBlob | Write]:
        """Step by step: whoever stops iterating has interrupted it before the step that it got last was done."""
        for step in (*plan.blobs, *plan.writes):
            yield step
            self._do(step)
        self.remembered |= {step.manifest.digest for step in plan.writes if isinstance(step, PutManifest)}

    def complete(self, plan: Plan) -> None:
        for _ in self.carry_out(plan):
            pass

    def interrupt(self, plan: Plan, after: int) -> None:
        for number, _ in enumerate(self.carry_out(plan)):
            if number == after:
                return

    def _do(self, step: CopyBlob | Write) -> None:
        match step:
            case CopyBlob():
                self.blobs.add(step.blob.digest)
            case PutManifest():
                self._put(step.manifest, step.reference)
            case ListReferrers():
                listed = self.manifests.get(self.tags.get(step.reference, OLD))
                merged = merged_list(listed, step.referrers)
                if merged:
                    self._put(merged, step.reference)

    def _put(self, manifest: Manifest, reference: Reference) -> None:
        wanted = {item.digest for item in manifest.blobs if not item.is_foreign}
        children = {item.digest for item in manifest.children}
        if wanted - self.blobs or children - self.blobs - set(self.manifests):
            raise RefusedError(f"{reference} names what is not there")
        self.manifests[manifest.digest] = manifest
        if isinstance(reference, Tag):
            self.tags[reference] = manifest.digest

    def listed(self, subject: Digest, *, has_api: bool) -> set[Digest]:
        """What a client finds as the referrers of `subject`."""
        if has_api:
            return {found.digest for found in self.manifests.values() if found.subject == subject}
        holder = self.manifests.get(self.tags.get(referrers_tag(subject), OLD))
        return {item.digest for item in holder.children} if holder else set()


@dataclass(frozen=True)
class Case:
    """An artifact that has to get to a tag of a destination."""

    artifact: Artifact
    has_api: bool

    def plan(self, model: Model, reference: Reference = V1) -> Plan:
        return steps(_as_known(self.artifact, model), reference, ground(has_api=self.has_api))

    def verdict(self, model: Model) -> Verdict:
        found = model.tags.get(V1)
        return decide(Facts(self.artifact.manifest.digest, found, start="", end="", override=True))

    def check_all_there(self, model: Model) -> None:
        for part in self.artifact.walk():
            assert part.manifest.digest in model.manifests
            for tag, companion in part.companions:
                assert model.tags[tag] in {held.manifest.digest for held in self._under(tag)}
                assert companion.manifest.digest in model.manifests
            referrers = {referrer.manifest.digest for referrer in part.referrers}
            assert referrers <= model.listed(part.manifest.digest, has_api=self.has_api)

    def _under(self, wanted: Tag) -> list[Artifact]:
        # The same manifest may occur twice in a drawn tree, with another signature each.
        return [item for part in self.artifact.walk() for tag, item in part.companions if tag == wanted]


def ground(*, has_api: bool = True, locations: dict[Digest, Repository] | None = None) -> Ground:
    return Ground(HERE, locations or {}, has_api)


def _as_known(artifact: Artifact, model: Model) -> Artifact:
    """As `transfer` gathers it: what the fleet knows to be there is left out."""
    if artifact.manifest.digest in model.remembered:
        return replace(artifact, children=(), loose=(), is_there=True)
    return replace(artifact, children=tuple(_pruned(artifact.children, model)))


def _pruned(children: tuple[Artifact, ...], model: Model) -> Iterator[Artifact]:
    for child in children:
        if child.manifest.digest not in model.remembered:
            yield replace(child, children=tuple(_pruned(child.children, model)))


CASES = st.builds(Case, artifacts(), st.booleans())

"""Artifacts as they may lie at a source, and a model of the registry that plans are carried out on."""

import json
from collections.abc import Collection, Iterator, Mapping
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
    companion_subject,
    companion_tags,
    parse_manifest,
    referrers_tag,
)
from replicator.plan import (
    Artifact,
    CopyBlob,
    Ground,
    ListReferrers,
    Plan,
    PutManifest,
    Write,
    merged_list,
    steps,
)
from replicator.verdict import Facts, Verdict, decide

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


OTHERS = {made.digest: made for made in (image(blob("other"), note="other"), image(note="another"))}
"""Images for platforms that no rule wants: what of an index is one of these is left out."""


@st.composite
def artifacts(draw: st.DrawFn, depth: int = 2, subject: Manifest | None = None) -> Artifact:
    """A tree as it may lie at a source: indexes, signatures, referrers, shared layers and foreign ones.

    What follows a part of it may name other parts of it, or be one.
    """
    children: list[Artifact] = []
    loose: tuple[Descriptor, ...] = ()
    if depth and draw(st.booleans()):
        children = draw(families(depth - 1))
        caches = [blob(name) for name in draw(st.lists(st.sampled_from("de"), max_size=1))]
        manifest = index(*[pointer(child.manifest) for child in children], *caches, subject=subject)
        loose = manifest.children[len(children) :]
    else:
        layers = [blob(name) for name in draw(LAYERS)]
        foreign = [blob("f", is_foreign=True)] if draw(st.booleans()) else []
        manifest = image(*layers, *foreign, subject=subject, note=draw(NOTES))
    top = Artifact(manifest, children=tuple(children), loose=loose)
    return replace(
        top,
        companions=tuple(draw(companions(manifest)) if depth else ()),
        referrers=tuple(draw(st.lists(referrers(depth - 1, top), max_size=2)) if depth else ()),
    )


@st.composite
def families(draw: st.DrawFn, depth: int) -> list[Artifact]:
    """The children of an index: the second may refer to the first, or be named by what does."""
    children = draw(st.lists(artifacts(depth), max_size=2))
    if len(children) < 2 or draw(st.booleans()):
        return children
    first, second = children
    if draw(st.booleans()):
        second = Artifact(image(blob("a"), subject=first.manifest, note="within"))
        between = second
    else:
        between = Artifact(index(pointer(second.manifest), subject=first.manifest), children=(alone(second),))
    return [replace(first, referrers=(*first.referrers, between)), second]


@st.composite
def referrers(draw: st.DrawFn, depth: int, subject: Artifact) -> Artifact:
    if draw(st.booleans()):
        return draw(artifacts(depth, subject=subject.manifest))
    around = index(pointer(subject.manifest), blob("g"), subject=subject.manifest)
    return Artifact(around, children=(subject,), loose=around.children[1:])


@st.composite
def companions(draw: st.DrawFn, subject: Manifest) -> list[tuple[Tag, Artifact]]:
    """Signatures; some are the same bytes under another subject, and some are the subject itself."""
    tags = [tag for tag in companion_tags(subject.digest) if draw(st.integers(0, 3)) == 0]
    one, other = (Artifact(image(blob("s"), note=note)) for note in "xy")
    several = Artifact(index(pointer(one.manifest), blob("h")), children=(one,))
    several = replace(several, loose=several.manifest.children[1:])
    itself = [] if subject.children else [Artifact(subject)]
    return [(tag, draw(st.sampled_from([one, other, several, *itself]))) for tag in tags]


def alone(artifact: Artifact) -> Artifact:
    """The artifact without what follows it or its children."""
    return replace(
        artifact, children=tuple(alone(child) for child in artifact.children), companions=(), referrers=()
    )


@st.composite
def parts(draw: st.DrawFn) -> Artifact:
    """An index that names others beside what is wanted of it, which may be an index of that kind itself."""
    wanted = draw(st.lists(parts() if draw(st.booleans()) else artifacts(depth=1), min_size=1, max_size=2))
    others = draw(st.lists(st.sampled_from([*OTHERS.values()]), max_size=2))
    manifest = index(*map(pointer, [*[child.manifest for child in wanted], *others]))
    left_out = frozenset(item.digest for item in others).union(*(child.left_out for child in wanted))
    companion = tuple(draw(companions(manifest)))
    return Artifact(manifest, children=tuple(wanted), companions=companion, left_out=left_out)


def widened(artifact: Artifact) -> Artifact:
    """The same with nothing left out."""
    more = [Artifact(OTHERS[item.digest]) for item in artifact.manifest.children if item.digest in OTHERS]
    children = (*map(widened, artifact.children), *more)
    return replace(artifact, children=children, left_out=frozenset())


# The walk over the source


def nodes(artifact: Artifact) -> Iterator[Artifact]:
    """The artifact and all that is drawn below it."""
    yield artifact
    for part in (*artifact.children, *[item for _, item in artifact.companions], *artifact.referrers):
        yield from nodes(part)


@dataclass
class Gathering:
    """How `transfer` walks over a source: each manifest is read once, and what is known to be there is left out.

    What follows a manifest is a matter of the manifest: of several that were drawn with the same bytes, the first that
    has followers says it for all. `known` are manifests that are there, `tags` the companions.
    """

    drawn: Artifact
    known: frozenset[Digest] = frozenset()
    tags: Mapping[Tag, Digest] = field(default_factory=dict)
    seen: set[Digest] = field(default_factory=set)
    source: dict[Digest, Artifact] = field(default_factory=dict)

    def gather(self) -> Artifact:
        for node in sorted(nodes(self.drawn), key=lambda node: not (node.companions or node.referrers)):
            self.source.setdefault(node.manifest.digest, node)
        return self.followed(self.read(self.drawn))

    def read(self, artifact: Artifact) -> Artifact:
        """The artifact with the trees below it, or as one that is there."""
        return self.there(artifact) if artifact.manifest.digest in self.known else self.tree(artifact)

    def tree(self, artifact: Artifact) -> Artifact:
        self.seen.add(artifact.manifest.digest)
        children = []
        for child in artifact.children:
            if child.manifest.digest not in self.seen | self.known:
                children.append(self.tree(child))
        return replace(artifact, children=tuple(children), companions=(), referrers=())

    def there(self, artifact: Artifact) -> Artifact:
        self.seen.add(artifact.manifest.digest)
        return Artifact(artifact.manifest, is_there=True)

    def followed(self, tree: Artifact) -> Artifact:
        drawn = self.source[tree.manifest.digest]
        children = [self.followed(child) for child in tree.children]
        for child in drawn.children:
            digest = child.manifest.digest
            if digest not in self.seen and (tree.is_there or digest in self.known):
                children.append(self.followed(self.there(child)))
        return replace(
            tree,
            children=tuple(children),
            companions=tuple(
                (tag, self.met(item) or self.tree(item))
                for tag, item in drawn.companions
                if self.tags.get(tag) != item.manifest.digest
            ),
            referrers=tuple(self.met(item) or self.followed(self.read(item)) for item in drawn.referrers),
        )

    def met(self, artifact: Artifact) -> Artifact | None:
        """A manifest that was met before stands there as one that is there."""
        return Artifact(artifact.manifest, is_there=True) if artifact.manifest.digest in self.seen else None


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
    fresh: set[Digest] = field(default_factory=set)
    """What the plan that is carried out has brought so far."""
    spared: set[Digest] = field(default_factory=set)
    """What plans left out on purpose; this registry takes an index without it."""

    def carry_out(self, plan: Plan) -> Iterator[CopyBlob | Write]:
        """Step by step: whoever stops iterating has interrupted it before the step that it got last was done."""
        self.fresh = set()
        for step in (*plan.blobs, *plan.writes):
            yield step
            self._do(step)
        self.remembered |= set(plan.manifests)

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
                if not step.is_there:
                    self.blobs.add(step.blob.digest)
                    self.fresh.add(step.blob.digest)
            case PutManifest():
                self.spared |= step.left_out
                self._put(step.manifest, step.reference)
            case ListReferrers():
                merged = merged_list(self.list_of(step.subject), step.referrers)
                if merged:
                    self._put(merged, step.reference)

    def _put(self, manifest: Manifest, reference: Reference) -> None:
        if self.missing(manifest):
            raise RefusedError(f"{reference} names what is not there")
        self.manifests[manifest.digest] = manifest
        self.fresh.add(manifest.digest)
        if isinstance(reference, Tag):
            self.tags[reference] = manifest.digest

    def missing(self, manifest: Manifest) -> set[Digest]:
        """What the manifest names and is not there, but for foreign layers, its subject, and what is left out."""
        wanted = {item.digest for item in manifest.blobs if not item.is_foreign}
        children = {item.digest for item in manifest.children}
        return (wanted - self.blobs) | (children - self.blobs - set(self.manifests) - self.spared)

    def put_list(self, subject: Digest, *items: Manifest) -> None:
        """Somebody lists referrers that they pushed."""
        for item in items:
            self.blobs |= {each.digest for each in item.blobs}
            self.manifests[item.digest] = item
        self._do(ListReferrers(subject, tuple(item.descriptor for item in items)))

    def list_of(self, subject: Digest) -> Manifest | None:
        """What the referrers tag of `subject` holds."""
        return self.manifests.get(self.tags.get(referrers_tag(subject), OLD))

    def listed(self, subject: Digest, *, has_api: bool) -> set[Digest]:
        """What a client finds as the referrers of `subject`."""
        if has_api:
            return {found.digest for found in self.manifests.values() if found.subject == subject}
        holder = self.list_of(subject)
        return {item.digest for item in holder.children} if holder else set()

    def collect(self, *, has_api: bool) -> None:
        """A garbage collector runs: nothing stays but what a tag leads to, what refers to that, and what is new."""
        kept: set[Digest] = set()
        found = set(self.tags.values()) | (self.fresh & set(self.manifests))
        while found:
            kept |= found
            reached = {item.digest for digest in found for item in self.manifests[digest].children}
            if has_api:
                reached |= {item.digest for item in self.manifests.values() if item.subject in kept}
            found = (reached & set(self.manifests)) - kept
        self.manifests = {digest: item for digest, item in self.manifests.items() if digest in kept}
        named = {
            item.digest
            for manifest in self.manifests.values()
            for item in (*manifest.blobs, *manifest.children)
        }
        self.blobs &= named | self.fresh

    def lose(self, digests: Collection[Digest]) -> None:
        """A disk goes bad: manifests and blobs are gone, with the tags that held them."""
        self.blobs -= set(digests)
        self.manifests = {digest: item for digest, item in self.manifests.items() if digest not in digests}
        self.tags = {tag: digest for tag, digest in self.tags.items() if digest in self.manifests}

    def check_whole(self) -> None:
        """Whoever pulls anything that is here gets all of it."""
        assert set(self.tags.values()) <= set(self.manifests)
        for manifest in self.manifests.values():
            assert not self.missing(manifest)

    def check_nothing_dangles(self) -> None:
        """Whoever pulls anything that is here gets all of it, and whoever finds a follower finds its subject."""
        self.check_whole()
        for tag in self.tags:
            subject = companion_subject(tag)
            assert subject is None or subject in self.manifests


@dataclass(frozen=True)
class Case:
    """An artifact that has to get to a tag of a destination."""

    drawn: Artifact
    has_api: bool

    @property
    def artifact(self) -> Artifact:
        """The artifact as it is gathered where nothing is known to be there."""
        return Gathering(self.drawn).gather()

    def plan(
        self, model: Model, reference: Reference = V1, *, trusts: bool = True, certain: bool = False
    ) -> Plan:
        """`trusts` leaves out what the fleet remembers and a HEAD confirms, `certain` counts blobs by memory too."""
        known = frozenset(model.remembered & set(model.manifests)) if trusts else frozenset()
        seen = frozenset(model.blobs) if certain else frozenset()
        gathering = Gathering(self.drawn, known, model.tags if trusts else {})
        return steps(gathering.gather(), reference, ground(has_api=self.has_api, certain=seen))

    def bring(self, model: Model, *, trusts: bool = True) -> None:
        """As a job does: what the registry refuses because something is missing is planned without memory."""
        try:
            model.complete(self.plan(model, trusts=trusts))
        except RefusedError:
            model.remembered.clear()
            model.complete(self.plan(model, trusts=False))

    def verdict(self, model: Model) -> Verdict:
        found = model.tags.get(V1)
        return decide(Facts(self.artifact.manifest.digest, found, start="", end="", override=True))

    def check_all_there(self, model: Model) -> None:
        for part in self.artifact.walk():
            assert part.manifest.digest in model.manifests
            assert not model.missing(part.manifest)
            for tag, companion in part.companions:
                assert model.tags[tag] == companion.manifest.digest
            referrers = {referrer.manifest.digest for referrer in part.referrers}
            assert referrers <= model.listed(part.manifest.digest, has_api=self.has_api)


def ground(
    *,
    has_api: bool = True,
    locations: dict[Digest, Repository] | None = None,
    certain: frozenset[Digest] = frozenset(),
) -> Ground:
    return Ground(HERE, locations or {}, has_api, certain)


CASES = st.builds(Case, artifacts(), st.booleans())
PARTS = st.builds(Case, parts(), st.booleans())
"""Cases in which some of an index may be left out."""


@st.composite
def destinations(draw: st.DrawFn, case: Case) -> Model:
    """A destination in whatever state: with other artifacts, half-done copies of this one, and lists of others."""
    model = Model()
    for number, other in enumerate(draw(st.lists(artifacts(depth=1), max_size=2))):
        plan = Case(other, case.has_api).plan(model, draw(st.sampled_from([V1, Tag(f"t{number}")])))
        model.interrupt(plan, after=draw(st.integers(0, 20)))
    if draw(st.booleans()):
        model.interrupt(case.plan(model), after=draw(st.integers(0, 30)))
    for part in case.artifact.walk():
        if part.manifest.digest in model.manifests and draw(st.integers(0, 2)) == 0:
            model.put_list(part.manifest.digest, image(blob("o"), subject=part.manifest, note="others"))
    return model

"""Drift: how what a rule wants of a destination differs from what the destination holds.

One function, from two listings to a stream of differences. Plan, resync, verify and sweeps all ask it, and it asks
`plan.decide`, as jobs do, so that none of them can see a difference that another does not.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from replicator.jobs import Job, may_want
from replicator.oci import Digest, Reference, Repository, Tag, companion_subject, is_referrers_tag, named
from replicator.rules import Destination, Rule, Signatures, takes_tag
from replicator.verdict import Facts, Verdict, Written, decide, place

NOT_OURS = "it was not put there by this rule, or nobody remembers"
NOT_DELETED = "the rule does not delete"
NOT_PRUNED = "only with --prune it would be deleted"
LACKS_PLATFORMS = "lacks images of platforms that the rule wants"


class Kind(StrEnum):
    """How a reference at a destination stands to what the rule wants of it."""

    IN_SYNC = "in_sync"
    ADD = "add"
    """The source has it, the destination does not."""
    UPDATE = "update"
    """Both have it, and the destination's is to be moved."""
    DELETE = "delete"
    """Only the destination has it, from us, and it is to go."""
    CONFLICT = "conflict"
    """Another rule, with another source, wrote it and still wants it."""
    KEPT = "kept"
    """They differ, and `override: false` says that the destination's stays."""
    OWN = "own"
    """They differ, but what the source holds is our own older copy of the destination's: that one will come back."""
    EXTRA = "extra"
    """Only the destination has it, and it stays."""
    BLOCKED = "blocked"
    """A guard holds it until a person decides."""
    SKIPPED = "skipped"
    """They differ, and a filter on the manifest, its labels or its age leaves it out."""


@dataclass(frozen=True, slots=True)
class Twins:
    """A repository of a rule's source, and the one that it lands in at one of the rule's destinations."""

    rule: Rule
    destination: str
    repository: Repository
    target: Repository

    @property
    def there(self) -> Destination | None:
        """The destination, as the rule describes it."""
        return self.rule.destination(self.destination)

    def job(self, reference: Reference) -> Job:
        """The job that brings this reference in line."""
        return Job(self.rule.name, self.destination, self.repository, reference)

    @property
    def wants_untagged(self) -> bool:
        """Whether the rule takes manifests without a tag."""
        return takes_tag(self.rule, None)

    def wants(self, tag: Tag) -> bool:
        """Whether the rule takes the tag, or would if what the tag belongs to is there.

        The list of referrers is left out: registries that keep it under a tag each have their own.
        """
        if is_referrers_tag(tag):
            return False
        if companion_subject(tag) is None:
            return may_want(self.rule, self.repository, tag)
        return self.rule.signatures is not Signatures.IGNORE


@dataclass(frozen=True, slots=True)
class Past:
    """What we wrote under a reference once. `is_ours`: by this rule, from this repository; `is_strangers`: by a rule
    that has nothing to do with this one's source, and still wants it."""

    written: Written
    is_ours: bool
    is_strangers: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knows of a pair of twins.

    `here` is what we wrote into the source's repository (two-way rules), `there` into the destination's. `answered`
    are the tags whose change at the destination some rule carries on. `halted` gives the reasons of blocked jobs,
    `expired` the clause of a retention policy that ends a reference's time. `subjects` are manifests that the
    destination is known to hold, beside those that its listing shows. `rebuilt` has the index that the rule would make
    of one that the source has, where somebody looked.
    """

    here: Mapping[Tag, Written] = field(default_factory=dict)
    there: Mapping[Tag, Past] = field(default_factory=dict)
    answered: frozenset[Tag] = frozenset()
    halted: Mapping[Tag, str] = field(default_factory=dict)
    expired: Mapping[Reference, str] = field(default_factory=dict)
    subjects: frozenset[Digest] = frozenset()
    rebuilt: Mapping[Digest, Digest] = field(default_factory=dict)

    def made_of(self, rule: Rule, tag: Tag, wanted: Digest) -> Digest | None:
        """The index that the rule makes of `wanted` for a destination that takes no other, if that is known."""
        past = self.there.get(tag)
        made = past.written.rebuilt_of(wanted, rule.platforms) if past else None
        return made or self.rebuilt.get(wanted)

    def with_subjects(self, digests: Iterable[Digest]) -> "Known":
        """The same, with these among the manifests that the destination is known to hold."""
        return replace(self, subjects=self.subjects.union(digests))


Listing = Mapping[Tag, Digest | None]
"""The tags of a repository with what they hold. What it does not name is not there: an unread listing is no listing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of the comparison of one reference. `wanted` is the source's digest, `found` the destination's.

    `is_drift` says that a resync, or a person, has something to do. `size_bytes` is what would have to be moved, as far
    as somebody looked.
    """

    twins: Twins
    reference: Reference
    kind: Kind
    wanted: Digest | None
    found: Digest | None
    detail: str = ""
    is_drift: bool = False
    size_bytes: int = 0

    @property
    def is_part(self) -> bool:
        """Whether the destination holds the very index that the source has, and not all that is wanted of it."""
        return self.kind is Kind.UPDATE and self.found is not None and self.found == self.wanted

    @property
    def job(self) -> Job:
        """The job that brings the reference in line."""
        return self.twins.job(self.reference)

    @property
    def lane(self) -> tuple[str, str]:
        """The rule's and the destination's names."""
        return self.twins.rule.name, self.twins.destination

    @property
    def source_name(self) -> str:
        """The reference at the source, in full."""
        return f"{self.twins.rule.source}/{named(self.twins.repository, self.reference)}"

    @property
    def destination_name(self) -> str:
        """The reference at the destination, in full."""
        return f"{self.twins.destination}/{named(self.twins.target, self.reference)}"


def drift(
    twins: Twins, *, source: Listing, destination: Listing, known: Known, prune: bool = False
) -> Iterator[Difference]:
    """The comparison of every reference that either listing names, sorted by tag.

    A listing names what it holds. It may leave open what that is (None) where it decides nothing: the destination's for
    what the source does not have, and we did not write, which stays in any case; the source's for what the destination
    does not have, which is to be added in any case.

    A companion (a signature and the like) is wanted if its subject is at the destination; until then it is no
    difference, because the subject's job will bring it. With `prune`, what only the destination has and what came from
    us is to be deleted, if the rule or its retention deletes.
    """
    for tag in sorted(source.keys() | destination.keys()):
        wanted, found = source.get(tag), destination.get(tag)
        if tag not in source:
            yield _extra(twins, tag, found, known, prune=prune)
        elif wanted is None:
            yield _to_copy(twins, tag, None, None, known)
        elif found or _is_due(twins.rule, tag, destination.values(), known):
            yield _compared(twins, tag, wanted, found, known)


def _is_due(rule: Rule, tag: Tag, held: Iterable[Digest | None], known: Known) -> bool:
    subject = companion_subject(tag)
    return subject is None or takes_tag(rule, tag) or subject in known.subjects or subject in held


def _compared(twins: Twins, tag: Tag, wanted: Digest, found: Digest | None, known: Known) -> Difference:
    past = known.there.get(tag)
    rule = twins.rule
    is_rebuilt = rule.platforms_rewrite and found == known.made_of(rule, tag, wanted)
    facts = Facts(
        wanted=found if found and is_rebuilt else wanted,
        found=found,
        start=place(rule.source, twins.repository, tag),
        end=place(twins.destination, twins.target, tag),
        # A signature must be that of the image which is there.
        override=rule.override or companion_subject(tag) is not None,
        here=known.here.get(tag),
        there=past.written if past else None,
        is_resync=True,
        is_answered=tag in known.answered,
        is_strangers=past is not None and past.is_strangers,
        platforms=rule.platforms,
    )
    match decide(facts):
        case Verdict.UNCHANGED:
            return Difference(twins, tag, Kind.IN_SYNC, wanted, found)
        case Verdict.KEEP:
            return Difference(twins, tag, Kind.KEPT, wanted, found, "override is off")
        case Verdict.ECHO:
            return Difference(
                twins, tag, Kind.OWN, wanted, found, "the source has an older copy of it from us"
            )
        case Verdict.CONFLICT:
            return Difference(
                twins, tag, Kind.CONFLICT, wanted, found, "another rule with another source wrote it"
            )
        case _:
            return _to_copy(twins, tag, wanted, found, known)


def _to_copy(twins: Twins, tag: Tag, wanted: Digest | None, found: Digest | None, known: Known) -> Difference:
    if reason := known.halted.get(tag):
        return Difference(twins, tag, Kind.BLOCKED, wanted, found, reason, is_drift=True)
    detail = LACKS_PLATFORMS if found and found == wanted else ""
    kind = Kind.UPDATE if found else Kind.ADD
    return Difference(twins, tag, kind, wanted, found, detail, is_drift=True)


def _extra(twins: Twins, tag: Tag, found: Digest | None, known: Known, *, prune: bool) -> Difference:
    past, clause = known.there.get(tag), known.expired.get(tag, "")
    if past is None or not past.is_ours:
        return Difference(twins, tag, Kind.EXTRA, None, found, NOT_OURS)
    if reason := known.halted.get(tag):
        return Difference(twins, tag, Kind.BLOCKED, None, found, reason, is_drift=prune)
    if not (twins.rule.deletion or clause):
        return Difference(twins, tag, Kind.EXTRA, None, found, NOT_DELETED)
    if found not in (past.written.digest, past.written.intent):
        detail = f"the destination holds {found}, which we did not put there"
        return Difference(twins, tag, Kind.BLOCKED, None, found, detail, is_drift=prune)
    if not prune:
        return Difference(twins, tag, Kind.EXTRA, None, found, NOT_PRUNED)
    return Difference(twins, tag, Kind.DELETE, None, found, clause, is_drift=True)


def untagged_drift(twins: Twins, held: Iterable[Digest], known: Known) -> Iterator[Difference]:
    """The manifests without a tag, of those that the destination holds, whose time there is over.

    Where the rule takes manifests without a tag none is: it would be copied again.
    """
    for digest in held:
        if digest in known.expired and not twins.wants_untagged:
            clause = known.expired[digest]
            yield Difference(twins, digest, Kind.DELETE, None, digest, clause, is_drift=True)

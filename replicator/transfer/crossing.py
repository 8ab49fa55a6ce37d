"""How one manifest of the source crosses over: whether it is wanted, what the destination needs, and who wrote what."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

from replicator.errors import NotYet, SparseRefused, TemporaryError
from replicator.jobs import Job, Outcome
from replicator.ledger import Sighting
from replicator.oci import (
    Descriptor,
    Digest,
    Manifest,
    Tag,
    companion_subject,
    is_referrers_tag,
    referrers_tag,
)
from replicator.plan import Artifact, Follower, Ground, blobs_of, follow_up, steps
from replicator.platforms import LEFT_OUT, Choice, Standing
from replicator.rules import RuleSet, Signatures, needs_labels, takes_manifest, takes_tag
from replicator.transfer.deletion import remove, retired
from replicator.transfer.doubts import Doubts, open_eyes
from replicator.transfer.gather import OCI_SUBJECT, gather, gather_referrers, keeps_lists, subject_of_list
from replicator.transfer.provenance import CONFLICT, Provenance
from replicator.transfer.reading import destination_digest
from replicator.transfer.result import Result
from replicator.transfer.route import Route
from replicator.transfer.selection import Selection
from replicator.transfer.signed import hold_back, wake_subjects
from replicator.transfer.sparse import forms, held, note, platforms_of, refused
from replicator.transfer.two_ways import TwoWays, choice_between
from replicator.transfer.writing import Writer
from replicator.verdict import Facts, Verdict, decide, is_lost, origins, was_cut_short

CERTAIN_S = 60.0
"""For how long nobody asks again for a blob that was seen in the very repository. Garbage collectors leave what is so
new alone, and the manifest's PUT finds out if this one did not."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """How one manifest of the source crosses over."""

    route: Route
    writer: Writer
    rules: RuleSet
    two_ways: TwoWays | None = None
    """What is known of both ends, if they send to each other."""

    def bring(self, manifest: Manifest) -> Result:
        """Bring the destination in line with a reference that exists at the source."""
        rule, reference = self.route.rule, self.route.reference
        tag = reference if isinstance(reference, Tag) else None
        subject = companion_subject(tag) if tag else manifest.subject
        if tag and subject is None and is_referrers_tag(tag):
            subject = subject_of_list(self.route, tag, manifest)
        if subject is None:
            if takes_tag(rule, tag):
                return self._bring_taken(manifest)
            if tag is None and retired(self.route):
                return remove(
                    self.route, self.writer, self.rules
                )  # it lost its tag, and no event will bring it again
            return Result(Outcome.SKIPPED, manifest.digest, "the tag filter leaves it out")
        if rule.signatures is Signatures.IGNORE:
            return Result(Outcome.SKIPPED, manifest.digest, "the rule ignores signatures and referrers")
        is_brought = wake_subjects(self.route, self.writer.lease, subject)
        if tag and takes_tag(rule, tag) and tag != referrers_tag(subject):
            return self._copy(manifest, override=True)
        return self._bring_companion(manifest, subject, is_brought=is_brought)

    def _bring_taken(self, manifest: Manifest) -> Result:
        route = self.route
        labels = None
        if needs_labels(route.rule):
            labels = route.source.labels(route.repository, manifest.digest)
        if not takes_manifest(route.rule, manifest, labels):
            return Result(Outcome.SKIPPED, manifest.digest, "a resource or label filter leaves it out")
        provenance = Provenance.of(route, self.rules)
        found = self._sought(provenance, override=route.rule.override)
        is_there = not manifest.is_index and found == manifest.digest
        choice = Choice.whole(manifest) if is_there else Selection.of(route).choice(manifest)
        if choice.standing is Standing.OTHER:
            return Result(Outcome.SKIPPED, manifest.digest, LEFT_OUT)
        return self._bring_over(choice, provenance, found, override=route.rule.override)

    def _bring_companion(self, manifest: Manifest, subject: Digest, *, is_brought: bool) -> Result:
        """A signature or referrer whose own tag the rule does not take: it follows its subject, or stays.

        `is_brought` says that other jobs bring it, as soon as they bring its subject.
        """
        route = self.route
        # Ask the ledger before the registry: a job that announces the subject later will find this companion itself,
        # if it lists the source's tags anew.
        route.fleet.companions.forget(route.rule.source, route.repository)
        expected = route.fleet.subject_expected(route.job.destination, route.target, subject)
        if not route.destination.head_manifest(route.target, subject):
            if is_brought:
                return Result(
                    Outcome.SKIPPED, manifest.digest, f"it comes with {subject}, once that is signed"
                )
            if expected:
                raise NotYet(f"{route}: its subject {subject} is still on its way", retry_after=1.0)
            return Result(
                Outcome.SKIPPED, manifest.digest, f"its subject {subject} is not at the destination"
            )
        if route.reference == referrers_tag(subject):
            return self._list(subject, manifest.children, manifest.digest)
        if isinstance(route.reference, Digest):
            return self._list(subject, [manifest.descriptor], manifest.digest)
        return self._copy(manifest, override=True)

    def promote(self, manifest: Manifest, note: Callable[[Digest | None], Digest | None]) -> Result:
        """Bring what a person asked for by its digest, where it may be called otherwise.

        `note` is told what the destination holds, before that changes, and says what it held before all tries.
        """
        provenance = Provenance.of(self.route, self.rules)
        found = self._found()
        previous = note(found)
        result = self._bring_over(
            Choice.whole(manifest), provenance, found, override=self.route.rule.override
        )
        return replace(result, previous=previous)

    def _copy(self, manifest: Manifest, *, override: bool) -> Result:
        provenance = Provenance.of(self.route, self.rules)
        found = self._sought(provenance, override=override)
        return self._bring_over(Choice.whole(manifest), provenance, found, override=override)

    def _bring_over(
        self, choice: Choice, provenance: Provenance, found: Digest | None, *, override: bool
    ) -> Result:
        route = self.route
        form = held(route, choice, found)
        facts = provenance.facts(form.manifest.digest, found, override=override)
        if was_cut_short(facts):
            provenance.confirm([(route.landing, facts.wanted)])
        two_ways = self.two_ways
        facts, verdict = two_ways.decide(facts, provenance) if two_ways else (facts, decide(facts))
        # No event tells of a signature that comes after a promotion, so that promoting once more looks for it.
        is_doubted = route.claim.is_repair or (route.is_promotion and verdict is Verdict.UNCHANGED)
        doubts = Doubts.of(route) if is_doubted else None
        if verdict is Verdict.COPY:
            result = self._send(choice, facts, provenance, doubts)
            if two_ways and result.outcome is Outcome.COPIED:
                detail = two_ways.settled(facts, self.writer.lease)
                result = replace(result, detail=result.detail or detail)
            return result
        if two_ways:
            two_ways.left(facts, verdict, self.writer.lease)
        if verdict is Verdict.UNCHANGED and doubts and not doubts.are_unfounded(route.landing, facts.wanted):
            # Whose tag this is does not change: somebody may have pushed there what we would have copied.
            return self._carry(form, provenance, doubts=doubts)
        return _stays(verdict, facts)

    def _send(self, choice: Choice, facts: Facts, provenance: Provenance, doubts: Doubts | None) -> Result:
        """Bring the choice over in the best form that the destination takes."""
        for form in forms(self.route, choice):
            try:
                result = self._carry(form, provenance, doubts=doubts, facts=facts)
            except SparseRefused:
                note(self.route, form, taken=False)
            else:
                if result.outcome is Outcome.COPIED:
                    note(self.route, form, taken=True)
                return result
        return refused(self.route, choice)

    def _sought(self, provenance: Provenance, *, override: bool) -> Digest | None:
        """What the destination holds, unless it is known to lack it, and nothing would be kept from being moved."""
        # Where people push at both ends, what was absent may be there by now, and not for us to overwrite.
        is_known = override and self.two_ways is None and provenance.is_still_absent()
        return None if is_known else self._found()

    def _found(self) -> Digest | None:
        """What the destination holds now where the reference lands."""
        with open_eyes() if self.route.claim.is_repair else nullcontext():
            return destination_digest(self.route)

    def _carry(
        self,
        choice: Choice,
        provenance: Provenance,
        *,
        doubts: Doubts | None,
        facts: Facts | None = None,
    ) -> Result:
        """Afterwards the destination holds what was chosen and all that belongs to it, unless it is not signed.

        It is ours from now on if there are `facts` that ask for it.
        """
        route, digest = self.route, choice.manifest.digest
        lost = facts is not None and is_lost(facts)
        artifact = gather(route, choice, trusts=doubts is None and not lost)
        if waiting := hold_back(route, artifact):
            return waiting
        if facts:
            provenance.announce(choice, origins(facts), platforms_of(route, choice, facts))
        followers = tuple(artifact.followers())
        provenance.announce_followers(followers)
        plan = steps(artifact, route.landing, self._ground(artifact, is_lost=lost))
        if facts and facts.meeting:
            self.writer.last_look = partial(self._look_there_again, facts)
        self.writer.carry_out(doubts.without_what_is_there(plan) if doubts else plan)
        landed: list[Follower] = [(route.landing, digest)] if facts else []
        provenance.confirm([*landed, *followers], plan.manifests)
        self.writer.moved.followers += len(followers)
        self._look_again(followers)
        if doubts:
            doubts.settle(route.landing, digest)
        detail = f"rebuilt of {choice.made_from}, which names more platforms" if choice.made_from else ""
        return Result(Outcome.COPIED, digest, detail)

    def _list(self, subject: Digest, descriptors: Iterable[Descriptor], digest: Digest) -> Result:
        """Bring those referrers of `descriptors` that the destination does not list yet, or that are in doubt."""
        route = self.route
        doubts = Doubts.of(route) if route.claim.is_repair else None
        referrers = gather_referrers(route, descriptors, trusts=doubts is None)
        known = self._listed(subject)
        missing = tuple(
            referrer
            for referrer in referrers
            if (found := referrer.manifest.digest) not in known
            or (doubts and not doubts.are_unfounded(found, found))
        )
        if not missing:
            return Result(Outcome.UNCHANGED, digest)
        provenance = Provenance(route, self.rules)
        followers: list[Follower] = [
            (referrer.manifest.digest, referrer.manifest.digest) for referrer in missing
        ]
        followers += [follower for referrer in missing for follower in referrer.followers()]
        provenance.announce_followers(followers)
        plan = follow_up(subject, missing, self._ground(*missing))
        self.writer.carry_out(doubts.without_what_is_there(plan) if doubts else plan)
        provenance.confirm(followers, plan.manifests)
        self._look_again(followers)
        if doubts:
            for referrer in missing:
                doubts.settle(referrer.manifest.digest, referrer.manifest.digest)
        return Result(Outcome.COPIED, digest)

    def _listed(self, subject: Digest) -> frozenset[Digest]:
        """What the destination lists as referrers of `subject`."""
        destination, target = self.route.destination, self.route.target
        listed = destination.referrers(target, subject)
        if listed is None or self.route.fleet.capability(destination.name, OCI_SUBJECT) is False:
            listed = [*(listed or ()), *destination.tagged_referrers(target, subject)]
        return frozenset(descriptor.digest for descriptor in listed)

    def _look_again(self, followers: Iterable[Follower]) -> None:
        """Ask for the jobs of those companions that moved at the source after we read them.

        Their references are not locked: their own jobs may have written the newer content before we wrote the older.
        A promotion has no such jobs: it brings what there was when it ran.
        """
        job = self.route.job
        if self.route.is_promotion:
            return
        self.writer.lease.ask_for(
            Job(self.route.rule.name, job.destination, self.route.repository, tag)
            for tag, digest in followers
            if isinstance(tag, Tag) and not self._is_still(tag, digest)
        )

    def _look_there_again(self, facts: Facts) -> None:
        """Raise NotYet if somebody pushed at the destination while we were bringing the parts."""
        if self._found() != facts.found:
            raise NotYet(f"{self.route.end} was moved while it was being copied", retry_after=0.0)

    def _is_still(self, tag: Tag, digest: Digest) -> bool:
        try:
            head = self.route.source.head_manifest(self.route.repository, tag)
        except TemporaryError:
            return False  # it may be moving this very moment
        return head is not None and head.digest == digest

    def _ground(self, *artifacts: Artifact, is_lost: bool = False) -> Ground:
        route = self.route
        digests = [blob.digest for blob in blobs_of(artifacts)]
        parts = [part for artifact in artifacts for part in artifact.walk()]
        has_referrers = any(part.referrers or part.manifest.subject for part in parts)
        seen = self._sightings(digests)
        # Where the destination lost what it had, what was seen before somebody knew of that means nothing.
        known_of_s = route.claim.claimed_at - route.claim.since
        lately_s = min(CERTAIN_S, known_of_s) if is_lost else CERTAIN_S
        return Ground(
            route.target,
            {digest: sighting.repository for digest, sighting in seen.items()},
            has_referrers and keeps_lists(route, parts[0].manifest.digest),
            frozenset(
                digest
                for digest, sighting in seen.items()
                if sighting.repository == route.target and sighting.age_s < lately_s
            ),
        )

    def _sightings(self, digests: list[Digest]) -> Mapping[Digest, Sighting]:
        route = self.route
        if route.rule.source == route.job.destination:
            # Where we read them from: they need not move at all.
            return dict.fromkeys(digests, Sighting(route.repository, CERTAIN_S))
        return route.fleet.sightings(route.job.destination, digests, best=route.target)


def _stays(verdict: Verdict, facts: Facts) -> Result:
    match verdict:
        case Verdict.KEEP:
            return Result(Outcome.SKIPPED, facts.found, f"override is off, so that {facts.found} stays")
        case Verdict.ECHO:
            return Result(Outcome.UNCHANGED, facts.found, "an echo: the source has this from the destination")
        case Verdict.YIELD:
            return Result(
                Outcome.UNCHANGED, facts.found, f"{facts.found} goes on, which the destination holds"
            )
        case Verdict.CHOICE:
            return Result(Outcome.BLOCKED, facts.found, choice_between(facts))
        case Verdict.CONFLICT:
            return Result(Outcome.BLOCKED, facts.found, CONFLICT)
        case _:
            return Result(Outcome.UNCHANGED, facts.wanted)

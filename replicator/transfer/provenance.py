"""Who put what where: what tells an echo from a push, another rule's copy from ours, and our copies from a person's.

The ledger remembers for every reference that we wrote which content it was, and through which places it came. In
two-way rules our own write comes back as an event of the destination. It is an echo as long as the place still holds
what we put there: then the place that it came from is left alone, because its own newer content is on its way. It is
judged by what the place holds now, never by the event: after a person's push the record and the content differ.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from replicator.jobs import is_answered
from replicator.ledger import Copied
from replicator.oci import Digest, Reference
from replicator.plan import Follower
from replicator.platforms import Choice, Platforms
from replicator.rules import RuleSet
from replicator.rules.links import is_strangers
from replicator.transfer.route import Route
from replicator.verdict import Facts, place

CONFLICT = "another rule with another source wrote this reference"
"""The reason of a block by conflict, and what its approval stands for."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the ledger knows of both ends of a route: what we put at its source (`here`) and destination (`there`)."""

    route: Route
    rules: RuleSet
    here: Copied | None = None
    there: Copied | None = None

    @classmethod
    def of(cls, route: Route, rules: RuleSet) -> Self:
        """What the ledger knows now."""
        start = (route.rule.source, route.repository, route.reference)
        end = (route.job.destination, route.target, route.landing)
        return cls(route, rules, *route.fleet.records([start, end]))

    def is_still_absent(self) -> bool:
        """Whether the destination may be taken to lack the reference, because a comparison saw so.

        Nothing of ours was written there since. What a person wrote there meanwhile is overwritten, as it would be a
        moment later; so it must not be asked where `override` is off.
        """
        claim, there = self.route.claim, self.there
        if claim.absent_at is None or claim.is_repair:
            return False
        if self.here and self.route.end in self.here.origins:
            return False  # what the source holds may be an echo of what the destination held: see `decide`
        return there is None or (there.written.start == self.route.start and there.at < claim.absent_at)

    def facts(self, wanted: Digest, found: Digest | None, *, override: bool) -> Facts:
        """All that the verdict on `wanted` rests on, where the destination holds `found`."""
        route, here, there = self.route, self.here, self.there
        return Facts(
            wanted=wanted,
            found=found,
            start=route.start,
            end=route.end,
            override=override,
            is_approved=route.claim.approves(CONFLICT),
            here=here.written if here else None,
            there=there.written if there else None,
            is_resync=route.claim.action is None,
            is_answered=is_answered(self.rules, route.job.destination, route.target, route.landing),
            # Who promotes moves the tag, whoever wrote it: that is what a promotion is.
            is_strangers=there is not None and not route.is_promotion and self.is_strangers(there),
            platforms=route.rule.platforms,
        )

    def announce(self, form: Choice, origins: tuple[str, ...], platforms: Platforms) -> None:
        """Say what is about to be written, before it is: its event may be faster than its answer."""
        route = self.route
        record = replace(
            self._record(origins),
            intent=form.manifest.digest,
            platforms=platforms,
            made_from=form.made_from,
        )
        route.fleet.intend(route.job.destination, route.target, route.landing, record)

    def announce_followers(self, followers: Iterable[Follower]) -> None:
        """Say the same of what follows the reference, so that its echo and its deletion are known for such."""
        route = self.route
        for reference, digest in followers:
            start = place(route.rule.source, route.repository, reference)
            record = self._record((*self._origins_at_source(reference, digest), start))
            record = replace(record, reference=reference, intent=digest)
            route.fleet.intend(route.job.destination, route.target, reference, record)

    def confirm(self, written: Iterable[Follower], manifests: Iterable[Digest] = ()) -> None:
        """Note what the destination holds from us now, of what was announced, and the manifests that were written."""
        route = self.route
        route.fleet.confirm(route.job.destination, route.target, written, manifests=manifests)

    def is_strangers(self, record: Copied) -> bool:
        """Whether what was put at the destination belongs to a rule that has nothing to do with this one's source."""
        route = self.route
        end = (route.job.destination, route.target)
        ours = (route.rule.source, route.repository)
        return is_strangers(self.rules, record.writer, end=end, ours=ours)

    def _origins_at_source(self, reference: Reference, digest: Digest) -> tuple[str, ...]:
        route = self.route
        record = route.fleet.copied(route.rule.source, route.repository, reference)
        return record.origins if record and digest in (record.digest, record.intent) else ()

    def _record(self, origins: tuple[str, ...]) -> Copied:
        route = self.route
        return Copied(
            rule=route.rule.name,
            source=route.rule.source,
            repository=route.repository,
            reference=route.reference,
            origins=origins,
        )

"""Who put what where: what tells an echo from a push, another rule's copy from ours, and our copies from a person's.

The ledger remembers for every reference that we wrote which content it was, and through which places it came. In
two-way rules our own write comes back as an event of the destination. It is an echo as long as the place still holds
what we put there: then the place that it came from is left alone, because its own newer content is on its way. It is
judged by what the place holds now, never by the event: after a person's push the record and the content differ.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from replicator.jobs import may_want
from replicator.ledger import Copied
from replicator.oci import Digest, Reference, Tag
from replicator.plan import Follower
from replicator.rules import RuleSet
from replicator.rules.links import connected, writes
from replicator.transfer.route import Route, place


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the ledger knows of both ends of a route."""

    route: Route
    rules: RuleSet

    def origins(self, digest: Digest, *, is_there: bool) -> tuple[str, ...]:
        """The places that the source's content came through if we put it there; none if somebody pushed it there.

        The destination is among them only if the content is an echo of its own. `is_there` says that the destination
        holds something under the reference.
        """
        route = self.route
        record = self._put_at_source(route.reference, digest)
        if record is None:
            return ()
        is_echo = route.end in record.origins and self._will_answer(record, is_there=is_there)
        return record.origins if is_echo or route.end not in record.origins else ()

    def is_another_rules(self) -> bool:
        """Whether another rule, whose source has nothing to do with ours, wrote this and still wants it for itself."""
        route = self.route
        record = self._put_at_destination()
        ours = (route.rule.source, route.job.repository)
        if record is None or (record.source, record.repository) == ours:
            return False
        other = self.rules.rule(record.rule)
        tag = record.reference if isinstance(record.reference, Tag) else None
        end = (route.job.destination, route.target)
        still_wants = other is not None and writes(other, record.repository, tag, end)
        return still_wants and not connected(self.rules, (record.source, record.repository), ours)

    def announce(self, digest: Digest, origins: tuple[str, ...]) -> None:
        """Say what is about to be written, before it is: its event may be faster than its answer."""
        record = replace(self._record((*origins, self.route.start)), intent=digest)
        route = self.route
        route.fleet.intend(route.job.destination, route.target, route.reference, record)

    def announce_followers(self, followers: Iterable[Follower]) -> None:
        """Say the same of what follows the reference, so that its echo and its deletion are known for such."""
        route = self.route
        for reference, digest in followers:
            known = self._put_at_source(reference, digest)
            start = place(route.rule.source, route.job.repository, reference)
            record = self._record((*(known.origins if known else ()), start))
            record = replace(record, reference=reference, intent=digest)
            route.fleet.intend(route.job.destination, route.target, reference, record)

    def confirm(self, written: Iterable[Follower]) -> None:
        """Note what the destination holds from us now, of what was announced."""
        route = self.route
        for reference, digest in written:
            route.fleet.confirm(route.job.destination, route.target, reference, digest)

    def settle(self, digest: Digest) -> None:
        """The destination holds `digest`: confirm it, if whoever set out to put it there died before that."""
        record = self._put_at_destination()
        if record and record.intent == digest != record.digest:
            self.confirm([(self.route.reference, digest)])

    def _put_at_source(self, reference: Reference, digest: Digest) -> Copied | None:
        route = self.route
        record = route.fleet.copied(route.rule.source, route.job.repository, reference)
        return record if record and digest in (record.digest, record.intent) else None

    def _put_at_destination(self) -> Copied | None:
        route = self.route
        return route.fleet.copied(route.job.destination, route.target, route.reference)

    def _will_answer(self, record: Copied, *, is_there: bool) -> bool:
        """Whether the destination, where the source's content came from, will send what it has now by itself."""
        route = self.route
        if not is_there and route.claim.action is None:
            return False  # a resync restores what the destination lost
        there = self._put_at_destination()
        ours = (route.rule.source, route.job.repository)
        if there and (there.source, there.repository) == ours and there.at > record.at:
            return (
                False  # the source had other content meanwhile, and sent it: somebody went back to this one
            )
        return any(
            rule.enabled
            and rule.source == route.job.destination
            and may_want(rule, route.target, route.reference)
            for rule in self.rules.rules
        )

    def _record(self, origins: tuple[str, ...]) -> Copied:
        route = self.route
        return Copied(
            rule=route.rule.name,
            source=route.rule.source,
            repository=route.job.repository,
            reference=route.reference,
            origins=origins,
        )

"""Both ends of a route between places that send to each other: what is known of them, and what is noted afterwards.

What was known is read before the registries are. If it has changed by the time that we note what we saw, what we saw
may be older than what somebody else noted; then the job looks again. So no content is taken for a new push because a
slow reader saw it last.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

from replicator.conflicts import Holding, Meeting, Sight, recognised
from replicator.errors import NotYet
from replicator.events import Action, Event
from replicator.jobs import Job, jobs_for
from replicator.ledger import Copied, Noted
from replicator.oci import Digest, Tag
from replicator.rules import PROMOTION, Conflict, ConflictRule, Ring, RuleSet, ring
from replicator.transfer.lease import Lease
from replicator.transfer.provenance import Provenance
from replicator.transfer.route import Route
from replicator.verdict import Facts, Verdict, awaits_event, decide, overrules

log = logging.getLogger(__name__)

HEARD_WITHIN_S = 10.0
"""How long the event of a content may take of which nobody knows where it is from: it decides which push was later."""
AT_ONCE = "pushed in two regions at once"
"""What the reasons of conflicts that wait for a person have in common."""
_TRIES = 5
"""How often the ends are compared anew while others note the same of them."""


@dataclass
class TwoWays:
    """What is noted of the start and the end of a route, as it was before the registries were read."""

    route: Route
    rules: RuleSet
    ring: Ring
    noted: tuple[Noted, Noted]

    @classmethod
    def of(cls, route: Route, rules: RuleSet) -> Self | None:
        """What is noted now; None where the destination does not send to the source."""
        tag, rule = route.reference, route.rule
        # An index that is rebuilt is not what the source holds: versions would take it for a push.
        if route.is_promotion or rule.platforms_rewrite or not isinstance(tag, Tag):
            return None
        found = ring(rules, (rule.source, route.repository), tag)
        if found is None or (route.job.destination, route.target) not in found.places:
            return None
        return cls(route, rules, found, _noted(route))

    @property
    def conflict(self) -> Conflict:
        """What decides where both were pushed at once."""
        return self.ring.conflict

    def decide(self, facts: Facts, provenance: Provenance) -> tuple[Facts, Verdict]:
        """The facts with all that is known of both contents, and the verdict on them; what follows is noted.

        Raises NotYet if one end has been noted to hold something else since, or if an event should come first.
        """
        for _ in range(_TRIES):
            facts = replace(facts, meeting=self._meeting(facts, provenance))
            self._wait_for_event(facts)
            verdict = decide(facts)
            if self._note(facts, verdict):
                return facts, verdict
            self.noted = _noted(self.route)
            seen = (facts.wanted, facts.found)
            if any(
                it.held and it.held.digest != digest for it, digest in zip(self._known, seen, strict=True)
            ):
                break
        raise NotYet(f"{self.route}: one end changed while both were compared", retry_after=0.0)

    def settled(self, facts: Facts, lease: Lease) -> str:
        """Note that the destination holds what was intended, and what that cost; in words, if anything."""
        route, (_, noted) = self.route, self.noted
        if noted.holding.intended:
            # If somebody has seen it there already, that is noted.
            route.fleet.holdings.note({route.end: (noted, noted.holding.put())})
        self._release(facts.wanted, lease)
        if facts.found is None or not overrules(facts):
            return ""
        why = str(self.conflict)
        route.fleet.holdings.note_settled(
            rule=route.rule.name,
            start=route.start,
            chosen=facts.wanted,
            end=route.end,
            lost=facts.found,
            why=why,
        )
        told = {"job": route.claim.id, "end": route.end, "chosen": facts.wanted, "lost": facts.found}
        log.warning("conflict settled", extra={**told, "why": why})
        self.call(facts.wanted, lease)
        return f"chosen by conflict: {why}, over {facts.found}"

    def call(self, held: Digest, lease: Lease) -> None:
        """Have what the destination holds carried on by whoever copies it, whether its event came or not."""
        route = self.route
        tag = route.landing if isinstance(route.landing, Tag) else None
        event = Event(route.job.destination, Action.PUSH, route.target, tag, held)
        lease.pass_on(jobs_for(event, self.rules), held)

    def left(self, facts: Facts, verdict: Verdict, lease: Lease) -> None:
        """Have done what follows where nothing is copied: what the destination holds is carried on instead."""
        if verdict is Verdict.UNCHANGED:
            self._release(facts.wanted, lease)
        elif verdict is Verdict.YIELD and facts.found:
            self.call(facts.found, lease)

    def _release(self, digest: Digest, lease: Lease) -> None:
        """Have the ring's jobs looked at that wait for a person's choice: both ends hold the same now."""
        if self.conflict.kind is ConflictRule.MANUAL:
            lease.reconsider(self._jobs(), digest, AT_ONCE)

    def _jobs(self) -> Iterator[Job]:
        """Every job of this tag between the places of the ring."""
        for rule, (registry, repository) in product(self.ring.rules, self.ring.places):
            for there in rule.destinations if rule.source == registry else ():
                if there.registry in {name for name, _ in self.ring.places}:
                    yield Job(rule.name, there.registry, repository, self.route.reference)

    def comes_back(self, found: Digest) -> bool:
        """Whether the destination's content is a push that the source never had before it was deleted there."""
        start, end = self._known
        if start.held is None or start.held.digest == found:
            return False
        now, (heard_at,) = self.route.fleet.holdings.heard([(self.route.end, found)])
        return not start.held.came_after(
            recognised(end, Sight(_region(self.route.end), found, now, heard_at))
        )

    @property
    def _known(self) -> tuple[Holding, Holding]:
        start, end = self.noted
        return start.holding, end.holding

    def _meeting(self, facts: Facts, provenance: Provenance) -> Meeting:
        route, known = self.route, self._known
        seen = [(route.start, facts.wanted, provenance.here)]
        if facts.found:
            seen.append((route.end, facts.found, provenance.there))
        now, heard = route.fleet.holdings.heard([(place, digest) for place, digest, _ in seen])
        start, *ends = [
            recognised(holding, Sight(_region(place), digest, now, heard_at, _written_at(record, digest)))
            for holding, (place, digest, record), heard_at in zip(known, seen, heard, strict=False)
        ]
        is_chosen = route.claim.approves(choice_between(facts))
        return Meeting(start, ends[0] if ends else None, self.conflict, is_chosen)

    def _wait_for_event(self, facts: Facts) -> None:
        if not awaits_event(facts):
            return
        mark = f"unheard|{self.route.end}|{facts.found}"
        left_s = HEARD_WITHIN_S - self.route.fleet.absent_for(mark)
        if left_s > 0:
            message = f"{self.route}: no event has told yet of what the destination holds"
            raise NotYet(message, retry_after=min(1.0, left_s))

    def _note(self, facts: Facts, verdict: Verdict) -> bool:
        """Note what was seen, and what is about to be written, unless it is not what it was before."""
        if facts.meeting is None:
            return True
        places, before = (self.route.start, self.route.end), self._known
        after = facts.meeting.noted(*before, copies=verdict is Verdict.COPY)
        # What a person has to choose between is noted anew, because it must not be forgotten meanwhile.
        changes = {
            place: (noted, holding)
            for place, noted, holding in zip(places, self.noted, after, strict=True)
            if holding != noted.holding or verdict is Verdict.CHOICE
        }
        noted = self.route.fleet.holdings.note(changes) if changes else {}
        if noted is None:
            return False
        start, end = (noted.get(place, old) for place, old in zip(places, self.noted, strict=True))
        self.noted = (start, end)
        return True


def choice_between(facts: Facts) -> str:
    """Why a person has to choose, and between what."""
    start, end = (place.partition("|")[0] for place in (facts.start, facts.end))
    return f"{AT_ONCE}: {start} holds {facts.wanted}, {end} holds {facts.found}"


def _noted(route: Route) -> tuple[Noted, Noted]:
    start, end = route.fleet.holdings.noted([route.start, route.end])
    return start, end


def _region(place: str) -> str:
    return place.rpartition("|")[0]


def _written_at(record: Copied | None, digest: Digest) -> float | None:
    """When we wrote it there. What a person promoted there is theirs."""
    if record is None or record.rule == PROMOTION or digest not in (record.digest, record.intent):
        return None
    return record.at

"""One repository of a source with all of its twins: listed, read where the listings do not tell, and compared.

A digest is asked for only where it decides: at the source for each tag that some rule takes, at a destination for each
of these that it has too, and for what only it has if that came from us. It is asked conditionally, so that the answer
"unchanged" costs the registry next to nothing.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from replicator.drift import Difference, Known, Listing, Twins, drift, untagged_drift
from replicator.errors import ReplicatorError
from replicator.oci import Digest, Reference, Repository, Tag, companion_subject, is_referrers_tag
from replicator.platforms import rebuilt
from replicator.resync.flow import Later
from replicator.resync.memory import memory, with_halted
from replicator.resync.scope import Scope
from replicator.resync.tools import Tools, Trouble, trouble
from replicator.rules import takes_tag
from replicator.transfer.selection import Selection

TAGS_A_STEP = 32

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Side:
    """Twins, with what the destination lists and what the ledger knows."""

    twins: Twins
    listed: Listing
    known: Known

    def reads(self, tag: Tag) -> bool:
        """Whether the digest at the destination decides anything, even if the source does not have the tag."""
        past = self.known.there.get(tag)
        return past is not None and past.is_ours


@dataclass(frozen=True, slots=True)
class Comparison(Generic[T]):
    """What is to be found out of one repository of `source`. See `survey.Survey` for the rest."""

    tools: Tools
    scope: Scope
    examine: Callable[[Difference], T | Later[T | Trouble]]
    prune: bool
    recheck: float
    reads_new: bool

    def run(
        self, source: str, repository: Repository, twins: Iterable[Twins]
    ) -> Iterator[T | Trouble | Later[T | Trouble]]:
        """List both sides, and leave the tags to further steps."""
        fleet = self.tools.ledger.fleet
        token = fleet.companions.begin(source, repository)
        try:
            listed = self._listing(source, repository)
        except ReplicatorError as exc:
            yield trouble(exc, twins)
            return
        sides = []
        for pair in twins:
            try:
                sides.append(self._side(pair))
            except ReplicatorError as exc:
                yield trouble(exc, [pair])
        tags = {tag for side in sides for tag in (*listed, *side.listed) if side.twins.wants(tag)}
        meant = sorted(filter(self.scope.takes, tags))
        for side in sides if self.prune and self.scope.tag is None else ():
            if any(isinstance(reference, Digest) for reference in side.known.expired):
                yield Later(partial(self._untagged, side))
        if any(_is_new(tag, sides) for tag in meant if tag in listed):
            # Jobs will ask which signatures these have, each for itself.
            companions = [tag for tag in listed if companion_subject(tag) or is_referrers_tag(tag)]
            fleet.companions.note(source, repository, companions, token)
        for first in range(0, len(meant), TAGS_A_STEP):
            yield Later(partial(self._portion, listed, sides, meant[first : first + TAGS_A_STEP]))

    def _side(self, twins: Twins) -> Side:
        listed = self._listing(twins.destination, twins.target)
        return Side(twins, listed, memory(twins, self.tools.ledger, self.tools.rules))

    def _listing(self, registry: str, repository: Repository) -> Listing:
        # An absent repository has no tags. What cannot be read raises.
        return (
            self.tools.patience.read(registry, partial(self.tools.client(registry).listing, repository)) or {}
        )

    def _portion(
        self, listed: Listing, sides: list[Side], tags: list[Tag]
    ) -> Iterator[T | Trouble | Later[T | Trouble]]:
        try:
            source = self._source(listed, sides, tags)
        except ReplicatorError as exc:
            yield trouble(exc, [side.twins for side in sides])
            return
        for side in sides:
            try:
                yield from [self.examine(item) for item in self._compared(side, source, tags)]
            except ReplicatorError as exc:
                yield trouble(exc, [side.twins])

    def _untagged(self, side: Side) -> Iterator[T | Trouble | Later[T | Trouble]]:
        twins = side.twins
        digests = [digest for digest in side.known.expired if isinstance(digest, Digest)]
        try:
            held = [each for each in digests if self._digest(twins.destination, twins.target, each, each)]
        except ReplicatorError as exc:
            yield trouble(exc, [twins])
            return
        yield from [self.examine(item) for item in untagged_drift(twins, held, side.known)]

    def _source(self, listed: Listing, sides: list[Side], tags: list[Tag]) -> Listing:
        twins = sides[0].twins
        found: dict[Tag, Digest | None] = {}
        for tag in tags:
            if tag in listed and not self.reads_new and _is_new(tag, sides):
                found[tag] = listed[tag]
            elif tag in listed:
                # What was copied last is most likely what is there.
                pasts = (side.known.there.get(tag) for side in sides)
                writes = (past.written for past in pasts if past)
                likely = next((written.made_from or written.digest for written in writes), None)
                digest = listed[tag] or self._digest(twins.rule.source, twins.repository, tag, likely)
                if digest:  # else it went since it was listed
                    found[tag] = digest
        return found

    def _compared(self, side: Side, source: Listing, tags: list[Tag]) -> list[Difference]:
        twins = side.twins
        meant = [tag for tag in tags if twins.wants(tag)]
        wanted = {tag: source[tag] for tag in meant if tag in source}
        held = self._destination(side, wanted, meant)
        known = self._with_rebuilt(side, self._with_subjects(side, wanted, held), wanted, held)
        # What nobody read differs, too: None on one side is not the absence on the other.
        differing = [tag for tag in meant if (tag in wanted, wanted.get(tag)) != (tag in held, held.get(tag))]
        if differing:
            known = with_halted(known, twins, differing, present=wanted, ledger=self.tools.ledger)
        return list(drift(twins, source=wanted, destination=held, known=known, prune=self.prune))

    def _destination(self, side: Side, wanted: Listing, tags: list[Tag]) -> Listing:
        held: dict[Tag, Digest | None] = {}
        for tag in tags:
            if tag not in side.listed:
                continue
            if tag not in wanted and not side.reads(tag):
                held[tag] = side.listed[tag]
            elif digest := side.listed[tag] or self._held(side, tag, wanted.get(tag)):
                held[tag] = digest
        return held

    def _held(self, side: Side, tag: Tag, wanted: Digest | None) -> Digest | None:
        past = side.known.there.get(tag)
        recorded = past.written.digest if past else None
        if wanted and recorded and random.random() >= self.recheck:
            return recorded
        made = past and past.written.rebuilt_of(wanted, side.twins.rule.platforms)
        return self._digest(side.twins.destination, side.twins.target, tag, made or wanted or recorded)

    def _with_subjects(self, side: Side, wanted: Listing, held: Listing) -> Known:
        """Look for the subjects of companions that are missing, where the tags that were read do not show them."""
        twins, known, digests = side.twins, side.known, set(held.values())
        missing = {
            companion_subject(tag) for tag in wanted if tag not in held and not takes_tag(twins.rule, tag)
        }
        there = [
            subject
            for subject in missing
            if subject
            and subject not in digests
            and self._digest(twins.destination, twins.target, subject, subject)
        ]
        return known.with_subjects(there)

    def _with_rebuilt(self, side: Side, known: Known, wanted: Listing, held: Listing) -> Known:
        """Look what the rule would make of those indexes that differ, where no record tells."""
        rule = side.twins.rule
        differing = {
            digest
            for tag, digest in wanted.items()
            if digest and rule.platforms_rewrite and held.get(tag) not in (None, digest)
            if companion_subject(tag) is None and held[tag] != known.made_of(rule, tag, digest)
        }
        return replace(known, rebuilt={digest: self._rebuilt(side.twins, digest) for digest in differing})

    def _rebuilt(self, twins: Twins, digest: Digest) -> Digest:
        client = self.tools.client(twins.rule.source)
        selection = Selection(client, twins.repository, twins.rule.platforms)

        def made() -> Digest:
            manifest = client.get_manifest(twins.repository, digest)
            return rebuilt(selection.choice(manifest)).manifest.digest if manifest else digest

        return self.tools.patience.read(client.name, made)

    def _digest(
        self, registry: str, repository: Repository, reference: Reference, likely: Digest | None
    ) -> Digest | None:
        client = self.tools.client(registry)
        return self.tools.patience.read(
            registry, lambda: client.digest_of(repository, reference, known=likely)
        )


def _is_new(tag: Tag, sides: Iterable[Side]) -> bool:
    """Whether no destination has it, so that it is to be added whatever it is; a companion waits for its subject."""
    return companion_subject(tag) is None and not any(tag in side.listed for side in sides)

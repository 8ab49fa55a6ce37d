"""Which content of a tag goes on where regions send to each other, and people push in several of them at once.

Every content that a region holds has a version: where it was pushed, when that push was recorded, and its history,
which has for each region the latest push that it came after. A copy brings its version along. So of two contents one
came after the other, which is no conflict and needs no clock of anybody's, or neither did: then the conflict rule
chooses, alike whichever way it is asked. What was chosen has both histories from then on, and is chosen everywhere.

Why it ends: a write gives its place a history that has all of the former one, and more; or, with the same history, a
content that the conflict rule prefers. So no content comes back to a place that it was overwritten at, and a conflict
of n regions costs a region n - 1 writes at most. At rest any two regions that send to each other have the same.

What a region holds is read from its registry. An event says only when it was pushed, and is missed by nobody: a
content that no event told of counts as pushed when we see it, if we know what was there before. If we do not, it is
older than all that we know of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from replicator.oci import Digest
from replicator.rules import Conflict, ConflictRule

REMEMBERED_S = 30 * 24 * 3600.0
"""For how long it is remembered of a place what it holds, if nothing happens there."""


@dataclass(frozen=True, slots=True)
class Version:
    """A content with its past. `author` is the region where it was pushed, `at` when that was recorded (0: never)."""

    digest: Digest
    author: str
    at: float = 0.0
    history: Mapping[str, float] = field(default_factory=dict)

    def came_after(self, other: "Version") -> bool:
        """Whether whoever pushed this had the other before them, or might have.

        What is older than all memory they had, wherever it was pushed: their region may have forgotten it.
        """
        forgotten = self.at - REMEMBERED_S
        return all(
            max(self.history.get(region, 0.0), forgotten) >= at for region, at in other.history.items()
        )

    def over(self, other: "Version") -> "Version":
        """The same content, chosen over the other."""
        regions = self.history.keys() | other.history.keys()
        latest = {name: max(self.history.get(name, 0.0), other.history.get(name, 0.0)) for name in regions}
        return replace(self, history=latest)


@dataclass(frozen=True, slots=True)
class Holding:
    """What a region was known to hold at `noted_at`, and what somebody set out to put there."""

    held: Version | None = None
    intended: Version | None = None
    noted_at: float = 0.0

    def showing(self, version: Version) -> "Holding":
        """What is known once it was seen to be that, by somebody who does not write there."""
        intended = None if self.intended and self.intended.digest == version.digest else self.intended
        return Holding(version, intended, self.noted_at)

    def put(self) -> "Holding":
        """What is known once it was put there."""
        return Holding(self.intended, None, self.noted_at)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a registry shows of the tag in `region`, at `now`.

    `heard_at` is when the first event that told of this content there was recorded, `written_at` when we last noted to
    have written it there ourselves.
    """

    region: str
    digest: Digest
    now: float
    heard_at: float | None = None
    written_at: float | None = None


def recognised(holding: Holding, sight: Sight) -> Version:
    """The version of what was seen."""
    versions = (holding.held, holding.intended)
    known = next((version for version in versions if version and version.digest == sight.digest), None)
    if known and known.history:
        return known
    if known or holding.held is None:
        # Nobody knows since when it is there, unless an event told that did not come of a copy.
        if sight.heard_at is None or sight.written_at is not None:
            return known or Version(sight.digest, sight.region)
        return _pushed(sight, sight.heard_at, {})
    if sight.written_at is not None and sight.written_at > holding.noted_at:
        # A worker of an earlier release put it there, and notes no versions: nothing new began here.
        return replace(holding.held, digest=sight.digest)
    past = holding.held.history
    latest = max(past.values(), default=0.0)
    # An event that is older than what was there tells of an earlier push of this content.
    is_news = sight.heard_at is not None and sight.heard_at > latest
    return _pushed(sight, sight.heard_at if sight.heard_at is not None and is_news else sight.now, past)


def _pushed(sight: Sight, at: float, past: Mapping[str, float]) -> Version:
    return Version(sight.digest, sight.region, at, {**past, sight.region: at})


class Winner(Enum):
    """Whose content goes on."""

    START = auto()
    END = auto()
    EITHER = auto()
    """Nothing is known of the one or of the other: other records may tell."""
    NOBODY = auto()
    """A person has to choose."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two contents of one tag, at both ends of a copy that is to be made. `end` is None if there is none.

    `is_chosen` says that a person chose the start's.
    """

    start: Version
    end: Version | None
    rule: Conflict
    is_chosen: bool = False

    @property
    def is_conflict(self) -> bool:
        """Whether neither was pushed after the other."""
        return self.end is not None and not (
            self.start.came_after(self.end) or self.end.came_after(self.start)
        )

    @property
    def is_unheard(self) -> bool:
        """Whether nobody knows where the end's content is from, so that its event may be on its way."""
        return self.end is not None and bool(self.start.history) and not self.end.history

    def winner(self) -> Winner:
        """Whose content goes on."""
        if self.end is None or self.is_chosen:
            return Winner.START
        is_later, is_earlier = self.start.came_after(self.end), self.end.came_after(self.start)
        if is_later and is_earlier:
            return self.preferred() if self.end.history else Winner.EITHER
        if is_later:
            return Winner.START
        return Winner.END if is_earlier else self.preferred()

    def preferred(self) -> Winner:
        """Which one the conflict rule prefers, whatever came after what."""
        if self.end is None:
            return Winner.START
        if self.rule.kind is ConflictRule.MANUAL:
            return Winner.NOBODY
        return Winner.START if self._rank(self.start) > self._rank(self.end) else Winner.END

    def _rank(self, version: Version) -> tuple[int, float, Digest]:
        return self.rule.weight(version.author.partition("|")[0]), version.at, version.digest

    def noted(self, start: Holding, end: Holding, *, copies: bool) -> tuple[Holding, Holding]:
        """What is known of both ends from now on, which were known to hold `start` and `end`.

        `copies` says that the start's content is about to be written at the end. Nobody else writes there meanwhile,
        so that what somebody intended there once will not come any more.
        """
        if self.end and self.end.digest == self.start.digest:
            # Pushed in both regions, or one has it of the other, unnoticed: it is one version from now on.
            first, second = sorted((self.start, self.end), key=lambda version: (version.at, version.author))
            agreed = second.over(first)
            return start.showing(agreed), Holding(agreed, None, end.noted_at)
        intended = self.start.over(self.end) if self.end else self.start
        there = Holding(self.end or end.held, intended if copies else None, end.noted_at)
        return start.showing(self.start), there

"""What a reference at a destination needs, if anything: decided from values alone.

`decide` knows what both ends hold, and what the fleet remembers to have written at them; so it tells an echo from a
push, and another rule's copy from ours. `plan` lists the steps of a copy; nothing here reads a registry.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

from replicator.conflicts import Meeting, Winner
from replicator.oci import Digest, Reference, Repository
from replicator.platforms import Platforms, covers


class Verdict(Enum):
    """What a reference at a destination needs."""

    UNCHANGED = auto()
    COPY = auto()
    KEEP = auto()
    """It differs, and `override: false` says that it stays."""
    ECHO = auto()
    """It differs, but the source's content came from there: the destination's own newer content will come over."""
    CONFLICT = auto()
    """Another rule, with another source, wrote it."""
    YIELD = auto()
    """It differs, and the destination's goes on: it will come over."""
    CHOICE = auto()
    """It differs, both were pushed at once, and a person has to choose."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the fleet remembers to have written under one reference.

    `start` is the place that the content was read from, `origins` are the places that it came through, that one
    included. `digest` is what was verified, `intent` what was set out for last; `at` is when this last changed. Of an
    index only the images for `platforms` may be there; `made_from` is the source's digest if the index was rebuilt.
    """

    start: str
    digest: Digest | None
    intent: Digest | None
    origins: tuple[str, ...]
    at: float
    platforms: Platforms = ()
    made_from: Digest | None = None

    def rebuilt_of(self, source: Digest | None, platforms: Platforms) -> Digest | None:
        """The index that was rebuilt of `source` for these platforms, if that is what was verified last."""
        is_settled = self.digest == self.intent and set(self.platforms) == set(platforms)
        return self.digest if is_settled and source is not None and source == self.made_from else None


def place(registry: str, repository: Repository, reference: Reference) -> str:
    """One reference of one registry as text, unique among all: what origins are, and `start` and `end`."""
    return f"{registry}|{repository}|{reference}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What `decide` needs to know of a reference that exists at the source. `start` and `end` are its two places.

    `here` is what we wrote at the source, and `there` at the destination. `is_resync` says that no event told of a
    change, `is_answered` that a rule copies the destination's reference on, so that a change of it is heard of, and
    `is_strangers` that the rule which wrote `there` still wants it, and has nothing to do with this one's source.
    `platforms` are those that the rule wants of an index. `meeting` is what is known of both contents, if the two
    places send to each other.
    """

    wanted: Digest
    found: Digest | None
    start: str
    end: str
    override: bool
    is_approved: bool = False
    here: Written | None = None
    there: Written | None = None
    is_resync: bool = False
    is_answered: bool = False
    is_strangers: bool = False
    platforms: Platforms = ()
    meeting: Meeting | None = None


def decide(facts: Facts) -> Verdict:
    """The verdict on a reference that exists at the source."""
    if facts.found == facts.wanted:
        return Verdict.COPY if lacks_platforms(facts) else Verdict.UNCHANGED
    if facts.meeting and facts.meeting.end:
        winner = _winner(facts, facts.meeting)
        if winner is not Winner.START:
            return Verdict.YIELD if winner is Winner.END else Verdict.CHOICE
    elif _is_echo(facts):
        return Verdict.ECHO
    if facts.found is None or facts.is_approved:
        return Verdict.COPY
    if facts.there and facts.there.start != facts.start and facts.is_strangers:
        return Verdict.CONFLICT
    return Verdict.COPY if facts.override else Verdict.KEEP


def lacks_platforms(facts: Facts) -> bool:
    """Whether the destination holds the very index that is wanted, from us, but not all of its images that are."""
    there = facts.there
    return (
        there is not None
        and there.digest == facts.found
        and there.made_from is None
        and not covers(there.platforms, facts.platforms)
    )


def _winner(facts: Facts, meeting: Meeting) -> Winner:
    """Who goes on where both ends hold something. What the versions do not know the records may: who has it of whom."""
    winner = meeting.winner()
    if winner is not Winner.EITHER:
        return winner
    goes, comes = is_from_start(facts), _came_back(facts)
    if goes is not comes:
        return Winner.START if goes else Winner.END
    return meeting.preferred()


def is_from_start(facts: Facts) -> bool:
    """Whether what the destination holds came from the source, which holds something else by now."""
    return facts.found is not None and _came_back(_turned_round(facts, facts.found))


def awaits_event(facts: Facts) -> bool:
    """Whether the destination holds what nobody knows anything of, so that its event may be on its way."""
    meeting = facts.meeting
    return meeting is not None and meeting.is_unheard and not _is_on_record(facts)


def overrules(facts: Facts) -> bool:
    """Whether a copy overwrites what was pushed at the same time, or what nobody knows anything of."""
    meeting = facts.meeting
    if meeting is None or meeting.end is None:
        return False
    return meeting.is_conflict or not (meeting.end.history or _is_on_record(facts))


def _is_on_record(facts: Facts) -> bool:
    """Whether the destination holds what we put there, or what we copied to the source once."""
    here, there = facts.here, facts.there
    is_ours = there is not None and facts.found in (there.digest, there.intent)
    return is_ours or (here is not None and facts.found == here.digest)


def _is_echo(facts: Facts) -> bool:
    """Whether what the source holds came from the destination, which will send by itself what it has now.

    Where pushes at several places crossed each other, each of two places may have its content from the other, and would
    wait for it for ever. Then the greater digest goes on: which one it is says nothing, but both agree on it whoever
    asks and whenever, so that it ends.
    """
    if not _came_back(facts):
        return False
    if facts.found is None or not is_from_start(facts):
        return True
    return facts.wanted < facts.found


def _turned_round(facts: Facts, found: Digest) -> Facts:
    """What a job would decide upon that copies the other way."""
    return replace(
        facts,
        wanted=found,
        found=facts.wanted,
        start=facts.end,
        end=facts.start,
        here=facts.there,
        there=facts.here,
        is_answered=True,
    )


def _came_back(facts: Facts) -> bool:
    here, there = facts.here, facts.there
    if here is None or facts.wanted not in (here.digest, here.intent) or facts.end not in here.origins:
        return False
    if facts.found is None and facts.is_resync:
        return False  # a resync restores what the destination lost
    if there and there.start == facts.start and there.at > here.at:
        return False  # the source had other content meanwhile, and sent it: somebody went back to this one
    return facts.is_answered


def origins(facts: Facts) -> tuple[str, ...]:
    """The places that a copy comes through, for its record: those of what we put at the source, and the source.

    What came from the destination and is copied back all the same is new there, as if it had been pushed.
    """
    here = facts.here
    if here is None or facts.wanted not in (here.digest, here.intent) or facts.end in here.origins:
        return (facts.start,)
    return (*here.origins, facts.start)


def was_cut_short(facts: Facts) -> bool:
    """Whether the destination holds what we set out to put there, and nobody lived to note it."""
    there = facts.there
    return there is not None and facts.found == facts.wanted == there.intent != there.digest


def is_lost(facts: Facts) -> bool:
    """Whether the destination lacks what we put there: then nothing that is believed to be there is worth a request."""
    there = facts.there
    return there is not None and facts.found is None and facts.wanted in (there.digest, there.made_from)


class Removal(Enum):
    """What becomes of a reference that the source no longer has, as far as it can be said before anybody waits."""

    NOTHING = auto()
    """The destination does not have it either."""
    KEEP = auto()
    """The rule does not delete."""
    NOT_OURS = auto()
    """The destination holds something there that we did not put there."""
    WAIT = auto()
    """It may go once the source has said so twice."""


def decide_removal(*, found: Digest | None, put_there: tuple[Digest | None, ...], deletion: bool) -> Removal:
    """The verdict on a reference that the source no longer has. `put_there` is what we know to have written."""
    if found is None:
        return Removal.NOTHING
    if not deletion:
        return Removal.KEEP
    return Removal.WAIT if found in put_there else Removal.NOT_OURS

"""What `conflicts` makes of what it is told; `test_conflicting_pushes` shows where that ends."""

from dataclasses import replace

import pytest

from replicator.conflicts import REMEMBERED_S, Holding, Meeting, Sight, Version, Winner, recognised
from replicator.oci import Digest
from replicator.rules import Conflict, ConflictRule
from replicator.verdict import Facts, Verdict, Written, awaits_event, decide, overrules

OLD, ONE, TWO = (Digest.of(name) for name in (b"old", b"one", b"two"))
EU, US = "eu|team/api", "us|team/api"
BASE = Version(OLD, EU, 1.0, {EU: 1.0})
AT_EU, AT_US = Version(ONE, EU, 5.0, {EU: 5.0}), Version(TWO, US, 6.0, {EU: 1.0, US: 6.0})
KNOWN = Holding(BASE, None, 2.0)
NOW = 9.0
NEWEST, MANUAL = Conflict(), Conflict(ConflictRule.MANUAL)
EU_FIRST = Conflict(ConflictRule.PRIORITY, ("eu", "us"))


def seen(digest: Digest, heard_at: float | None = None, written_at: float | None = None) -> Sight:
    return Sight(US, digest, NOW, heard_at, written_at)


@pytest.mark.parametrize(
    ("holding", "sight", "version"),
    [
        (KNOWN, seen(OLD), BASE),
        (KNOWN, seen(OLD, heard_at=8.0), BASE),
        (replace(KNOWN, intended=AT_EU), seen(ONE), AT_EU),
        (KNOWN, seen(TWO, heard_at=6.0), Version(TWO, US, 6.0, {EU: 1.0, US: 6.0})),
        (KNOWN, seen(TWO), Version(TWO, US, NOW, {EU: 1.0, US: NOW})),
        (KNOWN, seen(TWO, heard_at=0.5), Version(TWO, US, NOW, {EU: 1.0, US: NOW})),
        (KNOWN, seen(TWO, written_at=1.5), Version(TWO, US, NOW, {EU: 1.0, US: NOW})),
        (KNOWN, seen(TWO, written_at=3.0), replace(BASE, digest=TWO)),
        (Holding(), seen(TWO, heard_at=6.0), Version(TWO, US, 6.0, {US: 6.0})),
        (Holding(), seen(TWO), Version(TWO, US)),
        (Holding(), seen(TWO, heard_at=6.0, written_at=5.0), Version(TWO, US)),
        (Holding(Version(TWO, US)), seen(TWO, heard_at=6.0), Version(TWO, US, 6.0, {US: 6.0})),
        (Holding(Version(TWO, EU)), seen(TWO, heard_at=6.0, written_at=5.0), Version(TWO, EU)),
    ],
    ids=[
        "as-before",
        "echo",
        "as-intended",
        "pushed",
        "pushed-unheard",
        "pushed-again",
        "rolled-back",
        "from-an-older-worker",
        "new-place",
        "unknown",
        "ours-of-old",
        "heard-of-after-it-was-seen",
        "echo-of-what-nobody-heard-of",
    ],
)
def test_what_is_seen_has_the_version_that_is_known_or_a_new_one(
    holding: Holding, sight: Sight, version: Version
) -> None:
    assert recognised(holding, sight) == version


@pytest.mark.parametrize(
    ("start", "end", "conflict", "winner"),
    [
        (AT_EU, None, NEWEST, Winner.START),
        (AT_EU, BASE, MANUAL, Winner.START),
        (BASE, AT_EU, MANUAL, Winner.END),
        (AT_EU, AT_US, NEWEST, Winner.END),
        (AT_US, AT_EU, NEWEST, Winner.START),
        (AT_EU, AT_US, EU_FIRST, Winner.START),
        (AT_US, AT_EU, EU_FIRST, Winner.END),
        (AT_EU, AT_US, MANUAL, Winner.NOBODY),
        (AT_EU, Version(TWO, US), NEWEST, Winner.START),
        (Version(ONE, EU), Version(TWO, US), NEWEST, Winner.EITHER),
        (AT_EU.over(AT_US), AT_US.over(AT_EU), NEWEST, Winner.END),
        (AT_EU.over(AT_US), AT_US.over(AT_EU), MANUAL, Winner.NOBODY),
    ],
)
def test_what_was_pushed_after_the_other_goes_on_and_else_the_rule_decides(
    start: Version, end: Version | None, conflict: Conflict, winner: Winner
) -> None:
    assert Meeting(start, end, conflict).winner() is winner


def test_a_push_came_after_what_regions_have_forgotten_by_then() -> None:
    long_ago = Version(OLD, "ap|team/api", 5.0, {"ap|team/api": 5.0})
    late = 5.0 + REMEMBERED_S
    just_now = Version(ONE, EU, late, {EU: late})

    assert Meeting(just_now, long_ago, MANUAL).winner() is Winner.START
    assert Meeting(long_ago, just_now, MANUAL).winner() is Winner.END
    assert Meeting(replace(just_now, at=late - 1), long_ago, MANUAL).winner() is Winner.NOBODY


def test_a_persons_choice_goes_on() -> None:
    assert Meeting(AT_EU, AT_US, MANUAL, is_chosen=True).winner() is Winner.START


def test_what_meets_nothing_is_preferred() -> None:
    assert Meeting(AT_EU, None, MANUAL).preferred() is Winner.START


def test_what_was_chosen_has_both_histories() -> None:
    _, there = Meeting(AT_EU, AT_US, EU_FIRST).noted(Holding(), Holding(), copies=True)

    assert there.intended == replace(AT_EU, history={EU: 5.0, US: 6.0})
    assert there.held == AT_US
    assert there.put() == Holding(there.intended)


def test_a_copy_that_nothing_was_in_the_way_of_keeps_its_version() -> None:
    assert Meeting(AT_EU, None, NEWEST).noted(Holding(), KNOWN, copies=True) == (
        Holding(AT_EU),
        Holding(BASE, AT_EU, 2.0),
    )


def test_the_same_content_in_both_regions_becomes_one_version() -> None:
    twin = replace(AT_US, digest=ONE)
    agreed = replace(twin, history={EU: 5.0, US: 6.0})

    assert Meeting(AT_EU, twin, NEWEST).noted(Holding(), Holding(), copies=False) == (
        Holding(agreed),
        Holding(agreed),
    )


def test_what_was_intended_where_nothing_is_written_will_not_come() -> None:
    there = replace(KNOWN, intended=AT_EU)

    assert Meeting(AT_EU, AT_US, NEWEST).noted(Holding(), there, copies=False)[1] == Holding(AT_US, None, 2.0)


def test_who_only_looks_leaves_what_others_intend() -> None:
    assert replace(KNOWN, intended=AT_EU).showing(AT_US) == Holding(AT_US, AT_EU, 2.0)
    assert replace(KNOWN, intended=AT_EU).showing(AT_EU) == Holding(AT_EU, None, 2.0)


# Together with the records

START, END = f"{EU}|v1", f"{US}|v1"
UNKNOWN = Meeting(Version(ONE, EU), Version(TWO, US), NEWEST)
CAME_FROM_US = Written(END, ONE, ONE, (END,), 3.0)
CAME_FROM_EU = Written(START, TWO, TWO, (START,), 3.0)


def facts(meeting: Meeting | None, **known: Written | bool) -> Facts:
    return Facts(ONE, TWO, START, END, override=True, is_answered=True, meeting=meeting, **known)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        (facts(UNKNOWN, here=CAME_FROM_US), Verdict.YIELD),
        (facts(UNKNOWN, there=CAME_FROM_EU), Verdict.COPY),
        (facts(UNKNOWN), Verdict.COPY if ONE > TWO else Verdict.YIELD),
        (facts(replace(UNKNOWN, rule=MANUAL)), Verdict.CHOICE),
        (facts(Meeting(AT_EU, AT_US, NEWEST)), Verdict.YIELD),
        (facts(Meeting(AT_EU, AT_US, EU_FIRST)), Verdict.COPY),
        (replace(facts(Meeting(AT_EU, AT_US, EU_FIRST)), override=False), Verdict.KEEP),
        (facts(Meeting(AT_EU, AT_US, MANUAL)), Verdict.CHOICE),
    ],
)
def test_the_records_tell_where_the_versions_do_not(known: Facts, verdict: Verdict) -> None:
    assert decide(known) is verdict


UNHEARD = Meeting(AT_EU, Version(TWO, US), NEWEST)


@pytest.mark.parametrize(
    ("known", "waits"),
    [
        (facts(UNHEARD), True),
        (facts(UNHEARD, there=CAME_FROM_EU), False),
        (facts(UNHEARD, here=Written(END, TWO, TWO, (END,), 3.0)), False),
        (facts(UNHEARD, here=CAME_FROM_US, there=replace(CAME_FROM_EU, digest=OLD, intent=OLD)), True),
        (facts(UNKNOWN), False),
        (facts(None), False),
        (facts(Meeting(AT_EU, None, NEWEST)), False),
    ],
)
def test_an_event_is_waited_for_where_nothing_is_known(known: Facts, waits: bool) -> None:
    assert awaits_event(known) is waits


@pytest.mark.parametrize(
    ("known", "is_lost"),
    [
        (facts(Meeting(AT_EU, AT_US, EU_FIRST)), True),
        (facts(UNHEARD), True),
        (facts(UNHEARD, there=CAME_FROM_EU), False),
        (facts(Meeting(AT_EU, BASE, NEWEST)), False),
        (facts(Meeting(AT_EU, None, NEWEST)), False),
        (facts(None), False),
    ],
)
def test_what_a_copy_overrules_is_told_from_what_it_follows(known: Facts, is_lost: bool) -> None:
    assert overrules(known) is is_lost

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.drift import LACKS_PLATFORMS, Difference, Kind, Known, Past, Twins, drift, untagged_drift
from replicator.oci import Digest, Platform, Repository, Tag, companion_tags, referrers_tag
from replicator.platforms import parse_platform
from replicator.rules import Destination, Filter, FilterType, Rule, Signatures
from replicator.verdict import Written

OLD, NEW, OTHER = (Digest.of(text.encode()) for text in ("old", "new", "other"))
V1 = Tag("v1")
SIG = companion_tags(NEW)[0]
RULE = Rule("r", "eu", (Destination("us"),), filters=(Filter(FilterType.TAG, "v*"),))
DELETES = replace(RULE, deletion=True)
START, END = "eu|a/b|v1", "us|a/b|v1"


def twins(rule: Rule = RULE) -> Twins:
    return Twins(rule, "us", Repository("a/b"), Repository("a/b"))


def written(digest: Digest, *, start: str = START, origins: tuple[str, ...] = (), at: float = 1.0) -> Written:
    return Written(start, digest, digest, origins or (start,), at)


def ours(digest: Digest) -> Past:
    return Past(written(digest), is_ours=True, is_strangers=False)


def compared(
    source: Mapping[Tag, Digest | None],
    destination: Mapping[Tag, Digest | None],
    known: Known | None = None,
    *,
    rule: Rule = RULE,
    prune: bool = False,
) -> list[Difference]:
    return list(
        drift(twins(rule), source=source, destination=destination, known=known or Known(), prune=prune)
    )


def only(found: list[Difference]) -> tuple[Kind, bool]:
    (difference,) = found
    return difference.kind, difference.is_drift


def test_a_reference_that_both_have_alike_is_in_sync() -> None:
    assert only(compared({V1: NEW}, {V1: NEW})) == (Kind.IN_SYNC, False)


def test_what_the_destination_lacks_is_added() -> None:
    assert only(compared({V1: NEW}, {})) == (Kind.ADD, True)


def test_what_nobody_read_at_the_source_is_added_all_the_same() -> None:
    (difference,) = compared({V1: None}, {})

    assert (difference.kind, difference.wanted, difference.is_drift) == (Kind.ADD, None, True)
    assert only(compared({V1: None}, {}, Known(halted={V1: "a person should look"}))) == (Kind.BLOCKED, True)


def test_what_differs_is_updated() -> None:
    assert only(compared({V1: NEW}, {V1: OLD})) == (Kind.UPDATE, True)


AMD, ARM = parse_platform("linux/amd64"), parse_platform("linux/arm64")


def partly(digest: Digest, *platforms: Platform, made_from: Digest | None = None) -> Past:
    return Past(
        replace(written(digest), platforms=platforms, made_from=made_from), is_ours=True, is_strangers=False
    )


def test_a_copy_without_platforms_that_the_rule_wants_now_is_drift() -> None:
    known = Known(there={V1: partly(NEW, AMD)})

    (wider,) = compared({V1: NEW}, {V1: NEW}, known, rule=replace(RULE, platforms=(AMD, ARM)))
    (narrower,) = compared({V1: NEW}, {V1: NEW}, known, rule=replace(RULE, platforms=(AMD,)))
    (whole,) = compared({V1: NEW}, {V1: NEW}, known)

    assert (wider.kind, wider.detail, wider.is_part, wider.is_drift) == (
        Kind.UPDATE,
        LACKS_PLATFORMS,
        True,
        True,
    )
    assert (narrower.kind, narrower.is_part) == (Kind.IN_SYNC, False)
    assert (whole.kind, whole.is_part) == (Kind.UPDATE, True)


@pytest.mark.parametrize(
    "known",
    [Known(there={V1: partly(OTHER, AMD, made_from=NEW)}), Known(rebuilt={NEW: OTHER})],
    ids=["remembered", "looked-up"],
)
def test_the_index_that_was_rebuilt_of_the_sources_is_in_sync(known: Known) -> None:
    rule = replace(RULE, platforms=(AMD,), platforms_rewrite=True)

    (held,) = compared({V1: NEW}, {V1: OTHER}, known, rule=rule)
    sparse = only(compared({V1: NEW}, {V1: NEW}, known, rule=rule))
    moved = only(compared({V1: NEW}, {V1: OLD}, known, rule=rule))
    kept = only(compared({V1: NEW}, {V1: OTHER}, known, rule=replace(rule, platforms_rewrite=False)))

    assert (held.kind, held.wanted, held.found) == (Kind.IN_SYNC, NEW, OTHER)
    assert sparse == (Kind.IN_SYNC, False)
    assert moved == kept == (Kind.UPDATE, True)


def test_an_index_that_was_rebuilt_for_other_platforms_is_drift() -> None:
    known = Known(there={V1: partly(OTHER, AMD, made_from=NEW)})
    rule = replace(RULE, platforms=(AMD, ARM), platforms_rewrite=True)

    assert only(compared({V1: NEW}, {V1: OTHER}, known, rule=rule)) == (Kind.UPDATE, True)


def test_a_difference_that_override_off_keeps_is_no_drift() -> None:
    assert only(compared({V1: NEW}, {V1: OLD}, rule=replace(RULE, override=False))) == (Kind.KEPT, False)


def test_our_own_older_copy_at_the_source_is_no_drift() -> None:
    known = Known(here={V1: written(OLD, start=END)}, answered=frozenset({V1}))

    assert only(compared({V1: OLD}, {V1: NEW}, known)) == (Kind.OWN, False)


def test_what_another_rule_wrote_and_wants_is_a_conflict() -> None:
    past = Past(written(OTHER, start="ap|a/b|v1"), is_ours=False, is_strangers=True)

    assert only(compared({V1: NEW}, {V1: OTHER}, Known(there={V1: past}))) == (Kind.CONFLICT, False)


def test_a_blocked_job_shows_with_its_reason() -> None:
    (difference,) = compared({V1: NEW}, {V1: OLD}, Known(halted={V1: "a person should look"}))

    assert (difference.kind, difference.detail) == (Kind.BLOCKED, "a person should look")
    assert difference.is_drift


@pytest.mark.parametrize(
    ("rule", "past", "found", "prune", "expected"),
    [
        (DELETES, ours(OLD), OLD, True, (Kind.DELETE, True)),
        (DELETES, ours(OLD), OLD, False, (Kind.EXTRA, False)),
        (RULE, ours(OLD), OLD, True, (Kind.EXTRA, False)),
        (DELETES, None, None, True, (Kind.EXTRA, False)),
        (DELETES, replace(ours(OLD), is_ours=False), OLD, True, (Kind.EXTRA, False)),
        (DELETES, ours(OLD), OTHER, True, (Kind.BLOCKED, True)),
        (DELETES, ours(OLD), OTHER, False, (Kind.BLOCKED, False)),
    ],
)
def test_what_only_the_destination_has(
    rule: Rule, past: Past | None, found: Digest | None, prune: bool, expected: tuple[Kind, bool]
) -> None:
    known = Known(there={V1: past} if past else {})

    assert only(compared({}, {V1: found}, known, rule=rule, prune=prune)) == expected


def test_a_blocked_delete_shows_with_its_reason() -> None:
    known = Known(there={V1: ours(OLD)}, halted={V1: "the cap"})

    (difference,) = compared({}, {V1: OLD}, known, rule=DELETES, prune=True)

    assert (difference.kind, difference.detail) == (Kind.BLOCKED, "the cap")


def test_retention_deletes_where_the_rule_does_not() -> None:
    known = Known(there={V1: ours(OLD)}, expired={V1: "keep last 10"})

    (difference,) = compared({}, {V1: OLD}, known, prune=True)

    assert (difference.kind, difference.detail) == (Kind.DELETE, "keep last 10")


def test_retention_never_deletes_what_the_source_has() -> None:
    known = Known(there={V1: ours(OLD)}, expired={V1: "keep last 10"})

    assert only(compared({V1: OLD}, {V1: OLD}, known, prune=True)) == (Kind.IN_SYNC, False)


def test_a_signature_is_missed_where_its_subject_is() -> None:
    found = {item.reference: item.kind for item in compared({V1: NEW, SIG: OTHER}, {V1: NEW})}

    assert found == {V1: Kind.IN_SYNC, SIG: Kind.ADD}


def test_a_signature_is_missed_where_its_subject_is_known_to_be() -> None:
    known = Known().with_subjects([NEW])

    assert only(compared({SIG: OTHER}, {}, known)) == (Kind.ADD, True)


def test_a_signature_whose_subject_is_to_be_copied_comes_with_it() -> None:
    assert only(compared({V1: NEW, SIG: OTHER}, {})) == (Kind.ADD, True)


def test_a_signature_moves_even_where_override_is_off() -> None:
    assert only(compared({SIG: OTHER}, {SIG: OLD}, rule=replace(RULE, override=False))) == (Kind.UPDATE, True)


@pytest.mark.parametrize(
    ("tag", "signatures", "wanted"),
    [
        (V1, Signatures.FOLLOW, True),
        (Tag("dev"), Signatures.FOLLOW, False),
        (SIG, Signatures.FOLLOW, True),
        (SIG, Signatures.IGNORE, False),
        (referrers_tag(NEW), Signatures.FOLLOW, False),
        (referrers_tag(Digest.of(b"new", "sha512")), Signatures.FOLLOW, False),
    ],
)
def test_which_tags_are_compared(tag: Tag, signatures: Signatures, wanted: bool) -> None:
    assert twins(replace(RULE, signatures=signatures)).wants(tag) is wanted


def test_a_difference_names_both_sides_in_full() -> None:
    pair = Twins(RULE, "us", Repository("a/b"), Repository("mirror/b"))

    (difference,) = drift(pair, source={V1: NEW}, destination={}, known=Known())

    assert (difference.source_name, difference.destination_name) == ("eu/a/b:v1", "us/mirror/b:v1")
    assert difference.lane == ("r", "us")
    assert difference.job.key == "r|us|a/b|v1"


def test_twins_know_their_destination() -> None:
    assert twins().there == Destination("us")
    assert Twins(RULE, "elsewhere", Repository("a"), Repository("a")).there is None


def test_a_manifest_that_lost_its_tag_goes_when_its_time_is_over() -> None:
    known = Known(expired={OLD: "untagged older than 1 day"})

    (found,) = untagged_drift(twins(), [OLD, NEW], known)

    assert (found.kind, found.destination_name) == (Kind.DELETE, f"us/a/b@{OLD}")
    assert list(untagged_drift(twins(replace(RULE, filters=())), [OLD], known)) == []


TAGS = st.sampled_from([Tag(f"v{number}") for number in range(6)])
SIDE = st.dictionaries(TAGS, st.sampled_from([OLD, NEW, OTHER]))


@given(SIDE, SIDE, st.booleans(), st.booleans())
def test_doing_what_drift_says_leaves_none(
    source: dict[Tag, Digest], destination: dict[Tag, Digest], deletion: bool, prune: bool
) -> None:
    rule = replace(RULE, deletion=deletion)
    known = Known(there={tag: ours(digest) for tag, digest in destination.items()})

    for item in compared(source, destination, known, rule=rule, prune=prune):
        if item.kind in (Kind.ADD, Kind.UPDATE) and item.wanted and isinstance(item.reference, Tag):
            destination[item.reference] = item.wanted
        if item.kind is Kind.DELETE:
            del destination[item.reference]

    assert not any(item.is_drift for item in compared(source, destination, known, rule=rule, prune=prune))
    assert all(destination.get(tag) == digest for tag, digest in source.items())

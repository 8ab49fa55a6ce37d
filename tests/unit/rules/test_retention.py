import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.oci import Digest, Reference, Tag
from replicator.rules import Clause, Count, Kept, Retention, TagStatus, expired

DAY = 86400.0
NOW = 100 * DAY


def clause(
    count: str, number: int, *prefixes: str, pattern: str | None = None, untagged: bool = False
) -> Clause:
    tagged = TagStatus.TAGGED if prefixes or pattern else TagStatus.ANY
    return Clause(
        TagStatus.UNTAGGED if untagged else tagged,
        Count.IMAGES if count == "keep last" else Count.DAYS,
        number,
        prefixes,
        (pattern,) if pattern else (),
    )


def digest(name: str) -> Digest:
    return Digest.of(name.encode())


def image(name: str, days: float, *tags: str) -> list[Kept]:
    """An image that was put there so many days ago."""
    references: list[Reference] = [Tag(tag) for tag in tags] or [digest(name)]
    return [Kept(reference, digest(name), NOW - days * DAY) for reference in references]


def signature(name: str, days: float, suffix: str = ".sig") -> Kept:
    """A signature of the image `name` under a companion tag."""
    return Kept(Tag(f"sha256-{digest(name).hex}{suffix}"), digest(f"{name}{suffix}"), NOW - days * DAY)


def ended(clauses: Iterable[Clause], *images: list[Kept]) -> dict[Reference, str]:
    return expired(Retention(tuple(clauses)), [kept for found in images for kept in found], now=NOW)


A, B, C = image("a", 10, "beta-1", "prod-1"), image("b", 9, "beta-2", "prod-2"), image("c", 8, "beta-3")
ALPHAS = [
    image("a", 12, "alpha-1"),
    image("b", 11, "beta-1"),
    image("c", 10, "alpha-2", "beta-2"),
    image("d", 4, "alpha-3"),
    image("e", 3, "beta-3"),
    image("f", 2, "alpha-4", "beta-4"),
]


@pytest.mark.parametrize(
    ("clauses", "images", "gone"),
    [
        # The examples of ECR's documentation, in the same shape.
        ([clause("keep last", 1, "prod"), clause("keep last", 1, "beta")], [A, B, C], {"beta-1", "prod-1"}),
        (
            [clause("keep last", 1, "beta"), clause("keep last", 1, "prod")],
            [A, B, C],
            {"beta-1", "prod-1", "beta-2", "prod-2"},
        ),
        ([clause("keep last", 1, "alpha", "beta")], ALPHAS, {"alpha-2", "beta-2"}),
        ([clause("keep last", 1, "alpha")], ALPHAS, {"alpha-1", "alpha-2", "beta-2", "alpha-3"}),
        (
            [clause("keep last", 1)],
            [image("a", 4, "alpha"), image("b", 3), image("c", 2, "beta")],
            {"alpha", digest("b")},
        ),
        (
            [clause("keep last", 1, "prod"), clause("keep last", 1, untagged=True), clause("keep last", 1)],
            [image("a", 9, "prod-1"), image("b", 8, "prod-2"), image("c", 7), image("d", 6), image("e", 5, "x")],
            {"prod-1", digest("c")},
        ),
        # And what else may happen.
        ([clause("older than", 14, "dev-")], [image("a", 14, "dev-1"), image("b", 14.1, "dev-2")], {"dev-2"}),
        ([clause("older than", 1, untagged=True)], [image("a", 2), image("b", 2, "v1")], {digest("a")}),
        ([clause("older than", 5)], [image("a", 6, "v1"), image("b", 4, "v2")], {"v1"}),
        ([clause("keep last", 1, pattern="v*-rc*")], [image("a", 2, "v1-rc1"), image("b", 1, "v2")], set()),
        (
            [clause("keep last", 1, pattern="v*-rc*")],
            [image("a", 2, "v1-rc1"), image("b", 1, "v2-rc9"), image("c", 9, "w1-rc1")],
            {"v1-rc1"},
        ),
        ([clause("older than", 1, pattern="latest")], [image("a", 2, "latest"), image("b", 2, "latest1")], {"latest"}),
        ([clause("keep last", 2)], [A, B], set()),
        ([], [A, B], set()),
    ],
)  # fmt: skip
def test_what_has_had_its_time(clauses: list[Clause], images: list[list[Kept]], gone: set[str]) -> None:
    assert set(ended(clauses, *images)) == gone


def test_the_clause_that_decided_is_named() -> None:
    found = ended([clause("keep last", 1, "prod-"), clause("older than", 8)], A, B, C, image("d", 9))

    assert found == {"beta-1": "keep last 1 with prefix prod-", "prod-1": "keep last 1 with prefix prod-"} | {
        digest("d"): "older than 8 days"
    }


def test_an_image_with_two_names_is_as_young_as_the_younger() -> None:
    young = [*image("a", 9, "v1"), *image("a", 1, "v2")]

    assert ended([clause("older than", 5)], young) == {}


def test_what_has_a_tag_as_well_is_not_untagged() -> None:
    both = [*image("a", 9), *image("a", 9, "v1")]

    assert ended([clause("older than", 1, untagged=True)], both) == {}
    assert set(ended([clause("older than", 1)], both)) == {"v1", digest("a")}


def test_what_is_attached_is_not_counted_and_goes_with_its_image() -> None:
    images = [image(f"i{days}", days, f"v{days}") for days in range(1, 5)]
    signatures = [signature(f"i{days}", 0.5) for days in range(1, 5)]

    found = ended([clause("keep last", 2)], *images, signatures)

    assert set(found) == {"v3", "v4", signatures[2].reference, signatures[3].reference}
    assert found[signatures[2].reference] == "keep last 2"


def test_what_is_attached_stays_with_its_image_however_old_it_is() -> None:
    old = [signature("a", 90), signature("a", 90, ".att"), signature("a", 90, "")]

    assert ended([clause("older than", 5)], image("a", 1, "v1"), old) == {}


def test_what_is_attached_to_an_image_that_is_not_there_stays() -> None:
    assert ended([clause("older than", 5)], [signature("elsewhere", 90)]) == {}


def test_a_referrer_goes_with_its_subject_where_that_is_known() -> None:
    (referrer,) = image("r", 90)

    assert set(ended([clause("older than", 5, untagged=True)], [referrer])) == {digest("r")}
    attached = [replace(referrer, subject=digest("a"))]
    assert ended([clause("older than", 5)], image("a", 1, "v1"), attached) == {}
    assert set(ended([clause("older than", 5)], image("a", 6, "v1"), attached)) == {"v1", digest("r")}


def test_a_signature_of_a_signature_goes_too() -> None:
    first = signature("a", 1)
    second = Kept(Tag(f"sha256-{first.digest.hex}.sig"), digest("second"), NOW)

    assert len(ended([clause("older than", 5)], image("a", 6, "v1"), [first, second])) == 3


def test_a_signature_that_is_an_image_as_well_keeps_what_is_attached_to_it() -> None:
    first = signature("a", 1)
    tagged = replace(first, reference=Tag("keep-me"))
    second = Kept(Tag(f"sha256-{first.digest.hex}.sig"), digest("second"), NOW)

    found = ended([clause("older than", 5)], image("a", 6, "v1"), [first, tagged, second])

    assert set(found) == {"v1", first.reference}


TAGS = st.sampled_from(["prod-1", "prod-2", "dev-1", "dev-2", "v1", "v2", "latest", "beta"])
CLAUSES = st.sampled_from(
    [
        clause("keep last", 1, "prod-"),
        clause("keep last", 3, "v"),
        clause("older than", 5, "dev-"),
        clause("keep last", 2, "prod-", "v"),
        clause("older than", 2, pattern="*-1"),
        clause("older than", 3, untagged=True),
    ]
)
LAST = st.sampled_from([[], [clause("keep last", 2)], [clause("older than", 4)]])
RETENTIONS = st.builds(
    lambda first, last: Retention((*first, *last)), st.lists(CLAUSES, unique=True, max_size=4), LAST
)


@st.composite
def shelves(draw: st.DrawFn) -> list[Kept]:
    """Images with some of the tags, some with a signature."""
    owners = draw(st.dictionaries(TAGS, st.integers(0, 5)))
    untagged = draw(st.sets(st.integers(0, 7)))
    days = draw(st.lists(st.integers(0, 9), min_size=8, max_size=8))
    kept = [item for tag, owner in owners.items() for item in image(str(owner), days[owner], tag)]
    kept += [item for owner in untagged for item in image(str(owner), days[owner])]
    return kept + [signature(str(owner), 0) for owner in draw(st.sets(st.integers(0, 7)))]


def tags_of(kept: list[Kept], of: Digest) -> frozenset[Tag]:
    return frozenset(item.reference for item in kept if item.digest == of and isinstance(item.reference, Tag))


@given(RETENTIONS, shelves(), st.randoms(use_true_random=False))
def test_the_order_of_the_images_means_nothing(
    retention: Retention, kept: list[Kept], dice: random.Random
) -> None:
    shuffled = dice.sample(kept, len(kept))

    assert expired(retention, shuffled, now=NOW) == expired(retention, kept, now=NOW)


@given(RETENTIONS, shelves())
def test_nothing_that_a_clause_keeps_is_expired_by_a_later_one(
    retention: Retention, kept: list[Kept]
) -> None:
    clauses = retention.clauses
    found = expired(retention, kept, now=NOW)

    for number in range(len(clauses)):
        so_far = expired(Retention(clauses[:number]), kept, now=NOW)
        decided = {
            item.digest
            for item in kept
            if not item.attached_to
            and any(one.selects(tags_of(kept, item.digest)) for one in clauses[:number])
        }
        assert {reference: why for reference, why in found.items() if reference in so_far} == so_far
        assert not any(item.digest in decided and item.reference in found.keys() - so_far for item in kept)


@given(shelves(), st.integers(1, 10))
def test_keep_last_leaves_exactly_so_many_or_all(kept: list[Kept], number: int) -> None:
    found = expired(Retention((clause("keep last", number),)), kept, now=NOW)
    images = {item.digest: item.at for item in kept if not item.attached_to}
    left = {item.digest for item in kept if not item.attached_to and item.reference not in found}

    assert len(left) == min(number, len(images))
    gone = images.keys() - left
    assert not gone or not left or max(images[one] for one in gone) <= min(images[one] for one in left)


@given(RETENTIONS, shelves())
def test_an_image_goes_as_a_whole_with_what_is_attached(retention: Retention, kept: list[Kept]) -> None:
    found = expired(retention, kept, now=NOW)

    for item in kept:
        others = [other for other in kept if other.digest == item.digest or other.attached_to == item.digest]
        assert {other.reference in found for other in others} == {item.reference in found}


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (clause("keep last", 10, "prod-"), "keep last 10 with prefix prod-"),
        (clause("keep last", 10), "keep last 10"),
        (clause("keep last", 1, untagged=True), "keep last 1 untagged"),
        (clause("older than", 1, untagged=True), "untagged older than 1 day"),
        (clause("older than", 14, "dev-", "x"), "older than 14 days with prefix dev- and x"),
        (clause("older than", 2, pattern="v*"), "older than 2 days with pattern v*"),
    ],
)
def test_a_clause_is_a_sentence(one: Clause, text: str) -> None:
    assert str(one) == text


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"number": 0}, "at least 1"),
        ({"status": TagStatus.TAGGED}, "those need some"),
        ({"prefixes": ("a",)}, "are for tagged images"),
        ({"status": TagStatus.UNTAGGED, "patterns": ("a",)}, "are for tagged images"),
        ({"status": TagStatus.TAGGED, "prefixes": ("a",), "patterns": ("a",)}, "not both"),
        ({"status": TagStatus.TAGGED, "prefixes": ("a*",)}, "'a\\*' is no beginning of a tag"),
        ({"status": TagStatus.TAGGED, "prefixes": ("a", "")}, "'' is no beginning of a tag"),
        ({"status": TagStatus.TAGGED, "patterns": ("a/*",)}, "'a/\\*' is no pattern"),
        ({"status": TagStatus.TAGGED, "patterns": ("*a*b*c*d*",)}, "up to 4 times"),
        ({"status": TagStatus.TAGGED, "patterns": ("[a]",)}, "is no pattern"),
    ],
)
def test_a_clause_that_makes_no_sense_is_none(fields: dict[str, object], reason: str) -> None:
    whole = {"status": TagStatus.ANY, "count": Count.DAYS, "number": 1, **fields}

    with pytest.raises(ValueError, match=reason):
        Clause(**whole)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("clauses", "reason"),
    [
        (
            [clause("keep last", 3), clause("older than", 1, untagged=True)],
            "'untagged older than 1 day' comes after 'keep last 3', which decides about every image",
        ),
        (
            [clause("keep last", 3, untagged=True), clause("older than", 1, untagged=True)],
            "'untagged older than 1 day' comes after 'keep last 3 untagged', which decides about the same images",
        ),
        (
            [clause("keep last", 3, "a", "b"), clause("keep last", 4), clause("older than", 1, "b", "a")],
            "comes after",
        ),
    ],
)
def test_a_clause_that_can_decide_nothing_is_refused(clauses: list[Clause], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Retention(tuple(clauses))

"""Glob patterns in the place of regular expressions: the same tags, or said not to be."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.imports.globs import NAME_CHARACTERS, Globs, joined, name_globs, tag_globs
from replicator.rules import glob_match

TAGS = [
    "latest",
    "3",
    "3.0",
    "3.10",
    "3.1.2",
    "v1",
    "v1.2.3",
    "v1.2.3-rc1",
    "v10.20.30",
    "1.27-alpine",
    "0",
    "-",
    "v1..2",
]

EXACT = [
    (["^latest$"], []),
    (["^latest$", "^edge$", "^3$", r"^3\.\d+$"], [r"^3\.0$"]),
    ([r"^v\d+\.\d+\.\d+$"], []),
    ([r"^v\d+\.\d+\.\d+$"], [r"^v0\..*$"]),
    ([r"^v[0-9\.]+$"], []),
    ([r"^v\d+(\.\d+)*$"], []),
    ([r"^\d+\.\d+\.\d+-alpine$"], []),
    ([r"^1\.2[68]\.[0-9]+-(alpine|slim)$"], []),
    (["^release-.*$"], []),
    (["-rc"], []),
    (["^latest|edge$"], []),
    ([r"^v?\d{1,2}$"], []),
    (["^sha-[a-f0-9]{7,40}$"], []),
    (["^latest$", "^[0-9]{1,20}$"], []),
    (["^.*$"], ["^.*-rc.*$"]),
    ([], ["^.*-(rc|beta).*$"]),
    ([], []),
]
WIDER = [(["^release-.*$"], [r"-rc\d+$"]), ([r"^(?i)v1$"], []), ([r"^\bv1$"], [])]


def takes(globs: Globs, tag: str) -> bool:
    found = glob_match(joined(globs.patterns)[0], tag)
    return found and not any(glob_match(each, tag) for each in globs.excludes)


def wanted(tag: str, allow: list[str], deny: list[str]) -> bool:
    allowed = not allow or any(re.search(each, tag) for each in allow)
    return bool(tag) and allowed and not any(re.search(each, tag) for each in deny)


@pytest.mark.parametrize(("allow", "deny"), EXACT)
def test_patterns_take_exactly_what_the_expressions_take(allow: list[str], deny: list[str]) -> None:
    globs = tag_globs(allow, deny)

    assert globs.flaw == ""
    assert [tag for tag in ["", *TAGS] if takes(globs, tag) is not wanted(tag, allow, deny)] == []


@pytest.mark.parametrize(("allow", "deny"), WIDER)
def test_what_no_pattern_can_say_is_wider_and_says_so(allow: list[str], deny: list[str]) -> None:
    globs = tag_globs(allow, deny)

    assert globs.flaw
    assert takes(globs, "release-1") or takes(globs, "v1")


def test_a_wider_pattern_names_a_tag_that_makes_the_difference() -> None:
    globs = tag_globs(["^release-.*$"], [r"-rc\d+$"])

    assert globs == Globs(("release-*",), (), "these patterns take 'release-rc0' as well")


def test_only_the_exclusions_that_are_needed_are_kept() -> None:
    assert tag_globs([r"^v\d+$"]) == Globs(("v[0-9]*",), ("v[0-9]*[^0-9]*",))


@pytest.mark.parametrize(
    ("allow", "deny", "patterns", "excludes"),
    [
        (["^.*$"], [], ["**"], ()),
        (["^library/.*$"], [], ["library/**"], ()),
        (["^a/b$", "^a/c$"], [], ["{a/b,a/c}"], ()),
        (["^library/.*$", "^prod/app$"], ["^library/tmp$"], ["library/**", "prod/app"], ("library/tmp",)),
        ([], ["^tmp/.*$"], ["**"], ("tmp/**",)),
    ],
)
def test_names_may_span_components(
    allow: list[str], deny: list[str], patterns: list[str], excludes: tuple[str, ...]
) -> None:
    globs = name_globs(allow, deny)

    assert (joined(globs.patterns), globs.excludes, globs.flaw) == (patterns, excludes, "")


def test_a_beginning_that_may_end_within_a_component_is_said_to_be_wider() -> None:
    globs = name_globs(["^prod.*$"])

    assert globs.patterns == ("**",)
    assert globs.flaw


def test_alternatives_of_different_depth_stay_apart() -> None:
    assert joined(["a", "b/**", "c", "d/e"]) == ["{a,c}", "b/**", "d/e"]


_pieces = st.sampled_from(["a", "1", r"\d", "[ab]", ".", r"\.", "-", "(1|a)", r"(\.1)"])
_expressions = st.lists(
    st.tuples(_pieces, st.sampled_from(["", "", "+", "*", "?", "{2}"])).map("".join), min_size=1, max_size=5
).map("".join)
_bound = st.tuples(st.sampled_from(["^", ""]), _expressions, st.sampled_from(["$", ""])).map("".join)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(_bound, max_size=2),
    st.lists(_bound, max_size=1),
    st.lists(st.text("a1b.-", max_size=6), min_size=20),
)
def test_any_expressions_become_patterns_that_lose_nothing_and_tell_what_they_add(
    allow: list[str], deny: list[str], tags: list[str]
) -> None:
    globs = tag_globs(allow, deny)

    for tag in tags:
        if wanted(tag, allow, deny):
            assert takes(globs, tag)
        elif not globs.flaw:
            assert not takes(globs, tag)
    example = re.search("take '(.*)' as well", globs.flaw)
    if example:
        assert takes(globs, example[1])
        assert not wanted(example[1], allow, deny)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "b", "a/.*", "a/b", ".*", "a/b/.*", ".*/b", "[ab]", "a.*", "a/[^/]*"]),
        max_size=3,
    ),
    st.lists(st.sampled_from(["a", "a/.*", "a/b", "b.*"]), max_size=1),
)
def test_any_expressions_for_names_become_patterns_that_lose_nothing(
    allow: list[str], deny: list[str]
) -> None:
    allow, deny = [f"^{each}$" for each in allow], [f"^{each}$" for each in deny]

    globs = name_globs(allow, deny)

    for name in ["a", "b", "a/b", "a/c", "b/b", "a/b/c", "ab", "ab/b", "a/b/c/b"]:
        assert set(name) <= NAME_CHARACTERS
        found = any(glob_match(each, name) for each in joined(globs.patterns))
        found = found and not any(glob_match(each, name) for each in globs.excludes)
        assert found or not wanted(name, allow, deny)
        assert not (found and not wanted(name, allow, deny) and not globs.flaw)

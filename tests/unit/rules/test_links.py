from dataclasses import replace

import pytest

from replicator.oci import Repository, Tag
from replicator.rules import Destination, Filter, FilterType, Rule, RuleSet
from replicator.rules.links import Writer, connected, is_strangers, writes

RULE = Rule(
    "r",
    "eu",
    (Destination("us", "mirror", 1),),
    filters=(Filter(FilterType.NAME, "*/*"), Filter(FilterType.TAG, "v*")),
)
EU, US = ("eu", Repository("a/b")), ("us", Repository("mirror/b"))


def test_places_are_connected_either_way() -> None:
    rules = RuleSet(rules=(RULE,))

    assert connected(rules, EU, US)
    assert connected(rules, US, EU)
    assert connected(rules, EU, EU)
    assert not connected(rules, EU, ("us", Repository("a/b")))
    assert not connected(rules, EU, ("ap", Repository("mirror/b")))


@pytest.mark.parametrize(
    ("repository", "tag", "written"),
    [("a/b", "v1", True), ("a/b", "dev", False), ("a/b/c", "v1", False), ("z/b", "v1", True)],
)
def test_a_rule_writes_what_it_takes_and_where_it_lands(repository: str, tag: str, written: bool) -> None:
    assert writes(RULE, Repository(repository), Tag(tag), US) is written


def test_a_rule_writes_nothing_that_cannot_land() -> None:
    rule = Rule("r", "eu", (Destination("us", "mirror", 2),))

    assert not writes(rule, Repository("a/b"), Tag("v1"), US)


@pytest.mark.parametrize(
    ("writer", "strange"),
    [
        (Writer("other", ("ap", Repository("a/b")), Tag("v1")), True),
        (Writer("other", ("ap", Repository("a/b")), Tag("dev")), False),
        (Writer("gone", ("ap", Repository("a/b")), Tag("v1")), False),
        (Writer("r", EU, Tag("v1")), False),
    ],
)
def test_a_stranger_still_wants_what_it_wrote_from_elsewhere(writer: Writer, strange: bool) -> None:
    other = replace(RULE, name="other", source="ap")

    found = is_strangers(RuleSet(rules=(RULE, other)), writer, end=US, ours=EU)

    assert found is strange

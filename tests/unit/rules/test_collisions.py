from dataclasses import replace

import pytest

from replicator.rules import (
    Decoration,
    Destination,
    Filter,
    FilterType,
    Rule,
    RuleSet,
    collisions,
    overlaps,
    returns,
)

EU, US, AP = Destination("eu"), Destination("us"), Destination("ap")


def rule(name: str, source: str, *destinations: Destination, **parts: object) -> Rule:
    """A rule; `names`, `tags`, `kind`, `labels` are shorthands for its filters."""
    filters = [
        Filter(kind, value, decoration)
        for key, kind, decoration in (
            ("names", FilterType.NAME, Decoration.MATCHES),
            ("tags", FilterType.TAG, Decoration.MATCHES),
            ("no_tags", FilterType.TAG, Decoration.EXCLUDES),
            ("kind", FilterType.RESOURCE, Decoration.MATCHES),
            ("labels", FilterType.LABEL, Decoration.MATCHES),
        )
        if isinstance(value := parts.get(key), str | tuple)
    ]
    enabled = parts.get("enabled", True) is True
    return Rule(name, source, destinations, filters=tuple(filters), enabled=enabled)


def certain(*rules: Rule) -> list[str]:
    return [item.message for item in collisions(RuleSet(rules=rules))]


def possible(*rules: Rule) -> list[str]:
    return [item.message for item in overlaps(RuleSet(rules=rules))]


def test_two_sources_of_one_reference_collide() -> None:
    rules = (
        rule("a", "eu", US, names="library/nginx", tags="{.x,v*}"),
        rule("b", "ap", US, names="library/{nginx,redis}", tags="{v1,v2}"),
    )

    assert certain(*rules) == [
        "the rules a and b both write us/library/nginx:v1, from eu/library/nginx and from ap/library/nginx"
    ]
    assert possible(*rules) == []


def test_a_rule_that_flattens_names_onto_each_other_collides_with_itself() -> None:
    flat = Destination("us", "n", -1)

    assert certain(rule("a", "eu", flat, names="{a/x/img,a/y/img}")) == [
        "the rule a writes us/n/img:latest, from eu/a/x/img and from eu/a/y/img"
    ]
    assert certain(rule("a", "eu", flat, names="{a/x/img,a/y/other}")) == []


@pytest.mark.parametrize(
    "other",
    [
        rule("b", "ap", US, names="library/redis"),
        rule("b", "ap", EU, names="library/nginx"),
        rule("b", "ap", Destination("us", "ap", 0), names="library/nginx"),
        rule("b", "ap", US, names="library/nginx", tags="rc-*"),
        rule("b", "ap", US, names="library/nginx", no_tags="v*"),
        rule("b", "ap", US, names="library/nginx", kind="chart"),
        rule("b", "ap", US, names="library/nginx", enabled=False),
        rule("b", "eu", US, names="library/nginx"),
        rule("b", "ap", Destination("us", "n", 2), names="library/nginx"),
        rule("b", "ap", US, names="not a name"),
    ],
    ids=[
        *("another repository", "another destination", "another namespace", "other tags", "excluded tags"),
        *("another kind", "disabled", "the same source", "no place to land", "no name"),
    ],
)
def test_rules_that_cannot_meet_do_not_collide(other: Rule) -> None:
    rules = (rule("a", "eu", US, names="library/nginx", tags="v*", kind="image"), other)

    assert certain(*rules) == []
    assert possible(*rules) == []


def test_a_label_leaves_it_to_the_artifacts_whether_rules_meet() -> None:
    rules = (
        rule("a", "eu", US, names="library/nginx", labels=("released",)),
        rule("b", "ap", US, names="library/nginx"),
    )

    assert certain(*rules) == []
    assert len(possible(*rules)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("production/**", "production/**"), ("**", "production/api"), ("{a,b}/**", "a/*"), (None, "library/**")],
)
def test_wildcards_leave_it_to_the_repositories_whether_rules_meet(one: str | None, other: str) -> None:
    rules = (rule("a", "eu", US, names=one), rule("b", "ap", US, names=other))

    assert certain(*rules) == []
    assert len(possible(*rules)) == 1
    assert possible(*rules)[0].endswith("if both exist")


def test_two_way_rules_and_rings_are_no_collision() -> None:
    pair = (rule("a", "eu", US), rule("b", "us", EU))
    mesh = tuple(
        rule(
            f"{source.registry}-to-others", source.registry, *({EU, US, AP} - {source}), names="library/nginx"
        )
        for source in (EU, US, AP)
    )

    for rules in (pair, mesh):
        assert certain(*rules) == []
        assert possible(*rules) == []


def test_a_rule_onto_its_own_source_is_a_mistake() -> None:
    assert certain(rule("a", "eu", EU, names="library/**")) == [
        "the rule a copies eu/library/x onto itself",
    ]
    assert certain(rule("a", "eu", Destination("eu", "mirror", 1), names="mirror/x")) == [
        "the rule a copies eu/mirror/x onto itself",
    ]


def test_a_rule_may_mirror_within_one_registry() -> None:
    assert certain(rule("a", "eu", Destination("eu", "mirror", 0), names="library/**")) == []
    assert certain(rule("a", "eu", Destination("eu", "mirror", 1))) == []
    assert certain(rule("a", "eu", Destination("eu", "mirror", 0), names="{*,*/*}")) == []


def test_copies_of_copies_without_end_are_a_mistake() -> None:
    alone = rule("a", "eu", Destination("eu", "m", 0), tags="v*")
    there, back = rule("a", "eu", Destination("us", "m", 0)), rule("b", "us", EU)

    assert certain(alone) == [
        "the copies are copied again without end: eu/x/x to eu/m/x/x to eu/m/m/x/x to eu/m/m/m/x/x, and on"
    ]
    assert [item.rules for item in collisions(RuleSet(rules=(there, back)))] == [("a", "b")]
    assert len(certain(there, back, rule("c", "us", EU))) == 1
    assert certain(there, rule("b", "us", EU, tags="?", no_tags="?")) == []


def test_a_chain_is_followed_only_so_far() -> None:
    fan = [Destination(f"r{number}", f"n{number}", 0) for number in range(120)]

    assert certain(rule("a", "eu", *fan)) == []


@pytest.mark.parametrize(
    ("back", "is_said"),
    [
        (rule("back", "us", EU, names="team/api"), True),
        (rule("back", "us", AP, EU), True),
        (rule("back", "us", AP), False),
        (rule("back", "ap", EU), False),
        (rule("back", "us", EU, names="other/**"), False),
        (rule("back", "us", EU, tags="dev-*"), False),
        (rule("back", "us", EU, enabled=False), False),
    ],
)
def test_an_index_that_was_rebuilt_and_may_come_back_is_said(back: Rule, is_said: bool) -> None:
    forth = replace(rule("forth", "eu", US, names="team/api", tags="v*"), platforms_rewrite=True)

    found = [item.message for item in returns(RuleSet(rules=(forth, back)))]

    assert found == is_said * [
        "the rule back may bring back to eu/team/api what the rule forth rebuilt at us/team/api without some of its "
        "platforms"
    ]
    assert returns(RuleSet(rules=(replace(forth, platforms_rewrite=False), back))) == []

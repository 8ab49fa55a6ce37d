from dataclasses import replace

import pytest

from replicator.oci import Repository, Tag
from replicator.rules import (
    Conflict,
    ConflictRule,
    Decoration,
    Destination,
    Filter,
    FilterType,
    Rule,
    RuleSet,
    TriggerType,
    disputes,
    idle_conflicts,
    ring,
    rings,
)
from replicator.rules.collisions import common_tag

API, V1 = Repository("team/api"), Tag("v1")
MANUAL = Conflict(ConflictRule.MANUAL)


def priority(*order: str) -> Conflict:
    return Conflict(ConflictRule.PRIORITY, order)


def rule(source: str, *there: str, conflict: Conflict | None = None, names: str = "team/**") -> Rule:
    filters = (Filter(FilterType.NAME, names), Filter(FilterType.TAG, "v*"))
    destinations = tuple(Destination(name) for name in there)
    return Rule(f"from-{source}", source, destinations, filters=filters, conflict=conflict)


def places(*rules: Rule, start: str = "eu", tag: Tag = V1, repository: Repository = API) -> set[str]:
    found = ring(RuleSet(rules=rules), (start, repository), tag)
    return {registry for registry, _ in found.places} if found else set()


def wrong(*rules: Rule) -> list[tuple[str, str]]:
    return [(item.rule, item.message) for item in disputes(RuleSet(rules=rules))]


def test_two_places_that_send_to_each_other_are_a_ring() -> None:
    pair = (rule("eu", "us", "dr"), rule("us", "eu"))

    assert places(*pair) == places(*pair, start="us") == {"eu", "us"}
    assert places(*pair, start="dr") == set()


def test_copies_one_way_are_none() -> None:
    assert places(rule("eu", "us"), rule("us", "ap")) == set()
    assert places(rule("eu", "us"), replace(rule("us", "eu"), enabled=False)) == set()


def test_what_does_not_carry_changes_back_makes_no_ring() -> None:
    forth, back = rule("eu", "us"), rule("us", "eu")

    assert places(forth, replace(back, trigger=TriggerType.MANUAL)) == set()
    assert places(replace(forth, override=False), back) == set()
    assert places(forth, replace(back, platforms_rewrite=True)) == set()
    assert places(forth, replace(back, trigger=TriggerType.SCHEDULED)) == {"eu", "us"}


def test_a_way_round_by_others_is_one() -> None:
    round_trip = (rule("eu", "us"), rule("us", "ap"), rule("ap", "eu"))

    assert places(*round_trip) == {"eu", "us", "ap"}


def test_only_what_both_ways_take_goes_round() -> None:
    pair = (rule("eu", "us"), rule("us", "eu", names="team/api"))

    assert places(*pair) == {"eu", "us"}
    assert places(*pair, repository=Repository("team/web")) == set()
    assert places(*pair, tag=Tag("dev")) == set()


def test_a_place_may_have_another_name_on_the_other_side() -> None:
    there = Rule("forth", "eu", (Destination("us", "mirror", 1),))
    back = Rule("back", "us", (Destination("eu", "team", 1),))
    deep = Rule("deep", "eu", (Destination("us", "mirror", 5),))

    found = ring(RuleSet(rules=(there, back, deep)), ("eu", API), V1)

    assert found
    assert found.places == {("eu", API), ("us", Repository("mirror/api"))}
    assert found.rules == (there, back)


def test_what_one_rule_states_holds_for_the_ring() -> None:
    stated, silent = rule("eu", "us", conflict=priority("us", "eu")), rule("us", "eu")
    found = ring(RuleSet(rules=(stated, silent)), ("us", API), V1)

    assert found
    assert found.conflict == priority("us", "eu")


def test_the_newest_goes_on_where_nobody_says_otherwise() -> None:
    found = ring(RuleSet(rules=(rule("eu", "us"), rule("us", "eu"))), ("us", API), V1)

    assert found
    assert found.conflict == Conflict(ConflictRule.NEWEST)


def test_rules_that_disagree_unseen_leave_it_to_a_person() -> None:
    rules = (rule("eu", "us", conflict=Conflict()), rule("us", "eu", conflict=priority("eu", "us")))
    found = ring(RuleSet(rules=rules), ("us", API), V1)

    assert found
    assert found.conflict == MANUAL


def test_rules_of_one_ring_that_disagree_are_a_mistake() -> None:
    forth, back = (
        rule("eu", "us", conflict=priority("eu", "us")),
        rule("us", "eu", conflict=priority("us", "eu")),
    )

    assert wrong(forth, back) == [
        (
            "from-us",
            "from-eu (priority: [eu, us]) and from-us (priority: [us, eu]) decide differently about"
            " eu/team/x:vx, which goes round: state it in one of them",
        )
    ]


def test_rules_that_agree_are_none() -> None:
    order = priority("eu", "us")

    assert wrong(rule("eu", "us", conflict=order), rule("us", "eu", conflict=order)) == []
    assert wrong(rule("eu", "us", conflict=MANUAL), rule("ap", "dr", conflict=order)) == []


def test_an_order_names_every_registry_that_a_reference_goes_round_by() -> None:
    mesh = (rule("eu", "us", "ap", conflict=priority("eu", "us")), rule("us", "eu", "ap"), rule("ap", "eu"))

    assert wrong(*mesh)[0] == (
        "from-eu",
        "the order lacks ap, which eu/team/x:vx goes round by as well",
    )


def test_a_conflict_rule_that_nothing_comes_back_to_is_idle() -> None:
    lonely = rule("eu", "us", conflict=MANUAL)
    pair = (lonely, rule("us", "eu"))
    elsewhere = replace(rule("us", "eu", names="other/**"), conflict=MANUAL)

    assert [item.rule for item in idle_conflicts(RuleSet(rules=(lonely,)))] == ["from-eu"]
    assert [item.rule for item in idle_conflicts(RuleSet(rules=(lonely, elsewhere)))] == [
        "from-eu",
        "from-us",
    ]
    assert idle_conflicts(RuleSet(rules=pair)) == []
    assert idle_conflicts(RuleSet(rules=(replace(lonely, enabled=False),))) == []


def test_a_name_that_no_repository_can_have_shows_nothing() -> None:
    pair = (rule("eu", "us", conflict=MANUAL, names="UP"), rule("us", "eu", names="UP"))

    assert wrong(*pair) == []


def test_the_first_of_an_order_weighs_most() -> None:
    order = priority("eu", "us")

    assert order.weight("eu") > order.weight("us") > order.weight("ap")
    assert Conflict().weight("eu") == 0
    assert str(order) == "priority: [eu, us]"
    assert str(MANUAL) == "manual"


def test_many_rules_beside_a_ring_are_asked_about_no_tag_of_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Rule, Rule]] = []

    def counted(one: Rule, other: Rule) -> Tag | None:
        asked.append((one, other))
        return common_tag(one, other)

    monkeypatch.setattr(rings, "common_tag", counted)
    aside = [replace(rule("eu", "us", names=f"team{number}/**"), name=f"r{number}") for number in range(50)]

    assert len(wrong(*aside, rule("eu", "us", conflict=MANUAL), rule("us", "eu", conflict=Conflict()))) == 1
    assert len(asked) < 20


@pytest.mark.parametrize(
    "names", ["**", "team", "team/**", "t*/api", "{team,other}/**", "team/{api,web}", ""]
)
def test_rules_that_disagree_are_found_whatever_their_patterns_spell(names: str) -> None:
    forth, back = (
        rule("eu", "us", conflict=MANUAL, names=names),
        rule("us", "eu", conflict=Conflict(), names="**"),
    )
    spared = Filter(FilterType.NAME, "spared/**", Decoration.EXCLUDES)

    for pair in (
        (forth, replace(back, filters=(spared, *back.filters))),
        (replace(forth, filters=(spared, *forth.filters)), back),
    ):
        assert {name for name, _ in wrong(*pair)} == {"from-us"}


def test_where_no_rule_states_anything_there_is_nothing_to_find() -> None:
    assert wrong(rule("eu", "us"), rule("us", "eu")) == []

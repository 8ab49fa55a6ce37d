from replicator.rules import Destination, Registry, RegistryType, Rule, RuleSet

ONE = Rule("one", "eu", (Destination("us"), Destination("ap")))
OFF = Rule("off", "eu", (Destination("sa"),), enabled=False)
RULES = RuleSet(rules=(ONE, OFF))


def test_rules_and_destinations_are_found_by_name() -> None:
    assert RULES.rule("off") is OFF
    assert RULES.rule("other") is None
    assert ONE.destination("ap") == Destination("ap")
    assert ONE.destination("sa") is None


def test_a_rule_is_found_by_a_former_name_unless_another_has_it_now() -> None:
    renamed = Rule("new", "eu", (Destination("us"),), was=("old", "older", "one"))
    rules = RuleSet(rules=(renamed, ONE))

    assert rules.rule("old") is rules.rule("older") is rules.rule("new") is renamed
    assert rules.rule("one") is ONE
    assert renamed.names == ("new", "old", "older", "one")


def test_only_enabled_rules_have_lanes() -> None:
    assert RULES.lanes == ((ONE, Destination("us")), (ONE, Destination("ap")))
    assert RULES.destinations == ("ap", "us")


def test_harbor_alone_has_labels() -> None:
    assert [kind for kind in RegistryType if Registry("r", kind, "https://r.example").has_labels] == [
        "harbor"
    ]

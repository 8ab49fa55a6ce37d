from replicator.rules import Destination, Registry, RegistryType, Rule, RuleSet

ONE = Rule("one", "eu", (Destination("us"), Destination("ap")))
OFF = Rule("off", "eu", (Destination("sa"),), enabled=False)
RULES = RuleSet(rules=(ONE, OFF))


def test_rules_and_destinations_are_found_by_name() -> None:
    assert RULES.rule("off") is OFF
    assert RULES.rule("other") is None
    assert ONE.destination("ap") == Destination("ap")
    assert ONE.destination("sa") is None


def test_only_enabled_rules_have_lanes() -> None:
    assert RULES.lanes == ((ONE, Destination("us")), (ONE, Destination("ap")))
    assert RULES.destinations == ("ap", "us")


def test_harbor_alone_has_labels() -> None:
    assert [kind for kind in RegistryType if Registry("r", kind, "https://r.example").has_labels] == [
        "harbor"
    ]

from dataclasses import replace

import pytest

from replicator.errors import ConfigError
from replicator.oci import Repository, Tag
from replicator.resync.scope import Scope, by_source, landing, named_repositories
from replicator.rules import Destination, Filter, FilterType, Registry, RegistryType, Rule, RuleSet

PROD = Rule("prod", "eu", (Destination("us"), Destination("ap", "mirror", 1)), was=("old",))
BACK = Rule("back", "us", (Destination("eu"),))
OFF = Rule("off", "eu", (Destination("us"),), enabled=False)
RULES = RuleSet(
    {name: Registry(name, RegistryType.DISTRIBUTION, f"http://{name}.test") for name in ("eu", "us", "ap")},
    (PROD, BACK, OFF),
)


def lanes(scope: Scope) -> list[tuple[str, str]]:
    return [(rule.name, there.registry) for rule, there in scope.lanes(RULES)]


def named(*patterns: str, scope: Scope | None = None) -> list[str] | None:
    filters = tuple(Filter(FilterType.NAME, pattern) for pattern in patterns)
    return named_repositories([(replace(PROD, filters=filters), PROD.destinations[0])], scope or Scope())


def test_without_limits_every_enabled_lane_is_meant() -> None:
    assert lanes(Scope()) == [("prod", "us"), ("prod", "ap"), ("back", "eu")]


@pytest.mark.parametrize(
    ("scope", "meant"),
    [
        (Scope(rule="prod"), [("prod", "us"), ("prod", "ap")]),
        (Scope(rule="old"), [("prod", "us"), ("prod", "ap")]),
        (Scope(destination="ap"), [("prod", "ap")]),
        (Scope(source="us"), [("back", "eu")]),
        (Scope(rule="prod", destination="us", source="eu"), [("prod", "us")]),
    ],
)
def test_a_scope_narrows_lanes_down(scope: Scope, meant: list[tuple[str, str]]) -> None:
    assert lanes(scope) == meant


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(rule="nobody"), "there is no rule 'nobody'; there are: back, off, prod"),
        (Scope(destination="mars"), "there is no registry 'mars'; there are: ap, eu, us"),
        (Scope(rule="off"), "no enabled rule"),
        (Scope(rule="back", destination="ap"), "no enabled rule"),
    ],
)
def test_a_scope_without_lanes_is_a_mistake(scope: Scope, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scope.lanes(RULES)


@pytest.mark.parametrize(("key", "value"), [("repository", "a/["), ("tag", "[")])
def test_a_pattern_that_does_not_compile_is_a_mistake(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"--{key}"):
        Scope(**{key: value})


def test_what_a_scope_takes() -> None:
    scope = Scope(repository="a/*", tag="v*")

    assert scope.takes_repository(Repository("a/b"))
    assert not scope.takes_repository(Repository("a/b/c"))
    assert scope.takes(Tag("v1"))
    assert not scope.takes(Tag("dev"))
    assert not scope.is_whole
    assert Scope(rule="prod").is_whole


def test_lanes_are_read_by_source() -> None:
    assert {source: len(found) for source, found in by_source(Scope().lanes(RULES)).items()} == {
        "eu": 2,
        "us": 1,
    }


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (("a/b",), ["a/b"]),
        (("{b,a}/c",), ["a/c", "b/c"]),
        (("a/**",), None),
        (("a/**", "a/b"), ["a/b"]),
        ((), None),
        (("Not a name",), []),
    ],
)
def test_a_catalogue_is_read_only_where_names_are_not_spelled_out(
    patterns: tuple[str, ...], names: list[str] | None
) -> None:
    assert named(*patterns) == names


def test_a_repository_that_was_asked_for_needs_no_catalogue() -> None:
    assert named("a/**", scope=Scope(repository="a/b")) == ["a/b"]
    assert named("a/b", scope=Scope(repository="a/*")) is None


def test_where_a_repository_lands() -> None:
    lane = (PROD, PROD.destinations[1])
    found = landing(Repository("team/api"), lane, RULES)

    assert found
    assert (found.destination, found.repository, found.target) == ("ap", "team/api", "mirror/api")


def test_a_repository_that_the_rule_leaves_lands_nowhere() -> None:
    rule = replace(PROD, filters=(Filter(FilterType.NAME, "x/*"),))

    assert landing(Repository("team/api"), (rule, rule.destinations[0]), RULES) is None


def test_a_repository_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="replace_count"):
        landing(Repository("api"), (PROD, PROD.destinations[1]), RULES)

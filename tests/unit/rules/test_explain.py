from dataclasses import replace

import pytest

from replicator.oci import Repository, Tag
from replicator.platforms import parse_platform
from replicator.rules import (
    Clause,
    Count,
    Decoration,
    Destination,
    Filter,
    FilterType,
    Landing,
    Registry,
    RegistryType,
    Retention,
    Rule,
    RuleSet,
    Schedule,
    Signatures,
    TagStatus,
    TriggerType,
    explain,
)
from tests.fakes.signing import Signer

NAME = Filter(FilterType.NAME, "production/**")
TAG = Filter(FilterType.TAG, "*-rc*", Decoration.EXCLUDES)
REGISTRIES = {"hub": Registry("hub", RegistryType.DOCKERHUB, "https://hub.example")}
COMPANION = Tag(f"sha256-{'a' * 64}.sig")


def rule(*filters: Filter, source: str = "eu", enabled: bool = True, follow: bool = True) -> Rule:
    destinations = (Destination("us", "mirror", 1), Destination("hub"))
    signatures = Signatures.FOLLOW if follow else Signatures.IGNORE
    return Rule("r", source, destinations, filters=filters, enabled=enabled, signatures=signatures)


@pytest.mark.parametrize(
    ("one", "repository", "tag", "taken", "clause"),
    [
        (rule(enabled=False), "production/api", "v1", False, "enabled: false"),
        (rule(source="ap"), "production/api", "v1", False, "source: ap"),
        (rule(NAME, TAG), "staging/api", "v1", False, "name matches 'production/**'"),
        (rule(NAME, TAG), "production/api", "v1-rc1", False, "tag excludes '*-rc*'"),
        (rule(NAME, TAG), "production/api", "v1", True, "name matches 'production/**', tag excludes '*-rc*'"),
        (rule(), "production/api", None, True, "no filter on name or tag"),
        (rule(Filter(FilterType.TAG, "?*")), "production/api", None, False, "tag matches '?*'"),
        (
            rule(Filter(FilterType.TAG, "v*")),
            "production/api",
            COMPANION,
            True,
            "signatures: follow, if the rule takes what it belongs to",
        ),
        (
            rule(Filter(FilterType.TAG, "v*"), follow=False),
            "production/api",
            COMPANION,
            False,
            "tag matches 'v*'",
        ),
    ],
)
def test_the_clause_that_decided_is_named(
    one: Rule, repository: str, tag: str | None, taken: bool, clause: str
) -> None:
    rules = RuleSet(REGISTRIES, (one,))

    (verdict,) = explain(rules, "eu", Repository(repository), Tag(tag) if tag else None)

    assert (verdict.rule, verdict.taken, verdict.clause) == ("r", taken, clause)
    assert bool(verdict.landings) is taken


def test_a_verdict_says_where_the_reference_lands_or_why_not() -> None:
    rules = RuleSet(REGISTRIES, (rule(),))

    (deep,) = explain(rules, "eu", Repository("a/b/c"), Tag("v1"))

    assert deep.landings == (
        Landing("us", Repository("mirror/b/c")),
        Landing("hub", None, "Docker Hub wants exactly two components, 'a/b/c' has 3"),
    )


def test_what_needs_the_manifest_is_told_apart() -> None:
    later = (Filter(FilterType.LABEL, ("released", "signed")), Filter(FilterType.RESOURCE, "image"))

    (verdict,) = explain(RuleSet(rules=(rule(*later),)), "eu", Repository("a/b"), Tag("v1"))

    assert verdict.taken
    assert verdict.later == ("label matches 'released, signed'", "resource matches 'image'")


@pytest.mark.parametrize(
    ("rewrite", "expected"),
    [
        (False, "platforms linux/amd64, linux/arm/v7"),
        (True, "platforms linux/amd64, linux/arm/v7, rebuilt where a registry takes no other index"),
    ],
)
def test_the_platforms_are_told(rewrite: bool, expected: str) -> None:
    platforms = (parse_platform("linux/amd64"), parse_platform("linux/arm"))
    wants = replace(rule(), platforms=platforms, platforms_rewrite=rewrite)

    (verdict,) = explain(RuleSet(rules=(wants,)), "eu", Repository("a/b"), Tag("v1"))

    assert verdict.later == (expected,)


@pytest.mark.parametrize(
    ("keys", "clause"),
    [
        (0, "signatures: require"),
        (1, "signatures: require, by the key of the rule"),
        (2, "signatures: require, by one of the 2 keys of the rule"),
    ],
)
def test_that_a_signature_is_required_is_told(keys: int, clause: str) -> None:
    trusted = tuple(Signer("ed25519").key for _ in range(keys))
    one = replace(rule(Filter(FilterType.TAG, "v*")), signatures=Signatures.REQUIRE, keys=trusted)

    image, companion = (
        explain(RuleSet(REGISTRIES, (one,)), "eu", Repository("a/b"), tag)[0]
        for tag in (Tag("v1"), COMPANION)
    )

    assert image.later == (clause,)
    assert companion.later == ()
    assert companion.clause == "signatures: require, if the rule takes what it belongs to"


@pytest.mark.parametrize(
    ("one", "trigger"),
    [
        (rule(), "event_based"),
        (replace(rule(), backfill=True), "event_based, with a backfill"),
        (replace(rule(), trigger=TriggerType.MANUAL), "manual"),
        (
            replace(
                rule(), trigger=TriggerType.SCHEDULED, schedule=Schedule("0 2 * * *", "Europe/Vienna", 300)
            ),
            "scheduled 0 2 * * * (Europe/Vienna), up to 300 s later",
        ),
    ],
)
def test_a_verdict_says_what_starts_the_rule(one: Rule, trigger: str) -> None:
    for tag in (Tag("v1"), Tag("v2")):
        (verdict,) = explain(RuleSet(REGISTRIES, (one,)), "eu", Repository("a/b"), tag)

        assert verdict.trigger == trigger


def test_a_landing_says_how_long_copies_stay() -> None:
    retention = Retention((Clause(TagStatus.UNTAGGED, Count.DAYS, 1), Clause(TagStatus.ANY, Count.IMAGES, 5)))
    one = replace(rule(), destinations=(Destination("us", retention=retention), Destination("hub")))

    (verdict,) = explain(RuleSet(REGISTRIES, (one,)), "eu", Repository("a/b"), Tag("v1"))

    assert [landing.retention for landing in verdict.landings] == [
        ("untagged older than 1 day", "keep last 5"),
        (),
    ]

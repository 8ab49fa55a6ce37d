import json
from dataclasses import replace

import pytest

from replicator.oci import (
    DOCKER_CONFIG,
    DOCKER_LIST,
    HELM_CONFIG,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Digest,
    Manifest,
    Platform,
    Repository,
    Tag,
    parse_manifest,
)
from replicator.rules import (
    Decoration,
    Destination,
    Filter,
    FilterType,
    Rule,
    needs_labels,
    needs_manifest,
    takes_manifest,
    takes_name,
    takes_tag,
)


def rule(*filters: Filter) -> Rule:
    return Rule("r", "eu", (Destination("us"),), filters=filters)


def name(value: str, decoration: Decoration = Decoration.MATCHES) -> Filter:
    return Filter(FilterType.NAME, value, decoration)


def tag(value: str, decoration: Decoration = Decoration.MATCHES) -> Filter:
    return Filter(FilterType.TAG, value, decoration)


def label(*value: str, decoration: Decoration = Decoration.MATCHES) -> Filter:
    return Filter(FilterType.LABEL, value, decoration)


def image(config: str = OCI_CONFIG, artifact_type: str | None = None) -> Manifest:
    blob = {"mediaType": config, "digest": str(Digest.of(b"{}")), "size": 2}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blob, "layers": []}
    if artifact_type:
        document["artifactType"] = artifact_type
    return parse_manifest(json.dumps(document).encode(), OCI_MANIFEST)


def index(media_type: str = OCI_INDEX, artifact_type: str | None = None) -> Manifest:
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": []}
    if artifact_type:
        document["artifactType"] = artifact_type
    return parse_manifest(json.dumps(document).encode(), media_type)


def test_a_rule_without_filters_takes_everything() -> None:
    assert takes_name(rule(), Repository("a/b"))
    assert takes_tag(rule(), Tag("v1"))
    assert takes_tag(rule(), None)
    assert takes_manifest(rule(), image(), None)
    assert not needs_labels(rule())


@pytest.mark.parametrize(
    ("filters", "repository", "taken"),
    [
        ([name("production/**")], "production/api", True),
        ([name("production/**")], "production", False),
        ([name("production/**"), name("**/api")], "production/api", True),
        ([name("production/**"), name("**/api")], "production/web", False),
        ([name("production/**"), name("**/tmp", Decoration.EXCLUDES)], "production/tmp", False),
        ([name("production/**"), name("**/tmp", Decoration.EXCLUDES)], "production/api", True),
        ([name("")], "anything", True),
        ([name("", Decoration.EXCLUDES)], "anything", True),
        ([tag("v*")], "anything", True),
    ],
)
def test_every_name_filter_must_keep_the_repository(
    filters: list[Filter], repository: str, taken: bool
) -> None:
    assert takes_name(rule(*filters), Repository(repository)) is taken


def test_a_pattern_that_fails_on_one_name_keeps_it_not() -> None:
    for decoration in Decoration:
        filters = name("team{-a/api,-b/web}", decoration)

        assert not takes_name(rule(filters), Repository("team"))


def test_each_tag_of_an_artifact_is_judged_by_itself() -> None:
    tags = [Tag("v1"), Tag("dev")]

    assert [each for each in tags if takes_tag(rule(tag("v*")), each)] == ["v1"]
    assert [each for each in tags if takes_tag(rule(tag("v*", Decoration.EXCLUDES)), each)] == ["dev"]
    assert not any(takes_tag(rule(tag("v*"), tag("d*")), each) for each in tags)


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [("*", True), ("**", True), ("{,x}", True), ("?*", False), ("v*", False), ("?", False)],
)
def test_an_artifact_without_a_tag_is_judged_as_the_empty_tag(pattern: str, matched: bool) -> None:
    assert takes_tag(rule(tag(pattern)), None) is matched
    assert takes_tag(rule(tag(pattern, Decoration.EXCLUDES)), None) is not matched


@pytest.mark.parametrize(
    ("wanted", "carried", "taken"),
    [
        (["a"], {"a"}, True),
        (["a"], {"a", "b"}, True),
        (["a", "b"], {"a"}, False),
        (["a"], set(), False),
        (["a"], None, False),
    ],
)
def test_an_artifact_must_carry_all_labels(wanted: list[str], carried: set[str] | None, taken: bool) -> None:
    labels = None if carried is None else frozenset(carried)

    assert takes_manifest(rule(label(*wanted)), image(), labels) is taken
    assert takes_manifest(rule(label(*wanted, decoration=Decoration.EXCLUDES)), image(), labels) is not taken
    assert needs_labels(rule(label(*wanted)))


def test_no_label_filters_nothing() -> None:
    for decoration in Decoration:
        empty = rule(label(decoration=decoration))

        assert takes_manifest(empty, image(), frozenset({"a"}))
        assert not needs_labels(empty)


@pytest.mark.parametrize(
    ("manifest", "taken_as"),
    [
        (image(), {"image", "artifact"}),
        (image(DOCKER_CONFIG), {"image", "artifact"}),
        (index(), {"image", "artifact"}),
        (index(DOCKER_LIST), {"image", "artifact"}),
        (image(HELM_CONFIG), {"chart", "artifact"}),
        (image("application/vnd.oci.empty.v1+json", "application/sbom"), {"artifact"}),
        (image("application/vnd.cnab.config.v1+json"), {"artifact"}),
        (index(artifact_type="application/vnd.example"), {"artifact"}),
    ],
    ids=["image", "docker", "index", "list", "chart", "sbom", "bundle", "index of something"],
)
def test_a_resource_filter_goes_by_artifact_type(manifest: Manifest, taken_as: set[str]) -> None:
    kinds = {
        kind
        for kind in ("image", "chart", "artifact")
        if takes_manifest(rule(Filter(FilterType.RESOURCE, kind)), manifest, None)
    }

    assert kinds == taken_as


@pytest.mark.parametrize(
    ("filters", "needs"),
    [
        ([], False),
        ([name("a/**")], False),
        ([label("released")], True),
        ([Filter(FilterType.RESOURCE, "image")], True),
        ([Filter(FilterType.RESOURCE, "artifact")], False),
    ],
)
def test_some_filters_cannot_be_judged_without_the_manifest(filters: list[Filter], needs: bool) -> None:
    assert needs_manifest(rule(*filters)) is needs


def test_platforms_cannot_be_judged_without_the_manifest() -> None:
    assert needs_manifest(replace(rule(), platforms=(Platform("linux", "amd64"),)))

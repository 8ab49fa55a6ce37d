"""skopeo's file as rules."""

from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.imports import Target, import_skopeo
from replicator.rules import Destination, Signatures, TriggerType
from tests.unit.imports.kit import given, loaded, takes, written

EXAMPLE = r"""
mirror.example.org:
    images:
        busybox: []
        cache/redis:
            - 7.2
            - "7.4"
            - "sha256:0000000000000000000000000000000011111111111111111111111111111111"
    images-by-tag-regex:
        web/nginx: ^1\.2[68]\.\d+-alpine$
    images-by-semver:
        base/alpine: ">= 3.18.0"
    credentials:
        username: jane
        password: correct horse battery
    tls-verify: true
    cert-dir: /home/jane/certs
quay.io:
    tls-verify: false
    images:
        coreos/etcd:
            - latest
docker.io:
    images:
        alpine: [edge]
"""
TARGET = Target.of("registry.lan/mirror", scoped=False)


def test_each_repository_becomes_a_rule(tmp_path: Path) -> None:
    rules = loaded(import_skopeo(given(EXAMPLE), TARGET), tmp_path).rules

    found = {rule.name: rule for rule in rules.rules}
    assert sorted(found) == [
        "docker.io-library-alpine",
        "mirror.example.org-base-alpine",
        "mirror.example.org-busybox",
        "mirror.example.org-cache-redis",
        "mirror.example.org-web-nginx",
        "quay.io-coreos-etcd",
    ]
    assert {rule.trigger for rule in rules.rules} == {TriggerType.MANUAL}
    redis = found["mirror.example.org-cache-redis"]
    assert redis.destinations == (Destination("registry.lan", "mirror", 1),)
    assert [tag for tag in ("7.2", "7.4", "7.20", "latest") if takes(redis, f"cache/redis:{tag}")] == [
        "7.2",
        "7.4",
    ]
    assert not takes(redis, "busybox:7.2")
    assert takes(found["docker.io-library-alpine"], "library/alpine:edge")


def test_all_tags_are_taken_where_none_are_named(tmp_path: Path) -> None:
    rules = loaded(import_skopeo(given(EXAMPLE), TARGET), tmp_path).rules

    rule = rules.rule("mirror.example.org-busybox")
    assert rule
    assert takes(rule, "busybox:any")
    assert not takes(rule, "busybox")
    assert rule.signatures is Signatures.FOLLOW


def test_a_regular_expression_becomes_patterns_for_the_same_tags(tmp_path: Path) -> None:
    rule = loaded(import_skopeo(given(EXAMPLE), TARGET), tmp_path).rules.rule("mirror.example.org-web-nginx")

    assert rule
    assert rule.enabled
    assert rule.signatures is Signatures.IGNORE
    tags = ["1.26.3-alpine", "1.28.10-alpine", "1.27.0-alpine", "1.26.-alpine", "1.26.3-rc-alpine", "1.26.3"]
    assert [tag for tag in tags if takes(rule, f"web/nginx:{tag}")] == tags[:2]


def test_versions_are_not_guessed(tmp_path: Path) -> None:
    draft = import_skopeo(given(EXAMPLE), TARGET)

    rule = loaded(draft, tmp_path).rules.rule("mirror.example.org-base-alpine")
    assert rule
    assert not rule.enabled
    assert "skopeo took only those that are >= 3.18.0" in written(draft)


def test_a_single_digest_is_left_out_and_said_so() -> None:
    text = written(import_skopeo(given(EXAMPLE), TARGET))

    assert "# * mirror.example.org/cache/redis@sha256:00000000000000" in text


def test_logins_become_variables_and_certificates_a_comment(tmp_path: Path) -> None:
    draft = import_skopeo(given(EXAMPLE), TARGET)

    text = written(draft)
    assert "battery" not in text
    assert 'access_key: jane, access_secret: "${MIRROR_EXAMPLE_ORG_SECRET}"' in text
    assert "# cert-dir /home/jane/certs: name its files in tls" in text
    assert not loaded(draft, tmp_path).rules.registries["quay.io"].tls.verify


@pytest.mark.parametrize(
    ("to", "scoped", "repository", "expected"),
    [
        ("registry.lan/mirror", False, "a/b/c", Destination("registry.lan", "mirror", 2)),
        ("docker://registry.lan:5000/m/n/", False, "c", Destination("registry.lan:5000", "m/n", 0)),
        ("registry.lan", False, "c", Destination("registry.lan")),
        ("registry.lan/m", True, "a/c", Destination("registry.lan", "m/quay.io/a", 1)),
        ("registry.lan", True, "a/c", Destination("registry.lan", "quay.io/a", 1)),
        ("registry.lan/a", False, "a/c", Destination("registry.lan")),
    ],
)
def test_copies_land_where_skopeo_puts_them(
    to: str, scoped: bool, repository: str, expected: Destination, tmp_path: Path
) -> None:
    text = f"quay.io: {{images: {{{repository}: [v1]}}}}"

    rules = loaded(import_skopeo(given(text), Target.of(to, scoped=scoped)), tmp_path).rules
    assert rules.rules[0].destinations == (expected,)


def test_what_no_rule_can_put_there_is_left_out() -> None:
    draft = import_skopeo(
        given("quay.io: {images: {coreos/etcd: [v1]}}"), Target.of("registry.lan", scoped=False)
    )

    assert draft.rules == []
    assert "a rule cannot take all components before the last away" in draft.left_out[0]
    assert draft.registries == {}


def test_two_sources_for_one_copy_do_not_both_stay_enabled(tmp_path: Path) -> None:
    text = "quay.io: {images: {a/x: [v1]}}\nghcr.io: {images: {b/x: [v1]}}"
    draft = import_skopeo(given(text), TARGET)

    rules = loaded(draft, tmp_path).rules
    assert [rule.enabled for rule in rules.rules] == [True, False]
    assert "both write registry.lan/mirror/x:v1" in " ".join(written(draft).replace("#", "").split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quay.io: [a]", "other.yaml:1: quay.io: expected a mapping, found a list"),
        ("quay.io:\n  images:\n    a: latest", "other.yaml:3: quay.io.images.a: expected a list"),
        ("quay.io:\n  images:\n    a: [-x]", r"other.yaml:3: quay.io.images.a\[0\]: not a tag"),
        ("quay io: {images: {a: []}}", "not a registry's host"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_skopeo(given(text), TARGET)


@pytest.mark.parametrize("to", ["", "dir:///tmp/x", "registry.lan/UPPER", "me:pw@registry.lan"])
def test_a_destination_that_is_no_registry_is_refused(to: str) -> None:
    with pytest.raises(ValueError):
        Target.of(to, scoped=False)


def test_a_list_that_is_too_long_for_a_pattern_becomes_several_rules(tmp_path: Path) -> None:
    tags = [f"v1.{number}-{'x' * 100}" for number in range(100)]
    draft = import_skopeo(given(f"quay.io: {{images: {{a/b: {tags}}}}}"), TARGET)

    rules = loaded(draft, tmp_path).rules.rules
    assert [rule.name for rule in rules] == ["quay.io-a-b", "quay.io-a-b-2", "quay.io-a-b-3"]
    assert [sum(takes(rule, f"a/b:{tag}") for rule in rules) for tag in tags] == [1] * 100

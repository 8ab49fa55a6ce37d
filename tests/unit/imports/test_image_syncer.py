"""image-syncer's files as rules."""

from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.imports import import_image_syncer
from replicator.rules import Destination, Signatures, TriggerType
from tests.unit.imports.kit import given, loaded, takes, written

AUTH = """
quay.io: {username: jane, password: correct horse battery}
quay.io/coreos: {username: "$QUAY_USER", password: "${QUAY_PASS}"}
registry.cn.example.com: {username: joe, password: "half-$SECRET"}
localhost:5000: {username: admin, password: admin123, insecure: true}
"""
IMAGES = r"""
quay.io/coreos/kube-rbac-proxy: registry.cn.example.com/ours/kube-rbac-proxy
quay.io/coreos/etcd:v1.0,v2.0: [registry.cn.example.com/ours/etcd, "localhost:5000/coreos/etcd"]
quay.io/jane/app:/^v\d+\.\d+$/: registry.cn.example.com/jane/app
alpine:3.18: registry.cn.example.com/ours/alpine:3.18
"""


def test_each_pair_becomes_a_rule(tmp_path: Path) -> None:
    rules = loaded(import_image_syncer(given(IMAGES), given(AUTH)), tmp_path).rules

    found = {rule.name: rule for rule in rules.rules}
    assert sorted(found) == [
        "docker.io-library-alpine",
        "quay.io-coreos-etcd",
        "quay.io-coreos-etcd-2",
        "quay.io-coreos-kube-rbac-proxy",
        "quay.io-jane-app",
    ]
    assert {rule.trigger for rule in rules.rules} == {TriggerType.MANUAL}
    assert found["quay.io-coreos-etcd"].destinations == (Destination("registry.cn.example.com", "ours", 1),)
    assert found["quay.io-coreos-etcd-2"].destinations == (Destination("localhost:5000"),)
    etcd, app = found["quay.io-coreos-etcd"], found["quay.io-jane-app"]
    assert [tag for tag in ("v1.0", "v2.0", "v3.0") if takes(etcd, f"coreos/etcd:{tag}")] == ["v1.0", "v2.0"]
    assert [tag for tag in ("v1.0", "v1.10", "v1", "v1.0.0") if takes(app, f"jane/app:{tag}")] == [
        "v1.0",
        "v1.10",
    ]
    assert takes(found["quay.io-coreos-kube-rbac-proxy"], "coreos/kube-rbac-proxy:any")
    assert (etcd.signatures, app.signatures) == (Signatures.IGNORE, Signatures.IGNORE)


def test_the_older_file_holds_both(tmp_path: Path) -> None:
    text = (
        '{"auth": {"quay.io": {"username": "u", "password": "p"}}, "images": {"quay.io/a/b": "ghcr.io/a/b"}}'
    )

    rules = loaded(import_image_syncer(given(text)), tmp_path).rules

    assert rules.rules[0].destinations == (Destination("ghcr.io"),)
    assert rules.registries["quay.io"].credential


def test_a_login_of_a_namespace_makes_a_registry_of_its_own() -> None:
    draft = import_image_syncer(given(IMAGES), given(AUTH))

    text = written(draft)
    assert 'credential: {type: basic, access_key: "${QUAY_USER}", access_secret: "${QUAY_PASS}"}' in text
    assert "  # with the login of quay.io/coreos\n  quay.io:\n" in text
    assert "  # the same registry as quay.io, with another login\n  quay.io-2:\n" in text


def test_no_secret_is_copied() -> None:
    draft = import_image_syncer(given(IMAGES), given(AUTH))

    text = written(draft)
    for secret in ("battery", "half-", "admin123"):
        assert secret not in text
    assert sorted(draft.variables) == [
        "LOCALHOST_5000_SECRET",
        "QUAY_IO_SECRET",
        "QUAY_PASS",
        "QUAY_USER",
        "REGISTRY_CN_EXAMPLE_COM_SECRET",
    ]


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        ("quay.io/a/b: ''", "no destination but image-syncer's default"),
        ("quay.io/a/b: ghcr.io/$ORG/b", "its destination has a variable"),
        ("quay.io/a/b: ghcr.io/a/c", "a rule keeps the last component"),
        ("quay.io/a/b:v1: ghcr.io/a/b:v2", "its tags are renamed"),
        (f"quay.io/a/b@sha256:{'0' * 64}: ghcr.io/a/b", "single digests"),
        ("quay.io/a/b: quay.io/a/b", "onto itself"),
        ("quay.io/a/b:-x: ghcr.io/a/b", "not a tag"),
        ("quay.io/A/b: ghcr.io/a/b", "not a repository name"),
    ],
)
def test_what_no_rule_can_say_is_left_out(pair: str, reason: str) -> None:
    draft = import_image_syncer(given(pair))

    assert draft.rules == []
    assert reason in draft.left_out[0]


def test_an_expression_may_hold_slashes_and_stand_on_docker_hub(tmp_path: Path) -> None:
    text = "alpine:/^3/: ghcr.io/library/alpine\n'quay.io/a/b:/x|(?i)y/': ghcr.io/a/b\n"

    one, two = loaded(import_image_syncer(given(text)), tmp_path).rules.rules
    assert takes(one, "library/alpine:3.18")
    assert not takes(one, "library/alpine:2.3")
    assert not two.enabled


@pytest.mark.parametrize(
    ("images", "auth", "message"),
    [
        ("quay.io/a/b: {x: y}", "{}", "other.yaml:1: quay.io/a/b: expected a text, found a mapping"),
        ("quay.io/a/b: ghcr.io/a/b", "'a b': {}", "other.yaml:1: a b: its key is no registry"),
        ("- a", "{}", "expected a mapping, found a list"),
    ],
)
def test_mistakes_are_told_with_their_place(images: str, auth: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        import_image_syncer(given(images), given(auth))


def test_a_user_name_that_only_looks_like_a_variable_becomes_one(tmp_path: Path) -> None:
    auth = given("eu.test: {username: '${A-B}', password: x}")

    rules = loaded(import_image_syncer(given("eu.test/a: us.test/a"), auth), tmp_path).rules

    credential = rules.registries["eu.test"].credential
    assert credential
    assert credential.access_key == "value"

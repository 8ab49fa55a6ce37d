"""Harbor's policies as rules."""

import json
from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.imports import Local, import_harbor
from replicator.oci import Tag
from replicator.rules import Destination, RegistryType, TriggerType, takes_tag
from tests.unit.imports.kit import given, loaded, takes, written

LOCAL = Local("https://harbor.example.com")
DR = {"id": 2, "name": "dr", "type": "harbor", "url": "https://harbor.dr.example.com", "insecure": False}
POLICY: dict[str, object] = {
    "id": 3,
    "name": "prod-to-dr",
    "creator": "admin",
    "creation_time": "2026-01-01T00:00:00.000Z",
    "update_time": "2026-01-02T00:00:00.000Z",
    "src_registry": {"id": 0, "name": "Local", "url": "http://core:8080", "type": "harbor", "credential": {}},
    "dest_registry": DR,
    "dest_namespace": "",
    "dest_namespace_replace_count": 1,
    "filters": [{"type": "name", "value": "prod/**"}],
    "trigger": {"type": "event_based", "trigger_settings": {"cron": ""}},
    "deletion": False,
    "override": True,
    "enabled": True,
    "speed": -1,
    "copy_by_chunk": False,
}


def policies(*changes: dict[str, object]) -> str:
    return json.dumps([{**POLICY, **change} for change in changes])


def test_a_policy_of_the_api_becomes_a_rule(tmp_path: Path) -> None:
    change = {
        "dest_namespace": "mirror/eu",
        "filters": [
            {"type": "name", "value": "prod/**"},
            {"type": "tag", "value": "*-rc*", "decoration": "excludes"},
            {"type": "label", "value": ["released", "scanned"], "decoration": "matches"},
            {"type": "resource", "value": "image"},
        ],
        "deletion": True,
        "override": False,
    }

    rules = loaded(import_harbor(given(policies(change)), local=LOCAL), tmp_path).rules

    (rule,) = rules.rules
    assert (rule.name, rule.source, rule.destinations) == (
        "prod-to-dr",
        "local",
        (Destination("dr", "mirror/eu", 1),),
    )
    assert (rule.trigger, rule.deletion, rule.override, rule.enabled) == (
        TriggerType.EVENT_BASED,
        True,
        False,
        True,
    )
    assert [str(item.type) for item in rule.filters] == ["name", "tag", "label", "resource"]
    assert rule.filters[2].value == ("released", "scanned")
    assert takes(rule, "prod/api:v1")
    assert not takes(rule, "prod/api:v1-rc1")
    assert {name: (each.type, each.url) for name, each in rules.registries.items()} == {
        "local": (RegistryType.HARBOR, "https://harbor.example.com"),
        "dr": (RegistryType.HARBOR, "https://harbor.dr.example.com"),
    }


def test_one_policy_alone_is_taken_as_well(tmp_path: Path) -> None:
    draft = import_harbor(given(json.dumps(POLICY)), local=LOCAL)

    assert [rule.name for rule in loaded(draft, tmp_path).rules.rules] == ["prod-to-dr"]


def test_registries_are_looked_up_by_their_ids(tmp_path: Path) -> None:
    hub = {"id": 5, "name": "Docker Hub", "type": "docker-hub", "url": "https://hub.docker.com"}
    odd = {"id": 6, "name": "swr", "type": "huawei-SWR", "url": "https://swr.example.com", "insecure": True}
    pull = {"src_registry": {"id": 5}, "dest_registry": None, "trigger": {"type": "manual"}, "name": "pull"}
    push = {"src_registry": None, "dest_registry": {"id": 6}}

    draft = import_harbor(given(policies(pull, push)), given(json.dumps([hub, odd])), LOCAL)

    rules = loaded(draft, tmp_path).rules
    assert [(rule.source, rule.destinations[0].registry) for rule in rules.rules] == [
        ("Docker-Hub", "local"),
        ("local", "swr"),
    ]
    assert rules.registries["Docker-Hub"].type is RegistryType.DOCKERHUB
    assert not rules.registries["swr"].tls.verify
    assert "# Harbor's type huawei-SWR, which is not known here" in written(draft)


def test_a_schedule_keeps_its_six_fields_in_utc(tmp_path: Path) -> None:
    change = {
        "trigger": {"type": "scheduled", "trigger_settings": {"cron": "0 0 2 * * *"}},
        "deletion": True,
    }
    draft = import_harbor(given(policies(change)), local=LOCAL)

    assert 'trigger: {type: scheduled, cron: "0 0 2 * * *", timezone: UTC}' in written(draft)
    assert "deletion: false  # it was true, but Harbor deletes nothing unless" in written(draft)
    assert not loaded(draft, tmp_path).rules.rules[0].deletion


def test_what_has_no_counterpart_becomes_a_comment(tmp_path: Path) -> None:
    change = {
        "description": "keep DR warm\nrules: []\u2028x",
        "speed": 1024,
        "copy_by_chunk": True,
        "single_active_replication": True,
        "new_key": 1,
        "enabled": False,
    }
    draft = import_harbor(given(policies(change)), local=LOCAL)

    text = written(draft)
    for comment in (
        "* keep DR warm rules: [] x",
        "* speed 1024",
        "* copy_by_chunk",
        "* single_active_replication",
    ):
        assert f"  # {comment}" in text
    assert "  # * new_key: not carried over" in text
    assert not loaded(draft, tmp_path).rules.rules[0].enabled


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dest_namespace": "n"}, Destination("dr", "n", 1)),
        ({"dest_namespace": "n", "dest_namespace_replace_count": None}, Destination("dr", "n", -1)),
        ({"dest_namespace": "n", "dest_namespace_replace_count": 0}, Destination("dr", "n", 0)),
    ],
)
def test_namespaces_keep_their_counts(
    change: dict[str, object], expected: Destination, tmp_path: Path
) -> None:
    rules = loaded(import_harbor(given(policies(change)), local=LOCAL), tmp_path).rules

    assert rules.rules[0].destinations == (expected,)


def test_the_deletion_that_harbor_heeds_is_taken(tmp_path: Path) -> None:
    one, two = {"deletion": False, "replicate_deletion": True}, {"deletion": None, "replicate_deletion": True}
    draft = import_harbor(given(policies(one, {**two, "name": "b"})), local=LOCAL)

    assert [rule.deletion for rule in loaded(draft, tmp_path).rules.rules] == [False, True]
    assert "deletion: false  # replicate_deletion says otherwise" in written(draft)


@pytest.mark.parametrize(
    "bad",
    [
        {"type": "tag", "value": "v["},
        {"type": "colour", "value": "red"},
        {"type": "resource", "value": "wasm"},
        {"type": "tag", "value": "v" * 5000},
    ],
)
def test_a_filter_that_cannot_be_keeps_its_rule_from_being_enabled(
    bad: dict[str, str], tmp_path: Path
) -> None:
    rules = loaded(import_harbor(given(policies({"filters": [bad]})), local=LOCAL), tmp_path).rules

    assert not rules.rules[0].enabled


def test_a_label_filter_on_what_has_no_labels_keeps_its_rule_from_being_enabled(tmp_path: Path) -> None:
    hub = {"id": 5, "name": "hub", "type": "docker-hub", "url": "https://hub.docker.com"}
    change = {
        "src_registry": hub,
        "dest_registry": None,
        "filters": [{"type": "label", "value": ["x"]}],
        "trigger": {"type": "manual"},
    }

    assert not loaded(import_harbor(given(policies(change)), local=LOCAL), tmp_path).rules.rules[0].enabled


def test_an_empty_filter_filters_nothing(tmp_path: Path) -> None:
    change = {"filters": [{"type": "name", "value": ""}, {"type": "label", "value": []}, {"type": "tag"}]}

    (rule,) = loaded(import_harbor(given(policies(change)), local=LOCAL), tmp_path).rules.rules
    assert rule.filters == ()
    assert takes_tag(rule, Tag("any"))


def test_the_form_of_a_file_is_read_too(tmp_path: Path) -> None:
    text = """
replication_policy:
  - name: "prod-to-dr"
    src_registry: {type: harbor, url: https://harbor.primary.example.com}
    dest_registry:
      type: harbor
      url: https://harbor.dr.example.com
      credential: {type: basic, access_key: "replication-user", access_secret: "hunter2"}
    trigger: {type: push}
    filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]
    deletion: true
"""
    draft = import_harbor(given(text))

    rules = loaded(draft, tmp_path).rules
    assert (rules.rules[0].source, rules.rules[0].destinations[0].registry) == (
        "harbor.primary.example.com",
        "harbor.dr.example.com",
    )
    assert rules.rules[0].trigger is TriggerType.EVENT_BASED
    assert sorted(draft.variables) == [
        "HARBOR_DR_EXAMPLE_COM_SECRET",
        "HARBOR_PRIMARY_EXAMPLE_COM_WEBHOOK_SECRET",
    ]


def test_no_secret_is_copied(tmp_path: Path) -> None:
    credentials = [
        {"access_key": "robot$x", "access_secret": "*****"},
        {"access_key": "robot", "access_secret": "hunter2"},
        {"access_key": "robot", "access_secret": "a${B}"},
        {"access_key": "${USER_OF_DR}", "access_secret": "${DR_PASSWORD}"},
    ]
    changes = [
        {
            "name": f"r{number}",
            "dest_registry": {
                **DR,
                "name": f"dr{number}",
                "url": f"https://dr{number}.example.com",
                "credential": each,
            },
        }
        for number, each in enumerate(credentials)
    ]
    draft = import_harbor(given(policies(*changes)), local=LOCAL)

    text = written(draft)
    assert "hunter2" not in text
    assert "a${B}" not in text
    assert 'access_key: "${USER_OF_DR}", access_secret: "${DR_PASSWORD}"' in text
    assert 'access_key: "robot$x", access_secret: "${DR0_SECRET}"' in text
    assert {"DR0_SECRET", "DR1_SECRET", "DR2_SECRET", "DR_PASSWORD", "USER_OF_DR"} < set(draft.variables)
    assert len(loaded(draft, tmp_path).rules.rules) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, None),
        ({"dest_registry": {"id": 9}}, r"\[0\].dest_registry: the registry 9 has no url: export GET"),
        ({"dest_namespace": "Upper"}, r"\[0\].dest_namespace: not a repository name"),
        ({"dest_namespace": "n", "dest_namespace_replace_count": -2}, "a number from -1 to 127"),
        ({"trigger": {"type": "hourly"}}, "expected manual, scheduled or event_based"),
        ({"trigger": {"type": "scheduled"}}, "cron is missing"),
        (
            {"trigger": {"type": "scheduled", "trigger_settings": {"cron": "* * *"}}},
            "a cron line of 6 fields, seconds first",
        ),
        ({"dest_registry": {**DR, "url": "https://me:hunter2@dr.example.com"}}, "must not hold a user name"),
    ],
)
def test_mistakes_are_told_with_their_place(
    change: dict[str, object], message: str | None, tmp_path: Path
) -> None:
    if message is None:
        assert (
            loaded(import_harbor(given(policies(change)), local=LOCAL), tmp_path).rules.rules[0].name
            == "imported"
        )
        return
    with pytest.raises(ConfigError, match=message) as caught:
        import_harbor(given(policies(change)), local=LOCAL)

    assert "hunter2" not in str(caught.value)


def test_a_local_harbor_without_its_url_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"src_registry is the Harbor .* --local-url URL"):
        import_harbor(given(policies({})))


def test_what_the_api_answers_to_a_stranger_is_no_policy() -> None:
    with pytest.raises(ConfigError, match="name is missing"):
        import_harbor(given('{"errors": [{"code": "UNAUTHORIZED"}]}'), local=LOCAL)

from pathlib import Path

import pytest

from replicator.rulefiles.document import parse
from replicator.rules import Destination, Filter, FilterType, RegistryType, Rule, TriggerType
from tests.unit.rulefiles.kit import assert_mistake, loaded, mistakes

SAMPLE = """\
replication_policy:
  name: "prod-to-dr"
  src_registry: {type: harbor, url: https://harbor.primary.example.com}
  dest_registry:
    type: harbor
    url: https://harbor.dr.example.com
    credential: {type: basic, access_key: "replication-user", access_secret: "***"}
  trigger: {type: push}
  filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]
  deletion: true
  override: true
"""


def policy(**more: str) -> str:
    keys = {
        "name": "p",
        "src_registry": "{type: harbor, url: https://a.example.com}",
        "dest_registry": "{type: harbor, url: https://b.example.com:8443}",
        **more,
    }
    return "replication_policy:\n  " + "\n  ".join(f"{key}: {value}" for key, value in keys.items()) + "\n"


def the_rule(directory: Path, **more: str) -> Rule:
    (found,) = loaded(directory, {"r.yaml": policy(**more)}).rules.rules
    return found


def test_the_sample_of_harbors_form_loads_as_it_stands(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"r.yaml": SAMPLE})

    assert found.rules.rules == (
        Rule(
            name="prod-to-dr",
            source="harbor.primary.example.com",
            destinations=(Destination("harbor.dr.example.com"),),
            trigger=TriggerType.EVENT_BASED,
            filters=(Filter(FilterType.NAME, "production/**"), Filter(FilterType.TAG, "v*")),
            deletion=True,
            override=True,
        ),
    )
    there = found.rules.registries["harbor.dr.example.com"]
    assert there.type is RegistryType.HARBOR
    assert there.credential is not None
    assert there.credential.access_secret.get_secret_value() == "***"
    assert [item.message for item in found.warnings] == [
        "the rule prod-to-dr waits for events of harbor.primary.example.com, which has no webhook secret:"
        " its notifications will be refused"
    ]


def test_an_inline_registry_is_named_after_host_and_port(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"r.yaml": policy()}).rules

    assert sorted(found.registries) == ["a.example.com", "b.example.com:8443"]


def test_an_inline_registry_may_carry_what_others_carry(tmp_path: Path) -> None:
    more = "webhook: {secret: '${S}'}, limits: {concurrency: 2}, tls: {ca_file: f}"
    source = f"{{type: harbor, url: https://a.example.com, {more}}}"

    found = loaded(tmp_path, {"r.yaml": policy(src_registry=source)}, {"S": "s"}).rules.registries[
        "a.example.com"
    ]

    assert found.webhook is not None
    assert found.webhook.secrets[0].get_secret_value() == "s"
    assert found.limits.concurrency == 2
    assert found.tls.ca_file == "f"


def test_several_policies_are_a_list_and_share_equal_registries(tmp_path: Path) -> None:
    text = """\
replication_policy:
  - name: one
    src_registry: &no {type: harbor, url: https://a.example.com}
"""
    assert parse("f", text.encode()).problems

    found = loaded(
        tmp_path,
        {
            "r.yaml": """\
replication_policy:
  - name: one
    src_registry: {type: harbor, url: https://a.example.com}
    dest_registry: {type: harbor, url: https://b.example.com}
    filters: [{type: name, value: one/**}]
  - name: two
    src_registry: {type: harbor, url: https://a.example.com/}
    dest_registry: {type: harbor, url: https://b.example.com}
    filters: [{type: name, value: two/**}]
"""
        },
    ).rules

    assert [item.name for item in found.rules] == ["one", "two"]
    assert sorted(found.registries) == ["a.example.com", "b.example.com"]


def test_one_host_described_in_two_ways_is_a_mistake(tmp_path: Path) -> None:
    other = policy(name="q", dest_registry="{type: distribution, url: https://b.example.com:8443}")

    found = mistakes(tmp_path, {"a.yaml": policy(), "b.yaml": other})

    assert found == [
        f"b.yaml:4:18: the registry b.example.com:8443 is described differently at {tmp_path}/a.yaml:4;"
        " describe it once in registries"
    ]


def test_other_rules_may_name_an_inline_registry(tmp_path: Path) -> None:
    more = "rules: [{name: r, source: a.example.com, destinations: ['b.example.com:8443'], filters: FILTERS}]"
    more = more.replace("FILTERS", "[{type: tag, value: x}]")

    assert (
        len(
            loaded(
                tmp_path, {"a.yaml": policy(filters="[{type: tag, value: y}]"), "b.yaml": more}
            ).rules.rules
        )
        == 2
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, Destination("b.example.com:8443")),
        ({"dest_namespace": '""'}, Destination("b.example.com:8443")),
        ({"dest_namespace": "m"}, Destination("b.example.com:8443", "m", -1)),
        (
            {"dest_namespace": "m/n", "dest_namespace_replace_count": "1"},
            Destination("b.example.com:8443", "m/n", 1),
        ),
        ({"dest_namespace_replace_count": "2"}, Destination("b.example.com:8443")),
    ],
)
def test_destination_namespaces(tmp_path: Path, more: dict[str, str], expected: Destination) -> None:
    assert the_rule(tmp_path, **more).destinations == (expected,)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, False),
        ({"deletion": "true"}, True),
        ({"replicate_deletion": "true"}, True),
        ({"deletion": "false", "replicate_deletion": "false"}, False),
        ({"deletion": "true", "replicate_deletion": "true"}, True),
    ],
)
def test_deletion_has_two_names(tmp_path: Path, more: dict[str, str], expected: bool) -> None:
    assert the_rule(tmp_path, **more).deletion is expected


def test_a_policy_may_say_everything(tmp_path: Path) -> None:
    found = the_rule(
        tmp_path,
        description="for people",
        trigger='{type: manual, trigger_settings: {cron: ""}}',
        override="false",
        enabled="false",
    )

    assert found.trigger is TriggerType.MANUAL
    assert not found.override
    assert not found.enabled


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"§speed": "-1"}, "speed is not supported yet"),
        ({"§copy_by_chunk": "true"}, "copy_by_chunk is not supported yet"),
        ({"trigger": "§{type: scheduled}"},
            'trigger: a scheduled trigger needs a cron, such as "30 2 * * *"'),
        ({"§filter": "[]"}, "unknown key 'filter' (did you mean 'filters'?)"),
        ({"deletion": "true", "replicate_deletion": "§false"},
            "replicate_deletion: deletion and replicate_deletion contradict each other"),
        ({"dest_namespace": "§A"}, "dest_namespace: not a repository name: 'A'"),
        ({"filters": "[{type: tag, value: §1.10}]"}, 'value: must be text; write it in quotes: "1.10"'),
        ({"filters": '[{type: name, value: §"a["}]'}, "value: bad pattern 'a[': a class is not closed"),
        ({"src_registry": "{type: harbor, url: §http://a.example.com}"},
            "url: plain http beyond this machine needs insecure: true"),
        ({"src_registry": "{type: harbor, url: https://a.example.com, §near: x}"}, "near is not supported yet"),
        ({"src_registry": "{type: harbor, url: https://a.example.com, webhook: {secret: §'${A}'}}"},
            "the environment variable A is not set"),
        ({"src_registry": "{type: distribution, url: https://a}", "filters": "[§{type: label, value: [x]}]"},
            "a label filter, but a is of type distribution, which has no labels"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_policy_is_told_once_and_at_its_place(
    tmp_path: Path, more: dict[str, str], expected: str
) -> None:
    assert_mistake(tmp_path, policy(**more), expected)


def test_a_mistake_in_a_list_of_policies_has_its_place(tmp_path: Path) -> None:
    text = "replication_policy:\n  - name: p\n    src_registry: {type: harbor, url: https://a}\n"
    text += "    dest_registry: {type: harbor, url: https://b}\n    §spede: 1\n"

    assert_mistake(tmp_path, text, "unknown key 'spede'")


def test_a_rule_and_a_policy_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    more = "rules: [{name: p, source: a.example.com, destinations: ['b.example.com:8443']}]"

    found = mistakes(tmp_path, {"a.yaml": policy(), "b.yaml": more})

    assert found == [f"b.yaml:1:16: the rule p is already defined at {tmp_path}/a.yaml:1"]

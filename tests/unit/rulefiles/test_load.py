import os
from pathlib import Path

import pytest

from replicator.oci import Platform
from replicator.rulefiles import RulesError, load
from replicator.rules import Limits, RegistryType
from tests.unit.rulefiles.kit import REGISTRIES, assert_mistake, loaded, mistakes, registry, rule, write

SAMPLE = """\
registries:                      # name -> registry
  eu:
    type: harbor                 # distribution harbor dockerhub quay ghcr gitlab ecr ecr-public gar acr zot artifactory nexus
    url: https://registry.eu.example.com
    credential:                  # absent = anonymous; other types: docker-config, helper, ecr, google, azure, token
      type: basic
      access_key: robot$replicator
      access_secret: ${EU_REGISTRY_SECRET}      # from the environment; or access_secret_file: /run/secrets/eu
    webhook: {secret: "${EU_WEBHOOK_SECRET}"}   # how its notifications are authenticated, see A3
    tls: {ca_file: ..., cert_file: ..., key_file: ..., verify: true}
    limits: {concurrency: 8, requests_per_second: 50, bandwidth: 50MiB}
rules:
  - name: prod-to-dr
    source: eu
    destinations: [us, {registry: ap, namespace: mirror, replace_count: 1}]
    trigger: {type: event_based}                # event_based (also written: push) | scheduled, with cron: | manual
    filters:
      - {type: name, value: "production/**"}
      - {type: tag, value: "v*", decoration: matches}     # or excludes; decoration is allowed on name too
      - {type: label, value: [released]}
      - {type: resource, value: image}          # image | artifact | chart
    platforms: [linux/amd64, linux/arm64]       # optional; the index digest is preserved where the destination allows it
    signatures: follow                          # follow (default) | ignore | require
    deletion: true                              # default false; with delete_grace: 5s, delete_cap: 100 (an hour)
    override: true                              # default true
    enabled: true                               # default true
"""  # noqa: E501 - as it is documented, to the letter
OTHERS = """\
registries:
  us: {type: distribution, url: "https://us.example.com"}
  ap: {type: distribution, url: "https://ap.example.com"}
"""
SECRETS = {"EU_REGISTRY_SECRET": "one", "EU_WEBHOOK_SECRET": "two"}


def test_the_sample_of_the_format_loads(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"a.yaml": SAMPLE, "b.yaml": OTHERS}, SECRETS)

    eu = found.rules.registries["eu"]
    assert eu.type is RegistryType.HARBOR
    assert eu.credential is not None
    assert eu.credential.access_key == "robot$replicator"
    assert eu.credential.access_secret.get_secret_value() == "one"
    assert eu.limits == Limits(concurrency=8, requests_per_second=50, bandwidth=50 * 1024 * 1024)
    assert [there.registry for there in found.rules.rules[0].destinations] == ["us", "ap"]
    assert found.rules.rules[0].platforms == (Platform("linux", "amd64"), Platform("linux", "arm64"))
    assert [item.message for item in found.warnings] == [
        f"{key}: there is no file ..." for key in ("ca_file", "cert_file", "key_file")
    ]


def test_ten_different_mistakes_in_three_files_are_ten_messages(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        {
            "a.yaml": """\
registries:
  eu: {type: harbr, url: "https://eu.example.com", credential: {type: basic, access_key: k, access_secret: "${GONE}"}}
  us: {type: distribution, url: "http://us.example.com"}
""",
            "team/b.yaml": """\
rules:
  - name: one
    sorce: eu
    destinations: [us]
  - name: two
    source: eu
    destinations: [usa, us, us]
    filters: [{type: name, value: "a["}, {type: tag, value: 1.10}]
    poll: 5m
""",
            "team/c.yml": """\
rules:
  - {name: two, source: eu, destinations: [us]}
""",
        },
    )

    assert found == [
        "a.yaml:2:14: type: 'harbr' is not one of distribution, harbor, dockerhub, quay, ghcr, gitlab, ecr, ecr-public,"
        " gar, acr, zot, artifactory, nexus (did you mean 'harbor'?)",
        "a.yaml:2:108: the environment variable GONE is not set",
        "a.yaml:3:33: url: plain http beyond this machine needs insecure: true",
        "team/b.yaml:3:5: unknown key 'sorce' (did you mean 'source'?)",
        "team/b.yaml:7:20: unknown registry 'usa' (did you mean 'us'?)",
        "team/b.yaml:7:29: us is already a destination of this rule",
        "team/b.yaml:8:35: value: bad pattern 'a[': a class is not closed",
        'team/b.yaml:8:61: value: must be text; write it in quotes: "1.10"',
        "team/b.yaml:9:5: poll is not supported yet",
        f"team/c.yml:2:12: the rule two is already defined at {tmp_path}/team/b.yaml:5",
    ]


def test_an_error_reads_as_one_line_per_problem_sorted_by_place(tmp_path: Path) -> None:
    with pytest.raises(RulesError) as caught:
        loaded(tmp_path, {"b.yaml": "x: 1\ny: 1\n", "a.yaml": "z: 1\n"})

    assert str(caught.value).split("\n") == [
        f"{tmp_path}/a.yaml:1:1: unknown key 'z'",
        f"{tmp_path}/b.yaml:1:1: unknown key 'x'",
        f"{tmp_path}/b.yaml:2:1: unknown key 'y'",
    ]


def test_files_are_merged_from_the_whole_tree_and_hidden_ones_are_not_read(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        {
            "a.yaml": REGISTRIES,
            "deep/er/b.yml": "rules: [{name: r, source: eu, destinations: [us]}]",
            ".hidden.yaml": "nonsense: 1",
            ".git/c.yaml": "nonsense: 1",
            "..data/d.yaml": "nonsense: 1",
            "schema.json": "{}",
            "notes.txt": "nonsense",
        },
    )

    assert sorted(found.rules.registries) == ["ap", "eu", "us"]
    assert [item.name for item in found.rules.rules] == ["r"]


def test_a_mounted_config_map_is_read_once_through_its_links(tmp_path: Path) -> None:
    write(tmp_path, {"..2024_01/rules.yaml": rule(), "..2024_01/team/more.yaml": "rules: []"})
    (tmp_path / "..data").symlink_to("..2024_01")
    (tmp_path / "rules.yaml").symlink_to("..data/rules.yaml")
    (tmp_path / "team").symlink_to("..data/team")
    (tmp_path / "twin.yaml").symlink_to("rules.yaml")
    (tmp_path / "loop").symlink_to(".")

    assert [item.name for item in load(tmp_path, {}).rules.rules] == ["r"]


def test_what_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").symlink_to("nowhere")

    assert mistakes(tmp_path, {}) == ["gone.yaml:1:1: cannot read the file: No such file or directory"]


def test_a_file_whose_name_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.yaml")).write_text("x: 1")

    assert mistakes(tmp_path, {}) == ["caf\\udce9.yaml:1:1: unknown key 'x'"]


def test_a_link_to_itself_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("a.yaml")

    with pytest.raises(RulesError, match="Too many levels of symbolic links"):
        load(tmp_path, {})


def test_a_directory_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="cannot read the rules directory: No such file or directory"):
        load(tmp_path / "gone", {})


def test_a_directory_without_rules_is_warned_of(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"a.yaml": "# nothing yet\n"})

    assert found.rules.rules == ()
    assert [item.message for item in found.warnings] == ["there are no rules in this directory"]


def test_a_file_that_is_no_mapping_is_a_mistake(tmp_path: Path) -> None:
    message = "a rule file is a mapping with the keys registries, rules, replication_policy"

    assert_mistake(tmp_path, "§- name: x\n", message)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(1001):
        (tmp_path / f"{number}.txt").touch()

    with pytest.raises(RulesError, match="more than 1000 files"):
        load(tmp_path, {})


def test_the_revision_follows_the_contents(tmp_path: Path) -> None:
    one = loaded(tmp_path, {"a.yaml": rule()}).rules.revision
    same = loaded(tmp_path, {"a.yaml": rule()}).rules.revision
    other = loaded(tmp_path, {"a.yaml": rule(enabled="false")}).rules.revision

    assert one == same
    assert one != other


def test_a_registry_of_two_files_is_defined_twice(tmp_path: Path) -> None:
    found = mistakes(tmp_path, {"a.yaml": REGISTRIES, "b.yaml": registry()})

    assert found == [f"b.yaml:2:3: the registry eu is already defined at {tmp_path}/a.yaml:2"]


def test_an_unknown_registry_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    assert_mistake(tmp_path, rule(source="§euu"), "unknown registry 'euu' (did you mean 'eu'?)")
    assert_mistake(tmp_path, rule(destinations="[us, §zzz]"), "unknown registry 'zzz'")
    text = rule(destinations="[{registry: §app, namespace: m, replace_count: 1}]")
    assert_mistake(tmp_path, text, "unknown registry 'app' (did you mean 'ap'?)")


def test_a_registry_in_a_broken_file_is_not_called_unknown(tmp_path: Path) -> None:
    files = {
        "a.yaml": REGISTRIES + "oops: [\n",
        "b.yaml": "rules: [{name: r, source: eu, destinations: [zzz]}]",
    }

    assert [item.partition(": ")[0] for item in mistakes(tmp_path, files)] == ["a.yaml:6:1", "b.yaml:1:46"]


def test_a_label_filter_needs_a_source_with_labels(tmp_path: Path) -> None:
    text = rule(
        source="us", destinations="[eu]", filters="[{type: name, value: a}, §{type: label, value: [x]}]"
    )

    assert_mistake(tmp_path, text, "a label filter, but us is of type distribution, which has no labels")


def test_two_rules_that_write_one_reference_are_a_mistake(tmp_path: Path) -> None:
    one = rule(name="a", filters="[{type: name, value: x/app}]", destinations="[ap]")
    two = "  - {name: b, source: us, destinations: [us, ap], filters: [{type: name, value: x/app}]}\n"

    found = mistakes(tmp_path, {"r.yaml": one + two.replace("[us, ap]", "[ap]")})

    assert len(found) == 1
    assert found[0].startswith("r.yaml:10:42: the rules a and b both write ap/x/app:")


def test_a_rule_that_copies_a_registry_onto_itself_is_a_mistake(tmp_path: Path) -> None:
    found = mistakes(tmp_path, {"r.yaml": rule(destinations="[us, eu]")})

    assert len(found) == 1
    assert found[0].startswith("r.yaml:8:24: the rule r copies eu/")


def test_a_broken_rule_proves_no_collision(tmp_path: Path) -> None:
    one = rule(name="a", filters="[{type: name, value: x/app}]", destinations="[ap]")
    two = "  - {name: b, source: us, destinations: [ap], filters: [{type: name, value: §[x/app]}]}\n"

    assert_mistake(tmp_path, one + two, "value: the value of a name filter is one text")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            rule(source="ap"),
            ["7:13: the rule r waits for events of ap, which has no webhook secret: its notifications will be refused"],
        ),
        (rule(source="ap", trigger="{type: manual}"), []),
        (rule(source="ap", enabled="false"), []),
        (
            rule(source="ap").replace('ap: {type: distribution', "ap: {type: quay"),
            [
                "7:13: the rule r waits for events of ap, which is of type quay:"
                " its notifications are not understood yet"
            ],
        ),
        (
            rule(filters="[{type: name, value: '{library,library/**}'}]"),
            ["9:15: the pattern '{library,library/**}' does not take 'library', though it spells it out"],
        ),
        (registry(url="http://eu.example.com", insecure="true") + "rules: []\n", [
            "4:10: the registry eu is reached by plain http: anybody on the way can read it all",
        ]),
        (registry(insecure="true"), ["3:5: the registry eu may show any TLS certificate: it is not verified"]),
        (registry(tls="{verify: false}"), ["3:5: the registry eu may show any TLS certificate: it is not verified"]),
    ],
)  # fmt: skip
def test_warnings(tmp_path: Path, files: str, expected: list[str]) -> None:
    found = loaded(tmp_path, {"r.yaml": files}).warnings

    shown = [str(item).removeprefix(f"{tmp_path}/r.yaml:") for item in found]
    assert [item for item in shown if "no rules in this directory" not in item] == expected


def test_rules_that_may_write_one_reference_are_warned_of(tmp_path: Path) -> None:
    more = "  - {name: x, source: us, destinations: [ap], filters: [{type: name, value: 'a/**'}]}\n"
    text = rule(destinations="[ap]", filters="[{type: name, value: 'a/*'}]") + more

    (found,) = loaded(tmp_path, {"r.yaml": text}).warnings

    assert (found.line, found.column) == (10, 42)
    assert found.message.startswith("the rules r and x both write ap/a/")


def test_a_file_of_tls_that_is_absent_is_warned_of(tmp_path: Path) -> None:
    for name in ("gone.pem", "x" * 5000):
        found = loaded(tmp_path, {"r.yaml": registry(tls=f"{{ca_file: {name}}}")}).warnings
        assert f"ca_file: there is no file {name}" in [item.message for item in found]


def test_an_anonymous_webhook_is_heard(tmp_path: Path) -> None:
    text = rule(source="an") + "  - {name: x, source: an, destinations: [us]}\n"
    text = text.replace(
        "registries:", 'registries:\n  an: {type: harbor, url: "https://an", webhook: {anonymous: true}}'
    )

    assert not [item for item in loaded(tmp_path, {"r.yaml": text}).warnings if "webhook" in item.message]

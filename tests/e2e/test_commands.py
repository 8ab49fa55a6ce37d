"""The commands that a person types, and what they print."""

import json
from pathlib import Path

from tests.e2e.product import run
from tests.e2e.world import World
from tests.fakes import images

TEN_MISTAKES = {
    "registries.yaml": """\
registries:
  eu: {type: harbr, url: "https://eu.example.com"}
  us: {type: distribution, url: "http://us.example.com"}
  ap: {type: quay, url: "https://quay.io", credential: {type: basic, access_key: k, access_secret: "${GONE}"}}
""",
    "rules.yaml": """\
rules:
  - {name: one, sorce: eu, destinations: [us]}
  - {name: two, source: eu, destinations: [usa]}
  - {name: three, source: eu, destinations: [us], filters: [{type: name, value: "a["}]}
  - {name: four, source: eu, destinations: [us], filters: [{type: tag, value: 1.10}]}
  - {name: five, source: eu, destinations: [us], poll: 5m}
  - {name: six, source: eu, destinations: [us, us]}
  - {name: seven, source: eu, destinations: [us]}
""",
    "more/rules.yml": """\
rules:
  - {name: seven, source: eu, destinations: [ap]}
""",
}
PLACES = [
    "registries.yaml:2:14",
    "registries.yaml:3:33",
    "registries.yaml:4:100",
    "rules.yaml:2:17",
    "rules.yaml:3:44",
    "rules.yaml:4:81",
    "rules.yaml:5:79",
    "rules.yaml:6:50",
    "rules.yaml:7:48",
    "rules.yaml:8:12",
]


def test_check_prints_each_of_ten_mistakes_with_its_place(tmp_path: Path) -> None:
    for name, text in TEN_MISTAKES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    done = run("check", tmp_path)

    lines = done.out.splitlines()
    assert done.status == 1
    assert len(lines) == 10
    assert sorted(line.removeprefix(f"{tmp_path}/").partition(": ")[0] for line in lines) == PLACES
    assert len({line.partition(": ")[2] for line in lines}) == 10
    assert done.err == f"10 mistakes in {tmp_path}\n"


def test_up_with_wrong_rules_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("rules: 5\n")

    done = run("up", "--rules", tmp_path, "--data", tmp_path / "data")

    assert done.status == 1
    assert done.err.startswith(f"error: {tmp_path}/rules.yaml:1:")
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "data" / "redis").exists()


def test_check_says_that_good_rules_are_good(world: World) -> None:
    done = world.replicator.command("check")

    assert done.status == 0, done
    assert "9 rules, 3 registries: ok" in done.out


def test_explain_names_every_rule_and_the_clause_that_decided(world: World) -> None:
    taken = world.replicator.command("explain", "eu/production/web:v1")
    left = world.replicator.command("explain", "eu/production/web:v1-rc1", "--json")

    assert taken.status == left.status == 0
    assert "production: takes it" in taken.out
    assert "-> us/production/web" in taken.out
    assert "deleting: leaves it" in taken.out
    (verdict,) = [item for item in json.loads(left.out) if item["rule"] == "production"]
    assert verdict["taken"] is False
    assert "*-rc*" in verdict["clause"]


def test_explain_of_an_unknown_registry_is_one_clear_line(world: World) -> None:
    done = world.replicator.command("explain", "nowhere/production/web:v1")

    assert (done.status, done.out) == (1, "")
    assert done.err == "error: nowhere/production/web:v1: begins with no configured registry (ap, eu, us)\n"


def test_status_shows_every_lane(world: World) -> None:
    image = world.push("eu", "production/status", "v1", images.image([b"status"]))
    world.await_copy("us", "production/status", "v1", image)
    world.replicator.settle()

    table = world.replicator.command("status")
    found = world.replicator.command("status", "--json")
    lanes = found.json()["lanes"]

    assert table.status == found.status == 0
    assert table.out.split("\n", 1)[0].split() == [
        "rule", "source", "destination", "lag", "pending", "failed", "blocked", "drift",
    ]  # fmt: skip
    assert len(table.out.splitlines()) == 1 + len(lanes)
    (idle,) = [lane for lane in lanes if lane["rule"] == "idle"]
    # Whether anybody compared before is another test's business.
    assert "drift" in idle
    idle = {name: idle[name] for name in idle if name not in ("drift", "compared_at")}
    assert idle == {
        "rule": "idle",
        "source": "ap",
        "destination": "eu",
        "lag_seconds": 0.0,
        "pending": 0,
        "failed": 0,
        "blocked": 0,
    }


def test_status_without_a_running_tree_is_one_clear_line(world: World, tmp_path: Path) -> None:
    done = run("status", "--rules", world.replicator.rules, "--data", tmp_path)

    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) == 1

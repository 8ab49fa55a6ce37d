"""The runbook's third drill: the rules are wrong, and have acted already."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.runbook import do
from tests.e2e.world import World
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import wait_until

RULE = """\
rules:
  - name: prod-to-dr
    source: eu
    destinations: [us]
    filters: [{type: name, value: "production/**"}, {type: tag, value: "v*"}]
    deletion: true
    delete_cap: 2
"""
MIRROR = RULE.replace("[us]", "[{registry: us, namespace: mirror, replace_count: 0}]")
MakeWorld = Callable[[str], World]


@pytest.fixture
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeWorld]:
    """Makes a world of the test's own for a rule."""
    with ExitStack() as stack:
        yield lambda rule: stack.enter_context(
            World(tmp_path_factory.mktemp("rules"), rule, regions=("eu", "us"))
        )


def push(world: World, tag: str, repository: str = "production/web") -> Image:
    return world.push("eu", repository, tag, images.image([f"{repository} {tag}".encode()]))


def change_rules(world: World, text: str) -> None:
    """Write the rule file anew, and wait until it is in force."""
    before = world.replicator.api("rules")["revision"]
    world.replicator.write_rules("rules.yaml", text)
    wait_until(lambda: world.replicator.api("rules")["revision"] != before, what="the new rules are in force")


def test_a_broken_revision_changes_nothing_until_it_is_mended(make_world: MakeWorld) -> None:
    world = make_world(RULE)
    world.replicator.write_rules("rules.yaml", RULE.replace("[us]", "[usa]"))
    wait_until(
        lambda: world.replicator.metric("replicator_rules_reload_failed") == 1, what="the reload fails"
    )

    assert "rules.yaml:4:20: " in do(world.replicator, "check", status=1).out
    image = push(world, "v1")
    world.await_copy("us", "production/web", "v1", image)
    assert world.replicator.call("GET", "/readyz").status == 200

    world.replicator.write_rules("rules.yaml", RULE)
    assert "1 rule, 2 registries: ok" in do(world.replicator, "check").out
    wait_until(lambda: world.replicator.metric("replicator_rules_reload_failed") == 0, what="it is mended")


def test_copies_that_went_to_the_wrong_place_are_found_and_go_to_the_right_one(make_world: MakeWorld) -> None:
    world = make_world(MIRROR)
    image = push(world, "v1")
    world.await_copy("us", "mirror/production/web", "v1", image)
    world.replicator.settle()
    file = {"plan.json": str(world.replicator.data / "plan.json")}

    do(world.replicator, "pause --rule prod-to-dr --reason 'wrong namespace'")
    change_rules(world, RULE)
    assert "-> us/production/web\n" in do(world.replicator, "explain eu/production/web:v1").out
    plan = do(world.replicator, "plan --rule prod-to-dr --json", status=2)
    Path(file["plan.json"]).write_text(plan.out)
    assert [change["target"] for change in plan.json()["changes"]] == ["production/web"]
    do(world.replicator, "resume --rule prod-to-dr")
    do(world.replicator, "resync --plan plan.json --wait", **file)

    world.await_copy("us", "production/web", "v1", image)
    world.replicator.settle()
    copied = do(world.replicator, "export").json()["copied"]
    places = {(record["repository"], record["reference"]) for record in copied}
    assert places == {("mirror/production/web", "v1"), ("production/web", "v1")}

    change_rules(world, MIRROR)
    refused = do(world.replicator, "resync --plan plan.json --wait", status=1, **file)
    assert refused.err == (
        "error: the rules changed since the plan was made: prod-to-dr does not bring eu/production/web:v1"
        " to us/production/web any more\n"
    )


def test_deletes_by_a_filter_that_is_too_wide_are_capped_and_undone(make_world: MakeWorld) -> None:
    world = make_world(RULE.replace('"v*"', '"*"'))
    nightly = [push(world, f"nightly-{number}") for number in range(4)]
    for number, image in enumerate(nightly):
        world.await_copy("us", "production/web", f"nightly-{number}", image)
    world.replicator.settle()
    for image in nightly:
        world.delete("eu", "production/web", image)
    wait_until(lambda: len(world.replicator.api("failures")["jobs"]) == 2, 30, what="two are held by the cap")

    do(world.replicator, "pause --rule prod-to-dr --reason 'deletes too much'")
    assert (
        "rule prod-to-dr has deleted 2 references within an hour"
        in do(world.replicator, "failures --rule prod-to-dr").out
    )
    change_rules(world, RULE)
    do(world.replicator, "failures drop --all --rule prod-to-dr")
    deletions = world.replicator.command("undelete", "--json").json()["deletions"]
    assert len(deletions) == 2
    do(world.replicator, "undelete")
    for deletion in deletions:
        do(world.replicator, "undelete 1764104706123-0", **{"1764104706123-0": deletion["id"]})
    do(world.replicator, "resume --rule prod-to-dr")

    world.replicator.settle()
    for number, image in enumerate(nightly):
        world.await_copy("us", "production/web", f"nightly-{number}", image)


def test_a_rule_that_gets_another_name_keeps_what_it_knows(make_world: MakeWorld) -> None:
    world = make_world(RULE)
    image = push(world, "v1")
    world.await_copy("us", "production/web", "v1", image)
    world.replicator.settle()
    change_rules(world, RULE.replace("prod-to-dr", "eu-to-us\n    was: prod-to-dr"))

    do(world.replicator, "check")
    assert "eu-to-us: eu -> us: 1 in sync" in do(world.replicator, "plan --prune").out
    world.delete("eu", "production/web", image)

    world.await_absence("us", "production/web", "v1", within_s=20)

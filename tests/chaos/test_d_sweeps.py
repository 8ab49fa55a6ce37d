"""Rules that change while sweeps look for deletes that nobody told of: what a rule gives up stays where it is."""

from collections.abc import Iterator

import pytest

from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import wait_until

RULE = """\
rules:
  - name: prod
    source: eu
    destinations: [us]
    filters: [{type: name, value: "%s"}, {type: tag, value: "%s"}]
    deletion: true
    delete_grace: 500ms
    sweep_interval: 1s
"""


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    rules = RULE % ("team/**", "v*")
    with World(tmp_path_factory.mktemp("rules"), rules, regions=("eu", "us")) as running:
        yield running


def change(world: World, name: str, tag: str) -> None:
    """Put the rule in force, and wait until it was swept by what it says now."""
    revision = world.replicator.api("rules")["revision"]
    world.replicator.write_rules("rules.yaml", RULE % (name, tag))
    wait_until(lambda: world.replicator.api("rules")["revision"] != revision, 20, what="it is in force")
    ended = world.replicator.said.count("sweep ended")
    # The first may have begun before.
    wait_until(lambda: world.replicator.said.count("sweep ended") >= ended + 2, 20, what="it was swept")
    world.replicator.settle()


def test_d2_a_rule_that_takes_less_or_more_deletes_nothing(world: World) -> None:
    pushed = {
        (repository, tag): world.push("eu", repository, tag, images.image([f"{repository}:{tag}".encode()]))
        for repository in ("team/web", "team/api")
        for tag in ("v1", "v2", "w1")
    }
    copied = {place for place in pushed if place[1] != "w1"}
    for repository, tag in copied:
        world.await_copy("us", repository, tag, pushed[repository, tag])

    for name, tag in (("team/web", "v*"), ("team/**", "v2"), ("nothing/**", "v*"), ("nothing/**", "x*")):
        change(world, name, tag)
        for place in copied:
            assert world.head("us", *place) == pushed[place].digest, f"after {name} {tag}"
    change(world, "**", "*")

    for place, image in pushed.items():
        world.await_copy("us", *place, image)
    assert "DELETE" not in world.registries["us"].log.read_text()

"""Rules change under a running tree."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import DockerRegistry, wait_until

RELOADS_WITHIN_S = 5.0
"""What is promised: rules reload within 5 s of a change of the files."""


@pytest.fixture
def later(tmp_path: Path) -> Iterator[DockerRegistry]:
    """A registry that no rule knows at first."""
    with DockerRegistry(tmp_path / "later") as registry:
        yield registry


def test_a_new_destination_is_served_without_a_restart(world: World, later: DockerRegistry) -> None:
    world.replicator.write_rules(
        "later.yaml",
        f"registries: {{later: {{type: distribution, url: '{later.url}'}}}}\n"
        "rules:\n  - {name: later, source: eu, destinations: [later], filters: [{type: name, value: 'later/**'}]}\n",
    )
    try:
        # Each process of the tree reads the files for itself.
        time.sleep(RELOADS_WITHIN_S)
        assert "later" in _rules(world)
        image = world.push("eu", "later/app", "v1", images.multi_arch("later"))

        wait_until(lambda: images.is_whole(later.url, "later/app", "v1", image), 5)
        lag = world.replicator.metric(
            "replicator_lag_seconds", rule="later", source="eu", destination="later"
        )
        assert lag is not None
    finally:
        (world.replicator.rules / "later.yaml").unlink()
    wait_until(lambda: "later" not in _rules(world), RELOADS_WITHIN_S)


def test_a_broken_revision_leaves_the_old_one_in_force(world: World) -> None:
    before = world.replicator.api("rules")
    assert before["error"] is None

    world.replicator.write_rules(
        "broken.yaml", "rules:\n  - {name: broken, source: nowhere, destinations: [us]}\n"
    )
    try:
        wait_until(lambda: world.replicator.api("rules")["error"], RELOADS_WITHIN_S)

        after = world.replicator.api("rules")
        assert "broken.yaml:2:28: unknown registry 'nowhere'" in after["error"]
        assert (after["revision"], after["rules"]) == (before["revision"], before["rules"])
        assert world.replicator.metric("replicator_rules_reload_failed") == 1.0
        assert world.replicator.call("GET", "/readyz").status == 200
        image = world.push("eu", "production/broken", "v1", images.image([b"while the rules are broken"]))
        world.await_copy("us", "production/broken", "v1", image)
    finally:
        (world.replicator.rules / "broken.yaml").unlink()

    wait_until(lambda: world.replicator.api("rules")["error"] is None, RELOADS_WITHIN_S)
    assert world.replicator.metric("replicator_rules_reload_failed") == 0.0


def test_what_dies_while_the_rules_are_broken_comes_back(world: World) -> None:
    before = world.replicator.api("rules")
    world.replicator.write_rules("broken.yaml", "rules: [")
    try:
        wait_until(lambda: world.replicator.api("rules")["error"], RELOADS_WITHIN_S)
        roles = ("receiver", "scheduler", "worker")
        for pid in [world.replicator.child(role) for role in roles]:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: all(world.replicator.child(role) for role in roles), 15)
        wait_until(lambda: _is_ready(world), 15)

        after = world.replicator.api("rules")
        assert "broken.yaml" in after["error"]
        assert (after["revision"], after["rules"]) == (before["revision"], before["rules"])
        image = world.push("eu", "production/restarted", "v1", images.image([b"after a restart"]))
        world.await_copy("us", "production/restarted", "v1", image)
    finally:
        (world.replicator.rules / "broken.yaml").unlink()

    wait_until(lambda: world.replicator.api("rules")["error"] is None, RELOADS_WITHIN_S)


def _is_ready(world: World) -> bool:
    with contextlib.suppress(OSError):
        return world.replicator.call("GET", "/readyz").status == 200
    return False


def _rules(world: World) -> set[str]:
    return {rule["name"] for rule in world.replicator.api("rules")["rules"]}

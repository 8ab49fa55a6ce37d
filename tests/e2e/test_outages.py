"""Registries that are away: nobody else waits for them, and they are in line soon after their return."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.world import World
from tests.fakes import images

AWAY_S = 25.0
IN_LINE_WITHIN_S = 60.0
"""What is promised of a destination that comes back."""
RULES = """\
rules:
  - name: everywhere
    source: eu
    destinations: [us, ap, sa]
    filters: [{type: name, value: "**"}]
"""


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of this test's own: `us` will be stopped, `ap` will hang, `sa` is well all the time."""
    regions = ("eu", "us", "ap", "sa")
    with World(tmp_path_factory.mktemp("outages"), RULES, regions=regions) as running:
        yield running


def test_a_region_that_is_away_delays_no_other_and_catches_up(world: World) -> None:
    first = world.push("eu", "app", "first", images.image([b"before"]))
    for region in ("us", "ap", "sa"):
        world.await_copy(region, "app", "first", first)
    world.replicator.settle()

    world.registries["us"].stop()
    world.registries["ap"].suspend()
    slowest_s = _push_while_away(world)
    lag_s = world.replicator.metric(
        "replicator_lag_seconds", rule="everywhere", source="eu", destination="us"
    )
    world.registries["us"].start()
    world.registries["ap"].resume()

    with ThreadPoolExecutor() as pool:
        waits = [pool.submit(_await_all, world, region) for region in ("us", "ap")]
        caught_up_s = [wait.result() for wait in waits]
    assert slowest_s < 5
    assert (lag_s or 0) > AWAY_S - 5
    assert max(caught_up_s) < IN_LINE_WITHIN_S
    world.replicator.settle()
    for region in ("us", "ap", "sa"):
        lag_s = world.replicator.metric(
            "replicator_lag_seconds", rule="everywhere", source="eu", destination=region
        )
        assert lag_s == 0.0
        assert world.replicator.metric("replicator_registry_available", registry=region) == 1.0
    assert world.replicator.api("failures")["jobs"] == []


def _push_while_away(world: World) -> float:
    """Push all the time, mostly one tag; the longest time that `sa` took for one of these."""
    slowest_s, number, ends = 0.0, 0, time.monotonic() + AWAY_S
    while time.monotonic() < ends:
        number += 1
        image = images.image([f"while away {number}".encode()])
        world.push("eu", "app", f"v{number % 5}", image)
        slowest_s = max(slowest_s, world.await_copy("sa", "app", f"v{number % 5}", image))
        time.sleep(0.2)
    return slowest_s


def _await_all(world: World, region: str) -> float:
    began = time.monotonic()
    for tag in ("first", *(f"v{number}" for number in range(5))):
        wanted = images.read_back(world.url("eu"), "app", tag)
        held = images.Image(wanted.raw, wanted.media_type)
        world.await_copy(region, "app", tag, held, within_s=IN_LINE_WITHIN_S)
    return time.monotonic() - began

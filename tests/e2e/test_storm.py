"""The event-before-tag race, provoked. `python -m tests.e2e.storm 10` provokes it for longer."""

import pytest

from tests.e2e.storm import DESTINATIONS, PUSHES, storm
from tests.e2e.world import World


@pytest.mark.parametrize("number", [1, 2])
def test_every_tag_is_right_after_pushes_as_fast_as_the_registry_takes_them(
    world: World, number: int
) -> None:
    ended = storm(world, f"production/storm-{number}")

    assert ended.wrong == ()
    assert ended.tags == PUSHES / 2 + 1
    for region in DESTINATIONS:
        assert len(world.tags(region, f"production/storm-{number}")) == ended.tags

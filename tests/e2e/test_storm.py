"""The event-before-tag race, provoked. `python -m tests.e2e.storm 10` provokes it for longer."""

from tests.e2e.storm import DESTINATIONS, PUSHES, storm
from tests.e2e.world import World


def test_every_tag_is_right_after_pushes_as_fast_as_the_registry_takes_them(world: World) -> None:
    ended = storm(world, "production/storm")

    assert ended.wrong == ()
    assert ended.tags == PUSHES / 2 + 1
    for region in DESTINATIONS:
        assert len(world.tags(region, "production/storm")) == ended.tags

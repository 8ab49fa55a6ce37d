"""Notifications in any order, each of them three times: the source decides, never what an event says."""

import random
from dataclasses import replace
from itertools import permutations

import pytest

from replicator.intake import take_in
from replicator.ledger import Inbox, Ledger
from replicator.oci import Digest
from tests.fakes.images import Image, image
from tests.integration.ledger.kit import notify, read_one
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule
from tests.unit.events.bodies import envelope, event, target

DELETING = replace(a_rule(), deletion=True)
ONE, TWO, THREE = (image([name]) for name in (b"one", b"two", b"three"))
STEPS = (ONE, TWO, None, THREE)
"""What becomes of a tag, one after another: images, and a delete."""
LONG_AGO = "1"


@pytest.fixture
def inbox(ledger: Ledger) -> Inbox:
    return ledger.inbox("router-1")


def body(tag: str, digest: Digest | None) -> bytes:
    """The notification of one step."""
    if digest is None:
        return envelope(event(action="delete", target={"repository": API, "tag": tag}))
    return envelope(event(target=target(tag=tag, digest=digest, repository=API)))


def hear(world: World, inbox: Inbox, redis_url: str, bodies: list[bytes]) -> None:
    """All of these are recorded and routed, in this order."""
    for each in bodies:
        notify(redis_url, each)
        take_in(read_one(inbox), rules=world.rules, ledger=world.ledger, inbox=inbox)


def age(world: World) -> None:
    """What the events said is long ago, so that nobody waits for the source to show it."""
    for view in world.ledger.view.jobs():
        world.redis.hset(f"replicator:job:{view.id}", "hinted_at", LONG_AGO)


@pytest.mark.parametrize("steps", [STEPS, (*STEPS[:2], None)], ids=["ends there", "ends absent"])
def test_r5_events_in_any_order_end_with_what_the_source_has(
    steps: tuple[Image | None, ...], make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(DELETING)
    orders = {f"v{number}": order for number, order in enumerate(permutations(STEPS[: len(steps)]))}
    for tag in orders:
        world.push("eu", tag, ONE)
        world.run(world.job(tag))
        world.push("eu", tag, THREE) if steps[-1] else world.delete("eu", tag)

    for tag, order in orders.items():
        hear(world, inbox, redis_url, [body(tag, step and step.digest) for step in order for _ in range(3)])
    age(world)
    world.settle()

    ends = {tag: world.digest("us", tag) for tag in orders}
    assert ends == dict.fromkeys(orders, THREE.digest if steps[-1] else None)


@pytest.mark.parametrize("seed", range(4))
def test_r5_events_that_come_late_and_shuffled_among_the_changes_end_right(
    seed: int, make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world, rng, late = make_world(DELETING), random.Random(seed), list[bytes]()

    for step in rng.choices(STEPS, k=8):
        if step is not None:
            world.push("eu", "v1", step)
        elif world.digest("eu"):
            world.delete("eu", "v1")
        late += [body("v1", step and step.digest)] * 3
        rng.shuffle(late)
        late, now = late[3:], late[:3]
        hear(world, inbox, redis_url, now)
        age(world)
        world.settle()
    hear(world, inbox, redis_url, late)
    age(world)
    world.settle()

    assert world.digest("us") == world.digest("eu")

"""What a thief of a webhook's secret can do: have references looked at, and nothing else: S2, S3, S5."""

import asyncio
import json
import random
from dataclasses import replace

import pytest

from replicator.events import MalformedEvent, parse
from replicator.intake import take_in
from replicator.ledger import Inbox, Ledger, Recorder, State, connect_async
from tests.fakes.images import image
from tests.fuzz.spoiling import NASTY_TEXTS, respelt, some
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule
from tests.unit.events.bodies import envelope, event, target

ELSEWHERE = {"S5": "tests/security/test_s_canaries.py::test_s5_no_address_in_a_notification_is_ever_asked"}

REPLAYS = 2000
STOLEN = 400
ONE, TWO = image([b"one"]), image([b"two"])


@pytest.fixture
def inbox(ledger: Ledger) -> Inbox:
    return ledger.inbox("router-1")


def posted(redis_url: str, bodies: list[bytes]) -> None:
    async def in_turn() -> None:
        client = connect_async(redis_url)
        try:
            recorder = Recorder(client)
            for body in bodies:
                await recorder.record(registry="eu", content_type="application/json", body=body, trace=None)
        finally:
            await client.aclose()

    asyncio.run(in_turn())


def taken_in(world: World, inbox: Inbox) -> int:
    """Afterwards the inbox is empty; how many notifications were in it."""
    count = 0
    while inbox.length():
        for notification in inbox.read(block_s=0.01):
            take_in(notification, rules=world.rules, ledger=world.ledger, inbox=inbox)
            count += 1
    return count


def held(world: World, name: str) -> dict[str, object]:
    """Every tag of every repository of a registry."""
    with world[name].storage.lock:
        shelves = world[name].storage.shelves
        return {
            f"{name}:{tag}": digest for name, shelf in shelves.items() for tag, digest in shelf.tags.items()
        }


def test_s2_a_notification_that_is_replayed_writes_nothing(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(replace(a_rule(), deletion=True))
    world.push("eu", "v1", ONE)
    push = envelope(event(target=target(tag="v1", digest=ONE.digest, repository=API)))
    delete = envelope(event(action="delete", target={"repository": API, "tag": "v1", "digest": ONE.digest}))
    posted(redis_url, [push])
    taken_in(world, inbox)
    world.settle()
    before = held(world, "us")
    world.forget_requests()

    posted(redis_url, [push, delete] * (REPLAYS // 2))
    assert taken_in(world, inbox) == REPLAYS
    world.settle()

    assert world.writes("us") == []
    assert len(world.asked("us")) < 20
    assert held(world, "us") == before != {}


def stolen(rng: random.Random) -> bytes:
    """A notification that lies as well as it can."""
    lies = {
        "repository": some(rng, (API, API, "team/other", "x/y", "library/api", some(rng, NASTY_TEXTS))),
        "tag": some(rng, ("v1", "v2", "v3", "v9", None, some(rng, NASTY_TEXTS))),
        "digest": some(rng, (ONE.digest, TWO.digest, f"sha256:{'0' * 64}", None, some(rng, NASTY_TEXTS))),
        "url": some(rng, NASTY_TEXTS),
    }
    one = event(action=some(rng, ("push", "delete", "delete")), target=target(**lies))
    document = {"events": [one] * rng.choice((1, 1, 3))}
    if rng.random() < 0.5:
        document = respelt(rng, document, ("events", "action", "target", "repository", "tag", "digest"))
    return json.dumps(document).encode()


def test_s3_who_stole_a_secret_changes_nothing_at_a_destination(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    world = make_world(replace(a_rule(), deletion=True))
    for tag, pushed in {"v1": ONE, "v2": TWO, "v3": ONE}.items():
        world.push("eu", tag, pushed)
        world.run(world.job(tag))
    # What others put there, and what the rule does not take, is nobody's to delete either.
    world.push("us", "mine", TWO)
    world.push("us", "v1", TWO, repository="x/y")
    before = held(world, "us")
    bodies = [stolen(rng) for _ in range(STOLEN)]

    posted(redis_url, bodies)
    taken_in(world, inbox)
    world.settle()

    assert held(world, "us") == before, f"seed {seed}"
    assert sum(1 for body in bodies if understood(body)) > STOLEN / 10
    assert not world.ledger.view.jobs(state=State.PENDING)


def understood(body: bytes) -> bool:
    try:
        return bool(parse("distribution", "eu", "", body).events)
    except MalformedEvent:
        return False

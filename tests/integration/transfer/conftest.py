"""A Redis that all tests of this directory share, empty for each of them, and the makers of worlds."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from replicator.demo.features import Features
from replicator.ledger import Ledger
from replicator.rules import RegistryType, Rule
from tests.integration.processes import RedisServer
from tests.integration.transfer.world import World

MakeWorld = Callable[..., World]


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    # Nothing here is about surviving a crash of Redis, so it need not wait for the disk.
    directory = tmp_path_factory.mktemp("redis")
    with RedisServer(directory, binary="valkey-server", appendfsync="no") as server:
        yield server


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    client = shared_redis.client()
    client.flushall()
    client.close()
    return shared_redis.url


@pytest.fixture
def ledger(redis_url: str) -> Iterator[Ledger]:
    made = Ledger.connect(redis_url)
    yield made
    made.close()


@pytest.fixture
def make_world(ledger: Ledger, redis_url: str) -> Iterator[MakeWorld]:
    """Makes a world of the rules given, with registries of the `features` and `kinds` given by name."""
    made: list[World] = []

    def make(
        *rules: Rule,
        features: Mapping[str, Features] | None = None,
        kinds: Mapping[str, RegistryType] | None = None,
    ) -> World:
        world = World(ledger, redis_url, rules, features=features or {}, kinds=kinds or {})
        made.append(world)
        return world

    yield make
    for world in made:
        world.close()

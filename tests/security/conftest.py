"""Real servers, and worlds of fake registries on a real ledger, as integration tests have them."""

from tests.integration.conftest import docker_registry, redis_server, short_path, stack
from tests.integration.transfer.conftest import ledger, make_world, redis_url, shared_redis

__all__ = [
    "docker_registry",
    "ledger",
    "make_world",
    "redis_server",
    "redis_url",
    "shared_redis",
    "short_path",
    "stack",
]

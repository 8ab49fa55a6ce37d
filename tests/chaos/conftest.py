"""What the tests of failures share with those of transfers: a Redis, and worlds of fake registries."""

from tests.integration.transfer.conftest import ledger, make_world, redis_url, shared_redis

__all__ = ["ledger", "make_world", "redis_url", "shared_redis"]

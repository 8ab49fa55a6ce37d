"""Worlds of fake registries on a real ledger, as the tests of transfer have them."""

from tests.integration.transfer.conftest import ledger, make_world, redis_url, shared_redis

__all__ = ["ledger", "make_world", "redis_url", "shared_redis"]

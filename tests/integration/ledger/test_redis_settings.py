"""What a Redis that may forget is told at the start."""

from collections.abc import Iterator

import pytest

from replicator.ledger import Ledger, connect
from tests.integration.ledger.conftest import Server


@pytest.fixture
def forgetful(server: Server) -> Iterator[None]:
    redis = connect(server.url)
    redis.config_set("appendfsync", "everysec")
    redis.config_set("no-appendfsync-on-rewrite", "yes")
    yield
    redis.config_set("appendfsync", "always")
    redis.config_set("no-appendfsync-on-rewrite", "no")
    redis.close()


def test_a_redis_with_every_write_on_disk_has_no_problem(ledger: Ledger) -> None:
    assert ledger.durability_problems() == []


@pytest.mark.usefixtures("forgetful")
def test_a_redis_that_may_forget_is_told_setting_by_setting(ledger: Ledger) -> None:
    problems = ledger.durability_problems()

    assert [problem.partition(",")[0] for problem in problems] == [
        "Redis has appendfsync everysec",
        "Redis has no-appendfsync-on-rewrite yes",
    ]

"""Doorbells on a real server."""

import json
import threading
import time
from pathlib import Path

import pytest

from replicator.broker import TASK, Bell, make_app, queue_name
from replicator.errors import LedgerUnavailable
from replicator.ledger import connect
from tests.integration.ledger.conftest import Server

pytestmark = pytest.mark.integration


def test_each_doorbell_is_one_message_that_holds_ids_alone(server: Server) -> None:
    redis = connect(server.url)

    Bell(make_app(server.url)).ring("us", [["job-1"], ["job-2", "job-3"]])

    messages = [json.loads(text) for text in redis.lrange(queue_name("us"), 0, -1)]
    assert [message["headers"]["task"] for message in messages] == [TASK, TASK]
    assert sorted(message["headers"]["argsrepr"] for message in messages) == [
        "('job-1',)",
        "('job-2', 'job-3')",
    ]


def test_many_threads_may_ring(server: Server) -> None:
    redis = connect(server.url)
    bell = Bell(make_app(server.url))
    threads = [
        threading.Thread(target=bell.ring, args=(f"r{at % 3}", [[f"job-{at}"]] * 10)) for at in range(12)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [redis.llen(queue_name(f"r{at}")) for at in range(3)] == [40, 40, 40]


def test_a_broker_that_is_away_is_a_temporary_error_within_seconds(tmp_path: Path) -> None:
    bell = Bell(make_app(f"unix://{tmp_path}/none.sock"))
    began = time.monotonic()

    with pytest.raises(LedgerUnavailable):
        bell.ring("us", [["job-1"]])

    assert time.monotonic() - began < 5

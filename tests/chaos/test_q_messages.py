"""Celery's queues with things in them that no dispatcher sent, and without messages that one did."""

import base64
import json
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from replicator.broker import TASK, Bell, make_app, queue_name
from replicator.jobs import Job
from replicator.ledger import Ledger, Submission
from replicator.oci import Repository, Tag
from tests.integration.processes import RedisServer, wait_until
from tests.integration.test_worker import WorkerProcess
from workers.quarantine import KEY, SHOWN_BYTES, fault

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("messages") / "redis") as running:
        yield running


@pytest.fixture(scope="module")
def sent(server: RedisServer) -> dict[str, Any]:
    """A doorbell as the broker sends it."""
    Bell(make_app(server.url)).ring("elsewhere", [["one", "two"]])
    with server.client() as client:
        found: Any = client.rpop(queue_name("elsewhere"))
    return dict(json.loads(found))


def changed(sent: dict[str, Any], *, body: object = None, headers: object = None, **others: object) -> bytes:
    """The message with another body, other headers or other parts."""
    altered = {**sent, **others}
    if body is not None:
        altered["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    if isinstance(headers, dict):
        altered["headers"] = {**sent["headers"], **headers}
    return json.dumps(altered).encode()


def strange(sent: dict[str, Any]) -> list[bytes]:
    """One message of every kind that is none of ours."""
    nothing: dict[str, object] = {"callbacks": None}
    harmful = {"task": TASK, "args": [], "kwargs": {}}
    pickled = base64.b64encode(pickle.dumps([["one"], {}, {}])).decode()
    return [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        json.dumps({**sent, "properties": {}}).encode(),
        json.dumps({name: part for name, part in sent.items() if name != "headers"}).encode(),
        changed(sent, properties={**sent["properties"], "delivery_tag": 1}),
        changed(
            sent, properties={**sent["properties"], "delivery_info": {"exchange": [], "routing_key": ""}}
        ),
        changed(sent, properties={**sent["properties"], "delivery_info": None}),
        changed(sent, body={"a": 1}),
        changed(sent, body=[{"a": 1}, {}, nothing]),
        changed(sent, body=[[1], {}, nothing]),
        changed(sent, body=[["one"], ["word"], nothing]),
        changed(sent, body=[["one"], {}, {"callbacks": [harmful]}]),
        changed(sent, body=[["one"], {}, []]),
        changed(sent, body="text"),
        json.dumps({**sent, "body": "no base64!"}).encode(),
        json.dumps({**sent, "body": pickled, "content-type": "application/x-python-serialize"}).encode(),
        changed(sent, headers={"task": "os.system"}),
        changed(sent, headers={"id": None}),
        changed(sent, headers={"eta": "2099-01-01T00:00:00+00:00"}),
        changed(sent, headers={"timelimit": [0.001, 0.001]}),
        changed(sent, headers={"compression": "bzip2"}),
        changed(sent, headers={"parent_id": {"a": 1}}),
    ]


def test_q12_a_worker_outlives_every_message_that_is_none_of_ours(
    server: RedisServer, sent: dict[str, Any], tmp_path: Path
) -> None:
    messages = strange(sent)
    with ExitStack() as stack:
        client = stack.enter_context(server.client())
        worker = stack.enter_context(WorkerProcess(tmp_path / "worker", server.url))
        ledger = Ledger.connect(server.url)
        stack.callback(ledger.close)
        pid = worker.pid

        client.lpush(queue_name("us"), *messages)
        wait_until(lambda: not client.llen(queue_name("us")), 30, what="the queue is empty")
        job = submitted(ledger)
        Bell(make_app(server.url)).ring("gone", [[job.id]])

        wait_until(lambda: ledger.job(job.id) is None, 30, what="the worker still works")
        assert worker.is_running
        assert worker.pid == pid
        wait_until(lambda: not client.hlen("unacked"), what="nothing is kept for another try")
        found = [fields for _, fields in client.xrange(KEY)]
        assert [fields[b"message"] for fields in found] == [message[:SHOWN_BYTES] for message in messages]
        assert {fields[b"queue"] for fields in found} == {b"dst.us"}


def test_q12_what_a_dispatcher_sends_passes(sent: dict[str, Any]) -> None:
    assert fault(json.dumps(sent).encode()) is None
    assert fault(changed(sent, headers={"a_later_release": "says more"})) is None
    assert fault(changed(sent, body=[["one"], {"a_later_release": "says more"}, {"chain": None}])) is None
    assert all(fault(message) for message in strange(sent))


def test_q1_a_message_that_is_lost_on_its_way_is_rung_again(server: RedisServer, tmp_path: Path) -> None:
    """A worker that dies between taking a message and writing it down."""
    with ExitStack() as stack:
        client = stack.enter_context(server.client())
        ledger = Ledger.connect(server.url, redispatch_s=1)
        stack.callback(ledger.close)
        job = submitted(ledger)
        bell = Bell(make_app(server.url))
        assert ledger.dispatch("gone", 1) == [[job.id]]
        lost = stack.enter_context(WorkerProcess(tmp_path / "lost", server.url))
        _lose_a_ring(lost, client, lambda: bell.ring("gone", [[job.id]]))

        stack.enter_context(WorkerProcess(tmp_path / "next", server.url))

        def rung() -> bool:
            bell.ring("gone", ledger.dispatch("gone", 1))
            return ledger.job(job.id) is None

        wait_until(rung, 30, what="the job is done all the same", poll_s=0.2)


def submitted(ledger: Ledger) -> Job:
    """A job that any worker ends at once, because no rule wants it."""
    job = Job("r", "gone", Repository("team/api"), Tag("v1"))
    ledger.submit([Submission(job, since=time.time() - 600)])
    return job


def _lose_a_ring(worker: WorkerProcess, client: Any, ring: Callable[[], None]) -> None:
    """Ring, and kill the worker when Redis has handed the message over and nobody has written it down."""

    def is_lost() -> bool:
        worker.suspend()
        ring()
        if not client.llen(queue_name("gone")):
            return True
        # It was stopped between two questions to Redis.
        client.delete(queue_name("gone"))
        worker.resume()
        return False

    wait_until(is_lost, 30, what="the worker was stopped while it waited for messages", poll_s=0.05)
    worker.kill()
    assert client.hlen("unacked") == 0

"""The receiver as a process over a real Redis: what it said 202 to is on disk, and nobody can hold it up."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.raw import RawClient
from tests.integration.processes import RedisServer, wait_until
from tests.integration.receiver import (
    AUTHORIZED,
    BODY_TIMEOUT_S,
    HEAD,
    SECRET,
    ReceiverProcess,
    raw_request,
    receiver_and_redis,
    recorded,
)
from tests.integration.receiver_main import TOKEN


@pytest.fixture
def receiver(tmp_path: Path, redis_server: RedisServer, stack: ExitStack) -> ReceiverProcess:
    """One that a test may harm, and its Redis too."""
    return stack.enter_context(ReceiverProcess(tmp_path / "receiver", redis_server.url))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceiverProcess]:
    """One that outlives its tests."""
    with receiver_and_redis(tmp_path_factory.mktemp("shared")) as (running, _):
        yield running


def test_what_was_accepted_survives_the_death_of_redis(
    receiver: ReceiverProcess, redis_server: RedisServer
) -> None:
    bodies = [b'{"n": %d}\x00\xff' % number for number in range(20)]
    accepted = {receiver.post(body).json()["id"]: body for body in bodies}

    redis_server.kill()
    away = receiver.post()
    redis_server.start()

    assert (away.status, "retry-after" in away.headers) == (503, True)
    assert recorded(redis_server) == accepted
    assert receiver.post().status == 202


def test_a_frozen_redis_is_answered_within_a_second_and_nothing_is_lost(
    receiver: ReceiverProcess, redis_server: RedisServer
) -> None:
    accepted = [receiver.post(b"before").json()["id"]]
    redis_server.suspend()
    for _ in range(3):
        started = time.monotonic()
        answer = receiver.post(b"during")
        assert time.monotonic() - started < 1
        assert (answer.status, "retry-after" in answer.headers) == (503, True)
    with RawClient(receiver.url) as client:
        assert client.call("GET", "/readyz").status == 503
        assert client.call("GET", "/healthz").status == 200

    redis_server.resume()
    wait_until(lambda: receiver.post(b"after").status == 202, 5)
    accepted.append(receiver.post(b"again").json()["id"])

    assert set(accepted) <= set(recorded(redis_server))
    assert b"after" in recorded(redis_server).values()


def test_a_sender_that_offers_another_protocol_is_recorded_whole(
    receiver: ReceiverProcess, redis_server: RedisServer
) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    request = HEAD + offer + b"Content-Length: 9\r\n\r\n" + b'{"n": 1}\n'

    raw_request(receiver, request + request.replace(b"Upgrade, HTTP2-Settings", b"close"), 10)

    assert list(recorded(redis_server).values()) == [b'{"n": 1}\n'] * 2


def test_a_slow_body_is_answered_408_and_cut(shared: ReceiverProcess) -> None:
    answer, seconds = raw_request(shared, HEAD + b"Content-Length: 100\r\n\r\n{", 5)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert BODY_TIMEOUT_S <= seconds < BODY_TIMEOUT_S + 2


def test_a_slow_head_is_cut(shared: ReceiverProcess) -> None:
    answer, seconds = raw_request(shared, HEAD, 10)

    assert answer == b""
    assert seconds < 3 * BODY_TIMEOUT_S + 2


def test_a_refused_body_that_never_ends_is_cut(shared: ReceiverProcess) -> None:
    head = HEAD.replace(SECRET.encode(), b"wrong")
    answer, seconds = raw_request(shared, head + b"Content-Length: 100\r\n\r\n{", 10)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert seconds < 3 * BODY_TIMEOUT_S + 2


def test_a_huge_body_is_answered_413_and_the_sender_hears_it(shared: ReceiverProcess) -> None:
    declared = shared.post(b"x" * (8 * 1024 * 1024))
    chunked = RawClient(shared.url)
    with chunked:
        answer = chunked.call(
            "POST", "/webhooks/eu", headers=AUTHORIZED, body=(b"x" * 65536 for _ in range(128))
        )

    assert declared.status == 413
    assert answer.status == 413


def test_conflicting_framing_is_refused(shared: ReceiverProcess) -> None:
    answer, _ = raw_request(
        shared, HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 10
    )

    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    receiver: ReceiverProcess, stack: ExitStack, number: signal.Signals
) -> None:
    with RawClient(receiver.url) as idle:
        idle.call("GET", "/healthz")

        assert receiver.end(number) == 0


def test_a_taken_port_is_one_clear_error(shared: ReceiverProcess, tmp_path: Path) -> None:
    second = ReceiverProcess(tmp_path / "second", "redis://127.0.0.1:1")
    second.port = shared.port
    second.url = "http://127.0.0.1:1"

    with pytest.raises(
        RuntimeError, match=r"ConfigError: cannot listen on 127\.0\.0\.1:\d+: Address already in use"
    ):
        second.start()


def test_the_log_and_redis_hold_no_secret(receiver: ReceiverProcess, redis_server: RedisServer) -> None:
    with RawClient(receiver.url) as client:
        assert client.call("POST", f"/webhooks/eu/{SECRET}", body=b"{}").status == 202
        assert client.call("POST", "/webhooks/eu/some-canary", body=b"{}").status == 401
        assert (
            client.call("GET", "/api/v1/status", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
        )
        assert client.call("GET", "/metrics").status == 200

    log = receiver.log.read_text()
    assert "/webhooks/eu/***" in log
    assert "canary" not in log
    redis_server.stop()
    stored = [file.read_bytes() for file in redis_server.directory.rglob("*") if file.is_file()]
    assert not any(b"canary" in content for content in stored)


def test_metrics_and_status_work_on_the_real_ledger(shared: ReceiverProcess) -> None:
    shared.post()
    with RawClient(shared.url) as client:
        metrics = client.call("GET", "/metrics").body.decode()
        status = client.call("GET", "/api/v1/status", headers={"Authorization": f"Bearer {TOKEN}"}).json()

    assert 'replicator_lag_seconds{destination="us",rule="prod",source="eu"} 0.0' in metrics
    assert 'replicator_registry_available{registry="eu"} 1.0' in metrics
    assert status["inbox"]["length"] >= 1
    assert status["lanes"][0]["lag_seconds"] == 0


def test_answers_on_a_kept_connection_come_at_once(shared: ReceiverProcess) -> None:
    # With Nagle's algorithm in the way it is 40 ms, on an idle machine too.
    assert shared.median_post_s(21) < 0.03

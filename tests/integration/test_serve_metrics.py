"""The metrics of roles without a web server: a port of their own."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from replicator.errors import ConfigError
from replicator.web.metrics import LedgerCollector
from replicator.web.scrapes import PATIENCE_S, SCRAPES, THREADS, serve_metrics
from tests.fakes.raw import RawClient
from tests.fakes.web import FixedRules, ToldLedger
from tests.integration.processes import free_port, wait_until


@pytest.fixture
def port() -> Iterator[int]:
    """Where metrics are served."""
    port = free_port()
    server, thread = serve_metrics(
        "127.0.0.1", port, LedgerCollector(rules=FixedRules(), ledger=ToldLedger())
    )
    yield port
    server.shutdown()
    thread.join()
    server.server_close()


def scraped(port: int) -> str:
    with RawClient(f"http://127.0.0.1:{port}") as client:
        return client.call("GET", "/metrics").body.decode()


def test_a_worker_answers_scrapes(port: int) -> None:
    text = scraped(port)

    assert 'replicator_lag_seconds{destination="us",rule="prod",source="eu"} 0.0' in text
    assert "# TYPE replicator_jobs_total counter" in text


def test_a_port_that_is_taken_is_an_error_that_names_it(port: int) -> None:
    with pytest.raises(
        ConfigError, match=f"cannot serve metrics on 127.0.0.1:{port}: Address already in use"
    ):
        serve_metrics("127.0.0.1", port)


def test_a_worker_answers_scrapes_over_ipv6() -> None:
    port = free_port()
    server, thread = serve_metrics("::1", port)
    try:
        with RawClient(f"http://[::1]:{port}") as client:
            assert client.call("GET", "/metrics").status == 200
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_peers_that_say_nothing_pile_no_threads_up_and_lock_nobody_out(
    port: int, stack: ExitStack, capfd: pytest.CaptureFixture[str]
) -> None:
    before = threading.active_count()
    idle = [
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        for _ in range(3 * SCRAPES)
    ]

    assert "replicator_lag_seconds" in scraped(port)
    wait_until(lambda: threading.active_count() <= before + SCRAPES, 5, what="the first are cut")
    wait_until(lambda: threading.active_count() == before, PATIENCE_S + 5, what="all are cut")
    for peer in idle:
        with contextlib.suppress(ConnectionError):
            assert peer.recv(1) == b""
    assert "Traceback" not in capfd.readouterr().err


class Hanging(Collector):
    """Gauges of a Redis that does not answer until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def collect(self) -> Iterator[Metric]:
        assert self.answers.wait(30)
        return iter(())


def test_scrapes_that_nobody_waits_for_any_more_pile_no_threads_up() -> None:
    port, ledger, before = free_port(), Hanging(), threading.active_count()
    server, thread = serve_metrics("127.0.0.1", port, ledger)
    try:
        for _ in range(2 * THREADS):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
                peer.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        most = threading.active_count() - before - 1
        ledger.answers.set()

        assert most <= THREADS
        wait_until(lambda: threading.active_count() == before + 1, PATIENCE_S + 5, what="all have ended")
        assert "replicator_jobs_total" in scraped(port)
    finally:
        ledger.answers.set()
        server.shutdown()
        thread.join()
        server.server_close()

"""The metrics of roles without a web server: a port of their own."""

import pytest

from replicator.errors import ConfigError
from replicator.web.metrics import LedgerCollector, serve_metrics
from tests.fakes.raw import RawClient
from tests.fakes.web import FixedRules, ToldLedger
from tests.integration.processes import free_port


def test_a_worker_answers_scrapes() -> None:
    port = free_port()
    server, thread = serve_metrics(
        "127.0.0.1", port, LedgerCollector(rules=FixedRules(), ledger=ToldLedger())
    )
    try:
        with RawClient(f"http://127.0.0.1:{port}") as client:
            text = client.call("GET", "/metrics").body.decode()
        with pytest.raises(ConfigError, match="cannot serve metrics on 127"):
            serve_metrics("127.0.0.1", port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

    assert 'replicator_lag_seconds{destination="us",rule="prod",source="eu"} 0.0' in text
    assert "# TYPE replicator_jobs_total counter" in text

"""The commands that run: `up` and its single roles."""

import os
import signal
import sys
import tempfile

import typer

from replicator.errors import ConfigError
from replicator.ledger import Recorder, connect_async
from replicator.runtime import Runtime, api_read_token, api_token
from replicator.settings import Settings
from replicator.telemetry import setup_logging, setup_tracing, shutdown_tracing
from replicator.up import make_token, tree
from replicator.web.app import create_app
from replicator.web.authentication import Tokens
from replicator.web.heartbeat import heartbeat
from replicator.web.receiver import Bounds
from replicator.web.server import serve as serve_http


def up(settings: Settings) -> None:
    """Run the whole tree until SIGINT or SIGTERM. Raises ConfigError if it does not come up within 30 s."""
    if settings.port == 0:
        raise ConfigError("REPLICATOR_PORT (or --port): `up` needs a port other than 0")
    setup_logging(settings.log_level, settings.log_format)
    _ = Runtime(settings).book  # mistakes in the rules are told before anything starts
    supervisor = tree(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    supervisor.start()
    typer.echo(f"replicator is ready on http://{settings.host}:{settings.port}")
    if settings.read_api_token() is None:
        typer.echo(f"API token: {make_token(settings.data)}")
    try:
        supervisor.watch()
    finally:
        supervisor.shut_down()


def serve(settings: Settings) -> None:
    """Run the receiver until SIGINT or SIGTERM."""
    setup_logging(settings.log_level, settings.log_format)
    tokens = Tokens(api_token(settings), api_read_token(settings))
    runtime = Runtime(settings, keeps_rules=True)
    setup_tracing("receiver", settings.trace_exporter)
    runtime.warn_of_rules()
    app = create_app(
        rules=runtime.book,
        desk=runtime.desk,
        record=Recorder(connect_async(runtime.redis_url)).record,
        tokens=tokens,
        bounds=Bounds(settings.webhook_limit_bytes, settings.webhook_timeout_s),
    )
    beating = heartbeat(runtime.ledger.suspects, lambda: runtime.rules, outage_s=settings.outage_s)
    try:
        with beating:
            serve_http(app, settings.host, settings.port, body_timeout_s=settings.webhook_timeout_s)
    finally:
        shutdown_tracing()


def worker(settings: Settings, destinations: str) -> None:
    """Become the worker process."""
    _become("worker", settings, "--destinations", destinations)


def scheduler(settings: Settings) -> None:
    """Become the scheduler process."""
    _become("scheduler", settings)


def _become(role: str, settings: Settings, *arguments: str) -> None:
    # The roles live in a package that this one never imports.
    environment = {
        "REPLICATOR_RULES": str(settings.rules),
        "REPLICATOR_DATA": str(settings.data),
        "REPLICATOR_CONCURRENCY": str(settings.concurrency),
    }
    if settings.metrics_port is not None:
        environment["REPLICATOR_METRICS_PORT"] = str(settings.metrics_port)
        # The pool's children count for themselves; what the port shows is the sum.
        environment["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="replicator-metrics-")
    command = [sys.executable, "-m", "workers", role, *arguments]
    os.execve(sys.executable, command, {**os.environ, **environment})  # noqa: S606 - our own module

"""`python -m workers worker|scheduler`: one role, as `replicator worker` and `replicator scheduler` start it."""

import argparse
import logging
import signal
import sys
import threading

from replicator.errors import ConfigError
from replicator.runtime import Runtime
from replicator.settings import Settings
from replicator.telemetry import setup_logging, setup_tracing, shutdown_tracing
from replicator.web.metrics import LedgerCollector
from replicator.web.scrapes import serve_metrics
from workers.app import Worker
from workers.loops import run_scheduler

log = logging.getLogger("workers")


def main() -> int:
    """Run the role that the command line names until a signal ends it."""
    parser = argparse.ArgumentParser(prog="workers")
    parser.add_argument("role", choices=("worker", "scheduler"))
    parser.add_argument("--destinations", default="", help="serve only these destinations, comma-separated")
    options = parser.parse_args()
    try:
        settings = Settings.load()
        setup_logging(settings.log_level, settings.log_format)
        if options.role == "worker":
            return _work(settings, options.destinations)
        return _schedule(settings)
    except ConfigError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - a mouth
        return 1


def _work(settings: Settings, destinations: str) -> int:
    names = [name.strip() for name in destinations.split(",") if name.strip()]
    if destinations and not names:
        raise ConfigError("--destinations: names no destination")
    worker = Worker(settings, names)
    if unknown := sorted(worker.only - worker.runtime.rules.registries.keys()):
        raise ConfigError(f"--destinations: no rule file describes {', '.join(map(repr, unknown))}")
    _offer_metrics(settings, worker.runtime)
    worker.run()
    return 0


def _schedule(settings: Settings) -> int:
    runtime = Runtime(settings, keeps_rules=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    setup_tracing("scheduler", settings.trace_exporter)
    _offer_metrics(settings, runtime)
    runtime.warn_of_redis()
    run_scheduler(runtime, stop)
    shutdown_tracing()
    return 0


def _offer_metrics(settings: Settings, runtime: Runtime) -> None:
    if settings.metrics_port is not None:
        serve_metrics(
            settings.metrics_host,
            settings.metrics_port,
            LedgerCollector(rules=runtime.book, ledger=runtime.ledger),
        )


if __name__ == "__main__":
    sys.exit(main())

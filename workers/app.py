"""The worker process: Celery's prefork pool, consuming a queue for every destination, new ones included."""

import logging
import os
import platform
import signal
import warnings
from collections.abc import Iterable

from celery import Celery, bootsteps
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown, worker_shutting_down
from celery.worker.consumer import Consumer

from replicator.broker import WORKER_OPTIONS, add_queue, make_app, queue_name
from replicator.errors import ReplicatorError
from replicator.runtime import Runtime
from replicator.settings import Settings
from replicator.telemetry import setup_tracing, shutdown_tracing
from workers.connection import EagerConnection
from workers.quarantine import watch
from workers.tasks import offer

log = logging.getLogger(__name__)

STOP_WITHIN_S = 25
"""How long running jobs may take once the worker was told to stop; then they are put back."""
BEAT_S = 2.0
"""How often the worker looks for new destinations and says that it lives."""


class Worker:
    """One worker process and its children. Each child builds a runtime of its own, after the fork."""

    def __init__(self, settings: Settings, destinations: Iterable[str]) -> None:
        self.settings = settings
        self.only = frozenset(destinations)
        self.runtime = Runtime(settings, keeps_rules=True)
        self.name = f"{platform.node()}-{os.getpid()}"
        self.runtime.warm()
        watch()
        self.app: Celery = make_app(self.runtime.redis_url, self._mine(self.runtime.rules.destinations))
        self.app.amqp.Connection = EagerConnection
        self.app.steps["consumer"].add(Beat)
        self.app.replicator_worker = self
        offer(self.app, lambda: self.runtime.tools)
        # It warns of pickle as root. Nothing but JSON is read here, and containers have their own uid.
        warnings.simplefilter("ignore", SecurityWarning)
        # A doorbell that comes while we stop goes back to its queue, and the ledger would ring again anyway.
        logging.getLogger("kombu.transport.virtual.base").setLevel(logging.ERROR)
        # Whoever connects to this signal sets up logging; Celery then leaves it alone.
        setup_logging.connect(_nothing, weak=False)
        worker_process_init.connect(self._child_begins, weak=False)
        worker_process_shutdown.connect(_child_ends, weak=False)
        worker_shutting_down.connect(_stop_in_time, weak=False)

    def destinations(self) -> list[str]:
        """The destinations that this worker serves now: all that are rung for, or of these those it was told.

        They are more than the rules': what was wanted of a destination before it left the rules has to end, too.
        Raises LedgerUnavailable.
        """
        return self._mine(self.runtime.ledger.destinations() | set(self.runtime.rules.destinations))

    def _mine(self, names: Iterable[str]) -> list[str]:
        return sorted(name for name in names if not self.only or name in self.only)

    def run(self) -> None:
        """Work until a signal ends it."""
        self.app.Worker(concurrency=self.settings.concurrency, **WORKER_OPTIONS).start()

    def _child_begins(self, **_: object) -> None:
        # Connections must not cross a fork. The rules may, as long as nobody minds the thread that answers scrapes.
        self.runtime = Runtime(self.settings, book=self.runtime.book.forked())
        setup_tracing("worker", self.settings.trace_exporter)


def _nothing(**_: object) -> None:
    return


def _stop_in_time(how: str, **_: object) -> None:
    # SIGTERM lets Celery wait for running jobs, however long; SIGQUIT is how it is told to cancel them. (Its "soft
    # shutdown" does both, but always waits to the end, even if the jobs end at once.)
    if how == "Warm":
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGQUIT))
        signal.alarm(STOP_WITHIN_S)


def _child_ends(**_: object) -> None:
    shutdown_tracing()


class Beat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs in the consumer's own event loop: consumes new destinations' queues, and counts this worker's slots."""

    requires = {"celery.worker.consumer.tasks:Tasks"}  # noqa: RUF012 - Celery reads a plain set here

    def start(self, consumer: Consumer) -> None:
        """Begin to beat."""
        self._entry = consumer.timer.call_repeatedly(BEAT_S, self._beat, (consumer,))
        self._beat(consumer)

    def stop(self, consumer: Consumer) -> None:
        """Stop beating, and take this worker's slots back."""
        self._entry.cancel()
        worker: Worker = consumer.app.replicator_worker
        try:
            worker.runtime.ledger.heartbeat(worker.name, 0)
        except ReplicatorError as exc:
            log.warning("no farewell", extra={"why": str(exc)})

    def _beat(self, consumer: Consumer) -> None:
        worker: Worker = consumer.app.replicator_worker
        try:
            for name in worker.destinations():
                add_queue(consumer.app, name)
                if not consumer.task_consumer.consuming_from(queue_name(name)):
                    log.info("serving destination", extra={"destination": name})
                    consumer.add_task_queue(queue_name(name))
            worker.runtime.ledger.heartbeat(worker.name, worker.settings.concurrency, worker.only)
        except ReplicatorError as exc:
            log.warning("no heartbeat", extra={"why": str(exc)})

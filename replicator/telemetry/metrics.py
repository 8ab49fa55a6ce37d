"""Every instrument of ours. Gauges are not here: they are state, computed from the ledger at scrape time.

With PROMETHEUS_MULTIPROC_DIR, which prometheus_client reads itself, counters are the sum over the files that processes
keep there. A file belongs to one process at a time, and who comes later goes on with one that a dead process left:
files named by pid would grow in number with every child of a worker, and a scrape reads them all.
"""

import fcntl
import itertools
import os
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

# The `_created` twin of every series doubles a scrape and tells nobody anything.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _Place:
    """Which of the numbered files in `directory` are this process's own: the first that no living process has."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: TextIOWrapper | None = None
        self._pid = 0
        self._number = 0

    def __call__(self) -> str:
        """The number, as text. A fork makes another process, with another number."""
        if self._pid != os.getpid():
            self._take()
        return str(self._number)

    def _take(self) -> None:
        if self._lock:
            self._lock.close()  # the parent's: it keeps it, because this was only our copy of it
        self._directory.mkdir(parents=True, exist_ok=True)
        for number in itertools.count():
            lock = (self._directory / f"{number}.lock").open("a", encoding="ascii")
            try:
                # The kernel ends the lock with the process, however that ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self._lock, self._pid, self._number = lock, os.getpid(), number
            return


_shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
if _shared:
    # The library's way to name files by something else than the pid; it must come before the first instrument.
    values.ValueClass = values.MultiProcessValue(_Place(Path(_shared)))  # type: ignore[no-untyped-call]

PROPAGATION_SECONDS = Histogram(
    "replicator_propagation_seconds",
    "From the event at the source to the verified reference at the destination.",
    ["rule", "destination"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600),
)
JOBS = Counter("replicator_jobs_total", "Jobs by how they ended.", ["rule", "destination", "outcome"])
SWEEP_REPAIRS = Counter(
    "replicator_sweep_repairs_total",
    "References that a comparison had brought in line, because no event told of their change.",
    ["rule", "destination"],
)
BYTES = Counter("replicator_bytes_total", "Payload bytes uploaded.", ["source", "destination"])
BLOBS = Counter(
    "replicator_blobs_total",
    "Blobs by how they came: copied, mounted, present, resumed.",
    ["destination", "how"],
)
REGISTRY_REQUESTS = Counter(
    "replicator_registry_requests_total", "Requests to a registry.", ["registry", "method", "status"]
)
REGISTRY_REQUEST_SECONDS = Histogram(
    "replicator_registry_request_seconds",
    "Seconds until a registry answered.",
    ["registry", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
EVENTS = Counter(
    "replicator_events_total",
    "Events by what became of them: accepted, ignored, rejected, unmatched.",
    ["registry", "action", "result"],
)


def observe_request(registry: str, method: str, status: int, seconds: float) -> None:
    """Count one request to a registry; `status` 0 stands for no answer."""
    labels = (registry, method, str(status))
    REGISTRY_REQUESTS.labels(*labels).inc()
    REGISTRY_REQUEST_SECONDS.labels(*labels).observe(seconds)


class _Joined(Collector):
    """What several collectors have, as one: prometheus_client cannot nest registries."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterable[Metric]:
        for collector in self._collectors:
            yield from collector.collect()


def metrics_registry(*collectors: Collector) -> CollectorRegistry:
    """Everything that this process can report, and what `collectors` compute when they are asked.

    Where PROMETHEUS_MULTIPROC_DIR is set, counters are the sums over all processes that share it, dead ones included.
    """
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(_Joined(*collectors))
    except ValueError:  # the library's word for "PROMETHEUS_MULTIPROC_DIR is not set"
        registry.register(_Joined(REGISTRY, *collectors))
    return registry


def render_metrics(*collectors: Collector) -> bytes:
    """The text that Prometheus scrapes."""
    return generate_latest(metrics_registry(*collectors))

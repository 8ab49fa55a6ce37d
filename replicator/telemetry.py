"""Logs, metrics and traces of every process: how they look, what they are called, and what never gets into them.

Every instrument of ours is declared here. Gauges are not: they are state, and whoever may read the ledger computes
them at scrape time. Nothing here reads the environment; the OpenTelemetry SDK and prometheus_client read their own
standard variables themselves.
"""

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

# --- Redaction ------------------------------------------------------------------------------------------------------
# Every pattern is linear in its input: log lines may quote what a hostile peer sent.

HIDDEN = "***"

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Header lines and header mappings, whatever the scheme.
    (
        re.compile(
            r"""(?i)\b((?:proxy-)?authorization|x-jfrog-event-auth|cookie)\b(["']?\s{0,4}[:=]\s{0,4}["']?)"""
            r"""(?:(?:basic|bearer|digest|negotiate)\s+)?[^\s"',;]+"""
        ),
        rf"\1\2{HIDDEN}",
    ),
    # A credential quoted without its header. Words of prose ("basic authentication") have no digit, capital or `=`.
    (re.compile(r"\b((?i:basic|bearer))\s+(?=[a-z~+/_.-]*[0-9A-Z=])[\w.~+/=-]{6,}"), rf"\1 {HIDDEN}"),
    # User info of a URL: everything up to the last @ of the authority.
    (re.compile(r"""://[^\s/?#"]*@"""), f"://{HIDDEN}@"),
    (re.compile(r"""(/webhooks/[^/\s?"'#]+/)[^\s?"'#]+"""), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"""(?i)([?&;\s](?:[a-z_-]{0,20}token|sig|signature|x-amz-[a-z-]{1,30}|x-goog-[a-z-]{1,30}|"""
            r"""(?:[a-z]{1,10}_)?secret|passw(?:or)?d|credential|code)=)[^&\s"'#]+"""
        ),
        rf"\1{HIDDEN}",
    ),
    # JSON answers of token servers.
    (
        re.compile(r"""(?i)(["'](?:[a-z]{1,10}_)?(?:token|secret|password)["']\s{0,4}:\s{0,4}["'])[^"']+"""),
        rf"\1{HIDDEN}",
    ),
)
# No pattern matches without one of these.
_SEPARATOR = re.compile(r"[:=/\s]")
_SECRET_NAMES = re.compile(r"(?i)authorization|password|passwd|secret|token\Z|cookie")


def redact(text: str) -> str:
    """`text` without credentials: Authorization values, user info and signatures in URLs, secrets in webhook paths."""
    if not _SEPARATOR.search(text):
        return text
    for pattern, replacement in _SECRETS:
        # Searching first is cheaper: `sub` parses its replacement each time, and hardly a line holds a secret.
        if pattern.search(text):
            text = pattern.sub(replacement, text)
    return text


# --- Logs -----------------------------------------------------------------------------------------------------------

_PLAIN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_QUIET = ("celery", "httpx", "httpcore", "urllib3", "uvicorn", "kombu", "amqp", "redis")


class TextFormatter(logging.Formatter):
    """One line: time, level, logger, phrase, then the data as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The redacted line, followed by a traceback if the record has one."""
        fields = " ".join(f"{name}={_shown(value)}" for name, value in _data(record).items())
        phrase = _one_line(redact(record.getMessage()))
        line = f"{_clock(record)} {record.levelname:<7} {record.name}: {phrase} {fields}".rstrip()
        cause = _traceback(self, record)
        return f"{line}\n{cause}" if cause else line


class JSONFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The redacted object."""
        document = {
            "time": _clock(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_data(record),
        }
        cause = _traceback(self, record)
        if cause:
            document["exception"] = cause
        return json.dumps(document, default=str)


def setup_logging(level: str, style: Literal["text", "json"]) -> None:
    """From now on this process logs to stderr, at `level` and above, redacted; noisy libraries from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)


def _data(record: logging.LogRecord) -> dict[str, object]:
    found = {
        name: HIDDEN if _SECRET_NAMES.search(name) else _clean(value)
        for name, value in vars(record).items()
        if name not in _PLAIN_ATTRIBUTES
    }
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        found.setdefault("trace_id", f"{span.trace_id:032x}")
    return found


def _clean(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if _SECRET_NAMES.search(str(key)) else _clean(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    return redact(str(value))


def _shown(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and text and " " not in text and "=" not in text else repr(text)


def _one_line(text: str) -> str:
    # A name or error body from outside must not be able to write a second line, or to colour the terminal.
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _clock(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return redact(formatter.formatException(record.exc_info)) if record.exc_info else ""


# --- Metrics --------------------------------------------------------------------------------------------------------

# The `_created` twin of every series doubles a scrape and tells nobody anything.
disable_created_metrics()  # type: ignore[no-untyped-call]

PROPAGATION_SECONDS = Histogram(
    "replicator_propagation_seconds",
    "From the event at the source to the verified reference at the destination.",
    ["rule", "destination"],
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600),
)
JOBS = Counter("replicator_jobs_total", "Jobs by how they ended.", ["rule", "destination", "outcome"])
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


# --- Traces ---------------------------------------------------------------------------------------------------------

tracer = trace.get_tracer("replicator")
"""Makes real spans once `setup_tracing` ran, and spans that cost next to nothing before."""

# https://www.w3.org/TR/trace-context/#traceparent-header, version 00. Neither id may be all zeros.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})\Z")
# Entry points by which the exporters install themselves; loading only the one that is wanted saves every other
# process 0.3 s and the memory of an HTTP client and protobuf.
_EXPORTERS = {"otlp": "otlp_proto_http", "console": "console"}


def setup_tracing(role: str, exporter: Literal["otlp", "console"] | None) -> None:
    """From now on spans of this process go to `exporter`; with None nothing happens. Call it after a fork, once."""
    if exporter is None:
        return
    (entry,) = entry_points(group="opentelemetry_traces_exporter", name=_EXPORTERS[exporter])
    resource = Resource.create({"replicator.role": role})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "replicator"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(entry.load()()))
    trace.set_tracer_provider(provider)


def shutdown_tracing() -> None:
    """Hands over the spans that still wait. A process that ends without this loses them."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def new_traceparent() -> str:
    """A trace of its own, so that a job can be followed through logs and API where nothing exports spans."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def is_traceparent(text: str) -> bool:
    """True for a `traceparent` header of version 00 with valid ids."""
    return _TRACEPARENT.match(text) is not None


def traceparent_of(span: trace.SpanContext) -> str | None:
    """The `traceparent` that carries `span` to another process; None for the span of a switched-off tracer."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else None


def context_from(traceparent: str | None) -> otel_context.Context:
    """The context whose child spans continue `traceparent`; an empty one where it is missing or invalid."""
    found = _TRACEPARENT.match(traceparent or "")
    if not found:
        return otel_context.Context()
    span = trace.SpanContext(
        trace_id=int(found[1], 16),
        span_id=int(found[2], 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(found[3], 16)),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(span), otel_context.Context())

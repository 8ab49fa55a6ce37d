"""Logs, metrics and traces of every process: how they look, what they are called, and what never gets into them."""

from replicator.telemetry.logs import JSONFormatter, TextFormatter, setup_logging
from replicator.telemetry.metrics import (
    BLOBS,
    BYTES,
    EVENTS,
    JOBS,
    PROPAGATION_SECONDS,
    REGISTRY_REQUEST_SECONDS,
    REGISTRY_REQUESTS,
    SWEEP_REPAIRS,
    metrics_registry,
    observe_request,
    render_metrics,
)
from replicator.telemetry.redaction import redact
from replicator.telemetry.traces import (
    context_from,
    is_traceparent,
    is_tracing,
    new_traceparent,
    setup_tracing,
    shutdown_tracing,
    traceparent_of,
    tracer,
)

__all__ = [
    "BLOBS",
    "BYTES",
    "EVENTS",
    "JOBS",
    "PROPAGATION_SECONDS",
    "REGISTRY_REQUESTS",
    "REGISTRY_REQUEST_SECONDS",
    "SWEEP_REPAIRS",
    "JSONFormatter",
    "TextFormatter",
    "context_from",
    "is_traceparent",
    "is_tracing",
    "metrics_registry",
    "new_traceparent",
    "observe_request",
    "redact",
    "render_metrics",
    "setup_logging",
    "setup_tracing",
    "shutdown_tracing",
    "traceparent_of",
    "tracer",
]

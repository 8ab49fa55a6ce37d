"""Traces: one from the webhook to the verified copy, carried between processes as a W3C `traceparent`.

The OpenTelemetry SDK reads its own standard variables itself.
"""

import re
import secrets
import sys
from importlib.metadata import entry_points
from typing import Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

tracer = trace.get_tracer("replicator")
"""Makes real spans once `setup_tracing` ran, and spans that cost next to nothing before."""

# https://www.w3.org/TR/trace-context/#traceparent-header, version 00. Neither id may be all zeros.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})\Z")


def setup_tracing(role: str, exporter: Literal["otlp", "console"] | None) -> None:
    """From now on spans of this process go to `exporter`; with None nothing happens. Call it after a fork, once."""
    if exporter is None:
        return
    resource = Resource.create({"replicator.role": role})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "replicator"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(_exporter(exporter)))
    trace.set_tracer_provider(provider)


def _exporter(name: Literal["otlp", "console"]) -> SpanExporter:
    if name == "console":
        # Beside the log, a line each: under `up` the stdout of a role is nobody's.
        return ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: f"{span.to_json(indent=None)}\n")
    # By its entry point: loading it only where it is wanted saves every other process 0.3 s and the memory of an HTTP
    # client and protobuf.
    (entry,) = entry_points(group="opentelemetry_traces_exporter", name="otlp_proto_http")
    exporter: SpanExporter = entry.load()()
    return exporter


def is_tracing() -> bool:
    """Whether spans of this process go anywhere."""
    return isinstance(trace.get_tracer_provider(), TracerProvider)


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

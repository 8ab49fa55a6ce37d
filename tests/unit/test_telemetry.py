"""Logs hide secrets and cannot be forged; metrics add up over processes; traces have an id even when nobody exports."""

import json
import logging
import os
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from replicator.telemetry import (
    JSONFormatter,
    TextFormatter,
    context_from,
    is_traceparent,
    new_traceparent,
    redact,
    render_metrics,
    traceparent_of,
    tracer,
)

CANARY = "C4nary/s3cret+value=="


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: Basic {CANARY}",
        f"Proxy-Authorization: {CANARY}",
        f"{{'Authorization': 'Bearer {CANARY}'}}",
        f'{{"authorization": "{CANARY}"}}',
        f"sent Bearer {CANARY} to the registry",
        f"https://user:{CANARY.replace('/', '%2F')}@registry.example.com/v2/",
        f"redis://:p@ss{CANARY.replace('/', '')}@redis:6379/0",
        f"POST /webhooks/eu/{CANARY} HTTP/1.1",
        f"http://host/webhooks/eu/{CANARY}?x=1",
        f"https://blobs.example.com/a?X-Amz-Signature={CANARY}&x=1",
        f"https://blobs.example.com/a?x=1&sig={CANARY}",
        f"https://auth.example.com/token?refresh_token={CANARY}",
        f'{{"access_token": "{CANARY}", "expires_in": 300}}',
        f"login with password={CANARY} failed",
    ],
)
def test_secrets_are_cut_out(text: str) -> None:
    shown = redact(text)

    assert "s3cret" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "basic authentication failed",
        "the bearer challenge names no realm",
        "GET https://registry.example.com/v2/payments/api/manifests/v1 gave 404",
        "sha256:" + "a" * 64,
        "POST /webhooks/eu",
        "mail to someone@example.com",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "unit", ["a", "://", "Bearer ", "?token=", "Authorization", " ", "/webhooks/", '"token":']
)
def test_hostile_text_costs_linear_time(unit: str) -> None:
    started = time.perf_counter()
    redact(unit * (200_000 // len(unit)))

    assert time.perf_counter() - started < 2


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "replicator.test", "levelname": "INFO", "levelno": logging.INFO, "msg": message}
    )
    vars(made).update(extra)
    return made


def test_a_json_line_holds_phrase_and_data() -> None:
    line = json.loads(JSONFormatter().format(record("job done", rule="prod", attempts=2, digest=None)))

    assert line["message"] == "job done"
    assert (line["rule"], line["attempts"], line["digest"]) == ("prod", 2, None)
    assert line["level"] == "info"
    assert line["time"].endswith("Z")


def test_a_text_line_holds_phrase_and_data() -> None:
    line = TextFormatter().format(record("job done", rule="prod", reason="two words"))

    assert line.endswith("replicator.test: job done rule=prod reason='two words'")


@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()])
def test_secrets_in_data_and_tracebacks_are_cut_out(formatter: logging.Formatter) -> None:
    made = record(
        f"got Authorization: Bearer {CANARY}",
        url=f"https://u:{CANARY}@host/".replace("/s3", "s3"),
        headers={"Authorization": CANARY, "x": [f"Bearer {CANARY}"]},
        api_token=CANARY,
    )
    cause = ValueError(f"Authorization: Basic {CANARY}")
    made.exc_info = (ValueError, cause, None)

    assert "s3cret" not in formatter.format(made)


@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()])
def test_a_hostile_name_writes_no_second_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("pushed a\nb\x1b[31m", tag="v1\n2030-01-01 ERROR forged"))

    assert "\n" not in line
    assert "\x1b" not in line


def test_every_instrument_of_the_contract_is_there() -> None:
    text = render_metrics().decode()

    for name in (
        "replicator_propagation_seconds",
        "replicator_jobs_total",
        "replicator_bytes_total",
        "replicator_blobs_total",
        "replicator_registry_requests_total",
        "replicator_registry_request_seconds",
        "replicator_events_total",
    ):
        assert f"# TYPE {name} " in text


COUNT = """
import os, signal
from replicator.telemetry import JOBS, PROPAGATION_SECONDS
JOBS.labels("r", "d", "copied").inc(3)
PROPAGATION_SECONDS.labels("r", "d").observe(0.2)
os.kill(os.getpid(), signal.SIGKILL)
"""
RENDER = "from replicator.telemetry import render_metrics; print(render_metrics().decode())"


def test_counters_of_killed_processes_keep_counting(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", COUNT], env=environment, check=False)

    shown = subprocess.run(
        [sys.executable, "-c", RENDER], env=environment, check=True, capture_output=True, text=True
    ).stdout

    assert 'replicator_jobs_total{destination="d",outcome="copied",rule="r"} 6.0' in shown
    assert 'replicator_propagation_seconds_count{destination="d",rule="r"} 2.0' in shown


FORK = """
import os, signal, time
from replicator.telemetry import JOBS

def count():
    JOBS.labels("r", "d", "copied").inc()

def child():
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        count()
        os.write(writes, b"!")
        time.sleep(60)
    os.read(reads, 1)
    return pid

def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

count()
living = [child() for _ in range(4)]
for _ in range(20):
    end(living.pop(0))
    living.append(child())
count()
for pid in living:
    end(pid)
"""


def test_processes_that_come_and_go_leave_no_more_files_than_live_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
    (tmp_path / "metrics").mkdir()
    # Two heads share the directory, as receiver and worker do; each has four children at any time.
    heads = [subprocess.Popen([sys.executable, "-c", FORK], env=environment) for _ in range(2)]
    assert [head.wait(30) for head in heads] == [0, 0]

    shown = subprocess.run(
        [sys.executable, "-c", RENDER], env=environment, check=True, capture_output=True, text=True
    ).stdout

    assert 'replicator_jobs_total{destination="d",outcome="copied",rule="r"} 52.0' in shown
    assert len(list((tmp_path / "metrics").glob("*.db"))) <= 10


LOGGING = """
import logging
from replicator.telemetry import setup_logging, setup_tracing, shutdown_tracing, tracer
setup_logging("info", "json")
setup_tracing("receiver", {exporter!r})
logging.getLogger("httpx").info("GET https://user:canary@host")
logging.getLogger("botocore.credentials").info("Found credentials of canary")
with tracer.start_as_current_span("job"):
    logging.getLogger("replicator.x").info("done", extra={{"rule": "prod"}})
shutdown_tracing()
"""


def ran(exporter: str | None) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """What a process that logs and traces wrote to stderr: its spans, and its log lines."""
    code = LOGGING.format(exporter=exporter)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == ""
    written = [json.loads(line) for line in done.stderr.splitlines()]
    return [line for line in written if "level" not in line], [line for line in written if "level" in line]


def test_logs_go_to_stderr_without_the_noise_of_libraries() -> None:
    spans, lines = ran(None)

    assert [(line["message"], line["rule"]) for line in lines] == [("done", "prod")]
    assert "trace_id" not in lines[0]
    assert spans == []


def test_spans_go_where_they_were_asked_and_log_lines_name_their_trace() -> None:
    spans, lines = ran("console")

    (span,) = spans
    assert span["name"] == "job"
    assert '"service.name": "replicator"' in json.dumps(span)
    assert str(lines[0]["trace_id"]) in json.dumps(span)


def test_the_otlp_exporter_is_installed() -> None:
    assert [
        entry.name for entry in entry_points(group="opentelemetry_traces_exporter", name="otlp_proto_http")
    ]


def test_a_made_up_trace_is_valid_and_new_each_time() -> None:
    first, second = new_traceparent(), new_traceparent()

    assert is_traceparent(first)
    assert first != second


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "G" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01\n",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-extra",
    ],
)
def test_a_malformed_trace_is_not_continued(text: str) -> None:
    assert not is_traceparent(text)
    assert not context_from(text)


def test_a_span_continues_the_trace_it_was_given() -> None:
    sent = new_traceparent()

    with TracerProvider().get_tracer("test").start_as_current_span("job", context=context_from(sent)) as span:
        carried = traceparent_of(span.get_span_context())

    assert carried is not None
    assert carried.split("-")[1] == sent.split("-")[1]
    assert carried != sent


def test_with_tracing_off_the_senders_trace_is_handed_on_as_it_is() -> None:
    sent = new_traceparent()

    with tracer.start_as_current_span("job", context=context_from(sent)) as span:
        assert traceparent_of(span.get_span_context()) == sent
    with tracer.start_as_current_span("job", context=context_from(None)) as span:
        assert traceparent_of(span.get_span_context()) is None
    assert traceparent_of(trace.INVALID_SPAN_CONTEXT) is None

"""How log lines look: a constant phrase with its data, as text or as JSON, redacted."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from typing import Literal

from opentelemetry import trace

from replicator.telemetry.redaction import HIDDEN, is_secret_name, redact

_PLAIN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_QUIET = ("botocore", "celery", "httpx", "httpcore", "urllib3", "uvicorn", "kombu", "amqp", "redis")


class TextFormatter(logging.Formatter):
    """One line: time, level, logger, phrase, then the data as name=value. A traceback follows, indented: what it quotes
    cannot pass for a line of ours."""

    def format(self, record: logging.LogRecord) -> str:
        """The redacted line, followed by a traceback if the record has one."""
        fields = " ".join(f"{name}={_shown(value)}" for name, value in _data(record).items())
        phrase = _one_line(redact(record.getMessage()))
        line = f"{_clock(record)} {record.levelname:<7} {record.name}: {phrase} {fields}".rstrip()
        cause = "".join(f"\n  {_one_line(part)}" for part in _traceback(self, record).split("\n") if part)
        return line + cause


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
        name: HIDDEN if is_secret_name(name) else _clean(value)
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
        return {str(key): HIDDEN if is_secret_name(str(key)) else _clean(item) for key, item in value.items()}
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

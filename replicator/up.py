"""`replicator up`: which processes make up the tree, and what they need on disk."""

import http.client
import secrets
import shutil
import socket
import sys
import time
from pathlib import Path

from replicator.embedded import server_command
from replicator.errors import ConfigError, ReplicatorError
from replicator.ledger import Ledger
from replicator.runtime import embedded_socket, redis_url
from replicator.settings import Settings
from replicator.supervisor import Child, Supervisor

PORT_WITHIN_S = 1.0
"""A receiver that was ended for us may keep its port a moment longer than its lock."""


def make_token(data: Path) -> Path:
    """The file with the API token of `data`, made if it is not there or empty; only its owner can read it."""
    path = (data / "api-token").resolve()
    data.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > 0:
        return path
    # Written beside it: whoever is killed here leaves no token, rather than an empty one.
    begun = path.with_suffix(".new")
    begun.unlink(missing_ok=True)
    begun.touch(mode=0o600)
    begun.write_text(secrets.token_urlsafe(32) + "\n", encoding="ascii")
    return begun.rename(path)


def tree(settings: Settings) -> Supervisor:
    """The whole tree, not started yet."""
    metrics = settings.data.resolve() / "metrics"

    def prepare() -> None:
        _await_port(settings.host, settings.port)
        # Counters begin anew with the tree; all its processes share them.
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(parents=True)

    return Supervisor(settings.data, _stages(settings, metrics), prepare=prepare)


def _await_port(host: str, port: int) -> None:
    """Make sure that our receiver can listen there: if another tree does, that one would answer in its place."""
    deadline = time.monotonic() + PORT_WITHIN_S
    while problem := _problem_of_listening(host, port):
        if time.monotonic() > deadline:
            raise ConfigError(f"cannot listen on {host}:{port}: {problem}")
        time.sleep(PORT_WITHIN_S / 20)


def _problem_of_listening(host: str, port: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        socket.create_server((host, port), family=family, dualstack_ipv6=both).close()
    except OSError as exc:
        return exc.strerror or str(exc)
    return None


def _stages(settings: Settings, metrics: Path) -> list[list[Child]]:
    """The processes in the order in which they start: Redis before those who need it."""
    url = redis_url(settings)
    environment = {
        "REPLICATOR_REDIS_URL": url,
        "REPLICATOR_DATA": str(settings.data.resolve()),
        "REPLICATOR_RULES": str(settings.rules.resolve()),
        "REPLICATOR_HOST": settings.host,
        "REPLICATOR_PORT": str(settings.port),
        "REPLICATOR_LOG_LEVEL": settings.log_level,
        "REPLICATOR_LOG_FORMAT": settings.log_format,
        # The receiver shows the metrics of all; a second and third port would only be in the way.
        "REPLICATOR_METRICS_PORT": "",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }
    if settings.read_api_token() is None:
        environment |= {
            "REPLICATOR_API_TOKEN": "",
            "REPLICATOR_API_TOKEN_FILE": str(make_token(settings.data)),
        }
    roles = [
        Child(
            "receiver",
            [sys.executable, "-m", "replicator", "serve"],
            is_ready=lambda: _answers(settings),
            environment=environment,
        ),
        Child("scheduler", [sys.executable, "-m", "workers", "scheduler"], environment=environment),
        Child(
            "worker",
            [sys.executable, "-m", "workers", "worker"],
            is_ready=lambda: _has_workers(url),
            environment=environment,
        ),
    ]
    if settings.redis_url is None:
        command = server_command(settings.data, embedded_socket(settings.data))
        return [[Child("redis", command, is_ready=lambda: _pings(url), gentle=True)], roles]
    return [roles]


def _pings(url: str) -> bool:
    ledger = Ledger.connect(url)
    try:
        ledger.ping()
    except ReplicatorError:
        return False
    finally:
        ledger.close()
    return True


def _has_workers(url: str) -> bool:
    ledger = Ledger.connect(url)
    try:
        return ledger.slots() > 0
    except ReplicatorError:
        return False
    finally:
        ledger.close()


def _answers(settings: Settings) -> bool:
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

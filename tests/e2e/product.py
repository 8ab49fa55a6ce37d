"""A running `replicator up`, as an operator's shell starts it: in a process group of its own, watched from outside.

It knows the product's command line, its HTTP face and its data directory, and nothing of its code.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.raw import Answer, RawClient
from tests.integration.processes import free_port, wait_until

READY_WITHIN_S = 30.0
"""What is promised (`replicator up`: ready within 30 s)."""
STOPS_WITHIN_S = 35.0

PROGRAM = Path(sys.executable).with_name("replicator")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed, parsed."""
        return json.loads(self.out)


def run(
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    program: Path = PROGRAM,
    timeout_s: float = 60.0,
) -> Done:
    """Run `replicator` with `arguments` to its end. Of the settings outside, only `environment` reaches it."""
    ended = subprocess.run(
        [program, *arguments],
        env=outside(environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Done(ended.returncode, ended.stdout, ended.stderr)


class Replicator:
    """`replicator up` on a rules directory and a data directory of its own. Leaving the context kills all of it."""

    def __init__(
        self, directory: Path, *, port: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.rules = directory / "rules"
        self.rules.mkdir(parents=True)
        self.log = directory / "log"
        # In memory where that is possible: the ledger flushes every write to the disk.
        memory = Path("/dev/shm")
        self.data = Path(tempfile.mkdtemp(prefix="data-", dir=memory if memory.is_dir() else directory))
        self._settings = dict(environment or {})
        self._head: subprocess.Popen[bytes] | None = None

    def write_rules(self, name: str, text: str) -> None:
        """Put a rule file in place, all of it in one moment."""
        unfinished = self.rules / f".{name}"
        unfinished.write_text(text)
        unfinished.rename(self.rules / name)

    def start(self) -> Self:
        """Start it and wait until it says that it is ready."""
        said = len(self.said)
        with self.log.open("ab") as log:
            self._head = subprocess.Popen(
                [PROGRAM, *self._up],
                env=outside(self._settings),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: self._is_ready(said), READY_WITHIN_S, what="replicator up is ready", poll_s=0.05
            )
        except BaseException:
            print(self.said[said:][-5000:], file=sys.stderr)  # noqa: T201 - what a failed test shows
            self.kill()
            raise
        return self

    def ensure(self) -> Self:
        """Start it if it does not run."""
        return self if self.is_running else self.start()

    def up_again(self) -> Done:
        """What a second `up` on the same data says."""
        return run(*self._up)

    def stop(self) -> int:
        """End it with SIGTERM, as an operator does; its exit status."""
        assert self._head
        self._head.terminate()
        status = self._head.wait(STOPS_WITHIN_S)
        self._head = None
        return status

    def interrupt(self) -> int:
        """End it as Ctrl+C in a terminal does: SIGINT to the whole group; its exit status."""
        assert self._head
        os.killpg(self.head, signal.SIGINT)
        status = self._head.wait(STOPS_WITHIN_S)
        self._head = None
        return status

    def kill(self) -> None:
        """Kill every process of the tree in one moment, and wait until they are gone."""
        if self._head is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._head.pid, signal.SIGKILL)
        self._head.wait()
        wait_until(lambda: not self.group(), what="the process group is gone")
        self._head = None

    def kill_head(self) -> int:
        """Kill the head of the tree alone; the number of the process group that it leaves."""
        assert self._head
        self._head.kill()
        self._head.wait()
        return self.head

    def close(self) -> None:
        """Make sure that it is gone, and its data with it."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.ensure()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def is_running(self) -> bool:
        """Whether the head of the tree lives."""
        return self._head is not None and self._head.poll() is None

    @property
    def said(self) -> str:
        """All that it printed and logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # Processes

    @property
    def head(self) -> int:
        """The pid that was started: head of the tree, and number of its group."""
        assert self._head
        return self._head.pid

    def group(self) -> list[int]:
        """The living processes of the tree's group."""
        return members(self.head)

    def child(self, name: str) -> int:
        """The pid of `redis`, `receiver`, `scheduler` or `worker`, 0 while it is dead."""
        text = (self.data / "run" / f"{name}.lock").read_text().strip()
        return int(text) if text and int(text) in self.group() else 0

    def pool(self) -> list[int]:
        """The pids of the worker's children, which do the copying."""
        worker = self.child("worker")
        return [pid for pid in self.group() if _stat(pid)[1] == worker]

    # HTTP

    def call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request, without a token."""
        with RawClient(self.url) as client:
            return client.call(method, path, headers=headers, body=body)

    @property
    def token(self) -> str:
        """The API token that `up` made."""
        return (self.data / "api-token").read_text().strip()

    def api(self, path: str) -> Any:
        """What the API answers at `/api/v1/` and `path`, with the token."""
        answer = self.call("GET", f"/api/v1/{path}", headers={"Authorization": f"Bearer {self.token}"})
        assert answer.status == 200, answer
        return answer.json()

    def metrics(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Every sample of one metric, by its labels."""
        text = self.call("GET", "/metrics").body.decode()
        return {
            frozenset(sample.labels.items()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    def metric(self, name: str, **labels: str) -> float | None:
        """One sample, None if it is not there."""
        return self.metrics(name).get(frozenset(labels.items()))

    def jobs(self, repository: str, *, state: str = "") -> list[dict[str, Any]]:
        """The jobs of a repository, open ones or (`state="done"`) the latest that ended, newest first."""
        found = self.api(f"jobs?limit=1000{f'&state={state}' if state else ''}")["jobs"]
        return [job for job in found if job["repository"] == repository]

    def outcomes(self, repository: str, reference: str, *, rule: str = "") -> list[str]:
        """How the jobs of one reference ended, the latest first."""
        return [
            job["outcome"]
            for job in self.jobs(repository, state="done")
            if job["reference"] == reference and rule in ("", job["rule"])
        ]

    def is_settled(self) -> bool:
        """Whether nothing waits: no notification, no job."""
        status = self.api("status")
        return status["inbox"]["length"] == 0 and not any(lane["pending"] for lane in status["lanes"])

    def settle(self, within_s: float = 30.0) -> None:
        """Wait until nothing waits, twice in a row: a notification may just be between inbox and job."""
        for _ in range(2):
            wait_until(self.is_settled, within_s, what="nothing waits", poll_s=0.1)
            time.sleep(0.1)

    def command(self, *arguments: str) -> Done:
        """Another command on the same rules and data."""
        places = {"REPLICATOR_RULES": str(self.rules), "REPLICATOR_DATA": str(self.data)}
        return run(*arguments, environment={**self._settings, **places})

    @property
    def _up(self) -> list[str]:
        return ["up", "--rules", str(self.rules), "--data", str(self.data), "--port", str(self.port)]

    def _is_ready(self, said: int) -> bool:
        assert self._head
        if self._head.poll() is not None:
            raise RuntimeError(f"replicator up ended with status {self._head.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            return "replicator is ready" in self.said[said:] and self.call("GET", "/readyz").status == 200
        return False


def members(group: int) -> list[int]:
    """The living processes of a process group."""
    return [pid for pid in _pids() if (found := _stat(pid)) and found[2] == group and found[0] != "Z"]


def outside(extra: Mapping[str, str]) -> dict[str, str]:
    """Our variables without the product's settings, and `extra`."""
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("REPLICATOR_", "OTEL_"))
    }
    return {**ours, **extra}


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _stat(pid: int) -> tuple[str, int, int]:
    """State, parent and group of a process; no process has the parent and the group -1."""
    try:
        # The name before it may hold anything, spaces and brackets included.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", -1, -1
    return fields[0], int(fields[1]), int(fields[2])

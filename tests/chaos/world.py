"""The product as it is deployed, role by role, between registries that it reaches over links of ours.

    eu ──▶ us, ap       production/**, with deletes: eu posts notifications, us and ap are destinations only
    eu ◀─▶ jp           shared/**, both post

Nothing is ever compared unasked, so that what arrives does so by its event. Whatever dies is started again after a
moment, as Kubernetes would; nothing else is done about it. Registries want a password, and every secret is a word that
occurs nowhere else, so that it can be searched for afterwards.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import yaml

from tests.e2e.product import PROGRAM, Done, outside, run
from tests.fakes.raw import RawClient
from tests.fakes.strait import Strait
from tests.integration.processes import (
    PASSWORD,
    USER,
    DockerRegistry,
    Process,
    RedisServer,
    free_port,
    wait_until,
)

API_TOKEN = "canary-token-7d1f0c62b8"
WEBHOOK_SECRET = "canary-webhook-51e9a40d77"
PATH_SECRET = "canary-path-c08b6e2f19"
SECRETS = (API_TOKEN, WEBHOOK_SECRET, PATH_SECRET, PASSWORD)

SOURCES = ("eu", "jp")
DESTINATIONS = ("us", "ap")
REGIONS = (*SOURCES, *DESTINATIONS)
STARTS_WITHIN_S = 120.0
RESTARTS_AFTER_S = 0.3
STOPS_WITHIN_S = 35.0
"""What a role is given when it is told to stop: 25 s for the jobs that run, and a little to put back the rest."""
_POLL_S = 0.1

RULES = """\
rules:
  - name: follow
    source: eu
    destinations: [us, ap]
    filters: [{{type: name, value: "production/**"}}]
    sweep_interval: "off"
    deletion: true
    delete_grace: {grace_s}s
    delete_cap: 1000000
  - name: there
    source: eu
    destinations: [jp]
    filters: [{{type: name, value: "shared/**"}}]
    sweep_interval: "off"
  - name: back
    source: jp
    destinations: [eu]
    filters: [{{type: name, value: "shared/**"}}]
    sweep_interval: "off"
"""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the product is set up. Shorter times than the defaults make a short run meet what a long one would."""

    lease_s: float = 20.0
    redispatch_s: float = 15.0
    grace_s: float = 5.0
    concurrency: int = 4
    settings: Mapping[str, str] | None = None
    """Further variables of its environment."""

    def environment(self) -> dict[str, str]:
        """The product's settings."""
        return {
            "REPLICATOR_LEASE_S": str(self.lease_s),
            "REPLICATOR_REDISPATCH_S": str(self.redispatch_s),
            "REPLICATOR_CONCURRENCY": str(self.concurrency),
            **(self.settings or {}),
        }


class Role(Process):
    """One process of the product with all its children, in a session of its own."""

    def __init__(self, directory: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        super().__init__(directory)
        self.arguments = arguments
        self._variables = {**environment, "REPLICATOR_DATA": str(directory / "data")}

    def close(self) -> None:
        """Kill it with all its children."""
        if self.is_running:
            for pid in (*children(self.pid), self.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        super().close()

    def _command(self) -> list[str]:
        return [str(PROGRAM), *self.arguments]

    def _environment(self) -> dict[str, str]:
        return outside(self._variables)

    def _answers(self) -> bool:
        return True


class ChaosWorld:
    """Registries, links, a Redis and the product's roles. Entering starts all of it and waits until it works."""

    def __init__(self, directory: Path, tuning: Tuning | None = None, *, rules: str = RULES) -> None:
        self.directory = directory
        self.tuning = tuning or Tuning()
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        # In memory where that is possible: the ledger flushes every write to the disk.
        memory = Path("/dev/shm")
        self._data = Path(tempfile.mkdtemp(prefix="chaos-", dir=memory if memory.is_dir() else directory))
        self.redis = RedisServer(self._data / "redis", port=0)
        self.registries = {name: self._registry(name) for name in REGIONS}
        self.straits = {name: Strait(registry.port) for name, registry in self.registries.items()}
        self.rules = directory / "rules"
        self.rules.mkdir(parents=True)
        self._write_rules(rules.format(grace_s=self.tuning.grace_s))
        self.environment = {
            "REPLICATOR_REDIS_URL": self.redis.url,
            "REPLICATOR_RULES": str(self.rules),
            "REPLICATOR_API_TOKEN": API_TOKEN,
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "PATH_SECRET": PATH_SECRET,
            **self.tuning.environment(),
        }
        self.roles = {
            "receiver": self._role("receiver", "serve", "--port", str(self._port)),
            **{name: self._role(name, "scheduler") for name in ("scheduler-1", "scheduler-2")},
            **{name: self._role(name, "worker") for name in ("worker-1", "worker-2")},
        }
        self.resting: set[str] = set()
        """Processes that stay dead when they die."""
        self.restarts = 0
        self._leaving = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            starting.callback(shutil.rmtree, self._data, ignore_errors=True)
            for strait in self.straits.values():
                starting.callback(strait.close)
            for process in self.processes.values():
                starting.enter_context(process)
            starting.callback(self._let_go)
            try:
                wait_until(self.works, STARTS_WITHIN_S, what="the product works", poll_s=0.1)
            except AssertionError as exc:
                said = "".join(log.read_text()[-2000:] for log in self.logs())
                raise AssertionError(f"{exc}\n{said}") from exc
            self._keeper.start()
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def processes(self) -> dict[str, Process]:
        """Everything that may die, by name: servers first."""
        return {"redis": self.redis, **self.registries, **self.roles}

    def pids(self, name: str) -> list[int]:
        """The living processes under a name: one of `processes`, or `child`, which are the workers' pools."""
        if name == "child":
            return [pid for role in self._running("worker-1", "worker-2") for pid in children(role.pid)]
        return [process.pid for process in self._running(name)]

    def resume_all(self) -> None:
        """Let every process go on that was frozen, and every link."""
        for strait in self.straits.values():
            strait.heal()
        for name in (*self.processes, "child"):
            for pid in self.pids(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def target(self, region: str) -> str:
        """The registry's URL as its people use it, password included, past our link."""
        return self.registries[region].url.replace("://", f"://{USER}:{quote(PASSWORD)}@")

    def api(self, path: str) -> Any:
        """What the API answers at `/api/v1/` and `path`. AssertionError if it does not."""
        with RawClient(self.url) as client:
            answer = client.call("GET", f"/api/v1/{path}", headers={"Authorization": f"Bearer {API_TOKEN}"})
        assert answer.status == 200, answer
        return answer.json()

    def is_settled(self) -> bool:
        """Whether nothing waits: no notification, no job."""
        try:
            status = self.api("status")
        except (OSError, AssertionError):
            return False
        return status["inbox"]["length"] == 0 and not any(lane["pending"] for lane in status["lanes"])

    def command(self, *arguments: str, timeout_s: float = 300.0) -> Done:
        """A command of the product's, on the same rules and Redis."""
        return run(*arguments, environment=self.environment, timeout_s=timeout_s)

    def logs(self) -> Iterator[Path]:
        """What the product's roles said."""
        return (role.log for role in self.roles.values())

    def _running(self, *names: str) -> list[Process]:
        return [self.processes[name] for name in names if self.processes[name].is_running]

    def _keep(self) -> None:
        """Start what died, a moment later."""
        dead_since: dict[str, float] = {}
        while not self._leaving.wait(_POLL_S):
            for name, process in self.processes.items():
                if process.is_running or name in self.resting:
                    dead_since.pop(name, None)
                elif time.monotonic() - dead_since.setdefault(name, time.monotonic()) > RESTARTS_AFTER_S:
                    process.begin()
                    self.restarts += 1

    def _let_go(self) -> None:
        self._leaving.set()
        if self._keeper.is_alive():
            self._keeper.join()
        self.resume_all()

    def works(self) -> bool:
        """Whether the receiver is ready and both workers beat."""
        with contextlib.suppress(OSError), RawClient(self.url) as client:
            is_ready = client.call("GET", "/readyz").status == 200
            with contextlib.closing(self.redis.client()) as redis:
                return is_ready and redis.hlen("replicator:workers") == 2
        return False

    def _role(self, name: str, *arguments: str) -> Role:
        return Role(self.directory / name, arguments, self.environment)

    def _registry(self, name: str) -> DockerRegistry:
        hook = f"{self.url}/webhooks/{name}"
        notify = {
            "eu": [(hook, {"Authorization": f"Bearer {WEBHOOK_SECRET}"})],
            "jp": [(f"{hook}/{PATH_SECRET}", {})],
        }
        return DockerRegistry(self.directory / name, notify=notify.get(name, ()), htpasswd=True)

    def _write_rules(self, rules: str) -> None:
        secret = self.directory / "password"
        secret.write_text(PASSWORD)
        webhooks = {"eu": {"secret": "${WEBHOOK_SECRET}"}, "jp": {"secret": "${PATH_SECRET}"}}
        login = {"type": "basic", "access_key": USER, "access_secret_file": str(secret)}
        registries = {
            name: {
                "type": "distribution",
                "url": strait.url,
                "credential": {**login},
                **({"webhook": webhooks[name]} if name in webhooks else {}),
            }
            for name, strait in self.straits.items()
        }
        (self.rules / "registries.yaml").write_text(yaml.safe_dump({"registries": registries}))
        (self.rules / "rules.yaml").write_text(rules)


def children(pid: int) -> list[int]:
    """The processes that a process forked and that live."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found

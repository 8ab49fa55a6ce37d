"""The roles as separate processes on a Redis of the test's choice, each with an address of it of its own.

Two regions, `eu` and `us`, both real docker-registry servers; what is pushed to `eu` is wanted at `us`.
"""

import contextlib
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from replicator.ledger import Ledger
from tests.e2e.product import PROGRAM, Done, run
from tests.e2e.world import SECRET, registries_yaml
from tests.fakes import images
from tests.fakes.images import Image
from tests.fakes.raw import Answer, RawClient
from tests.integration.processes import DockerRegistry, Process, free_port, wait_until

ROLES = ("receiver", "scheduler", "worker")
TOKEN = "the token of the API"
RULES = """\
rules:
  - {name: all, source: eu, destinations: [us], deletion: true, delete_grace: 1s}
"""


class Role(Process):
    """One process of the product. It is up when it does its work, as Redis or its own port tells."""

    def __init__(self, directory: Path, name: str, environment: Mapping[str, str]) -> None:
        super().__init__(directory)
        self.name = name
        self.environment = dict(environment)

    @property
    def said(self) -> str:
        """All that it logged."""
        return self.log.read_text(errors="replace")

    def _command(self) -> list[str]:
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        module = [sys.executable, "-m", "workers", self.name]
        return ["env", *variables, *([str(PROGRAM), "serve"] if self.name == "receiver" else module)]

    def _answers(self) -> bool:
        if self.name == "receiver":
            url = f"http://127.0.0.1:{self.environment['REPLICATOR_PORT']}"
            with contextlib.suppress(OSError), RawClient(url) as client:
                return client.call("GET", "/healthz").status == 200
            return False
        return self.name == "scheduler" or "serving destination" in self.said


class Fleet:
    """Registries and roles. `urls` says where each role, and `operator`, finds Redis: one URL, or one a role."""

    def __init__(self, directory: Path, urls: str | Mapping[str, str], **settings: str) -> None:
        self.urls = dict.fromkeys((*ROLES, "operator"), urls) if isinstance(urls, str) else dict(urls)
        self.port = free_port()
        self.hook = f"http://127.0.0.1:{self.port}/webhooks/eu"
        notify = [(self.hook, {"Authorization": f"Bearer {SECRET}"})]
        self.registries = {
            "eu": DockerRegistry(directory / "eu", notify=notify),
            "us": DockerRegistry(directory / "us"),
        }
        rules = directory / "rules"
        rules.mkdir()
        (rules / "registries.yaml").write_text(registries_yaml(self.registries))
        (rules / "rules.yaml").write_text(RULES)
        self._settings = {
            "RULES": str(rules),
            "DATA": str(directory / "data"),
            "PORT": str(self.port),
            "API_TOKEN": TOKEN,
            "CONCURRENCY": "2",
            "LEASE_S": "4",
            "REDISPATCH_S": "3",
            **settings,
        }
        self.roles = {name: Role(directory / name, name, self.environment(name)) for name in ROLES}
        self._stack = ExitStack()

    def environment(self, role: str) -> dict[str, str]:
        """The variables of a role, or of the operator's commands."""
        return {f"REPLICATOR_{name}": value for name, value in self._settings.items()} | {
            "REPLICATOR_REDIS_URL": self.urls[role]
        }

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for process in (*self.registries.values(), *self.roles.values()):
                starting.enter_context(process)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()
        for role in self.roles.values():
            print(f"--- {role.name}\n{role.said[-3000:]}")  # noqa: T201 - what a failed test shows

    def push(self, tag: str, text: str = "", repository: str = "app") -> Image:
        """Push an image to `eu`; its notification comes by itself."""
        image = images.image([(text or f"{repository}:{tag}").encode()])
        images.push(self.registries["eu"].url, repository, tag, image)
        return image

    def await_copy(self, tag: str, image: Image, within_s: float = 20.0, repository: str = "app") -> float:
        """Wait until `us` holds the very image; the seconds that it took."""
        url = self.registries["us"].url
        return wait_until(
            lambda: images.is_whole(url, repository, tag, image),
            within_s,
            what=f"us/{repository}:{tag} is {image.digest}",
            poll_s=0.05,
        )

    def notify(self, body: bytes = b'{"events": []}') -> Answer:
        """Post a notification as `eu` does."""
        with RawClient(f"http://127.0.0.1:{self.port}") as client:
            headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}
            return client.call("POST", "/webhooks/eu", headers=headers, body=body)

    def ledger(self) -> Ledger:
        """The ledger, to be closed by the caller."""
        return Ledger.connect(self.urls["operator"])

    def command(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Done:
        """One of the operator's commands, with other variables if some are given."""
        return run(*arguments, environment={**self.environment("operator"), **(environment or {})})

    def api(self, path: str) -> Any:
        """What the API answers at `/api/v1/` and `path`."""
        with RawClient(f"http://127.0.0.1:{self.port}") as client:
            answer = client.call("GET", f"/api/v1/{path}", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status == 200, answer
        return answer.json()

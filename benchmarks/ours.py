"""Ours as users run it: `replicator up`, told by its API to bring a destination in line.

Whether the work has ended is read from its ledger, not asked of its receiver: looking costs ours next to nothing then.
"""

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.rig import Up
from replicator.ledger import Ledger, SweepState
from replicator.runtime import embedded_socket
from tests.integration.processes import DockerRegistry, free_port, wait_until

SOURCE, DESTINATION = "eu", "us"
POLL_S = 0.01
ENDS_WITHIN_S = 300.0

REGISTRY = """\
  {name}:
    type: distribution
    url: {url}
"""
RULE = """\
  - name: {name}
    source: eu
    destinations: [us]
    trigger: {{type: manual}}
    filters:
      - {{type: name, value: "{repositories}"}}
"""


class Ours:
    """A running tree of `replicator up`, with rules from `SOURCE` to `DESTINATION`."""

    def __init__(self, up: Up, port: int, ledger: Ledger) -> None:
        self.up = up
        self.ledger = ledger
        self._port = port

    def resync(self, rule: str, **wish: object) -> None:
        """Have all brought in line that the rule takes; returns when the last tag is verified."""
        sweep = str(self.post("/api/v1/resync", {"rule": rule, **wish})["id"])
        wait_until(lambda: self._has_ended(sweep, rule), ENDS_WITHIN_S, what="the resync ends", poll_s=POLL_S)
        failed = [f"{job.repository}: {job.reason}" for job in self.ledger.view.failures(3)]
        assert not failed, failed

    def post(self, path: str, body: object) -> dict[str, object]:
        """What the API answers."""
        token = (self.up.data / "api-token").read_text().strip()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with contextlib.closing(connection):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        assert answer.status == 202, f"{answer.status}: {text}"
        found: dict[str, object] = json.loads(text)
        return found

    def _has_ended(self, sweep_id: str, rule: str) -> bool:
        sweep = self.ledger.sweeps.view(sweep_id)
        assert sweep is not None
        if sweep.state is SweepState.FAILED:
            raise RuntimeError(f"the resync failed: {sweep.error}")
        if sweep.state is not SweepState.DONE:
            return False
        (lane,) = self.ledger.view.lanes([(rule, DESTINATION)]).values()
        return lane.pending == 0


@contextlib.contextmanager
def running(
    directory: Path,
    source: DockerRegistry,
    destination: DockerRegistry,
    *,
    rules: Mapping[str, str],
    ca_file: Path | None = None,
) -> Iterator[Ours]:
    """`replicator up` on a ledger that knows nothing, from its readiness to its end.

    `rules` are names, each with the pattern of the repositories that the rule takes.
    """
    port = free_port()
    (directory / "rules").mkdir(parents=True)
    text = _registries(source.url, destination.url, ca_file) + _rules(rules)
    (directory / "rules/rules.yaml").write_text(text)
    with Up(directory, directory / "rules", port) as up:
        ledger = Ledger.connect(f"unix://{embedded_socket(up.data)}")
        with contextlib.closing(ledger):
            yield Ours(up, port, ledger)


def _registries(source: str, destination: str, ca_file: Path | None) -> str:
    trust = f"    tls: {{ca_file: {ca_file}}}\n" if ca_file else ""
    found = [(SOURCE, source), (DESTINATION, destination)]
    return "registries:\n" + "".join(REGISTRY.format(name=name, url=url) + trust for name, url in found)


def _rules(rules: Mapping[str, str]) -> str:
    found = (RULE.format(name=name, repositories=pattern) for name, pattern in rules.items())
    return "rules:\n" + "".join(found)

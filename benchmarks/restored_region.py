"""How long a region that lost everything takes to be whole again: `replicator resync --wait` against `skopeo sync`.

Everything is real and on this machine. A source holds 1,000 images; `replicator up` runs as users run it, and knows
from before what the destination held. In each round the destination is stopped, its storage removed with `rm -rf`, and
started again; the clock runs from the start of `replicator resync --destination us --wait` to its end. The peer brings
the same set from the same source to a registry that is as empty: `skopeo sync` from a YAML file, as one process, and as
one for each repository, two at a time. All take turns. Every tag is compared afterwards.

    .venv/bin/python -m benchmarks.restored_region [--rounds 5] [--repositories 100] [--tags 10]

It needs `docker-registry` and `skopeo`, ends by itself within half an hour, and ends no process but its own.
"""

import argparse
import contextlib
import gzip
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.cost import Cost, measured
from benchmarks.rig import REPLICATOR, Up, environment, machine, need
from benchmarks.storage import Storage
from replicator.oci import Digest
from tests.fakes import images
from tests.fakes.raw import RawClient
from tests.integration.processes import DockerRegistry, free_port

NAMESPACE = "production"
SHARED_BYTES = 64 * 1024
OWN_BYTES = 16 * 1024
RUN_LIMIT_S = 1500.0
IDLE_S = 1.0
"""Between two measurements: nothing of the one is still at work when the next begins."""

RULES = """\
registries:
  eu:
    type: distribution
    url: {source}
  us:
    type: distribution
    url: {destination}
rules:
  - name: prod-to-dr
    source: eu
    destinations: [us]
    trigger: {{type: manual}}
    filters:
      - {{type: name, value: "production/**"}}
"""

Wanted = dict[str, dict[str, Digest]]
"""The tags of each repository with what they hold."""


@dataclass
class Bench:
    """The servers of one run."""

    directory: Path
    source: DockerRegistry
    lost: DockerRegistry
    up: Up
    rules: Path
    wanted: Wanted
    until: float
    costs: dict[str, list[Cost]] = field(default_factory=dict)

    def replicator(self) -> Cost:
        """Lose the region, and have it restored by the one command."""
        self.lost.stop()
        shutil.rmtree(self.lost.storage)
        self.lost.start()
        command = [REPLICATOR, "resync", "--destination", "us", "--wait"]
        settings = environment(REPLICATOR_RULES=str(self.rules), REPLICATOR_DATA=str(self.up.data))
        return self._measured(self.lost, lambda: _run(command, settings), self.up.pids)

    def skopeo(self) -> Cost:
        """Fill an empty registry by one process."""
        with DockerRegistry(self.directory / "peer") as empty:
            command = self._sync(self._list("all", sorted(self.wanted)), empty)
            return self._measured(empty, lambda: _run(command, environment()), [])

    def skopeo_in_pairs(self) -> Cost:
        """Fill an empty registry by a process for each repository, two at a time."""
        with DockerRegistry(self.directory / "peer") as empty:
            commands = [self._sync(self._list(name, [name]), empty) for name in sorted(self.wanted)]

            def work() -> None:
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(lambda command: _run(command, environment()), commands))

            return self._measured(empty, work, [])

    def _measured(self, destination: DockerRegistry, work: Callable[[], None], daemons: list[int]) -> Cost:
        if time.monotonic() > self.until:
            sys.exit(f"not done within {RUN_LIMIT_S:.0f} s: the machine is too busy to measure anything")
        time.sleep(IDLE_S)
        cost = measured(work, self.source, destination, daemons=lambda: daemons)
        assert _held(destination.url, self.wanted) == self.wanted, "the destination is not whole"
        return cost

    def _list(self, name: str, repositories: list[str]) -> Path:
        # No tags means all of them: skopeo lists them, as we do.
        path = self.directory / f"{name.replace('/', '-')}.yaml"
        tags: dict[str, list[str]] = {repository: [] for repository in repositories}
        path.write_text(yaml.safe_dump({self.source.host: {"tls-verify": False, "images": tags}}))
        return path

    def _sync(self, source: Path, destination: DockerRegistry) -> list[str]:
        return [
            *(
                "skopeo",
                "--insecure-policy",
                "sync",
                "--all",
                "--preserve-digests",
                "--dest-tls-verify=false",
            ),
            *("--src", "yaml", "--dest", "docker", str(source), f"{destination.host}/{NAMESPACE}"),
        ]


def main() -> None:
    """Measure, and print a table."""
    options = _options()
    need("docker-registry", "skopeo")
    with contextlib.ExitStack() as stack:
        bench = _start(stack, options)
        contestants = {
            "replicator resync": bench.replicator,
            "skopeo sync": bench.skopeo,
            "skopeo sync, -P 2": bench.skopeo_in_pairs,
        }
        bench.replicator()  # the first filling: from then on the ledger knows what the region held
        found: dict[str, list[Cost]] = {name: [] for name in contestants}
        for number in range(options.rounds):
            for name, restore in contestants.items():
                found[name].append(restore())
                print(f"round {number + 1}: {name}: {found[name][-1].wall_s:.1f} s", file=sys.stderr)
    _print(found, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restored_region")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument("--repositories", type=int, default=100, help="at the source (default: 100)")
    parser.add_argument("--tags", type=int, default=10, help="of each repository (default: 10)")
    return parser.parse_args()


def _start(stack: contextlib.ExitStack, options: argparse.Namespace) -> Bench:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="restored-region-")))
    source = stack.enter_context(DockerRegistry(directory / "source"))
    lost = stack.enter_context(DockerRegistry(directory / "lost"))
    wanted = _seed(Storage(source.storage), options)
    rules = directory / "rules"
    rules.mkdir()
    (rules / "rules.yaml").write_text(RULES.format(source=source.url, destination=lost.url))
    up = stack.enter_context(Up(directory, rules, free_port()))
    return Bench(directory, source, lost, up, rules, wanted, time.monotonic() + RUN_LIMIT_S)


def _seed(storage: Storage, options: argparse.Namespace) -> Wanted:
    """Images of a config and five layers: two that all share, and three of their own."""
    shared = [_layer(f"base {number}", SHARED_BYTES) for number in range(2)]
    wanted: Wanted = {}
    for repository in (f"{NAMESPACE}/app{number:03d}" for number in range(options.repositories)):
        tags = wanted.setdefault(repository, {})
        for tag in (f"v{number}" for number in range(options.tags)):
            own = [_layer(f"{repository} {tag} {number}", OWN_BYTES) for number in range(3)]
            image = images.image([*shared, *own])
            storage.put(repository, tag, image)
            tags[tag] = image.digest
    return wanted


def _layer(seed: str, size_bytes: int) -> bytes:
    # A layer that is no gzip would be compressed by skopeo, and so become another image.
    return gzip.compress(images.layer_bytes(seed, size_bytes), compresslevel=1, mtime=0)


def _run(command: list[str], settings: dict[str, str]) -> None:
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _held(url: str, wanted: Wanted) -> dict[str, dict[str, Digest | None]]:
    with RawClient(url) as client:
        return {
            repository: {
                tag: images.head(client, repository, tag)
                for tag in client.call("GET", f"/v2/{repository}/tags/list").json()["tags"]
            }
            for repository in wanted
        }


def _print(found: dict[str, list[Cost]], options: argparse.Namespace) -> None:
    number = options.repositories * options.tags
    print(f"{machine()}; {number:,} images in {options.repositories} repositories, {options.rounds} rounds")
    print()
    print(f"{'seconds, medians':20} {'wall':>7} {'least':>7} {'most':>7} {'tool CPU':>9} {'registries':>11}")
    for name, costs in found.items():
        walls = [cost.wall_s for cost in costs]
        figures = f"{statistics.median(walls):7.1f} {min(walls):7.1f} {max(walls):7.1f}"
        tool = statistics.median(cost.tool_cpu_s for cost in costs)
        registries = statistics.median(cost.registries_cpu_s for cost in costs)
        print(f"{name:20} {figures} {tool:9.1f} {registries:11.1f}")
    print()
    for name, costs in found.items():
        for side, requests in zip(("source", "destination"), costs[-1].requests, strict=True):
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(requests.items()))
            print(f"{name}, requests to the {side}: {requests.total():,} ({kinds})")
    ours, *peers = (statistics.median(cost.wall_s for cost in costs) for costs in found.values())
    print()
    print(f"ratio of medians of wall time, replicator to skopeo in one process: {ours / peers[0]:.2f}")
    print(f"ratio of medians of wall time, replicator to skopeo's better way: {ours / min(peers):.2f}")
    ours, *peers = (statistics.median(cost.all_cpu_s for cost in costs) for costs in found.values())
    print(f"ratio of medians of all CPU, replicator to skopeo in one process: {ours / peers[0]:.2f}")


if __name__ == "__main__":
    main()

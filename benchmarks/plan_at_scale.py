"""What `replicator plan` costs at scale: 100,000 references in 2,000 repositories, on real registries.

Both registries are `docker-registry` servers whose storage was written directly, in memory; the ledger is a real Redis
with every write on disk, and knows every reference as copied. Three plans are made, each by the command in a process
of its own: everything in line and every digest read; the same with `--recheck 1%`, which believes the ledger about the
rest; and everything missing at the destination, where each manifest is read for its size. The exit status of each is
compared with what it must be, and the requests with the bound that is promised: one listing a repository and side, and
one HEAD a reference and side.

    .venv/bin/python -m benchmarks.plan_at_scale [--references 100000] [--repositories 2000]

It needs `docker-registry` and `redis-server`, and about 1 GiB of memory; it ends no process but its own.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.rig import REPLICATOR, AccessLog, cpu_s, environment, machine, need
from benchmarks.storage import Storage
from replicator.ledger import Copied, Ledger
from replicator.oci import Repository, Tag
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import DockerRegistry, RedisServer

RULE = "everything"
MANIFESTS = 300
"""Different ones; each tag holds one of them."""
LEDGER_THREADS = 4

RULES = """\
registries:
  eu:
    type: distribution
    url: {source}
  us:
    type: distribution
    url: {destination}
  empty:
    type: distribution
    url: {empty}
rules:
  - name: everything
    source: eu
    destinations: [us, empty]
    trigger: {{type: manual}}
    filters:
      - {{type: name, value: "team/**"}}
"""

Reference = tuple[str, str, Image]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one plan took, and what it said at its end. `requests` are those of source and destination."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    registries_cpu_s: float
    requests: tuple[Counter[str], Counter[str]]
    said: str


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers of one run."""

    source: DockerRegistry
    settings: dict[str, str]

    def plan(self, destination: DockerRegistry, name: str, *options: str, status: int) -> Cost:
        """Make one plan, which must end with `status`."""
        registries = [self.source.pid, destination.pid]
        logs, before = (AccessLog(self.source), AccessLog(destination)), cpu_s(registries)
        command = [REPLICATOR, "plan", "--destination", name, *options]
        with tempfile.TemporaryFile() as output:
            began = time.perf_counter()
            process = subprocess.Popen(command, env=self.settings, stdout=output, stderr=output)
            _, ended, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - began
            output.seek(0)
            said = output.read().decode()
        process.returncode = os.waitstatus_to_exitcode(ended)
        if process.returncode != status:
            sys.exit(f"the plan ended with {process.returncode} instead of {status}:\n{said[-3000:]}")
        return Cost(
            wall_s,
            used.ru_utime + used.ru_stime,
            used.ru_maxrss / 1024,
            cpu_s(registries) - before,
            (logs[0].counted(), logs[1].counted()),
            said.splitlines()[-1],
        )


def main() -> None:
    """Measure, and print a table."""
    options = _options()
    need("docker-registry", "redis-server")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="plan-at-scale-")))
        source, held, empty = (
            stack.enter_context(DockerRegistry(directory / name)) for name in ("source", "held", "empty")
        )
        redis = stack.enter_context(RedisServer(directory / "redis"))
        _seed(source, held, redis, options)
        (directory / "rules").mkdir()
        rules = RULES.format(source=source.url, destination=held.url, empty=empty.url)
        (directory / "rules/rules.yaml").write_text(rules)
        settings = environment(REPLICATOR_RULES=str(directory / "rules"), REPLICATOR_REDIS_URL=redis.url)
        bench = Bench(source, settings)
        costs = {
            "in line": bench.plan(held, "us", status=0),
            "--recheck 1%": bench.plan(held, "us", "--recheck", "1%", status=0),
            "all missing": bench.plan(empty, "empty", status=2),
        }
    _print(costs, options)
    _judge(costs, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_at_scale")
    parser.add_argument("--references", type=int, default=100_000, help="in all (default: 100,000)")
    parser.add_argument("--repositories", type=int, default=2_000, help="they lie in (default: 2,000)")
    return parser.parse_args()


def _references(options: argparse.Namespace) -> Iterator[Reference]:
    shown = [images.image([f"layer {number}".encode() * 10]) for number in range(MANIFESTS)]
    for number in range(options.references):
        repository = number % options.repositories
        # Teams, as large registries have them; no two neighbours hold the same.
        name = f"team/t{repository % 50:02d}/service{repository:05d}"
        yield name, f"v{number // options.repositories}", shown[number * 7 % MANIFESTS]


def _seed(
    source: DockerRegistry, held: DockerRegistry, redis: RedisServer, options: argparse.Namespace
) -> None:
    began = time.monotonic()
    for registry in (source, held):
        storage = Storage(registry.storage)
        for repository, tag, image in _references(options):
            storage.put(repository, tag, image)
    ledger = Ledger.connect(redis.url)
    with ThreadPoolExecutor(LEDGER_THREADS) as pool:
        parts = [islice(_references(options), part, None, LEDGER_THREADS) for part in range(LEDGER_THREADS)]
        list(pool.map(lambda part: _remember(ledger, part), parts))
    ledger.close()
    print(f"seeded within {time.monotonic() - began:.0f} s", file=sys.stderr)


def _remember(ledger: Ledger, references: Iterator[Reference]) -> None:
    for repository, tag, image in references:
        place = Repository(repository)
        record = Copied(RULE, "eu", place, Tag(tag), intent=image.digest)
        ledger.fleet.intend("us", place, Tag(tag), record)
        ledger.fleet.confirm("us", place, [(Tag(tag), image.digest)])


def _print(costs: dict[str, Cost], options: argparse.Namespace) -> None:
    print(f"{machine()}; {options.references:,} references in {options.repositories:,} repositories")
    print()
    print(f"{'plan':14} {'wall s':>7} {'CPU s':>7} {'peak MiB':>9} {'registries CPU s':>17}")
    for name, cost in costs.items():
        figures = f"{cost.wall_s:7.1f} {cost.cpu_s:7.1f} {cost.peak_mib:9.0f} {cost.registries_cpu_s:17.1f}"
        print(f"{name:14} {figures}")
    print()
    for name in ("in line", "--recheck 1%"):
        cost = costs[name]
        alone, all_cpu = (
            60 * options.references / spent for spent in (cost.cpu_s, cost.cpu_s + cost.registries_cpu_s)
        )
        print(
            f"{name}: {alone:,.0f} references a minute of one core, {all_cpu:,.0f} with the registries' CPU"
        )
    for name, cost in costs.items():
        print(f"{name}: {cost.said}")
        for side, requests in zip(("source", "destination"), cost.requests, strict=True):
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(requests.items()))
            print(f"  requests to the {side}: {requests.total():,} ({kinds})")


def _judge(costs: dict[str, Cost], options: argparse.Namespace) -> None:
    """End with a word if a plan asked more than is promised."""
    for name, cost in costs.items():
        for requests in cost.requests:
            if (
                requests["GET listing"] > options.repositories
                or requests["HEAD manifest"] > options.references
            ):
                sys.exit(f"{name}: more requests than one listing a repository and one HEAD a reference")


if __name__ == "__main__":
    main()

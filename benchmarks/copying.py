"""One workload, copied by ours and by its peers in turns, between the same two registries.

    .venv/bin/python -m benchmarks.copying w1 [--rounds 5] [--tls] [--peers DIR] [--only replicator,crane]

Both registries are `docker-registry` with their storage in memory. Before each measurement the destination is stopped,
its storage removed, and started again (not for w5, where it holds everything); then whoever is measured copies a few
other images, so that nobody's first request is counted. Ours is `replicator up` on an empty ledger, told by the API to
resync; the clock stops when its last job has ended. After each measurement every manifest is read from the destination
and compared byte for byte, every blob by its size; whose copy is wrong is disqualified.

It ends by itself, and ends no process but its own.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import verdict
from benchmarks.certificate import certificate
from benchmarks.cost import Cost, measured
from benchmarks.ours import Ours, running
from benchmarks.peers import NEEDED, PEERS, Peer, Road, fresh_caches, versions
from benchmarks.rig import machine, need
from benchmarks.storage import Storage
from benchmarks.verdict import AIMS, Standing
from benchmarks.whole import faults
from benchmarks.workloads import WARM_UP, WORKLOADS, Wanted, Workload, repositories, wanted, warm_up
from tests.integration.processes import DockerRegistry

OURS = "replicator resync"
TRUSTING = "replicator resync --recheck 1%"


@dataclass(frozen=True, slots=True)
class Runner:
    """A contestant at the start: `copy` brings all repositories of a namespace; `daemons` work for it meanwhile."""

    copy: Callable[[str], None]
    daemons: Callable[[], Sequence[int]] = lambda: ()


@dataclass(frozen=True, slots=True)
class Arena:
    """The registries of one run, and what they are about."""

    workload: Workload
    source: DockerRegistry
    destination: DockerRegistry
    directory: Path
    found: Mapping[str, Sequence[Wanted]]
    ca_file: Path | None

    def empty(self) -> None:
        """Afterwards the destination is new, and holds nothing."""
        self.destination.stop()
        shutil.rmtree(self.destination.storage)
        self.destination.start()

    def measure(self, runner: Runner) -> Cost:
        """Have the workload copied."""
        runner.copy(WARM_UP)
        work = self.workload.namespace
        return measured(lambda: runner.copy(work), self.source, self.destination, daemons=runner.daemons)

    def faults(self) -> list[str]:
        """What is wrong with the copy."""
        return faults(self.destination.url, self.found[self.workload.namespace])

    @contextlib.contextmanager
    def tree(self) -> Iterator[Ours]:
        """`replicator up`, running."""
        with (
            tempfile.TemporaryDirectory(prefix="up-", dir=self.directory) as directory,
            running(
                Path(directory),
                self.source,
                self.destination,
                rules={namespace: f"{namespace}/**" for namespace in self.found},
                ca_file=self.ca_file,
            ) as tree,
        ):
            yield tree

    @contextlib.contextmanager
    def ours(self) -> Iterator[Runner]:
        """A tree of its own."""
        with self.tree() as tree:
            yield self.runner(tree)

    def runner(self, tree: Ours, **wish: object) -> Runner:
        """Ours, told to resync with these wishes. As the peers are, it is told the names of the repositories."""

        def copy(namespace: str) -> None:
            names = ",".join(repositories(self.found[namespace]))
            tree.resync(namespace, repository=f"{{{names}}}", **wish)

        return Runner(copy, lambda: tree.up.pids)

    @contextlib.contextmanager
    def peer(self, peer: Peer) -> Iterator[Runner]:
        """A peer, which starts when it is told to copy."""
        road = Road(self.source.host, self.destination.host, self.directory, self.ca_file)
        with fresh_caches():
            yield Runner(lambda namespace: peer.copy(road, repositories(self.found[namespace])))


Contestants = dict[str, Callable[[], contextlib.AbstractContextManager[Runner]]]


def main() -> None:
    """Measure, and print tables."""
    options = _options()
    need("docker-registry")
    with contextlib.ExitStack() as stack:
        arena = _start(stack, options)
        contestants = _chosen(_contestants(stack, arena), options.only)
        if arena.workload.is_in_sync:
            with next(iter(contestants.values()))() as first:
                first.copy(arena.workload.namespace)
        found: dict[str, list[tuple[Cost, list[str]]]] = {name: [] for name in contestants}
        for number in range(options.rounds):
            for name, start in contestants.items():
                found[name].append(_measured(arena, start))
                print(
                    f"round {number + 1}: {name}: {found[name][-1][0].all_cpu_s:.2f} s of CPU",
                    file=sys.stderr,
                )
    _print([_standing(name, rounds) for name, rounds in found.items()], arena, options)


def _measured(
    arena: Arena, start: Callable[[], contextlib.AbstractContextManager[Runner]]
) -> tuple[Cost, list[str]]:
    if not arena.workload.is_in_sync:
        arena.empty()
    with start() as found:
        cost = arena.measure(found)
    return cost, arena.faults()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copying")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default: 5)")
    parser.add_argument("--tls", action="store_true", help="both registries speak TLS")
    parser.add_argument(
        "--peers", help="a directory with programs to compare with, looked at before the PATH"
    )
    parser.add_argument(
        "--only", default="", help="those alone whose names hold one of these, between commas"
    )
    options = parser.parse_args()
    if options.peers:
        os.environ["PATH"] = f"{Path(options.peers).resolve()}{os.pathsep}{os.environ['PATH']}"
    return options


def _start(stack: contextlib.ExitStack, options: argparse.Namespace) -> Arena:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="copying-")))
    tls, ca_file = certificate(directory) if options.tls else (None, None)
    workload = WORKLOADS[options.workload]
    source = DockerRegistry(directory / "source", tls=tls)
    destination = DockerRegistry(directory / "destination", tls=tls)
    found: dict[str, list[Wanted]] = {}
    storage = Storage(source.storage)
    stack.callback(source.close)
    for namespace, images in ((WARM_UP, warm_up), (workload.namespace, workload.images)):
        for tagged in images():
            storage.put(*tagged)
            found.setdefault(namespace, []).append(wanted(tagged))
    stack.enter_context(source)
    stack.enter_context(destination)
    return Arena(workload, source, destination, directory, found, ca_file)


def _contestants(stack: contextlib.ExitStack, arena: Arena) -> Contestants:
    found: Contestants = {OURS: arena.ours}
    if arena.workload.is_in_sync:
        tree = stack.enter_context(arena.tree())
        found = {
            OURS: lambda: contextlib.nullcontext(arena.runner(tree)),
            TRUSTING: lambda: contextlib.nullcontext(arena.runner(tree, recheck=0.01)),
        }
    absent = {peer.program for peer in PEERS if not peer.is_here}
    for name in sorted(absent):
        print(f"{name} is not on the PATH{': the table wants it' if name in NEEDED else ''}", file=sys.stderr)
    return found | {peer.name: partial(arena.peer, peer) for peer in PEERS if peer.program not in absent}


def _chosen(contestants: Contestants, only: str) -> Contestants:
    words = only.split(",")
    return {name: start for name, start in contestants.items() if any(word in name for word in words)}


def _standing(name: str, rounds: Sequence[tuple[Cost, list[str]]]) -> Standing:
    return Standing(
        name, [cost for cost, _ in rounds], tuple(fault for _, wrong in rounds for fault in wrong)
    )


def _print(standings: Sequence[Standing], arena: Arena, options: argparse.Namespace) -> None:
    name = f"{options.workload} tls" if options.tls else options.workload
    title = f"{options.workload.upper()}{' over TLS' if options.tls else ''} {arena.workload.title}"
    ours = [standing for standing in standings if standing.name in (OURS, TRUSTING)]
    peers = [standing for standing in standings if standing not in ours]
    print(f"{machine()}; {versions()}\n{title}, {options.rounds} rounds\n")
    for line in verdict.table(standings):
        print(line)
    print()
    for line in (line for standing in standings for line in verdict.kinds(standing)):
        print(line)
    for mine in ours:
        print()
        for line in verdict.comparison(mine, peers, AIMS[name]):
            print(line)
        for peer, ratios in verdict.ratios_by_round(mine, peers).items():
            print(f"  to {peer}, all CPU by round: {' '.join(f'{ratio:.2f}' for ratio in ratios)}")
        suffix = "" if mine.name == OURS else f", {mine.name.removeprefix(OURS).strip()}"
        print(verdict.row(title + suffix, mine, peers, AIMS[name]))


if __name__ == "__main__":
    main()

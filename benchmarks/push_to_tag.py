"""How long a pushed tag takes to another region: from the end of the push to the tag at the destination.

Everything is real and on this machine: `docker-registry` servers that post their own notifications, `replicator up` as
users run it, images pushed by plain HTTP. The peer is what a hook script would do instead, `skopeo copy` of an image of
the same size, started at the moment at which its push ended. The two take turns in one run on one destination. The
clock starts with the answer to the manifest's PUT and stops when a HEAD of the tag at the destination gives the digest
that was pushed; the benchmark asks every 2 ms. What ours asked of both registries is counted in their access logs, some
time longer, so that the verifying read is in it.

    .venv/bin/python -m benchmarks.push_to_tag [--rounds 100] [--warm-up 5] [--layers 5]

It needs `docker-registry` and `skopeo`, ends by itself within a quarter of an hour, and ends no process but its own.
"""

import argparse
import contextlib
import gzip
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.rig import AccessLog, Up, machine, need, percentile
from tests.fakes import images
from tests.fakes.images import Image
from tests.fakes.raw import RawClient
from tests.integration.processes import DockerRegistry, free_port, wait_until

LAYER_BYTES = 10 * 1024
AIM_MEDIAN_S, AIM_P99_S = 0.1, 0.4
OURS = "replicator/"
"""How our client names itself in access logs."""
REPOSITORY = "benchmark/app"
POLL_S = 0.002
ARRIVES_WITHIN_S = 30.0
RUN_LIMIT_S = 840.0
IDLE_S = 0.4
"""Between two measurements: nothing of the one is still at work when the next begins."""
WEBHOOK_SECRET = "benchmark"  # noqa: S105 - of servers that live for one run

RULES = """\
registries:
  source:
    type: distribution
    url: {source}
    webhook: {{secret: {secret}}}
  destination:
    type: distribution
    url: {destination}
rules:
  - name: benchmark
    source: source
    destinations: [destination]
    filters:
      - {{type: name, value: "benchmark/**"}}
      - {{type: tag, value: "v*"}}
"""


@dataclass
class Bench:
    """The servers of one run. `quiet` is the peer's source: it notifies nobody."""

    source: DockerRegistry
    quiet: DockerRegistry
    destination: DockerRegistry
    layers: int
    until: float
    arrived: list[tuple[str, Image]] = field(default_factory=list)

    def replicator(self, number: int) -> float:
        """Push where `replicator up` listens; the seconds until the tag was there."""
        return self._measure(self.source, f"v{number}", lambda _tag: contextlib.nullcontext())

    def skopeo(self, number: int) -> float:
        """Push where nobody listens and start `skopeo copy`; the seconds until the tag was there."""
        return self._measure(self.quiet, f"peer{number}", self._copying)

    def check_all(self) -> None:
        """Every image that arrived is whole: manifest, config and layer, byte for byte."""
        for tag, image in self.arrived:
            assert images.is_whole(self.destination.url, REPOSITORY, tag, image), tag

    def _measure(
        self,
        registry: DockerRegistry,
        tag: str,
        copying: Callable[[str], contextlib.AbstractContextManager[object]],
    ) -> float:
        if time.monotonic() > self.until:
            sys.exit(f"not done within {RUN_LIMIT_S:.0f} s: the machine is too busy to measure anything")
        # A layer that is no gzip would be compressed by skopeo, and so become another image.
        seeds = [f"{registry.port} {tag} {number}" for number in range(self.layers)]
        image = images.image(
            [gzip.compress(images.layer_bytes(seed, LAYER_BYTES), mtime=0) for seed in seeds]
        )
        with RawClient(registry.url) as pushing, RawClient(self.destination.url) as polling:
            images.head(polling, REPOSITORY, tag)
            images.push(pushing, REPOSITORY, tag, image)
            pushed = time.perf_counter()
            with copying(tag):
                wait_until(
                    lambda: images.head(polling, REPOSITORY, tag) == image.digest,
                    ARRIVES_WITHIN_S,
                    what=f"{tag} arrives",
                    poll_s=POLL_S,
                )
                seconds = time.perf_counter() - pushed
        self.arrived.append((tag, image))
        time.sleep(IDLE_S)
        return seconds

    @contextlib.contextmanager
    def _copying(self, tag: str) -> Iterator[None]:
        reference = f"{REPOSITORY}:{tag}"
        command = [
            *("skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests"),
            *("--src-tls-verify=false", "--dest-tls-verify=false"),
            *(f"docker://{self.quiet.host}/{reference}", f"docker://{self.destination.host}/{reference}"),
        ]
        process = subprocess.Popen(command)
        try:
            yield
            assert process.wait(ARRIVES_WITHIN_S) == 0, "skopeo failed"
        finally:
            process.kill()
            process.wait()


def main() -> None:
    """Measure, and print a table."""
    options = _options()
    need("docker-registry", "skopeo")
    with contextlib.ExitStack() as stack:
        bench = _start(stack, options.layers)
        found: dict[str, list[float]] = {"replicator up": [], "skopeo copy": []}
        _take_turns(bench, found, range(options.warm_up))
        for values in found.values():
            values.clear()
        logs = AccessLog(bench.source), AccessLog(bench.destination)
        _take_turns(bench, found, range(options.warm_up, options.warm_up + options.rounds))
        requests = [log.counted(OURS) for log in logs]
        bench.check_all()
    _print(found, options)
    _print_requests(requests, options)


def _take_turns(bench: Bench, found: dict[str, list[float]], numbers: range) -> None:
    for number in numbers:
        for values, measure in zip(found.values(), (bench.replicator, bench.skopeo), strict=True):
            values.append(measure(number))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.push_to_tag")
    parser.add_argument("--rounds", type=int, default=100, help="measurements of each (default: 100)")
    parser.add_argument("--layers", type=int, default=5, help="of an image, of 10 KiB each (default: 5)")
    parser.add_argument("--warm-up", type=int, default=5, help="rounds before them that do not count")
    return parser.parse_args()


def _start(stack: contextlib.ExitStack, layers: int) -> Bench:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="push-to-tag-")))
    port = free_port()
    notify = [(f"http://127.0.0.1:{port}/webhooks/source", {"Authorization": f"Bearer {WEBHOOK_SECRET}"})]
    source = stack.enter_context(DockerRegistry(directory / "source", notify=notify))
    quiet = stack.enter_context(DockerRegistry(directory / "quiet"))
    destination = stack.enter_context(DockerRegistry(directory / "destination"))
    rules = directory / "rules"
    rules.mkdir()
    text = RULES.format(source=source.url, destination=destination.url, secret=WEBHOOK_SECRET)
    (rules / "rules.yaml").write_text(text)
    stack.enter_context(Up(directory, rules, port))
    return Bench(source, quiet, destination, layers, time.monotonic() + RUN_LIMIT_S)


def _print(found: dict[str, list[float]], options: argparse.Namespace) -> None:
    print(f"{machine()}; {options.rounds} images of {options.layers} layers of 10 KiB")
    print()
    print(f"{'seconds':14} {'median':>8} {'p90':>8} {'p99':>8} {'least':>8}")
    for name, values in found.items():
        figures = (statistics.median(values), percentile(values, 90), percentile(values, 99), min(values))
        print(f"{name:14} " + " ".join(f"{value:8.3f}" for value in figures))
    ours, peers = (statistics.median(values) for values in found.values())
    print()
    print(f"ratio of medians, replicator to skopeo: {ours / peers:.2f}")
    slowest = percentile(found["replicator up"], 99)
    reached = ours <= AIM_MEDIAN_S and slowest <= AIM_P99_S
    aims = f"a median of {AIM_MEDIAN_S} and a p99 of {AIM_P99_S} s"
    print(f"the aim, {aims}, is {'reached' if reached else 'missed'}: {ours:.3f} and {slowest:.3f}")


def _print_requests(requests: Sequence[Counter[str]], options: argparse.Namespace) -> None:
    """What a push made ours ask; a config is a blob, too."""
    for side, counts in zip(("source", "destination"), requests, strict=True):
        kinds = ", ".join(f"{count / options.rounds:g} {kind}" for kind, count in sorted(counts.items()))
        print(f"requests to the {side}, of each push: {counts.total() / options.rounds:g} ({kinds})")
    asked = sum(counts.total() for counts in requests) / options.rounds
    most = 4 + 3 * (options.layers + 1) + 1
    print(
        f"the aim, {most} requests for {options.layers + 1} blobs, is {'reached' if asked <= most else 'missed'}"
    )


if __name__ == "__main__":
    main()

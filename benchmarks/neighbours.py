"""What others cost a push that has nothing to do with them: a destination that hangs, and a rule that is noisy.

Everything is real and on this machine: `docker-registry` servers, of which the source posts its own notifications, and
`replicator up` as users run it. Pushes of one rule are measured, each from the answer to the manifest's PUT until a
HEAD of the tag at the destination `us` gives the digest that was pushed: first with nothing else to do, then beside the
others.

hanging    a second destination, `ap`, is frozen (SIGSTOP), and one image more is pushed for it before each measurement
noisy      50,000 jobs of another rule to the same destination wait: an event's each, or with --resync a resync's

    .venv/bin/python -m benchmarks.neighbours hanging|noisy [--resync] [--rounds 100] [--jobs 50000]

It needs `docker-registry`, ends by itself, and ends no process but its own. Its status is 1 if an aim is missed: beside
a destination that hangs a push may take twice as long, median and 99th percentile; beside a noisy rule 2 s longer.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig import Up, machine, need, percentile
from benchmarks.storage import Storage
from replicator.jobs import Job
from replicator.ledger import Ledger, Submission
from replicator.oci import Repository, Tag
from replicator.runtime import embedded_socket
from tests.fakes import images
from tests.fakes.raw import RawClient
from tests.integration.processes import DockerRegistry, free_port, wait_until

AIM_RATIO, AIM_DELAY_S = 2.0, 2.0
WARM_UP, TAGS = 5, 10
POLL_S, IDLE_S = 0.002, 0.1
ARRIVES_WITHIN_S, DRAINS_WITHIN_S = 60.0, 120.0
WEBHOOK_SECRET = "benchmark"  # noqa: S105 - of servers that live for one run
RULES = """\
registries:
  eu: {{type: distribution, url: {eu}, webhook: {{secret: {secret}}}}}
  us: {{type: distribution, url: {us}}}
  ap: {{type: distribution, url: {ap}}}
rules:
  - {{name: measured, source: eu, destinations: [us], filters: [{{type: name, value: "measured/**"}}]}}
  - {{name: hanging, source: eu, destinations: [ap], filters: [{{type: name, value: "hanging/**"}}]}}
  - {{name: noisy, source: eu, destinations: [us], filters: [{{type: name, value: "noisy/**"}}]}}
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers of one run."""

    eu: DockerRegistry
    us: DockerRegistry
    ap: DockerRegistry
    ledger: Ledger

    def push_to_tag(self, tag: str) -> float:
        """Seconds from the end of a push to its tag at `us`."""
        with RawClient(self.eu.url) as pushing, RawClient(self.us.url) as polling:
            digest = images.push(pushing, "measured/app", tag, images.image([tag.encode()]))
            pushed = time.perf_counter()
            wait_until(
                lambda: images.head(polling, "measured/app", tag) == digest,
                ARRIVES_WITHIN_S,
                what=f"{tag} arrives",
                poll_s=POLL_S,
            )
            seconds = time.perf_counter() - pushed
        time.sleep(IDLE_S)
        return seconds

    def pending(self, rule: str, destination: str) -> int:
        """How many jobs of a rule wait or run."""
        lane = (rule, destination)
        return self.ledger.view.lanes([lane])[lane].pending


def main() -> None:
    """Measure, and print a table."""
    options = _options()
    need("docker-registry")
    with contextlib.ExitStack() as stack:
        bench = _start(stack)
        for at in range(WARM_UP):
            bench.push_to_tag(f"warm{at}")
        before = [bench.push_to_tag(f"before{at}") for at in range(options.rounds)]
        beside = _hanging if options.what == "hanging" else _noisy
        with beside(bench, options) as prepare:
            during = []
            for at in range(options.rounds):
                prepare()
                during.append(bench.push_to_tag(f"during{at}"))
    print(f"{machine()}; {options.rounds} pushes each\n")
    sys.exit(not _is_reached(before, during, is_hanging=options.what == "hanging"))


@contextlib.contextmanager
def _hanging(bench: Bench, _: argparse.Namespace) -> Iterator[Callable[[], object]]:
    pushed = 0

    def push_for_it() -> None:
        nonlocal pushed
        images.push(bench.eu.url, "hanging/app", f"v{pushed}", images.image([f"hanging {pushed}".encode()]))
        pushed += 1

    bench.ap.suspend()
    for _ in range(WARM_UP):
        push_for_it()
    yield push_for_it
    behind = bench.pending("hanging", "ap")
    bench.ap.resume()
    took_s = wait_until(lambda: not bench.pending("hanging", "ap"), DRAINS_WITHIN_S)
    failed = len(bench.ledger.view.failures())
    print(
        f"{behind} jobs behind the frozen destination were done {took_s:.1f} s after its return, {failed} failed"
    )


@contextlib.contextmanager
def _noisy(bench: Bench, options: argparse.Namespace) -> Iterator[Callable[[], object]]:
    storage, image = Storage(bench.eu.storage), images.image([b"noise"])
    places = [(Repository(f"noisy/app{at // TAGS:05d}"), Tag(f"v{at % TAGS}")) for at in range(options.jobs)]
    for place in places:
        storage.put(*place, image)
    jobs = [Job("noisy", "us", *place) for place in places]
    now = bench.ledger.view.now()
    bench.ledger.submit([Submission(job, now, is_urgent=not options.resync) for job in jobs])

    def still_noisy() -> None:
        assert bench.pending("noisy", "us"), "the noise is over: try more --jobs"

    yield still_noisy
    print(f"{bench.pending('noisy', 'us'):,} of {len(jobs):,} jobs of the noisy rule were left at the end")


def _is_reached(before: list[float], during: list[float], *, is_hanging: bool) -> bool:
    print(f"{'seconds':8} {'median':>8} {'p99':>8} {'most':>8}")
    for name, values in (("before", before), ("during", during)):
        print(f"{name:8} " + " ".join(f"{value:8.3f}" for value in (*_figures(values), max(values))))
    pairs = list(zip(_figures(before), _figures(during), strict=True))
    print("ratios   " + " ".join(f"{after / first:8.2f}" for first, after in pairs))
    reached = (
        all(after / first <= AIM_RATIO for first, after in pairs)
        if is_hanging
        else max(during) - statistics.median(before) <= AIM_DELAY_S
    )
    aim = f"at most {AIM_RATIO:g} times as long" if is_hanging else f"at most {AIM_DELAY_S:g} s longer, each"
    print(f"\nthe aim, {aim}, is {'reached' if reached else 'missed'}")
    return reached


def _figures(values: list[float]) -> tuple[float, float]:
    return statistics.median(values), percentile(values, 99)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.neighbours")
    parser.add_argument("what", choices=["hanging", "noisy"])
    parser.add_argument("--resync", action="store_true", help="the noise is a resync's, not of events")
    parser.add_argument("--rounds", type=int, default=100, help="pushes before and during (default: 100)")
    parser.add_argument("--jobs", type=int, default=50_000, help="of the noisy rule (default: 50,000)")
    return parser.parse_args()


def _start(stack: contextlib.ExitStack) -> Bench:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neighbours-")))
    port = free_port()
    notify = [(f"http://127.0.0.1:{port}/webhooks/eu", {"Authorization": f"Bearer {WEBHOOK_SECRET}"})]
    eu = stack.enter_context(DockerRegistry(directory / "eu", notify=notify))
    us, ap = (stack.enter_context(DockerRegistry(directory / name)) for name in ("us", "ap"))
    rules = directory / "rules"
    rules.mkdir()
    (rules / "rules.yaml").write_text(RULES.format(eu=eu.url, us=us.url, ap=ap.url, secret=WEBHOOK_SECRET))
    up = stack.enter_context(Up(directory, rules, port))
    ledger = Ledger.connect(f"unix://{embedded_socket(up.data)}")
    return Bench(eu, us, ap, stack.enter_context(contextlib.closing(ledger)))


if __name__ == "__main__":
    main()

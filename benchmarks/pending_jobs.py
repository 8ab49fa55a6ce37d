"""What jobs that wait cost Redis: memory, and the time to dispatch them.

Jobs of one destination are written into a `redis-server` of their own with every write on disk, 10 of each repository.
Then doorbells are asked for as the dispatcher does, 16 at most at once, until every job was rung for; jobs that were
rung for are taken out again, untimed, as workers would. That is done with 1,000, 10,000 and 100,000 jobs.

    .venv/bin/python -m benchmarks.pending_jobs [--most 100000]

It needs `redis-server`, ends by itself, and ends no process but its own.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rig import cpu_s, machine, need
from replicator.jobs import Job
from replicator.ledger import Ledger, Submission
from replicator.oci import Repository, Tag
from tests.integration.processes import RedisServer

RULE, DESTINATION = "prod-to-dr", "us"
TAGS = 10
DOORBELLS = 16
NUMBERS = (1_000, 10_000, 100_000)
LEEWAY = 1.25
"""How much more a job may cost where there are ten times as many, before growth counts as more than linear."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many pending jobs cost, each: bytes, and microseconds of the clock and of Redis' CPU."""

    jobs: int
    size_bytes: float
    submit_us: float
    dispatch_us: float
    dispatch_cpu_us: float

    def __str__(self) -> str:
        times = f"{self.submit_us:10.0f} {self.dispatch_us:12.0f} {self.dispatch_cpu_us:10.0f}"
        total_s = self.dispatch_us * self.jobs / 1e6
        return f"{self.jobs:9,} {self.size_bytes:10.0f} {times} {total_s:13.2f}"


def main() -> None:
    """Measure, and print a table."""
    options = _options()
    need("redis-server")
    costs = [_measured(number) for number in NUMBERS if number <= options.most]
    print(f"{machine()}\n")
    heads = ("jobs", "bytes", "submit us", "dispatch us", "Redis us", "dispatch all s")
    print("{:>9} {:>10} {:>10} {:>12} {:>10} {:>13}".format(*heads))
    for cost in costs:
        print(cost)
    steeper = is_steeper_than_linear([cost.dispatch_cpu_us for cost in costs])
    print(f"\nRedis' CPU grows {'faster' if steeper else 'no faster'} than linearly with the jobs")
    sys.exit(steeper)


def is_steeper_than_linear(costs: Sequence[float]) -> bool:
    """Whether a job costs more where there are more of them, beyond what chance explains: costs by growing number."""
    return any(later > LEEWAY * costs[0] for later in costs[1:])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pending_jobs")
    parser.add_argument(
        "--most", type=int, default=NUMBERS[-1], help="jobs at once, at most (default: 100,000)"
    )
    return parser.parse_args()


def _measured(number: int) -> Cost:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pending-jobs-")))
        redis = stack.enter_context(RedisServer(directory))
        client = stack.enter_context(closing(redis.client()))
        # No doorbell comes again while we measure.
        ledger = stack.enter_context(closing(Ledger.connect(redis.url, redispatch_s=3600)))
        ledger.submit(list(_submissions(1)))
        (ids,) = ledger.dispatch(DESTINATION, 1)
        ledger.drop_all(ids)  # scripts are loaded now
        empty = int(client.info("memory")["used_memory"])
        began = time.perf_counter()
        ledger.submit(list(_submissions(number)))
        submitted_s = time.perf_counter() - began
        size_bytes = int(client.info("memory")["used_memory"]) - empty
        wall_s, redis_s = _dispatched(ledger, redis, number)
    return Cost(
        number, size_bytes / number, 1e6 * submitted_s / number, 1e6 * wall_s / number, 1e6 * redis_s / number
    )


def _dispatched(ledger: Ledger, redis: RedisServer, number: int) -> tuple[float, float]:
    """The seconds that it took to ring for every job, and those of Redis' CPU."""
    wall_s = redis_s = 0.0
    while number:
        began, before = time.perf_counter(), cpu_s([redis.pid])
        bells = ledger.dispatch(DESTINATION, DOORBELLS)
        redis_s += cpu_s([redis.pid]) - before
        wall_s += time.perf_counter() - began
        rung = [job_id for bell in bells for job_id in bell]
        assert rung, f"{number} jobs are rung for by nobody"
        ledger.drop_all(rung)
        number -= len(rung)
    return wall_s, redis_s


def _submissions(number: int) -> Iterator[Submission]:
    now = time.time()
    for one in range(number):
        place = Repository(f"team/t{one % 50:02d}/service{one // TAGS:05d}"), Tag(f"v{one % TAGS}")
        yield Submission(Job(RULE, DESTINATION, *place), now, is_urgent=False)


if __name__ == "__main__":
    main()

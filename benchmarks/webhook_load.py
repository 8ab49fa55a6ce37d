"""How many notifications a second one receiver puts on disk, and how long each sender waits for its 202.

Everything is real and on this machine, the senders too: `replicator serve` as users run it, and a `redis-server` that
has every write on disk. Notifications look like Distribution's and come at a rate, on connections that are kept; each
has a time at which it is due, and its latency counts from then. Afterwards every id that a sender was told is looked
for in the inbox.

    .venv/bin/python -m benchmarks.webhook_load [--rate 2000] [--seconds 60] [--connections 64]
        [--scheduler] [--bad 2000] [--slow 500]

`--scheduler` has one drain the inbox meanwhile; `--bad` posts as many a second with a wrong secret; `--slow` holds so
many connections that never end their requests. It needs `redis-server`, ends by itself, and ends no process but its
own.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import redis
import uvloop

from benchmarks.notifying import Sender, Tally, body, hold_slow
from benchmarks.rig import REPLICATOR, cpu_s, environment, machine, need
from tests.fakes.raw import RawClient
from tests.integration.processes import RedisServer, free_port, wait_until

SECRET = "benchmark"  # noqa: S105 - of servers that live for one run
AIM_P99_MS = 100.0
INBOX = "replicator:inbox"
WARM_UP_S = 2.0
RULES = f"""\
registries:
  eu:
    type: distribution
    url: http://127.0.0.1:1
    webhook: {{secret: {SECRET}}}
  us:
    type: distribution
    url: http://127.0.0.1:2
rules:
  - name: benchmark
    source: eu
    destinations: [us]
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in: notifications, those with a wrong secret, and connections that never end a request."""

    rate: float
    seconds: float
    connections: int
    bad: float
    slow: int


@dataclass(frozen=True, slots=True)
class Site:
    """The processes of a run."""

    port: int
    server: RedisServer
    pids: dict[str, int]

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU that each has taken so far."""
        return {name: cpu_s([pid]) for name, pid in self.pids.items()}


def main() -> None:
    """Measure, and print what came of it. The exit status is 1 if anything was lost or late."""
    options = _options()
    need("redis-server")
    load = Load(options.rate, options.seconds, options.connections, options.bad, options.slow)
    with ExitStack() as stack:
        site = _start(stack, with_scheduler=options.scheduler)
        print(f"{machine()}\nnotifications of {len(body(0))} bytes, {load}\n")
        uvloop.run(
            Sender(site.port, "eu", SECRET, connections=load.connections).send(load.rate / 4, WARM_UP_S)
        )
        added_before = _added(site.server)
        before, start = site.cpu(), time.perf_counter()
        good, bad = uvloop.run(_measured(site.port, load))
        used = {name: spent - before[name] for name, spent in site.cpu().items()}
        seconds = time.perf_counter() - start
        missing = _missing(site.server, good, added_before)
        _report(good, bad, used, seconds)
    accepted = good.statuses[202]
    print(f"\n{accepted:,} were told 202, {missing:,} of them are not on disk")
    is_good = not missing and accepted == good.statuses.total() and good.took_ms(0.99) < AIM_P99_MS
    sys.exit(0 if is_good else 1)


async def _measured(port: int, load: Load) -> tuple[Tally, Tally]:
    """The tallies of the good senders and of the bad ones."""
    slow = asyncio.create_task(hold_slow(port, load.slow))
    good = Sender(port, "eu", SECRET, connections=load.connections)
    bad = Sender(port, "eu", "wrong", connections=load.connections)
    async with asyncio.TaskGroup() as sending:
        sending.create_task(good.send(load.rate, load.seconds))
        if load.bad:
            sending.create_task(bad.send(load.bad, load.seconds))
    slow.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await slow
    return good.tally, bad.tally


def _missing(server: RedisServer, tally: Tally, added_before: int) -> int:
    """How many of the ids that were told are not in the inbox; of a drained one, how many were never added to it."""
    told = {json.loads(answer)["id"] for answer in tally.answers}
    with contextlib.closing(server.client()) as client:
        if client.xlen(INBOX) < len(told):
            return max(0, len(told) - (_added(server) - added_before))
        return len(told - _ids(client))


def _added(server: RedisServer) -> int:
    """The notifications that ever came into the inbox, by Redis' own count."""
    with contextlib.closing(server.client()) as client:
        return int(client.xinfo_stream(INBOX)["entries-added"])


def _ids(client: redis.Redis) -> set[str]:
    last, found = "-", set()
    while entries := client.xrange(INBOX, min=last, count=1000):
        found |= {entry.decode() for entry, _ in entries}
        last = f"({entries[-1][0].decode()}"
    return found


def _report(good: Tally, bad: Tally, used: dict[str, float], seconds: float) -> None:
    print(f"{'':8} {'sent':>9} {'a second':>9} {'median ms':>10} {'p99 ms':>8} {'worst ms':>9}  answers")
    for name, tally in (("good", good), ("bad", bad)):
        if total := tally.statuses.total():
            times = f"{tally.took_ms(0.5):10.1f} {tally.took_ms(0.99):8.1f} {tally.took_ms(1):9.1f}"
            print(f"{name:8} {total:9,} {total / seconds:9.0f} {times}  {dict(tally.statuses)}")
    total = good.statuses.total() + bad.statuses.total()
    print(f"\n{'CPU':12} {'us each':>8} {'cores':>6}")
    for name, spent in used.items():
        print(f"{name:12} {spent / total * 1e6:8.0f} {spent / seconds:6.2f}")


def _start(stack: ExitStack, *, with_scheduler: bool) -> Site:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (directory / "rules").mkdir()
    (directory / "rules" / "rules.yaml").write_text(RULES)
    server = stack.enter_context(RedisServer(directory / "redis", port=0))
    port = free_port()
    settings = environment(
        REPLICATOR_REDIS_URL=server.url,
        REPLICATOR_RULES=str(directory / "rules"),
        REPLICATOR_DATA=str(directory / "data"),
        REPLICATOR_API_TOKEN="benchmark",  # noqa: S106
        REPLICATOR_PORT=str(port),
    )
    pids = {"receiver": stack.enter_context(_role("serve", directory, settings)), "redis": server.pid}
    wait_until(lambda: _is_ready(port), 20.0)
    if with_scheduler:
        pids["scheduler"] = stack.enter_context(_role("scheduler", directory, settings))
    return Site(port, server, pids | {"the senders": os.getpid()})


@contextlib.contextmanager
def _role(name: str, directory: Path, settings: dict[str, str]) -> Iterator[int]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([REPLICATOR, name], env=settings, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(port: int) -> bool:
    with (
        contextlib.suppress(OSError, http.client.HTTPException),
        RawClient(f"http://127.0.0.1:{port}") as client,
    ):
        return client.call("GET", "/readyz").status == 200
    return False


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=float, default=2000.0, help="notifications a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--scheduler", action="store_true", help="one that drains the inbox meanwhile")
    parser.add_argument("--bad", type=float, default=0.0, help="those with a wrong secret, a second")
    parser.add_argument("--slow", type=int, default=0, help="connections that never end their requests")
    return parser.parse_args()


if __name__ == "__main__":
    main()

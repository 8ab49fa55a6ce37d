"""The product under a steady load with a death a minute, for as long as one likes: does anything grow?

`python -m tests.chaos.soak --minutes 60` keeps to tags and images that come again, so that whatever grows is the
product's. Victims take turns. `scheduler-2`, `worker-2` and its pool are never struck, and the receiver only in the
first third, so that some processes grow old. The first quarter is left out of every slope.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from tests.chaos.checker import Checker, Verdict
from tests.chaos.figures import Figures, Life, Sample, slope, steady
from tests.chaos.history import History
from tests.chaos.load import Load, endless
from tests.chaos.nemesis import Fault, Nemesis
from tests.chaos.world import ChaosWorld
from tests.integration.processes import wait_until

PER_S = 5.0
RING = 400
KILL_EVERY_S = 60.0
SAMPLE_EVERY_S = 10.0
FAULT_LASTS_S = 35.0
"""For so long after a death the lag may be the death's: a lease, and the work that waited."""
RSS_LIMIT_MIB, FDS_LIMIT, KEYS_LIMIT, MEMORY_LIMIT_MIB = 1.0, 2.0, 200.0, 2.0
"""What may be called flat, for each hour."""
LAG_LIMIT_S = 10.0
QUIESCES_WITHIN_S = 120.0


def victims(minutes: float) -> Iterator[tuple[float, str]]:
    """Who is killed when: one a minute, in turn."""
    everyone = cycle(("worker-1", "receiver", "us", "redis", "child", "scheduler-1", "ap"))
    for number in range(1, int(minutes * 60 / KILL_EVERY_S)):
        name = next(everyone)
        if name == "receiver" and number > minutes / 3:
            name = next(everyone)
        yield number * KILL_EVERY_S, name


class Soak:
    """One soak in a directory of its own."""

    def __init__(self, directory: Path, *, minutes: float, seed: int) -> None:
        self._directory = directory
        self._minutes = minutes
        self._seed = seed
        self._over = threading.Event()
        self.deaths: list[float] = []

    def run(self) -> bool:
        """Soak, say what was measured, and whether all is well."""
        with (
            contextlib.closing(History(self._directory / "history.jsonl")) as history,
            ChaosWorld(self._directory / "world") as world,
        ):
            figures, load = Figures(world), Load(world, history, per_s=PER_S)
            beside = [
                threading.Thread(target=self._sample, args=(figures,)),
                threading.Thread(target=self._strike, args=(world,)),
            ]
            for thread in beside:
                thread.start()
            try:
                load.run_for(self._minutes * 60, endless(self._seed, ring=RING))
            finally:
                self._over.set()
                for thread in beside:
                    thread.join()
            world.resume_all()
            checker = Checker(world, history)
            began = time.monotonic()
            # What is not in line by then is told below, tag by tag.
            with contextlib.suppress(AssertionError):
                wait_until(lambda: world.is_settled() and checker.is_in_line(), QUIESCES_WITHIN_S, poll_s=1)
            quiesced_s = time.monotonic() - began
            verdict = checker.verdict()
            say(f"steps {dict(history.counts())}, {len(self.deaths)} deaths, {world.restarts} restarts")
            say(f"in line {quiesced_s:.0f} s after the last step: {verdict.tags} tags read back")
            return self._judge(figures, verdict)

    def _sample(self, figures: Figures) -> None:
        began = time.monotonic()
        while not self._over.wait(SAMPLE_EVERY_S):
            if found := figures.take():
                self._tell(found, began)

    def _tell(self, found: Sample, began: float) -> None:
        lag = "?" if found.lag_s is None else f"{found.lag_s:.1f}"
        say(
            f"{(found.at - began) / 60:5.1f} min: {found.keys.total()} keys, {found.memory_mib:.1f} MiB in Redis"
            f" ({found.capped_mib:.1f} in capped streams), lag {lag} s"
        )

    def _strike(self, world: ChaosWorld) -> None:
        nemesis, began = Nemesis(world), time.monotonic()
        for at_s, victim in victims(self._minutes):
            if self._over.wait(max(0.0, began + at_s - time.monotonic())):
                return
            self.deaths.append(time.monotonic())
            nemesis.strike(Fault(at_s, "kill", victim))
            say(f"      killed {victim}")

    def _judge(self, figures: Figures, verdict: Verdict) -> bool:
        bad = [f"wrong: {flaw}" for flaw in verdict.wrong]
        bad += self._judge_processes(figures) + self._judge_redis(figures) + self._judge_lag(figures)
        for line in bad:
            say(line)
        say("not flat, or not right" if bad else "flat, and right")
        return not bad

    def _judge_processes(self, figures: Figures) -> list[str]:
        bad = []
        warm_s, seen_s = self._minutes * 60 / 4, self._minutes * 60 / 4
        for name, lives in sorted(
            steady([*figures.lives.values()], after_s=warm_s, at_least_s=seen_s).items()
        ):
            for life in lives:
                rss, fds = slope(life.times, life.rss_mib), slope(life.times, life.fds)
                say(_line(life, rss, fds))
                # What Redis keeps is judged by its own account of it.
                if (rss > RSS_LIMIT_MIB and name != "redis") or fds > FDS_LIMIT:
                    bad.append(f"not flat: {name} (pid {life.pid})")
        return bad

    def _judge_redis(self, figures: Figures) -> list[str]:
        samples = figures.samples[len(figures.samples) // 4 :]
        times = [sample.at for sample in samples]
        names = sorted({name for sample in samples for name in sample.keys})
        for name in names:
            counts = [sample.keys[name] for sample in samples]
            grows = slope(times, counts)
            if abs(grows) > 1:
                say(f"{name}: {counts[0]} to {counts[-1]} keys, {grows:+.0f} an hour")
        keys = slope(times, [sample.keys.total() for sample in samples])
        memory = slope(times, [sample.memory_mib - sample.capped_mib for sample in samples])
        capped = slope(times, [sample.capped_mib for sample in samples])
        say(f"Redis: {keys:+.0f} keys, {memory:+.2f} MiB an hour, and {capped:+.2f} in streams with a length")
        flat = {"keys of Redis": keys <= KEYS_LIMIT, "memory of Redis": memory <= MEMORY_LIMIT_MIB}
        return [f"not flat: {name}" for name, is_flat in flat.items() if not is_flat]

    def _judge_lag(self, figures: Figures) -> list[str]:
        quiet = [
            sample.lag_s
            for sample in figures.samples
            if sample.lag_s is not None
            and not any(0 <= sample.at - death < FAULT_LASTS_S for death in self.deaths)
        ]
        if len(quiet) < 2:
            return []
        p99 = statistics.quantiles(quiet, n=100, method="inclusive")[98]
        say(
            f"lag outside faults: p50 {statistics.median(quiet):.2f} s, p99 {p99:.2f} s of {len(quiet)} samples"
        )
        return ["lag outside faults"] if p99 > LAG_LIMIT_S else []


def _line(life: Life, rss: float, fds: float) -> str:
    minutes = (life.times[-1] - life.times[0]) / 60
    return (
        f"{life.name} (pid {life.pid}), {minutes:.0f} min: RSS {life.rss_mib[0]:.1f} to {life.rss_mib[-1]:.1f} MiB,"
        f" {rss:+.2f} an hour; {life.fds[0]} to {life.fds[-1]} descriptors, {fds:+.1f} an hour"
    )


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201 - this is its output


def main() -> int:
    """0 if nothing grew and nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    say(f"seed {options.seed}, {options.minutes:g} minutes; logs in {directory}")
    return 0 if Soak(directory, minutes=options.minutes, seed=options.seed).run() else 1


if __name__ == "__main__":
    sys.exit(main())

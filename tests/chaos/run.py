"""One chaos run: people at work and faults beside them, then rest, then the check. Everything follows from a seed."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import canaries
from tests.chaos.checker import Checker, Verdict
from tests.chaos.history import History
from tests.chaos.load import Load, operations
from tests.chaos.nemesis import Mix, Nemesis, faults
from tests.chaos.world import ChaosWorld, Tuning
from tests.integration.processes import wait_until

RESTS_FOR_S = 2.0
"""Nothing waits if nothing waited for so long: a notification may be on its way."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does. `per_s` is how many things people do in a second."""

    seed: int
    events: int
    per_s: float
    mix: Mix
    tuning: Tuning
    quiesces_within_s: float = 120.0
    watch_s: float = 3.0


@dataclass
class Report:
    """What a run did, and what was wrong at its end."""

    plan: Plan
    steps: Counter[str]
    faults: Counter[str]
    restarts: int
    load_s: float
    quiesced_s: float
    sweeps: int
    """How often the product compared by itself: where a source died, it may have lost notifications."""
    repairs: int
    """How many references that brought in line."""
    repaired: int
    """What a resync had to bring in line after that."""
    verdict: Verdict
    stored: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    """Secrets that were in Redis, and those that somebody was told: none."""

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be, a sentence each."""
        repairs = self.sweeps and not self.plan.mix.kills_sources
        needless = ["a sweep was made, so that nobody knows what came by its event"] if repairs else []
        return [*self.verdict.wrong, *needless, *self.stored, *self.told]

    def lines(self) -> list[str]:
        """The report in words."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        steps = ", ".join(f"{count} {name}" for name, count in sorted(self.steps.items()))
        return [
            f"seed {self.plan.seed}: {self.plan.events} events in {self.load_s:.0f} s ({steps})",
            f"{self.faults.total()} faults ({faults}), {self.restarts} restarts",
            f"in line {self.quiesced_s:.1f} s later, {self.repaired} by a resync, {self.repairs} by"
            f" {self.sweeps} sweeps; {self.verdict.tags} tags read back, {self.verdict.uploads} uploads left behind,"
            f" {len(self.wrong)} wrong",
            *(f"  {flaw}" for flaw in self.wrong[:30]),
        ]


def chaos(directory: Path, plan: Plan) -> Report:
    """Carry a run out in a directory of its own, where the logs and the history stay."""
    with (
        closing(History(directory / "history.jsonl")) as history,
        ChaosWorld(directory / "world", plan.tuning) as world,
    ):
        nemesis, load = Nemesis(world), Load(world, history, per_s=plan.per_s)
        began = time.monotonic()
        _beside(
            lambda: load.run(operations(plan.seed, plan.events)),
            lambda: nemesis.run(faults(plan.seed, plan.mix)),
            end=nemesis.end,
        )
        load_s, checker = time.monotonic() - began, Checker(world, history)
        quiesced_s, repaired, failed = _quiesce(world, checker, plan)
        verdict = checker.verdict()
        verdict.wrong += [*failed, *_unsteady(checker, plan.watch_s)]
        (directory / "faults.txt").write_text("".join(f"{at:.3f} {fault}\n" for at, fault in nemesis.log))
        return Report(
            plan,
            history.counts(),
            nemesis.told,
            world.restarts,
            load_s,
            quiesced_s,
            checker.sweeps(),
            checker.repairs(),
            repaired,
            verdict,
            canaries.leaks(canaries.stored(world)),
            canaries.leaks(canaries.told(world)),
        )


def _beside(work: Callable[[], None], other: Callable[[], None], *, end: Callable[[], None]) -> None:
    """Do `work`, and `other` beside it, which `end` ends."""
    thread = threading.Thread(target=other)
    thread.start()
    try:
        work()
    finally:
        end()
        thread.join()


def _quiesce(world: ChaosWorld, checker: Checker, plan: Plan) -> tuple[float, int, list[str]]:
    """Wait until all is in line; the seconds that it took, what a resync had to repair, and what went wrong with it."""
    began, repaired, failed = time.monotonic(), 0, list[str]()
    if plan.mix.kills_sources:
        repaired, failed = _repair(world, checker, plan.quiesces_within_s)
    # What is not in line by then is told by the verdict, tag by tag.
    with contextlib.suppress(AssertionError):
        wait_until(lambda: world.is_settled() and checker.is_in_line(), plan.quiesces_within_s, poll_s=0.25)
    quiesced_s = time.monotonic() - began
    with contextlib.suppress(AssertionError):
        rest(world, plan.quiesces_within_s)
    return quiesced_s, repaired, failed


def _repair(world: ChaosWorld, checker: Checker, within_s: float) -> tuple[int, list[str]]:
    """Have a resync bring over what nobody told of; how many tags differed before, and what it complained of."""
    with contextlib.suppress(AssertionError):
        rest(world, within_s)
    differing = len(checker.differences())
    done = world.command("resync", "--prune", "--yes", "--wait")
    return differing, [] if done.status == 0 else [
        f"the resync ended with {done.status}: {done.out}{done.err}"
    ]


def rest(world: ChaosWorld, within_s: float) -> None:
    """Return when nothing has waited for a moment. Raises AssertionError."""
    since: list[float] = []

    def rests() -> bool:
        if not world.is_settled():
            since.clear()
            return False
        since.append(time.monotonic())
        return since[-1] - since[0] >= RESTS_FOR_S

    wait_until(rests, within_s, what="nothing waits", poll_s=0.2)


def _unsteady(checker: Checker, seconds: float) -> list[str]:
    """What leaves the line again, although nobody does anything."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not checker.is_in_line():
            return [f"afterwards: {flaw}" for flaw in checker.differences()]
        time.sleep(0.5)
    return []

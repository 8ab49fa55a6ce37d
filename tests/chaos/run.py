"""One chaos run: people at work and faults beside them, then rest, then the check. Everything follows from a seed."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
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
    repaired: int
    """What a resync had to bring in line, because a source died with its notifications."""
    verdict: Verdict
    leaks: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be, a sentence each."""
        return [*self.verdict.wrong, *self.leaks]

    def lines(self) -> list[str]:
        """The report in words."""
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        steps = ", ".join(f"{count} {name}" for name, count in sorted(self.steps.items()))
        return [
            f"seed {self.plan.seed}: {self.plan.events} events in {self.load_s:.0f} s ({steps})",
            f"{self.faults.total()} faults ({faults}), {self.restarts} restarts",
            f"in line {self.quiesced_s:.1f} s later, {self.repaired} by a resync;"
            f" {self.verdict.tags} tags read back, {len(self.wrong)} wrong",
            *(f"  {flaw}" for flaw in self.wrong[:30]),
        ]


def chaos(directory: Path, plan: Plan) -> Report:
    """Carry a run out in a directory of its own, where the logs and the history stay."""
    with ChaosWorld(directory / "world", plan.tuning) as world:
        history = History(directory / "history.jsonl")
        nemesis, load = Nemesis(world), Load(world, history, per_s=plan.per_s)
        began = time.monotonic()
        _beside(
            lambda: load.run(operations(plan.seed, plan.events)),
            lambda: nemesis.run(faults(plan.seed, plan.mix)),
            end=nemesis.end,
        )
        load_s, checker = time.monotonic() - began, Checker(world, history)
        quiesced_s, repaired = _quiesce(world, checker, plan)
        verdict = checker.verdict()
        verdict.wrong += _unsteady(checker, plan.watch_s)
        (directory / "faults.txt").write_text("".join(f"{at:.3f} {fault}\n" for at, fault in nemesis.log))
        return Report(
            plan,
            history.counts(),
            nemesis.told,
            world.restarts,
            load_s,
            quiesced_s,
            repaired,
            verdict,
            canaries.found(world),
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


def _quiesce(world: ChaosWorld, checker: Checker, plan: Plan) -> tuple[float, int]:
    """Wait until nothing waits and, if sources died, repair; the seconds that all was in line after, and repairs."""
    began, repaired = time.monotonic(), 0
    if plan.mix.kills_sources:
        rest(world, plan.quiesces_within_s)
        repaired = len(checker.differences())
        done = world.command("resync", "--prune", "--wait")
        assert done.status == 0, done
    # What is not in line by then is told by the verdict, tag by tag.
    with contextlib.suppress(AssertionError):
        wait_until(lambda: world.is_settled() and checker.is_in_line(), plan.quiesces_within_s, poll_s=0.25)
    quiesced_s = time.monotonic() - began
    with contextlib.suppress(AssertionError):
        rest(world, plan.quiesces_within_s)
    return quiesced_s, repaired


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

"""The roles at work without faults, where nothing may pile up; and without a scheduler, where nothing may get lost."""

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import pytest

from tests.chaos.checker import Checker
from tests.chaos.figures import Figures
from tests.chaos.history import History
from tests.chaos.load import Load, endless, operations
from tests.chaos.run import rest
from tests.chaos.world import ChaosWorld, Tuning
from tests.integration.processes import wait_until

A_ROUND = 80
PER_S = 20.0
SCHEDULERS = ("scheduler-1", "scheduler-2")
AWAY_S = 3.0
IN_LINE_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChaosWorld]:
    with ChaosWorld(tmp_path_factory.mktemp("roles") / "world", Tuning(grace_s=1.0)) as running:
        yield running


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    with closing(History(tmp_path_factory.mktemp("steps") / "history.jsonl")) as kept:
        yield kept


def work(world: ChaosWorld, history: History) -> None:
    """A round of work, the same each time, and all is at rest afterwards."""
    Load(world, history, per_s=PER_S).run([*islice(endless(7, ring=20), A_ROUND)])
    rest(world, IN_LINE_WITHIN_S)


def measured(world: ChaosWorld) -> tuple[Counter[str], dict[str, int]]:
    """Redis' keys by what they are about, and the descriptors that each of the product's processes has."""
    figures = Figures(world)
    sample = figures.take()
    assert sample
    lives = [life for life in figures.lives.values() if life.name != "redis"]
    return sample.keys, {f"{life.name} {life.pid}": life.fds[-1] for life in lives}


def test_q15_the_same_work_again_leaves_no_more_keys(world: ChaosWorld, history: History) -> None:
    # Moves that follow each other closely are one copy, so that one round does not see all images.
    for _ in range(2):
        work(world, history)
    before, _ = measured(world)
    work(world, history)
    after, _ = measured(world)

    assert (after - before).total() < before.total() / 10, after - before
    assert Checker(world, history).verdict().wrong == []


def test_q14_the_same_work_again_holds_no_more_descriptors(world: ChaosWorld, history: History) -> None:
    work(world, history)
    _, before = measured(world)
    for _ in range(2):
        work(world, history)
    _, after = measured(world)

    # One that died in an earlier test may have been born anew since.
    lived_on = before.keys() & after.keys()
    assert {name.partition(" ")[0] for name in lived_on} >= {*world.roles}
    # Connections to registries are kept for a while, as many as there was work for at once.
    grown = {name: (before[name], after[name]) for name in lived_on if after[name] > before[name] + 12}
    assert grown == {}


def test_c11_what_ended_left_no_upload_behind(world: ChaosWorld, history: History) -> None:
    Load(world, history, per_s=PER_S).run(operations(11, 40))
    rest(world, IN_LINE_WITHIN_S)

    assert Checker(world, history).uploads() == 0


def test_q16_what_came_while_no_scheduler_lived_is_done_when_one_does(
    world: ChaosWorld, history: History
) -> None:
    world.resting.update(SCHEDULERS)
    for name in SCHEDULERS:
        kill(world, name)
    checker = Checker(world, history)
    Load(world, history, per_s=PER_S).run(operations(12, 40))
    wait_until(lambda: world.api("status")["inbox"]["length"] > 20, what="the inbox fills")
    time.sleep(AWAY_S)

    status = world.api("status")
    assert status["inbox"]["oldest_seconds"] >= AWAY_S
    assert not checker.is_in_line()
    world.resting.clear()
    wait_until(lambda: world.is_settled() and checker.is_in_line(), IN_LINE_WITHIN_S, what="all is in line")
    assert checker.verdict().wrong == []


def kill(world: ChaosWorld, name: str) -> None:
    """Kill it, and return when it is gone."""
    for pid in world.pids(name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not world.pids(name), what=f"{name} is gone")

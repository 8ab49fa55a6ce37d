"""Q4: whoever is told to stop ends what it can, hands back the rest, and costs no lag beyond that."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.world import STOPS_WITHIN_S, ChaosWorld, Tuning
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import wait_until

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
REPOSITORY = "production/api"
PER_S = 4.0
LAG_LIMIT_S = 25.0
"""The grace period: a copy that is handed back at its end waits no longer."""


def test_q4_what_does_not_end_in_time_is_handed_back_and_done_by_others(tmp_path: Path) -> None:
    with ChaosWorld(tmp_path / "world", Tuning(concurrency=2)) as world:
        # Forty seconds and more of bytes: longer than anybody may take to stop.
        world.straits["us"].slow(0.5 * MIB)
        image = images.image([images.layer_bytes("slow", 24 * MIB)])
        images.push(world.target("eu"), REPOSITORY, "slow", image)
        wait_until(lambda: world.straits["us"].up_bytes > MIB, 30, what="a worker copies it")

        # One of the two has the job.
        world.resting |= {"worker-1", "worker-2"}
        took = [world.roles[name].stop(STOPS_WITHIN_S + 10) for name in ("worker-1", "worker-2")]

        assert max(took) < STOPS_WITHIN_S
        assert not images.head(world.target("us"), REPOSITORY, "slow")
        world.straits["us"].heal()
        world.resting.clear()
        _await(world, {"slow": image}, within_s=60)


def test_q4_a_rolling_restart_under_load_costs_no_more_lag_than_the_grace_period(tmp_path: Path) -> None:
    with ChaosWorld(tmp_path / "world", Tuning(concurrency=2)) as world:
        with _pushes(world) as pushed, _lags(world) as lags:
            wait_until(lambda: len(pushed) > 3, what="pushes are made")
            for name in ("worker-1", "worker-2", "scheduler-1", "scheduler-2", "receiver"):
                # It is started again a moment after it ended, as anything that dies.
                assert world.roles[name].stop(STOPS_WITHIN_S) < STOPS_WITHIN_S
                wait_until(lambda: _is_whole(world), 60, what="all roles are there again", poll_s=0.2)

        _await(world, pushed, within_s=LAG_LIMIT_S)
        assert max(lags) < LAG_LIMIT_S
        assert world.api("failures")["jobs"] == []


def _is_whole(world: ChaosWorld) -> bool:
    return all(role.is_running for role in world.roles.values()) and world.works()


@contextmanager
def _pushes(world: ChaosWorld) -> Iterator[dict[str, Image]]:
    """One push after another, until the end."""
    pushed: dict[str, Image] = {}

    def push(over: threading.Event) -> None:
        while not over.wait(1 / PER_S):
            tag = f"v{len(pushed)}"
            image = images.image([tag.encode()])
            images.push(world.target("eu"), REPOSITORY, tag, image)
            pushed[tag] = image

    with _meanwhile(push):
        yield pushed


@contextmanager
def _lags(world: ChaosWorld) -> Iterator[list[float]]:
    """The greatest lag of all lanes, looked at now and then; no look where nobody answers."""
    lags: list[float] = []

    def look(over: threading.Event) -> None:
        while not over.wait(0.5):
            try:
                lanes = world.api("status")["lanes"]
            except (OSError, AssertionError):
                continue
            lags.append(max(lane["lag_seconds"] for lane in lanes))

    with _meanwhile(look):
        yield lags


@contextmanager
def _meanwhile(do: Callable[[threading.Event], None]) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=do, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _await(world: ChaosWorld, pushed: dict[str, Image], *, within_s: float) -> None:
    started = time.monotonic()
    for tag, image in pushed.items():
        for region in ("us", "ap"):
            left = max(1.0, within_s - (time.monotonic() - started))
            wait_until(
                lambda: images.is_whole(world.target(region), REPOSITORY, tag, image),  # noqa: B023
                left,
                what=f"{region}/{REPOSITORY}:{tag} is there",
                poll_s=0.1,
            )

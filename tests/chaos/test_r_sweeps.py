"""Notifications that were lost, and a ledger that was: a sweep repairs it, and counts what it repaired."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.e2e.world import World
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import wait_until

RULES = """\
rules:
  - name: swept
    source: eu
    destinations: [us]
    filters: [{type: name, value: "swept/**"}]
    deletion: true
    delete_grace: 500ms
    sweep_interval: 3s
  - name: quiet
    source: eu
    destinations: [us]
    filters: [{type: name, value: "quiet/**"}]
    deletion: true
    backfill: true
    sweep_interval: "off"
"""
OUTAGE_S = 4.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("sweeps"), RULES, regions=("eu", "us")) as running:
        wait_until(lambda: caught_up(running, "quiet"), 30, what="the backfill is over")
        yield running


@pytest.fixture(scope="module")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that misses its receiver soon."""
    directory, settings = tmp_path_factory.mktemp("deaf"), {"REPLICATOR_OUTAGE_S": str(OUTAGE_S)}
    with World(directory, RULES, regions=("eu", "us"), environment=settings) as running:
        wait_until(lambda: caught_up(running, "quiet"), 30, what="the backfill is over")
        yield running


def caught_up(world: World, rule: str) -> bool:
    """Whether the rule was brought in line as a whole."""
    with redis.Redis(unix_socket_path=str(world.replicator.data / "redis.sock")) as client:
        return bool(client.hexists("replicator:asked", f"caught-up|{rule}|us"))


def repairs(world: World, rule: str) -> float:
    return world.replicator.metric("replicator_sweep_repairs_total", rule=rule, destination="us") or 0.0


def push(world: World, repository: str, *tags: str) -> dict[str, Image]:
    return {
        tag: world.push("eu", repository, tag, images.image([f"{repository}:{tag}".encode()])) for tag in tags
    }


def in_line(world: World, repository: str, pushed: dict[str, Image], within_s: float = 40) -> None:
    for tag, image in pushed.items():
        world.await_copy("us", repository, tag, image, within_s=within_s)


@contextmanager
def no_receiver(world: World) -> Iterator[None]:
    receiver = world.replicator.child("receiver")
    os.kill(receiver, signal.SIGSTOP)
    try:
        # What is sent first waits in the receiver's socket, and is taken in the end: of no rule's repository.
        push(world, "other/app", f"v{time.monotonic_ns()}")
        yield
    finally:
        os.kill(receiver, signal.SIGCONT)


def forget(world: World) -> None:
    """Kill the source, which keeps in memory what it has to tell."""
    world.registries["eu"].kill()
    world.registries["eu"].start()


def test_r6_a_registry_that_restarts_has_what_it_forgot_to_tell_copied(world: World) -> None:
    known = push(world, "quiet/app", "v1")
    in_line(world, "quiet/app", known)
    with no_receiver(world):
        forgotten = push(world, "quiet/app", "v2", "v3")
        forget(world)
    before = repairs(world, "quiet")

    told = push(world, "quiet/app", "v4")

    in_line(world, "quiet/app", {**known, **forgotten, **told})
    wait_until(lambda: repairs(world, "quiet") >= before + 2, 10)
    world.replicator.settle()
    assert repairs(world, "quiet") == before + 2
    assert "a registry that restarted" in world.replicator.said
    repaired = [line for line in world.replicator.said.splitlines() if "repaired=True" in line]
    assert {tag for tag in ("v1", "v2", "v3", "v4") for line in repaired if f"|quiet/app|{tag} " in line} == {
        "v2",
        "v3",
    }


def test_r6_what_nobody_told_is_found_by_the_next_sweep_and_counted(world: World) -> None:
    known = push(world, "swept/app", "stays", "moves", "goes")
    in_line(world, "swept/app", known)
    wait_until(lambda: caught_up(world, "swept"), 20, what="a sweep is over")
    world.replicator.settle()
    before = repairs(world, "swept")
    with no_receiver(world):
        forgotten = push(world, "swept/app", "v1", "v2", "v3")
        forgotten["moves"] = world.push("eu", "swept/app", "moves", images.image([b"moved"]))
        world.delete("eu", "swept/app", known["goes"])
        forget(world)

    in_line(world, "swept/app", forgotten)
    world.await_absence("us", "swept/app", "goes", within_s=20)
    wait_until(lambda: repairs(world, "swept") >= before + 5, 10)

    # Nothing more is left to repair, however often it is looked for.
    compared = world.replicator.metric(
        "replicator_last_sweep_timestamp_seconds", rule="swept", destination="us"
    )
    wait_until(
        lambda: (
            world.replicator.metric("replicator_last_sweep_timestamp_seconds", rule="swept", destination="us")
            != compared
        ),
        20,
        what="another sweep is over",
    )
    world.replicator.settle()
    assert repairs(world, "swept") == before + 5
    assert world.head("us", "swept/app", "stays") == known["stays"].digest


def test_an_event_that_comes_is_not_counted_as_lost(world: World) -> None:
    wait_until(lambda: caught_up(world, "swept"), 20, what="a sweep is over")
    before = repairs(world, "swept")

    for number in range(30):
        in_line(world, "swept/busy", push(world, "swept/busy", f"v{number}"))
        time.sleep(0.1)  # the sweeps of some seconds come between

    assert repairs(world, "swept") == before


def test_a_source_that_was_emptied_takes_no_copies_with_it(world: World) -> None:
    copies = push(world, "swept/last", "v1", "v2")
    in_line(world, "swept/last", copies)
    with no_receiver(world):
        world.registries["eu"].kill()
        for child in world.registries["eu"].storage.iterdir():
            child.rename(child.with_suffix(".lost"))
        world.registries["eu"].start()

    wait_until(lambda: "sweep holds deletes back" in world.replicator.said, 30)

    assert all(world.head("us", "swept/last", tag) == image.digest for tag, image in copies.items())
    drift = world.replicator.metric("replicator_drift_references", rule="swept", destination="us")
    assert drift
    assert drift >= 2


def test_r6_what_was_sent_while_there_was_no_receiver_is_copied(deaf: World) -> None:
    known = push(deaf, "quiet/app", "v1")
    in_line(deaf, "quiet/app", known)
    with no_receiver(deaf):
        forgotten = push(deaf, "quiet/app", "v2")
        forget(deaf)
        time.sleep(OUTAGE_S + 1)

    in_line(deaf, "quiet/app", forgotten)
    assert "no receiver for a while" in deaf.replicator.said


def test_r12_a_ledger_that_is_emptied_loses_no_push_and_invents_no_delete(deaf: World) -> None:
    pushed = {}
    for number in range(24):
        pushed |= push(deaf, "quiet/many", f"v{number}")
        if number == 12:
            with redis.Redis(unix_socket_path=str(deaf.replicator.data / "redis.sock")) as client:
                client.flushall()

    in_line(deaf, "quiet/many", pushed, within_s=60)
    deaf.replicator.settle()

    assert deaf.tags("us", "quiet/many") == set(pushed)
    assert "DELETE" not in deaf.registries["us"].log.read_text()
    assert "redis forgot what it was told" in deaf.replicator.said

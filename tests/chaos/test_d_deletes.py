"""D: rules and deletes. Nothing is deleted that anybody keeps, whatever happens in whatever order."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from replicator.demo.features import Features
from replicator.ledger import Ledger, State
from replicator.resync import Request
from tests.chaos.deletes import RULE, History, at_our_own, at_real_ones
from tests.conformance.bridge import Bridge
from tests.integration.processes import DockerRegistry
from tests.integration.resync.kit import resynced
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_deletes import DELETING, ONE, TWO, copied
from tests.integration.transfer.world import ALL, API, World, a_rule

pytestmark = pytest.mark.integration

ELSEWHERE = {
    "D1": "tests/e2e/test_reload.py::test_a_broken_revision_leaves_the_old_one_in_force",
    "D5": "tests/conformance/test_i_deletes.py::test_i6_more_deletes_than_the_cap_wait_for_a_person",
    "D6": "tests/conformance/test_i_deletes.py::test_i1_where_only_digests_go_a_docker_registry_keeps_both_tags",
    "D7": "tests/integration/transfer/test_deletes.py"
    "::test_what_we_did_not_put_there_stays_until_a_person_approves",
}

HISTORIES = 40
OTHERS = ("team/a", "team/b", "team/c")


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize("cap", [100, 1])
@pytest.mark.parametrize("deletes_tags", [True, False])
def test_no_history_of_deletes_takes_what_the_model_keeps(
    make_world: MakeWorld, cap: int, deletes_tags: bool
) -> None:
    features = Features(tag_delete=deletes_tags)
    rule, deletes = replace(RULE, delete_cap=cap), 0
    for number in range(HISTORIES):
        world = make_world(rule, features={"eu": features, "us": features})
        world.redis.flushall()

        history = History(at_our_own(world, rule=rule), number)
        history.run()

        deletes += history.model.deletes
    assert deletes


def test_a_rule_that_does_not_delete_takes_nothing_in_any_history(make_world: MakeWorld) -> None:
    rule = replace(RULE, deletion=False)
    for number in range(HISTORIES):
        world = make_world(rule)
        world.redis.flushall()

        history = History(at_our_own(world, rule=rule), number)
        history.run()

        assert not history.model.deletes


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[tuple[DockerRegistry, DockerRegistry]]:
    with DockerRegistry(tmp_path / "eu") as eu, DockerRegistry(tmp_path / "us") as us:
        yield eu, us


@pytest.mark.parametrize("histories", [12, pytest.param(200, marks=pytest.mark.chaos)])
def test_no_history_at_real_registries_takes_what_the_model_keeps(
    registries: tuple[DockerRegistry, DockerRegistry], ledger: Ledger, redis_url: str, histories: int
) -> None:
    eu, us = registries
    deletes = 0
    with (
        Bridge(ledger, eu.url, us.url, rule=replace(RULE, filters=ALL)) as bridge,
        redis.Redis.from_url(redis_url) as client,
    ):
        for number in range(histories):
            client.flushall()
            history = History(at_real_ones(bridge, eu, client, f"team/history-{number}"), number)
            history.run()
            deletes += history.model.deletes
    assert deletes


# A source that lost everything answers for itself, and like one from which everything was deleted.


def emptied(make_world: MakeWorld, *others: str) -> World:
    """A source whose storage vanished after a copy of `API` and `others`, each with one tag."""
    world = copied(make_world(DELETING))
    for repository in others:
        world.push("eu", "v1", ONE, repository=repository)
        job = world.job(repository=repository)
        assert world.run(job).outcome == "copied"
    with world["eu"].storage.lock:
        world["eu"].storage.shelves.clear()
    return world


def held(world: World, *repositories: str) -> list[str]:
    return [name for name in repositories if world.digest("us", "v1", repository=name)]


def test_d4_a_source_that_lost_everything_deletes_nothing_by_itself(make_world: MakeWorld) -> None:
    world = emptied(make_world, *OTHERS)

    resynced(world, Request(prune=True))
    world.remove(world.job())

    assert held(world, API, *OTHERS) == [API, *OTHERS]
    failures = world.ledger.view.failures()
    assert {view.state for view in failures} == {State.BLOCKED}
    assert {view.repository for view in failures} == {API, *OTHERS}
    assert all("may have lost its storage" in (view.reason or "") for view in failures)


def test_d4_what_is_blocked_so_is_copied_on_when_the_source_is_back(make_world: MakeWorld) -> None:
    world = emptied(make_world, *OTHERS)
    resynced(world, Request(prune=True))
    for repository in (API, *OTHERS):
        world.push("eu", "v1", TWO, repository=repository)

    resynced(world)

    assert world.ledger.view.failures() == []
    assert [world.digest("us", "v1", repository=name) for name in (API, *OTHERS)] == [TWO.digest] * 4


def test_d4_a_person_may_approve_such_a_delete(make_world: MakeWorld) -> None:
    world = emptied(make_world, *OTHERS)
    assert world.remove(world.job()).state is State.BLOCKED

    world.ledger.approve(world.job().id)
    world.settle()

    assert held(world, API, *OTHERS) == [*OTHERS]


@pytest.mark.parametrize("left", ["a repository", "few"])
def test_d4_a_repository_that_goes_alone_or_among_few_is_deleted(make_world: MakeWorld, left: str) -> None:
    world = emptied(make_world, *(OTHERS if left == "a repository" else OTHERS[:2]))
    if left == "a repository":
        world.push("eu", "v1", ONE, repository=OTHERS[1])

    assert world.remove(world.job()).outcome == "deleted"
    assert world.digest("us") is None


def test_d4_repositories_that_may_not_be_read_tell_nothing(make_world: MakeWorld) -> None:
    world = emptied(make_world, *OTHERS)
    world.push("eu", "v1", ONE, repository=OTHERS[2])
    for name in OTHERS[:2]:
        world["eu"].fail("GET", f"{name}/tags/list", times=float("inf"), status=403)

    assert world.remove(world.job()).outcome == "deleted"


def test_what_a_destination_refused_to_delete_is_copied_on_when_it_is_back(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world["us"].fail("DELETE", "manifests/v1", times=float("inf"), status=409)
    assert world.remove(world.job()).state is State.BLOCKED
    world.push("eu", "v1", TWO)  # and no event tells of it

    resynced(world)

    assert world.ledger.view.failures() == []
    assert world.digest("us", "v1") == TWO.digest


def test_d8_a_delete_goes_round_a_ring_once(make_world: MakeWorld) -> None:
    ring = [
        replace(
            DELETING,
            name=f"{here}-{there}",
            source=here,
            destinations=a_rule("any", here, there).destinations,
        )
        for here, there in (("eu", "us"), ("us", "ap"), ("ap", "eu"))
    ]
    world = make_world(*ring)
    world.listen()
    world.push("eu", "v1", ONE)
    world.settle()
    assert [world.digest(name) for name in ("us", "ap")] == [ONE.digest, ONE.digest]
    world.forget_requests()

    world.delete("eu", "v1")
    world.settle()

    assert [world.digest(name) for name in ("eu", "us", "ap")] == [None, None, None]
    assert [world.writes(name) for name in ("us", "ap")] == [["DELETE manifests/v1"]] * 2
    assert world.writes("eu") == ["DELETE manifests/v1"]  # the person's
    assert world.ledger.view.failures() == []

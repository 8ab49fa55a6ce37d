"""A rule gets another name: what the ledger knows under the old one is still the rule's."""

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from replicator.demo.features import Features
from replicator.intake import take_in
from replicator.ledger import Ledger, State, lanes_of
from replicator.operate import Filters, jobs
from tests.fakes.images import image, is_whole, signature, signature_tag
from tests.integration.ledger.kit import notify, read_one
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_intake import deleted
from tests.integration.transfer.world import API, World, a_rule, once
from tests.unit.events.bodies import envelope

OLD = replace(a_rule("old"), deletion=True)
NEW = replace(OLD, name="new", was=("older", "old"))
ONE, TWO = image([b"one"]), image([b"two"])


def renamed(world: World) -> World:
    world.obey(NEW)
    return world


def copies(world: World, *tags: str) -> World:
    """The tags are at both ends, and were brought there under the old name."""
    for tag in tags or ("v1",):
        world.push("eu", tag, ONE)
        assert world.run(world.job(tag, rule="old")).outcome == "copied"
    return world


def count(rule: str, outcome: str) -> float:
    labels = {"rule": rule, "destination": "us", "outcome": outcome}
    return REGISTRY.get_sample_value("replicator_jobs_total", labels) or 0.0


def test_a_job_that_waits_under_the_old_name_is_run_and_counts_for_the_new_one(make_world: MakeWorld) -> None:
    world = make_world(OLD)
    world.push("eu", "v1", ONE)
    job = world.job(rule="old")
    world.tell(job)
    renamed(world)
    before = count("new", "copied")

    view = world.shown(world.work(job))

    assert view.outcome == "copied"
    assert is_whole(world["us"], API, "v1", ONE)
    assert count("new", "copied") == before + 1


def test_what_is_open_under_the_old_name_shows_under_the_new_one(make_world: MakeWorld) -> None:
    world = make_world(OLD)
    for number, rule in enumerate(("older", "old", "new")):
        world.tell(world.job(f"v{number}", rule=rule))
    oldest = min(view.since for view in world.ledger.view.jobs())
    rules = renamed(world).rules

    lanes = lanes_of(world.ledger.view, rules)

    assert set(lanes) == {("new", "us")}
    lane = lanes["new", "us"]
    assert (lane.pending, lane.failed, lane.blocked) == (3, 0, 0)
    assert lane.oldest_since == oldest
    world.settle()
    assert lanes_of(world.ledger.view, rules)["new", "us"].oldest_since is None


@pytest.mark.parametrize("filters", [Filters(rule="new"), Filters(rule="old"), Filters(source="eu")])
def test_jobs_of_the_old_name_are_listed_as_the_rules(make_world: MakeWorld, filters: Filters) -> None:
    world = make_world(OLD)
    world.tell(world.job(rule="old"))
    renamed(world)

    assert [view.id for view in jobs(world.desk(), filters)] == [world.job(rule="old").id]


def test_a_delete_of_what_was_copied_under_the_old_name_is_ours(make_world: MakeWorld) -> None:
    world = renamed(copies(make_world(OLD)))
    world.delete("eu", "v1")

    assert world.remove(world.job(rule="new")).outcome == "deleted"
    assert world.digest("us") is None


def test_tags_of_both_names_that_all_went_at_the_source_go_together(make_world: MakeWorld) -> None:
    world = copies(make_world(OLD, features={"us": Features(tag_delete=False)}))
    renamed(world)
    world.push("eu", "v2", ONE)
    assert world.run(world.job("v2", rule="new")).outcome == "copied"
    for tag in ("v1", "v2"):
        world.delete("eu", tag)

    assert world.remove(world.job("v2", rule="new")).outcome == "deleted"
    assert world.digest("us", "v1") is None


def test_without_was_the_same_delete_waits_for_a_person(make_world: MakeWorld) -> None:
    world = copies(make_world(OLD, features={"us": Features(tag_delete=False)}))
    world.obey(replace(NEW, was=()))
    world.push("eu", "v2", ONE)
    world.run(world.job("v2", rule="new"))
    for tag in ("v1", "v2"):
        world.delete("eu", tag)

    assert world.remove(world.job("v2", rule="new")).state is State.BLOCKED


def test_a_delete_event_finds_what_was_copied_under_the_old_name(
    make_world: MakeWorld, ledger: Ledger, redis_url: str
) -> None:
    world = renamed(copies(make_world(OLD), "v1", "v2"))
    inbox = ledger.inbox("router-1")
    notify(redis_url, envelope(deleted(digest=ONE.digest)), "trace-1")

    take_in(read_one(inbox), rules=world.rules, ledger=ledger, inbox=inbox)

    found = {f"{view.rule}:{view.reference}" for view in ledger.view.jobs()}
    assert {"new:v1", "new:v2"} <= found


def test_the_cap_of_deletes_is_not_doubled_by_a_new_name(make_world: MakeWorld) -> None:
    world = copies(make_world(replace(OLD, delete_cap=1)), "v1", "v2")
    world.delete("eu", "v1")
    assert world.remove(world.job(rule="old")).outcome == "deleted"
    world.obey(replace(NEW, delete_cap=1))
    world.delete("eu", "v2")

    view = world.remove(world.job("v2", rule="new"))

    assert view.state is State.BLOCKED
    assert view.reason == "rule new has deleted 1 references within an hour"


def test_what_the_old_name_put_there_is_still_wanted_by_the_rule(make_world: MakeWorld) -> None:
    # Another rule with another source must not write over it as if nobody cared any more.
    other = a_rule("other", "ap")
    world = copies(make_world(OLD, other))
    world.obey(NEW, other)
    world.push("ap", "v1", TWO)

    view = world.run(world.job(rule="other"))

    assert view.state is State.BLOCKED
    assert world.digest("us") == ONE.digest


def test_a_companion_that_moved_gets_its_job_under_the_new_name(make_world: MakeWorld) -> None:
    world = make_world(OLD)
    world.push("eu", "v1", ONE)
    world.push("eu", signature_tag(ONE), signature(ONE, "first"))
    world.tell(world.job(rule="old"))
    renamed(world)
    moved = signature(ONE, "second")
    once(world["us"], "PUT", "manifests/v1", lambda: world.push("eu", signature_tag(ONE), moved))

    world.work(world.job(rule="old"))

    assert [(view.rule, view.reference) for view in world.ledger.view.jobs()] == [("new", signature_tag(ONE))]

"""From a notification in the inbox to jobs: each counted once, whatever it says, and whoever reads it."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from replicator.intake import UNTAGGED_DELAY_S, take_in
from replicator.jobs import RULE_GRACE_S
from replicator.ledger import Inbox, Ledger, Notification, State
from replicator.oci import Digest
from replicator.rules import Destination, RegistryType, TriggerType
from tests.fakes.images import image, is_whole, signature, signature_tag
from tests.integration.ledger.kit import notify, read_one
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, World, a_rule
from tests.unit.events.bodies import artifact_data, default, envelope, event, resource, target

ONE, TWO = image([b"one"]), image([b"two"])
DELETING = replace(a_rule(), deletion=True)


@pytest.fixture
def inbox(ledger: Ledger) -> Inbox:
    return ledger.inbox("router-1")


def pushed(tag: str | None = "v1", *, digest: Digest = ONE.digest, repository: str = API, **more: Any) -> Any:
    return event(target=target(tag=tag, digest=digest, repository=repository), **more)


def deleted(**fields: str) -> Any:
    """A delete event of CNCF Distribution: the repository, and a tag or a digest if it knows one."""
    return event(action="delete", target={"repository": API, **fields})


def harbor_delete(tag: str, digest: Digest) -> bytes:
    data = artifact_data(resource(tag=tag, digest=digest))
    data["repository"] |= {"name": "api", "namespace": "team", "repo_full_name": API}
    return default(type="DELETE_ARTIFACT", event_data=data)


def sent(world: World, inbox: Inbox, redis_url: str, *bodies: bytes) -> int:
    """Afterwards the notifications have been taken in; the number of jobs that they asked for."""
    count = 0
    for body in bodies:
        notify(redis_url, body, "trace-1")
        count += take_in(read_one(inbox), rules=world.rules, ledger=world.ledger, inbox=inbox)
    assert inbox.length() == 0
    return count


def open_jobs(world: World) -> set[str]:
    return {f"{view.rule}>{view.destination}:{view.reference}" for view in world.ledger.view.jobs()}


def test_a_push_becomes_a_job_for_each_destination(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(a_rule("prod", "eu", "us", "ap"), a_rule("other", "us", "ap"))

    assert sent(world, inbox, redis_url, envelope(pushed())) == 2

    assert open_jobs(world) == {"prod>us:v1", "prod>ap:v1"}
    claim = world.ledger.claim(world.job().id)
    assert not isinstance(claim, str)
    assert (claim.action, claim.digest, claim.trace) == ("push", ONE.digest, "trace-1")


def test_what_no_rule_takes_becomes_nothing(make_world: MakeWorld, inbox: Inbox, redis_url: str) -> None:
    world = make_world(a_rule(), replace(a_rule("later"), trigger=TriggerType.MANUAL))

    bodies = [pushed("dev"), pushed(repository="x/y"), pushed(action="pull")]

    assert sent(world, inbox, redis_url, envelope(), *map(envelope, bodies)) == 0
    assert open_jobs(world) == set()
    assert world.ledger.view.dead_letters() == []


def test_an_untagged_manifest_lets_its_tag_go_first(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(a_rule())

    sent(world, inbox, redis_url, envelope(pushed(None), pushed("v1")))

    due = {view.reference: view.due_at or 0.0 for view in world.ledger.view.jobs()}
    assert due[ONE.digest] - due[world.job().reference] == pytest.approx(UNTAGGED_DELAY_S, abs=0.2)


@pytest.mark.parametrize(
    ("timestamp", "is_trusted"),
    [("recent", True), ("2020-01-01T00:00:00Z", False), ("2999-01-01T00:00:00Z", False), (None, False)],
)
def test_a_senders_clock_is_believed_if_it_can_be_right(
    make_world: MakeWorld, inbox: Inbox, redis_url: str, timestamp: str | None, is_trusted: bool
) -> None:
    world = make_world(a_rule())
    now = world.ledger.view.now()
    said = timestamp if timestamp != "recent" else _iso(now - 600)

    sent(world, inbox, redis_url, envelope(pushed(timestamp=said)))

    (view,) = world.ledger.view.jobs()
    assert view.since == pytest.approx(now - 600 if is_trusted else now, abs=2)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"events": 7}', b"\xff\xfe", b'{"a": 1, "a": 2}'])
def test_what_makes_no_sense_goes_to_the_dead_letters(
    make_world: MakeWorld, inbox: Inbox, redis_url: str, body: bytes
) -> None:
    world = make_world(a_rule())

    assert sent(world, inbox, redis_url, body) == 0

    (letter,) = world.ledger.view.dead_letters()
    assert letter.body == body
    assert letter.reason


def test_an_event_that_makes_no_sense_takes_no_neighbour_with_it(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(a_rule())
    bad = pushed(repository="NO SUCH NAME")

    assert sent(world, inbox, redis_url, envelope(bad, pushed("v1"), bad)) == 1

    assert open_jobs(world) == {"prod>us:v1"}
    assert len(world.ledger.view.dead_letters()) == 1


def test_a_registry_that_no_file_names_any_more_is_put_aside(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(a_rule("prod", "ap", "us"))
    notify(redis_url, envelope(pushed()))
    letter = read_one(inbox)

    assert take_in(letter, rules=world.rules, ledger=world.ledger, inbox=inbox) == 0
    assert inbox.length() == 1, "the receiver may have read newer rules than the router"
    aged = replace(letter, received_at=letter.received_at - RULE_GRACE_S - 1)
    take_in(aged, rules=world.rules, ledger=world.ledger, inbox=inbox)

    assert inbox.length() == 0
    assert "no rule file" in world.ledger.view.dead_letters()[0].reason


def test_two_routers_with_one_notification_count_it_once(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(a_rule())
    notify(redis_url, envelope(pushed()))
    notification: Notification = read_one(inbox)

    for _ in range(2):
        take_in(notification, rules=world.rules, ledger=world.ledger, inbox=inbox)

    claim = world.ledger.claim(world.job().id)
    assert not isinstance(claim, str)
    assert claim.generation == 1


def test_a_notification_twice_is_one_job(make_world: MakeWorld, inbox: Inbox, redis_url: str) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    body = envelope(pushed())

    sent(world, inbox, redis_url, body, body)
    world.settle()

    assert [view.outcome for view in world.ledger.view.jobs(state=State.DONE)] == ["copied"]
    assert is_whole(world["us"], API, "v1", ONE)


# Deletes that do not say all


def copied(world: World, *tags: str) -> World:
    for tag in tags:
        world.push("eu", tag, ONE)
        world.run(world.job(tag))
    return world


def test_an_artifact_that_harbor_deletes_goes_with_all_of_its_tags(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(DELETING, kinds={"eu": RegistryType.HARBOR})
    copied(world, "v1", "v2", "v3")
    world.push("eu", "v4", TWO)
    world.run(world.job("v4"))
    world.delete("eu", ONE.digest)

    sent(world, inbox, redis_url, harbor_delete("v1", ONE.digest))
    world.settle()

    assert [world.digest("us", tag) for tag in ("v1", "v2", "v3", "v4")] == [None, None, None, TWO.digest]
    assert world.ledger.view.failures() == []


def test_a_manifest_that_distribution_deletes_goes_with_all_of_its_tags(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = copied(make_world(DELETING), "v1", "v2")
    world.delete("eu", ONE.digest)

    sent(world, inbox, redis_url, envelope(deleted(digest=ONE.digest)))
    world.settle()

    assert [world.digest("us", tag) for tag in ("v1", "v2")] == [None, None]
    assert world.ledger.view.failures() == []


def test_a_deleted_tag_is_its_own_job_alone(make_world: MakeWorld, inbox: Inbox, redis_url: str) -> None:
    world = copied(make_world(DELETING), "v1", "v2")

    sent(world, inbox, redis_url, envelope(deleted(tag="v1")))

    assert open_jobs(world) == {"prod>us:v1"}


def test_a_repository_that_was_removed_goes_with_all_that_we_copied(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    world = make_world(DELETING)
    world.push("eu", signature_tag(ONE), signature(ONE))
    copied(world, "v1", "v2")
    world.push("us", "theirs", TWO)
    for tag in ("v1", "v2", signature_tag(ONE)):
        world.delete("eu", tag)

    sent(world, inbox, redis_url, envelope(deleted()))
    world.settle()

    assert [world.digest("us", tag) for tag in ("v1", "v2", signature_tag(ONE))] == [None, None, None]
    assert world.digest("us", "theirs") == TWO.digest


def test_a_delete_asks_for_nothing_that_another_rule_or_repository_put_there(
    make_world: MakeWorld, inbox: Inbox, redis_url: str
) -> None:
    merged = replace(DELETING, filters=ALL, destinations=(Destination("us", "all", -1),))
    world = make_world(merged, replace(DELETING, name="manual", trigger=TriggerType.MANUAL))
    for repository, tag in (("team/api", "v1"), ("other/api", "v2")):
        world.push("eu", tag, ONE, repository=repository)
        assert world.run(world.job(tag, repository=repository)).outcome == "copied"

    sent(world, inbox, redis_url, envelope(deleted(digest=ONE.digest)))

    assert open_jobs(world) == {"prod>us:v1", f"prod>us:{ONE.digest}"}


def test_a_push_asks_for_no_job_of_other_tags(make_world: MakeWorld, inbox: Inbox, redis_url: str) -> None:
    world = copied(make_world(DELETING), "v1", "v2")

    sent(world, inbox, redis_url, envelope(pushed("v1")))

    assert open_jobs(world) == {"prod>us:v1"}


def test_a_body_is_read_as_it_was_sent(make_world: MakeWorld, inbox: Inbox, redis_url: str) -> None:
    world = make_world(a_rule())
    body = json.dumps({"events": [pushed(actor={"name": "Zoë"})]}, ensure_ascii=False).encode()

    assert sent(world, inbox, redis_url, body) == 1

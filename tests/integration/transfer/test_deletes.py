"""Every guard of a delete: what goes, what stays, and what waits for a person."""

import time
from dataclasses import replace
from typing import Any

import pytest

from replicator.demo.features import Features
from replicator.ledger import State, Submission
from replicator.oci import Repository, Tag
from tests.fakes.images import Image, image, is_whole, referrer, signature, signature_tag
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, World, a_rule, once

DELETING = replace(a_rule(), deletion=True)
NO_TAG_DELETE = {"us": Features(tag_delete=False)}
ONE, TWO = image([b"one"]), image([b"two"])


def copied(world: World, *tags: str, pushed: Image = ONE) -> World:
    """The tags are at the source and at the destination."""
    for tag in tags or ("v1",):
        world.push("eu", tag, pushed)
        assert world.run(world.job(tag)).outcome == "copied"
    return world


def test_a_deleted_tag_goes_after_the_second_look(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")

    first = world.run(world.job(), "delete")

    assert (first.state, first.attempts) == (State.PENDING, 0)
    assert world.digest("us") == ONE.digest
    time.sleep(DELETING.delete_grace_s)
    world.settle()
    assert world.shown(world.ledger.view.job_view(world.job().id)).outcome == "deleted"
    assert world.digest("us") is None


def test_a_deleted_tag_leaves_the_other_tags_of_its_digest(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING), "v1", "v2")
    world.delete("eu", "v1")

    assert world.remove(world.job()).outcome == "deleted"
    assert is_whole(world["us"], API, "v2", ONE)


def test_what_was_deleted_is_kept_to_be_put_back(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world.remove(world.job())

    entries: Any = world.redis.xrange("replicator:deleted")
    assert [(entry[b"reference"], entry[b"manifest"]) for _, entry in entries] == [(b"v1", ONE.raw)]


def noted(world: World) -> list[bytes]:
    """What the ledger knows of absences at the source."""
    jobs = world.redis.scan_iter("replicator:job:*")
    return [name for job in jobs for name in world.redis.hkeys(job) if name.startswith(b"absent:")]


def test_a_delete_leaves_no_note_of_the_absence(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world.run(world.job(), "delete")
    assert len(noted(world)) == 1
    time.sleep(DELETING.delete_grace_s)

    assert world.hurried(world.job()).outcome == "deleted"

    assert noted(world) == []


def test_a_tag_that_came_back_in_time_leaves_no_note_of_its_absence(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    assert world.run(world.job(), "delete").state == State.PENDING
    assert len(noted(world)) == 1
    world.push("eu", "v1", TWO)
    world.tell(world.job(), "push", TWO.digest)

    world.settle()

    assert world.digest("us") == TWO.digest
    assert noted(world) == []


def test_a_rule_that_does_not_delete_deletes_nothing(make_world: MakeWorld) -> None:
    world = copied(make_world(a_rule()))
    world.delete("eu", "v1")

    assert world.remove(world.job()).outcome == "skipped"
    assert world.digest("us") == ONE.digest


def test_what_is_absent_on_both_sides_is_in_line(make_world: MakeWorld) -> None:
    world = make_world(DELETING)

    assert world.remove(world.job()).outcome == "unchanged"


@pytest.mark.parametrize("tag", ["v1", "v2"], ids=["moved", "never-ours"])
def test_what_we_did_not_put_there_stays_until_a_person_approves(make_world: MakeWorld, tag: str) -> None:
    world = copied(make_world(DELETING))
    world.push("us", tag, TWO)
    world.delete("eu", "v1")

    view = world.remove(world.job(tag))

    assert view.state is State.BLOCKED
    assert "did not put there" in (view.reason or "")
    assert world.digest("us", tag) == TWO.digest

    world.ledger.approve(world.job(tag).id)
    world.settle()
    assert world.digest("us", tag) is None


def test_a_blocked_delete_that_is_only_tried_again_stays_blocked(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    world.push("us", "v1", TWO)
    world.remove(world.job())

    world.ledger.reopen(world.job().id)
    world.settle()

    assert [view.state for view in world.ledger.view.failures()] == [State.BLOCKED]
    assert world.digest("us") == TWO.digest


def test_a_tag_that_was_pushed_again_in_the_grace_stays(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world.run(world.job(), "delete")
    world.push("eu", "v1", TWO)
    world.tell(world.job(), "push", TWO.digest)
    world.settle()

    assert world.shown(world.ledger.view.job_view(world.job().id)).outcome == "copied"
    assert is_whole(world["us"], API, "v1", TWO)


def test_a_tag_that_is_pushed_again_while_it_is_deleted_is_copied_again(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    once(world["us"], "DELETE", "manifests/", lambda: world.push("eu", "v1", TWO))

    assert world.remove(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", TWO)


def test_an_old_delete_event_deletes_nothing_that_is_there(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))

    assert world.run(world.job(), "delete").outcome == "unchanged"
    assert world.digest("us") == ONE.digest


def test_a_new_absence_starts_the_grace_anew(make_world: MakeWorld) -> None:
    world = copied(make_world(replace(DELETING, delete_grace_s=0.2)))
    world.delete("eu", "v1")
    world.run(world.job(), "delete")
    time.sleep(0.2)
    world.tell(world.job(), "delete")

    world.work(world.job())

    assert world.digest("us") == ONE.digest


def test_an_absence_that_an_earlier_job_saw_counts_for_nothing(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    asked = Submission(world.job(), since=100.0, action="delete")
    world.delete("eu", "v1")
    world.ledger.submit([asked])
    world.work(world.job())
    world.push("eu", "v1", ONE)
    assert world.hurried(world.job()).outcome == "unchanged"
    time.sleep(DELETING.delete_grace_s)
    world.delete("eu", "v1")

    # Looked at once more, as what was taken over from a dead worker is: it is wanted since then, too.
    world.ledger.submit([asked])
    world.work(world.job())

    assert world.digest("us") == ONE.digest


def test_a_tag_that_somebody_else_deletes_meanwhile_is_gone_and_ours_no_more(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world.run(world.job(), "delete")
    time.sleep(DELETING.delete_grace_s)
    once(world["eu"], "GET", "tags/list", lambda: world.delete("us", "v1"))

    assert world.hurried(world.job()).outcome == "unchanged"
    assert world.digest("us") is None
    assert world.ledger.fleet.copied("us", Repository(API), Tag("v1")) is None


def test_a_delete_that_was_only_acknowledged_is_not_believed(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world["us"].fail("DELETE", "manifests/v1", status=202)

    world.run(world.job(), "delete")
    time.sleep(DELETING.delete_grace_s)
    view = world.hurried(world.job())

    assert "still there" in (view.reason or "")
    world.settle()
    assert world.digest("us") is None


# A source that is not to be believed


@pytest.mark.parametrize("status", [401, 403, 500, 502, 503])
def test_a_source_that_refuses_or_fails_deletes_nothing(make_world: MakeWorld, status: int) -> None:
    world = copied(make_world(DELETING))
    world["eu"].fail("*", "manifests/v1", times=float("inf"), status=status)

    world.tell(world.job(), None)
    for _ in range(3):
        world.ledger.reopen(world.job().id)
        world.work(world.job())

    assert world.writes("us")[-1:] != ["DELETE manifests/v1"]
    assert world.digest("us") == ONE.digest
    assert world.shown(world.ledger.view.job_view(world.job().id)).state is not State.DONE


@pytest.mark.parametrize(
    ("path", "status"),
    # Not 404 for the tags: a repository whose last tag is gone may well be gone itself.
    [*[("/v2/$", status) for status in (401, 404, 500, 503)], ("/tags/list", 403), ("/tags/list", 500)],
)
def test_a_404_of_a_source_that_does_not_answer_for_itself_deletes_nothing(
    make_world: MakeWorld, path: str, status: int
) -> None:
    world = copied(make_world(DELETING))
    world["eu"].fail("*", "manifests/v1", times=float("inf"), status=404)
    world["eu"].fail("*", path, times=float("inf"), status=status)

    world.tell(world.job(), None)
    for _ in range(3):
        world.ledger.reopen(world.job().id)
        world.work(world.job())
        time.sleep(DELETING.delete_grace_s)

    assert world.digest("us") == ONE.digest
    assert world.shown(world.ledger.view.job_view(world.job().id)).state is not State.DONE


def test_a_404_that_was_not_to_be_believed_does_not_begin_the_grace(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world["eu"].fail("*", "", times=float("inf"), status=404)
    world.run(world.job(), None)
    time.sleep(DELETING.delete_grace_s)
    world["eu"].heal()
    world.delete("eu", "v1")

    world.hurried(world.job())

    assert world.digest("us") == ONE.digest


def test_a_tag_that_is_404_but_listed_is_not_deleted(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world["eu"].fail("*", "manifests/v1", times=float("inf"), status=404)

    world.tell(world.job(), None)
    for _ in range(3):
        world.ledger.reopen(world.job().id)
        world.work(world.job())
        time.sleep(DELETING.delete_grace_s)

    assert world.digest("us") == ONE.digest
    assert "list of tags" in (world.shown(world.ledger.view.job_view(world.job().id)).reason or "")


# References by digest, signatures


def test_an_untagged_manifest_that_we_put_there_goes(make_world: MakeWorld) -> None:
    world = make_world(replace(DELETING, filters=ALL))
    world.push("eu", None, ONE)
    world.run(world.job(ONE.digest))
    world.delete("eu", ONE.digest)

    assert world.remove(world.job(ONE.digest)).outcome == "deleted"
    assert world.digest("us", ONE.digest) is None


def test_an_untagged_manifest_that_a_tag_or_index_needs_stays(make_world: MakeWorld) -> None:
    world = make_world(replace(DELETING, filters=ALL))
    world.push("eu", None, ONE)
    world.run(world.job(ONE.digest))
    world.push("us", "theirs", ONE)
    world.delete("eu", ONE.digest)

    assert world.remove(world.job(ONE.digest)).state is State.BLOCKED
    assert world.digest("us", "theirs") == ONE.digest


@pytest.mark.parametrize("features", [{}, NO_TAG_DELETE], ids=["tags", "digests"])
def test_a_manifest_that_goes_with_its_tags_leaves_nobody_to_decide(
    make_world: MakeWorld, features: dict[str, Features]
) -> None:
    # Distribution deletes by digest, and says no more: the tag's job comes from the ledger, the digest's own from here.
    world = copied(make_world(DELETING, features=features))
    world.delete("eu", ONE.digest)

    world.tell(world.job(ONE.digest), "delete", ONE.digest)
    world.settle()
    world.tell(world.job(), "delete", ONE.digest)
    world.settle()

    assert world.digest("us") is None
    assert world.ledger.view.failures() == []


def test_a_deleted_signature_goes(make_world: MakeWorld) -> None:
    world = make_world(DELETING)
    tag = signature_tag(ONE)
    world.push("eu", tag, signature(ONE))
    copied(world)
    world.delete("eu", tag)

    assert world.remove(world.job(tag)).outcome == "deleted"
    assert world.digest("us", tag) is None
    assert is_whole(world["us"], API, "v1", ONE)


@pytest.mark.parametrize("is_late", [True, False])
def test_a_deleted_referrer_goes(make_world: MakeWorld, is_late: bool) -> None:
    world = make_world(DELETING)
    attached = referrer(ONE)
    if is_late:
        copied(world)
    world.push("eu", None, attached)
    if is_late:
        world.run(world.job(attached.digest))
    else:
        world.push("eu", "v1", ONE)
        world.run(world.job())
    world.delete("eu", attached.digest)

    assert world.remove(world.job(attached.digest)).outcome == "deleted"
    assert world.digest("us", attached.digest) is None
    assert is_whole(world["us"], API, "v1", ONE)


@pytest.mark.parametrize("guard", ["cap", "not ours"])
def test_an_approval_stands_for_no_guard_but_the_one_that_blocked(make_world: MakeWorld, guard: str) -> None:
    rule = replace(DELETING, delete_cap=0) if guard == "cap" else DELETING
    world = copied(make_world(rule, features=NO_TAG_DELETE))
    if guard == "not ours":
        world.push("us", "v1", TWO)
    world.delete("eu", "v1")
    assert world.remove(world.job()).state is State.BLOCKED
    held = world.digest("us")
    world.push("us", "theirs", ONE if held == ONE.digest else TWO)

    world.ledger.approve(world.job().id)
    world.settle()

    (view,) = world.ledger.view.failures()
    assert "theirs needs it" in (view.reason or "")
    assert world.digest("us", "theirs") == held
    world.ledger.approve(world.job().id)
    world.settle()
    assert world.digest("us") is None


def test_an_approval_names_every_tag_that_goes(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING, features=NO_TAG_DELETE))
    for number in range(7):
        world.push("us", f"t{number}", ONE)
    world.delete("eu", "v1")

    assert "and t0, t1, t2, t3, t4 need it, 2 more as well" in (world.remove(world.job()).reason or "")


# The cap


def test_a_delete_that_is_tried_again_and_again_spends_one_of_the_cap(make_world: MakeWorld) -> None:
    world = copied(make_world(replace(DELETING, delete_cap=1)))
    world.delete("eu", "v1")
    world["us"].fail("DELETE", "manifests/v1", times=3, status=500)

    assert world.remove(world.job()).outcome == "deleted"


def test_no_more_than_the_cap_goes_within_an_hour(make_world: MakeWorld) -> None:
    world = copied(make_world(replace(DELETING, delete_cap=2)), "v1", "v2", "v3")
    for tag in ("v1", "v2", "v3"):
        world.delete("eu", tag)
        world.tell(world.job(tag), "delete")

    world.settle()

    (view,) = world.ledger.view.failures()
    assert view.state is State.BLOCKED
    assert "deleted 2 references" in (view.reason or "")
    assert world.digest("us", view.reference) == ONE.digest
    world.ledger.approve(view.id)
    world.settle()
    assert world.digest("us", view.reference) is None


# What changes while a delete looks round


def test_what_is_pushed_at_the_destination_while_the_source_is_asked_stays(make_world: MakeWorld) -> None:
    world = copied(make_world(DELETING))
    world.delete("eu", "v1")
    world.run(world.job(), "delete")
    time.sleep(DELETING.delete_grace_s)
    once(world["eu"], "GET", "/tags/list", lambda: world.push("us", "v1", TWO))
    assert "moved" in (world.hurried(world.job()).reason or "")

    view = world.hurried(world.job())

    assert view.state is State.BLOCKED
    assert "did not put there" in (view.reason or "")
    assert is_whole(world["us"], API, "v1", TWO)

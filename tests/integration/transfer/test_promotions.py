"""Promotions: what a person asks for without a rule, how it survives, and what it leaves alone."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from replicator.demo.features import Features
from replicator.errors import ConfigError, PermanentError
from replicator.ledger import PauseKind, Promoted, Promotion, State
from replicator.oci import Digest, Repository, Tag, referrers_tag
from replicator.rules import PROMOTION, RegistryType, Signatures
from replicator.transfer import bring_in_line
from replicator.transfer.moved import Moved
from replicator.transfer.promote import Order, outcome, resolve, see_through, submit
from tests.fakes.images import (
    Image,
    image,
    is_whole,
    multi_arch,
    referrer,
    referrers,
    signature,
    signature_tag,
)
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, Killed, World, a_rule, once

TOP = multi_arch()
OLD = image([b"old"])
SIGNATURE, SBOM = signature(TOP), referrer(TOP)
PROD = "prod/api"


@pytest.fixture
def world(make_world: MakeWorld) -> Iterator[World]:
    """A signed multi-arch image in `team/api` of eu, and a rule that has nothing to do with `prod`."""
    made = make_world(a_rule())
    made.push("eu", "v1", TOP)
    made.push("eu", signature_tag(TOP), SIGNATURE)
    made.push("eu", None, SBOM)
    made.forget_requests()
    yield made
    for registry in made.registries.values():
        registry.heal()


def order(start: str = f"eu/{API}:v1", end: str = f"us/{PROD}", **more: object) -> Order:
    return Order(start, end, by="ann", **more)  # type: ignore[arg-type]


def resolved(world: World, wanted: Order) -> Promotion:
    return resolve(wanted, world.rules, world.tools().client)


def submitted(world: World, wanted: Order | None = None) -> Promotion:
    promotion = resolved(world, wanted or order())
    submit(world.ledger, promotion, delay_s=10)
    return promotion


def at_once(why: str) -> None:
    """It is not to wait for anything: a promotion that fails in passing would be tried for hours."""
    raise AssertionError(why)


def promote(world: World, wanted: Order | None = None, *, moved: Moved | None = None) -> Promoted:
    promotion = submitted(world, wanted)
    return see_through(promotion, world.tools(), moved=moved or Moved(), tell=at_once)


def is_signed(world: World, name: str, repository: str) -> bool:
    return (
        is_whole(world[name], repository, signature_tag(TOP), SIGNATURE)
        and is_whole(world[name], repository, SBOM.digest, SBOM)
        and referrers(world[name], repository, TOP.digest) == {SBOM.digest}
    )


def test_a_tag_arrives_by_digest_with_its_signatures(world: World) -> None:
    moved = Moved()

    done = promote(world, moved=moved)

    assert (done.outcome, done.previous, done.promotion.digest) == ("copied", None, TOP.digest)
    assert is_whole(world["us"], PROD, "v1", TOP)
    assert is_signed(world, "us", PROD)
    blobs = {**TOP.all_blobs, **SIGNATURE.blobs, **SBOM.blobs}
    assert (moved.copied, moved.size_bytes) == (len(blobs), sum(map(len, blobs.values())))
    assert moved.followers == 2


def test_the_tag_comes_last(world: World) -> None:
    promote(world)

    assert world.tags_written("us")[-1] == "v1"


def test_another_tag_and_a_digest_may_be_named(world: World) -> None:
    promote(world, order(end=f"us/{PROD}:stable"))
    promote(world, order(start=f"eu/{API}@{TOP.digest}", end=f"us/{PROD}:pinned"))

    assert world.digest("us", "stable", repository=PROD) == TOP.digest
    assert world.digest("us", "pinned", repository=PROD) == TOP.digest


def test_within_one_registry_nothing_is_sent(world: World) -> None:
    moved = Moved()

    promote(world, order(end=f"eu/{PROD}"), moved=moved)

    assert not any(" blobs/sha" in text for text in world.asked("eu"))
    assert is_whole(world["eu"], PROD, "v1", TOP)
    assert is_signed(world, "eu", PROD)
    assert (moved.size_bytes, moved.copied) == (0, 0)
    assert moved.mounted == len({**TOP.all_blobs, **SIGNATURE.blobs, **SBOM.blobs})


def test_a_retag_in_the_same_repository_sends_and_mounts_nothing_from_elsewhere(world: World) -> None:
    moved = Moved()

    promote(world, order(end=f"eu/{API}:stable"), moved=moved)

    assert world.digest("eu", "stable") == TOP.digest
    assert (moved.size_bytes, moved.copied, moved.mounted) == (0, 0, 0)


def test_a_registry_that_mounts_nothing_gets_the_bytes(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"eu": Features(mounts=False)})
    world.push("eu", "v1", TOP)
    moved = Moved()

    promote(world, order(end=f"eu/{PROD}"), moved=moved)

    assert is_whole(world["eu"], PROD, "v1", TOP)
    assert moved.copied == len(TOP.all_blobs)


def test_what_the_tag_held_before_is_moved_and_remembered(world: World) -> None:
    old = world.push("us", "v1", OLD, repository=PROD)

    done = promote(world)

    assert done.previous == old
    assert world.digest("us", repository=PROD) == TOP.digest


def test_without_override_a_tag_that_holds_something_else_stays(world: World) -> None:
    old = world.push("us", "v1", OLD, repository=PROD)

    with pytest.raises(PermanentError, match=f"us/{PROD}:v1 was not promoted: override is off"):
        promote(world, order(override=False))

    assert world.digest("us", repository=PROD) == old
    assert world.ledger.promotions.history() == []
    assert world.ledger.view.jobs() == []


def test_without_override_a_new_tag_is_written(world: World) -> None:
    assert promote(world, order(override=False)).outcome == "copied"


def test_signatures_may_be_left_out(world: World) -> None:
    promote(world, order(signatures=Signatures.IGNORE))

    assert is_whole(world["us"], PROD, "v1", TOP)
    assert world.digest("us", signature_tag(TOP), repository=PROD) is None


def test_what_was_resolved_is_copied_though_the_tag_moves_on(world: World) -> None:
    promotion = submitted(world)
    world.push("eu", "v1", OLD)

    see_through(promotion, world.tools(), moved=Moved(), tell=at_once)

    assert world.digest("us", repository=PROD) == TOP.digest


def test_a_tag_that_moves_during_the_copy_changes_nothing(world: World) -> None:
    once(world["us"], "POST", "uploads", lambda: world.push("eu", "v1", OLD))

    promote(world)

    assert is_whole(world["us"], PROD, "v1", TOP)


# What is refused


@pytest.mark.parametrize("start", [f"eu/{API}:v1", f"eu/{API}@{TOP.digest}"])
def test_another_digest_than_was_expected_is_refused_before_anything_is_done(
    world: World, start: str
) -> None:
    expected = Digest.of(b"something else")

    with pytest.raises(PermanentError, match=f"holds {TOP.digest}, expected {expected}: nothing was done"):
        resolved(world, order(start=start, end=f"us/{PROD}:v1", expect=expected))

    assert world.asked("us") == []


def test_the_digest_that_was_expected_is_promoted(world: World) -> None:
    assert promote(world, order(expect=TOP.digest)).outcome == "copied"


def test_what_the_source_does_not_have_is_refused(world: World) -> None:
    with pytest.raises(PermanentError, match=f"eu/{API}:v9 is not there"):
        resolved(world, order(start=f"eu/{API}:v9"))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (order(start="nowhere/team/api:v1"), "begins with no configured registry"),
        (order(end="nowhere/team/api"), "begins with no configured registry"),
        (order(start=f"eu/{API}"), "say which tag or digest"),
        (order(start=f"eu/{API}@{TOP.digest}"), "say which tag it is to have there"),
        (order(end=f"us/{PROD}@{TOP.digest}"), "say which tag it is to have there"),
        (order(start="eu/UPPER:v1"), "not a repository name"),
        (order(start=f"eu/{API}:-bad"), "not a tag"),
        (order(start=f"eu/{API}@sha256:12"), "not a digest"),
        (order(end=f"eu/{API}"), "source and destination are the same"),
        (order(signatures=Signatures.REQUIRE), "signatures are required by rules"),
    ],
)
def test_an_order_that_makes_no_sense_is_one_clear_line(world: World, wanted: Order, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolved(world, wanted)


def test_a_repository_that_the_destination_cannot_have_is_refused(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), kinds={"us": RegistryType.HARBOR})
    world.push("eu", "v1", TOP)

    with pytest.raises(ConfigError, match="Harbor wants a project"):
        resolved(world, order(end="us/api"))


# Promoting once more


def test_what_was_promoted_already_is_not_written_again(world: World) -> None:
    promote(world)
    world.forget_requests()

    done = promote(world)

    assert (done.outcome, done.previous) == ("unchanged", TOP.digest)
    assert world.writes("us") == []


def test_a_signature_that_came_later_is_brought_by_promoting_once_more(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", TOP)
    promote(world)
    world.push("eu", signature_tag(TOP), SIGNATURE)
    moved = Moved()

    done = promote(world, moved=moved)

    assert done.outcome == "copied"
    assert is_whole(world["us"], PROD, signature_tag(TOP), SIGNATURE)
    assert moved.copied == len(SIGNATURE.blobs)


def test_a_signature_that_was_made_at_the_destination_stays(world: World) -> None:
    promote(world)
    theirs = world.push("us", signature_tag(TOP), signature(TOP, "production"), repository=PROD)

    assert promote(world).outcome == "unchanged"
    promote(world, order(end=f"us/{PROD}:other"))

    assert world.digest("us", signature_tag(TOP), repository=PROD) == theirs


def test_a_signature_of_ours_follows_the_source_s(world: World) -> None:
    promote(world)
    newer = world.push("eu", signature_tag(TOP), signature(TOP, "another key"))

    assert promote(world).outcome == "copied"

    assert world.digest("us", signature_tag(TOP), repository=PROD) == newer


def test_a_promoted_image_that_lost_a_blob_is_made_whole(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": Features(content_checks=False)})
    world.push("eu", "v1", TOP)
    promote(world)
    world["us"].storage.remove_blob(Repository(PROD), next(iter(TOP.all_blobs)))

    assert promote(world).outcome == "copied"

    assert is_whole(world["us"], PROD, "v1", TOP)


# What the ledger keeps


def test_the_record_of_the_copy_says_where_it_came_from(world: World) -> None:
    promote(world)

    record = world.ledger.fleet.copied("us", Repository(PROD), Tag("v1"))

    assert record
    assert (record.rule, record.source, record.repository) == (PROMOTION, "eu", API)
    assert (record.reference, record.digest) == (TOP.digest, TOP.digest)


def test_the_history_tells_who_promoted_what_from_where_and_what_was_there(world: World) -> None:
    old = world.push("us", "v1", OLD, repository=PROD)
    promote(world)
    promote(world, order(end=f"eu/{PROD}:stable"))

    last, first = world.ledger.promotions.history()

    assert (first.promotion.by, first.promotion.start, first.promotion.end) == (
        "ann",
        f"eu/{API}:v1",
        f"us/{PROD}:v1",
    )
    assert (first.promotion.digest, first.previous) == (TOP.digest, old)
    assert (last.promotion.end, last.previous) == (f"eu/{PROD}:stable", None)
    assert 0 <= world.ledger.view.now() - last.at < 60
    assert world.ledger.promotions.history(1) == [last]


def test_a_promotion_shows_among_the_jobs(world: World) -> None:
    promotion = submitted(world)

    (waiting,) = world.ledger.view.jobs()
    assert (waiting.rule, waiting.destination, waiting.repository, waiting.reference) == (
        PROMOTION,
        "us",
        PROD,
        "v1",
    )
    see_through(promotion, world.tools(), moved=Moved(), tell=at_once)

    (done,) = world.ledger.view.jobs(state=State.DONE)
    assert (done.outcome, done.digest) == ("copied", TOP.digest)
    assert world.redis.keys("replicator:promotion:*") == []


# Processes that die, registries that are away, and others that are at work


def die_over(world: World, promotion: Promotion, write: str) -> None:
    """A process that carries it out dies once that write is through, and its lease has ended."""

    def die() -> None:
        raise Killed

    once(world["us"], "PUT", write, die)
    with pytest.raises(Killed):
        bring_in_line(promotion.job.id, world.tools())
    world.expire(promotion.job)


def test_a_worker_finishes_what_a_process_that_died_began(world: World) -> None:
    promotion = submitted(world)
    die_over(world, promotion, "blobs/")

    bring_in_line(promotion.job.id, world.tools())

    done = outcome(world.ledger, promotion)
    assert done
    assert done.outcome == "copied"
    assert is_whole(world["us"], PROD, "v1", TOP)


def test_what_was_there_before_is_remembered_though_the_process_died_after_the_write(world: World) -> None:
    old = world.push("us", "v1", OLD, repository=PROD)
    promotion = submitted(world)
    die_over(world, promotion, "manifests/v1")
    assert world.digest("us", repository=PROD) == TOP.digest

    done = see_through(promotion, world.tools(), moved=Moved(), tell=at_once)

    assert done.previous == old
    record = world.ledger.fleet.copied("us", Repository(PROD), Tag("v1"))
    assert record
    assert record.digest == TOP.digest


def test_who_waits_for_a_paused_destination_is_told(world: World) -> None:
    world.ledger.pauses.pause(PauseKind.DESTINATION, "us")
    promotion = submitted(world)
    said: list[str] = []

    def tell(reason: str) -> None:
        said.append(reason)
        world.ledger.pauses.resume(PauseKind.DESTINATION, "us")

    see_through(promotion, world.tools(), moved=Moved(), tell=tell)

    assert said == ["the destination us is paused"]


def test_a_promotion_that_was_taken_over_is_looked_at_once_more_and_told_once(world: World) -> None:
    promotion = submitted(world)
    die_over(world, promotion, "blobs/")
    bring_in_line(promotion.job.id, world.tools())

    (again,) = world.ledger.view.jobs(state=State.PENDING)
    assert again.id == promotion.job.id
    world.push("us", "v1", OLD, repository=PROD)  # as a frozen worker might
    world.settle()

    assert world.digest("us", repository=PROD) == TOP.digest
    assert [item.promotion.number for item in world.ledger.promotions.history()] == [promotion.number]
    assert world.ledger.promotions.history()[0].previous is None


def test_a_check_of_an_earlier_promotion_brings_the_later_one(world: World) -> None:
    first = submitted(world)
    die_over(world, first, "blobs/")
    bring_in_line(first.job.id, world.tools())
    later = world.push("eu", "v2", OLD)
    promote(world, order(start=f"eu/{API}:v2", end=f"us/{PROD}:v1"))
    world.settle()

    assert world.digest("us", repository=PROD) == later


@pytest.mark.parametrize("is_done", [True, False], ids=["done", "waiting"])
def test_who_lost_the_lease_after_a_write_leaves_a_later_order_in_force(world: World, is_done: bool) -> None:
    first = submitted(world)
    later = world.push("eu", "v2", OLD)

    def overtake() -> None:
        world.expire(first.job)
        wanted = order(start=f"eu/{API}:v2", end=f"us/{PROD}:v1")
        if is_done:
            promote(world, wanted)
            assert world.ledger.drop(first.job.id)  # its own second look: nothing of it is left to be found
        else:
            submitted(world, wanted)

    once(world["us"], "PUT", "manifests/v1", overtake)
    bring_in_line(first.job.id, world.tools())
    world.settle()

    assert world.digest("us", repository=PROD) == later


def test_a_later_order_takes_the_place_of_one_that_waits(world: World) -> None:
    first = submitted(world)
    later = world.push("eu", "v2", OLD)
    promote(world, order(start=f"eu/{API}:v2", end=f"us/{PROD}:v1"))

    with pytest.raises(PermanentError, match="was not promoted"):
        outcome(world.ledger, first)

    assert world.digest("us", repository=PROD) == later


def test_an_order_that_comes_during_the_copy_is_carried_out_after_it(world: World) -> None:
    first = submitted(world)
    newer = world.push("eu", "v2", OLD)
    orders: list[Promotion] = []

    def another() -> None:
        orders.append(submitted(world, order(start=f"eu/{API}:v2", end=f"us/{PROD}:v1")))

    once(world["us"], "PUT", "manifests/v1", another)
    bring_in_line(first.job.id, world.tools())
    world.settle()

    assert world.digest("us", repository=PROD) == newer
    done = [outcome(world.ledger, item) for item in (first, *orders)]
    assert [item.previous for item in done if item] == [None, TOP.digest]


def test_a_registry_that_is_away_is_waited_for(world: World) -> None:
    reasons: list[str] = []

    def heard(reason: str) -> None:
        reasons.append(reason)
        world.end_outage("us")
        world.redis.hset(f"replicator:job:{promotion.job.id}", "not_before", "0")
        world.redis.zadd("replicator:due:us", {promotion.job.id: 0})

    promotion = submitted(world)
    world["us"].fail("POST", "uploads", status=503)

    done = see_through(promotion, world.tools(), moved=Moved(), tell=heard)

    assert done.outcome == "copied"
    assert "503" in reasons[0]


def test_a_promotion_waits_for_a_job_that_writes_the_same_reference(world: World) -> None:
    holder = world.job(to="us")
    world.tell(holder)
    place = f"us|{PROD}|v1"
    claim = world.ledger.claim(holder.id, (place,))
    promotion = submitted(world)

    bring_in_line(promotion.job.id, world.tools())
    assert outcome(world.ledger, promotion) is None
    assert world.digest("us", repository=PROD) is None

    world.ledger.release(claim)  # type: ignore[arg-type]
    assert see_through(promotion, world.tools(), moved=Moved(), tell=at_once).outcome == "copied"


def test_who_finds_the_job_in_other_hands_waits_for_the_outcome(world: World) -> None:
    promotion = submitted(world)
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert go.wait(10)

    once(world["us"], "PUT", "blobs/", hold)
    worker = threading.Thread(target=bring_in_line, args=(promotion.job.id, world.tools()))
    worker.start()
    assert held.wait(10)
    threading.Timer(0.5, go.set).start()

    mine = Moved()
    done = see_through(promotion, world.tools(), moved=mine, tell=at_once)

    worker.join()
    assert done.outcome == "copied"
    assert mine == Moved()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda world: world["us"].fail("PUT", "manifests/v1", status=405), "405"),
        (lambda world: world.delete("eu", TOP.digest), "the source does not have"),
    ],
    ids=["refused", "gone"],
)
def test_what_cannot_be_done_is_parked_and_told(
    world: World, spoil: Callable[[World], object], said: str
) -> None:
    promotion = submitted(world)
    spoil(world)

    with pytest.raises(PermanentError, match=said) as caught:
        see_through(promotion, world.tools(), moved=Moved(), tell=at_once)

    (failed,) = world.ledger.view.failures()
    assert failed.id == promotion.job.id
    assert f"us/{PROD}:v1 was not promoted" in str(caught.value)
    assert failed.id in str(caught.value)


def test_a_parked_promotion_is_tried_again_by_a_person(world: World) -> None:
    promotion = submitted(world)
    world["us"].fail("PUT", "manifests/v1", status=405)
    bring_in_line(promotion.job.id, world.tools())

    world.ledger.reopen(promotion.job.id)
    world.settle()

    assert is_whole(world["us"], PROD, "v1", TOP)


def test_a_promotion_that_was_dropped_is_told_so_and_forgotten(world: World) -> None:
    promotion = submitted(world)

    assert world.ledger.drop(promotion.job.id)

    with pytest.raises(PermanentError, match="dropped"):
        outcome(world.ledger, promotion)
    assert world.redis.keys("replicator:promotion:*") == []


def test_a_job_without_its_order_ends(world: World) -> None:
    promotion = submitted(world)
    world.redis.delete(f"replicator:promotion:{promotion.job.id}")

    bring_in_line(promotion.job.id, world.tools())

    view = world.shown(world.ledger.view.job_view(promotion.job.id))
    assert view.outcome == "superseded"
    assert world.asked("us") == []


# What rules do afterwards


def test_a_tag_that_another_rule_wrote_is_moved_all_the_same(world: World) -> None:
    world.push("eu", "v2", OLD)
    world.run(world.job("v2"))
    world.push("eu", "v1", TOP, repository="elsewhere/api")

    done = promote(world, order("eu/elsewhere/api:v1", f"us/{API}:v2"))

    assert done.previous == OLD.digest
    assert world.digest("us", "v2") == TOP.digest


@pytest.mark.parametrize("features", [Features(), Features(tag_delete=False)], ids=["by-tag", "by-digest"])
def test_a_delete_at_the_source_leaves_a_promoted_tag_alone(
    make_world: MakeWorld, features: Features
) -> None:
    world = make_world(replace(a_rule(), deletion=True), features={"us": features})
    world.push("eu", "v1", TOP)
    promote(world, order(end=f"us/{API}:v1"))
    world.delete("eu", "v1")

    view = world.remove(world.job())

    assert view.state is State.BLOCKED
    assert view.reason == f"the destination holds {TOP.digest}, which was promoted to it"
    assert world.digest("us") == TOP.digest


def test_a_move_at_the_source_leaves_a_promoted_tag_alone(world: World) -> None:
    promote(world)
    world.listen()
    world.push("eu", "v1", OLD)
    world.settle()

    assert world.digest("us") == OLD.digest  # the rule's own copy
    assert world.digest("us", repository=PROD) == TOP.digest


def test_a_promoted_tag_that_went_with_a_digest_comes_back(make_world: MakeWorld) -> None:
    rule = replace(a_rule(), deletion=True)
    world = make_world(rule, features={"us": Features(tag_delete=False)})
    for tag in ("v1", "v2"):
        world.push("eu", tag, OLD)
    world.run(world.job("v1"))
    world.delete("eu", "v1")

    # It comes after the delete looked for tags that need the digest, and before the delete itself.
    once(world["us"], "GET", "tags/list", lambda: promote(world, order(f"eu/{API}:v2", f"us/{API}:stable")))
    world.remove(world.job("v1"))
    world.settle()

    assert world.digest("us", "v1") is None
    assert world.digest("us", "stable") == OLD.digest


def test_a_referrers_tag_is_kept_where_a_registry_has_no_api(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": Features(referrers=False)})
    world.push("eu", "v1", TOP)
    world.push("eu", None, SBOM)

    promote(world)

    assert is_whole(world["us"], PROD, SBOM.digest, SBOM)
    assert world.digest("us", referrers_tag(TOP.digest), repository=PROD)
    assert promote(world).outcome == "unchanged"


def test_an_order_survives_its_way_through_the_ledger(world: World) -> None:
    for wanted in (
        order(),
        order(f"eu/{API}@{TOP.digest}", f"us/{PROD}:x", override=False, signatures=Signatures.IGNORE),
    ):
        promotion = submitted(world, wanted)

        assert world.ledger.promotions.find(promotion.job.id) == promotion


def test_any_image_is_promoted_whole(world: World) -> None:
    shapes: list[Image] = [image([b""]), image([]), multi_arch("other")]
    for number, pushed in enumerate(shapes):
        world.push("eu", f"shape{number}", pushed)
        promote(world, order(f"eu/{API}:shape{number}"))

        assert is_whole(world["us"], PROD, f"shape{number}", pushed)

"""What goes wrong at registries, and what becomes of the job: tried again, waited for, or shown to a person."""

from dataclasses import replace
from itertools import count

import pytest

from replicator.jobs import DENIED_ATTEMPTS, SILENT_DEATHS_BEFORE_PARKING
from replicator.ledger import JobView, State, Submission
from replicator.oci import Digest
from replicator.rules import Signatures
from tests.fakes.images import Image, image, index, is_whole, layer_bytes, multi_arch
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, Killed, World, a_rule, once

RULE = replace(a_rule(), signatures=Signatures.IGNORE)
MISSING = b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}'
FOR_EVER = float("inf")
PUSHED = image([layer_bytes("layer", 100_000)])
LAYER = Digest.of(layer_bytes("layer", 100_000))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world(RULE)
    made.push("eu", "v1", PUSHED)
    return made


def blobs_at(world: World, name: str) -> set[Digest]:
    return {digest for shelf in world[name].storage.shelves.values() for digest in shelf.blobs}


# Corrupt content


@pytest.mark.parametrize(
    "body", [b"\0" * 100_000, layer_bytes("layer", 99_999), layer_bytes("layer", 100_001), b""]
)
def test_a_corrupt_blob_never_arrives_and_is_fetched_once_more(world: World, body: bytes) -> None:
    world["eu"].fail("GET", f"blobs/{LAYER}", times=FOR_EVER, body=body)

    first = world.run(world.job())

    assert (first.state, first.attempts) == (State.PENDING, 1)
    second = world.hurried(world.job())
    assert second.state is State.PARKED
    assert all(part in (second.reason or "") for part in ("eu", API, LAYER))
    assert world.asked("eu").count(f"GET blobs/{LAYER}") == 2
    assert LAYER not in blobs_at(world, "us")
    assert world.digest("us") is None
    assert world["us"].storage.open_uploads == 0


def test_a_blob_that_was_hurt_on_the_way_arrives_the_second_time(world: World) -> None:
    world["eu"].fail("GET", f"blobs/{LAYER}", body=b"\0" * 100_000)

    world.run(world.job())

    assert world.hurried(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", PUSHED)


def test_a_blob_whose_transfer_broke_off_goes_on_where_it_ended(world: World) -> None:
    world["eu"].fail("GET", f"blobs/{LAYER}", cut_body_at=30_000)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", PUSHED)


def test_a_corrupt_manifest_is_not_written(world: World) -> None:
    world["eu"].fail("GET", "manifests/v1", times=FOR_EVER, body=PUSHED.raw + b" ")

    world.run(world.job(), action=None)
    view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert world.writes("us") == []


def test_an_index_without_one_of_its_children_is_corrupt(world: World) -> None:
    pushed = multi_arch()
    world.push("eu", "v1", pushed)
    world.delete("eu", pushed.children[1].digest)

    world.run(world.job())
    view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert pushed.children[1].digest in (view.reason or "")
    assert world.tags_written("us") == []


def test_a_child_of_another_size_than_its_index_says_is_corrupt(world: World) -> None:
    child = image()
    raw = index([child]).raw.replace(f": {len(child.raw)}".encode(), f": {len(child.raw) + 1}".encode())
    world.push("eu", "v1", Image(raw, index([]).media_type, {}, (child,)))

    world.run(world.job())

    assert world.hurried(world.job()).state is State.PARKED
    assert world.tags_written("us") == []


def test_indexes_within_indexes_without_end_are_refused(world: World) -> None:
    deep = image()
    for _ in range(6):
        deep = index([deep])
    world.push("eu", "v1", deep)

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert "nested" in (view.reason or "")
    assert world.tags_written("us") == []


# Memories that are wrong


def test_a_blob_that_the_destination_lost_is_sent_again(world: World) -> None:
    world.run(world.job())
    world["us"].storage.remove_blob(next(iter(world["us"].storage.shelves)), LAYER)
    other = image([layer_bytes("layer", 100_000), b"more"])
    world.push("eu", "v1", other)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", other)


@pytest.mark.parametrize("pushed", [PUSHED, index([PUSHED])], ids=["itself", "its child"])
def test_a_manifest_that_is_there_without_its_blobs_is_brought_whole(world: World, pushed: Image) -> None:
    world.run(world.job())
    shelf = next(iter(world["us"].storage.shelves))
    for digest in PUSHED.blobs:
        world["us"].storage.remove_blob(shelf, digest)
    world.push("eu", "v2", pushed)
    if pushed.children:
        world["us"].fail("PUT", "manifests/v2", times=2, status=400, body=MISSING)

    world.run(world.job("v2"))
    view = world.hurried(world.job("v2"))

    assert view.outcome == "copied"
    assert is_whole(world["us"], API, "v2", pushed)


# Registries that are away or busy


@pytest.mark.parametrize("name", ["eu", "us"])
def test_a_registry_that_is_away_costs_no_try_and_is_marked_down(world: World, name: str) -> None:
    world[name].is_down = True

    view = world.run(world.job(), action=None)

    assert (view.state, view.attempts) == (State.PENDING, 0)
    assert name in (view.reason or "")
    assert world.ledger.availability.is_down(name)
    assert not world.ledger.availability.is_down("us" if name == "eu" else "eu")
    world[name].is_down = False
    world.end_outage(name)
    assert world.hurried(world.job()).outcome == "copied"
    assert world.ledger.availability.is_down(name) is None


def test_of_all_that_wait_for_a_source_one_tries_first(world: World) -> None:
    for tag in ("v8", "v9"):
        world.push("eu", tag, PUSHED)
    world["eu"].is_down = True
    world.run(world.job("v8"), action=None)
    world.end_outage("eu")

    assert world.ledger.availability.wait_to_try("eu") == 0
    assert world.ledger.availability.wait_to_try("eu") > 0
    world.forget_requests()
    view = world.run(world.job("v9"), action=None)

    assert (view.state, view.attempts) == (State.PENDING, 0)
    assert world.asked("eu") == []


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize(("method", "path"), [("HEAD", "manifests"), ("PUT", "blobs"), ("PUT", "manifests")])
def test_an_outage_at_any_request_is_waited_for(world: World, method: str, path: str, status: int) -> None:
    world["us"].fail(method, path, times=2, status=status)

    first = world.run(world.job())
    assert (first.state, first.attempts) == (State.PENDING, 0)
    world.settle()

    assert is_whole(world["us"], API, "v1", PUSHED)


def test_a_registry_that_asks_for_a_pause_gets_it_from_everybody(world: World) -> None:
    world["us"].fail("POST", "uploads", status=429, headers={"Retry-After": "30"})
    world.push("eu", "v2", PUSHED)

    view = world.run(world.job())
    other = world.run(world.job("v2"))

    assert [(item.state, item.attempts) for item in (view, other)] == [(State.PENDING, 0)] * 2
    assert 25 < world.ledger.availability.standing(["us"]).paused_for_s <= 30
    assert world.asked("eu") == world.asked("us") == []
    assert other.due_at
    assert other.due_at - world.ledger.view.now() > 25


def test_what_is_left_of_a_quota_is_for_jobs_that_cannot_wait(world: World) -> None:
    world.push("eu", "v2", PUSHED)
    world.ledger.availability.note_scarcity("eu", 3000)
    low = Submission(world.job("v2"), since=world.ledger.view.now(), is_urgent=False)
    world.ledger.submit([low])
    world.forget_requests()

    waiting = world.shown(world.work(low.job))
    assert (waiting.state, waiting.attempts) == (State.PENDING, 0)
    assert "a registry grants few more requests" in (waiting.reason or "")
    assert waiting.due_at
    assert waiting.due_at - world.ledger.view.now() > 2900
    assert world.asked("eu") == []

    assert world.run(world.job()).outcome == "copied"
    world.ledger.availability.note_scarcity("eu", 0)
    assert world.hurried(low.job).outcome == "copied"


def test_a_temporary_error_is_charged_and_tried_again(world: World) -> None:
    world["us"].fail("PUT", "manifests/v1", status=500)

    first = world.run(world.job())

    assert (first.state, first.attempts) == (State.PENDING, 1)
    assert world.hurried(world.job()).outcome == "copied"


def test_an_answer_that_was_lost_after_the_write_ends_in_line(world: World) -> None:
    world["us"].fail("PUT", "manifests/v1", times=2, reset=True, after=True)

    world.run(world.job())
    world.settle()

    assert is_whole(world["us"], API, "v1", PUSHED)


# What a person must see


@pytest.mark.parametrize(
    ("name", "method", "path", "status", "body"),
    [
        ("us", "PUT", "manifests/v1", 412, b""),
        ("us", "PUT", "manifests/v1", 400, b'{"errors": [{"code": "MANIFEST_INVALID"}]}'),
        ("us", "PUT", "manifests/v1", 405, b""),
    ],
)
def test_what_no_retry_can_help_is_parked_at_once_with_the_reason(
    world: World, name: str, method: str, path: str, status: int, body: bytes
) -> None:
    world[name].fail(method, path, times=FOR_EVER, status=status, body=body)

    view = world.run(world.job(), action=None)

    assert (view.state, view.attempts) == (State.PARKED, 1)
    assert all(part in (view.reason or "") for part in (name, API, str(status)))
    world[name].heal()
    world.settle()
    assert world.digest("us") is None
    world.ledger.reopen(world.job().id)
    world.settle()
    assert is_whole(world["us"], API, "v1", PUSHED)


@pytest.mark.parametrize(
    ("name", "method", "path", "status"),
    [
        ("eu", "GET", "manifests/v1", 401),
        ("eu", "GET", "manifests/v1", 403),
        ("eu", "GET", "blobs/", 403),
        ("us", "*", "(manifests/v1|tags/list)$", 403),
        ("us", "POST", "uploads", 403),
    ],
)
def test_who_is_refused_again_and_again_is_parked_with_the_reason(
    world: World, name: str, method: str, path: str, status: int
) -> None:
    world[name].fail(method, path, times=FOR_EVER, status=status)

    view = world.run(world.job(), action=None)
    assert view.state is State.PENDING
    for _ in range(DENIED_ATTEMPTS - 1):
        view = world.hurried(world.job())

    assert (view.state, view.attempts) == (State.PARKED, DENIED_ATTEMPTS)
    assert all(part in (view.reason or "") for part in (name, API, str(status)))


def test_a_new_event_starts_a_parked_job_again(world: World) -> None:
    world["us"].fail("PUT", "manifests/v1", status=405)
    assert world.run(world.job()).state is State.PARKED

    assert world.run(world.job()).outcome == "copied"


def test_an_old_kind_of_manifest_is_parked_and_not_converted(world: World) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    body = b'{"schemaVersion": 1, "fsLayers": []}'
    world["eu"].fail(
        "GET",
        "manifests/v1",
        times=FOR_EVER,
        status=200,
        headers={"Content-Type": kind, "Docker-Content-Digest": Digest.of(body)},
        body=body,
    )

    view = world.run(world.job(), action=None)

    assert view.state is State.PARKED
    assert "unsupported" in (view.reason or "")
    assert world.writes("us") == []


# Workers that end


def kill_at(world: World, number: int, *, after: bool = False) -> None:
    """From the `number`-th request on the worker is dead, before or just after that request took effect."""
    numbers = count(1)

    def die(_: object) -> None:
        if next(numbers) >= number:
            raise Killed

    for registry in world.registries.values():
        (registry.after if after else registry.before).append(die)


def revive(world: World) -> None:
    for registry in world.registries.values():
        registry.before.clear()
        registry.after.clear()


def test_a_job_that_kills_its_worker_every_time_is_given_up(world: World) -> None:
    world.tell(world.job())
    kill_at(world, 1)
    for _ in range(SILENT_DEATHS_BEFORE_PARKING):
        with pytest.raises(Killed):
            world.work(world.job())
        world.expire(world.job())
    revive(world)

    view = world.shown(world.work(world.job()))

    assert view.state is State.PARKED
    assert "without a word" in (view.reason or "")


def test_a_worker_that_is_told_to_stop_gives_its_job_back(world: World) -> None:
    def stop() -> None:
        raise SystemExit

    once(world["eu"], "GET", "blobs/", stop)
    world.tell(world.job())
    with pytest.raises(SystemExit):
        world.work(world.job())

    view = world.shown(world.ledger.view.job_view(world.job().id))
    assert (view.state, view.attempts) == (State.PENDING, 0)
    assert world.shown(world.work(world.job())).outcome == "copied"


def test_a_ledger_that_was_emptied_during_the_copy_gets_the_job_once_more(world: World) -> None:
    once(world["us"], "PUT", "manifests/v1", world.redis.flushall)

    view: JobView = world.run(world.job())

    assert view.state is State.PENDING
    world.settle()
    assert world.shown(world.ledger.view.job_view(world.job().id)).outcome == "unchanged"

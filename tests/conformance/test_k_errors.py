"""Errors, retries and rate limits (protocol cases K): what waits, what gives up, what one tells all."""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate

import httpx
import pytest

from replicator.cli.watching import follow
from replicator.demo.messages import Request, Response
from replicator.demo.server import serve
from replicator.errors import NotYet, PermanentError, RateLimited
from replicator.jobs import ATTEMPTS_BEFORE_PARKING, DENIED_ATTEMPTS
from replicator.ledger import Ledger, State, Submission
from replicator.limits import WINDOW
from replicator.oci import Digest, Repository, Tag
from replicator.resync import Watch
from replicator.rules import Limits, RegistryType, Signatures
from tests.conformance.bridge import Bridge
from tests.fakes.images import head, image, is_whole, layer_bytes, push
from tests.fakes.registry import FakeRegistry
from tests.integration.ledger.kit import eventually
from tests.integration.resync.kit import swept
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule
from tests.unit.registry import scripted
from tests.unit.registry.scripted import V1, Pieces, Script, client_of

RULE = replace(a_rule(), signatures=Signatures.IGNORE)
PUSHED = image([layer_bytes("layer", 100_000)])
MIB = 1024 * 1024
FOR_EVER = float("inf")


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world(RULE)
    made.push("eu", "v1", PUSHED)
    return made


def refusal_of(**headers: str) -> RateLimited:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    script = Script({"GET /v2/payments/api/manifests/v1": httpx.Response(429, headers=fields)})
    with pytest.raises(RateLimited) as caught:
        client_of(script).get_manifest(scripted.API, V1)
    return caught.value


def bound(world: World, name: str, status: int, **headers: str) -> None:
    """The next request for a manifest is answered so."""
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    world[name].fail("*", "manifests", status=status, headers=fields)


def test_k1_who_is_told_to_wait_stops_everybody_and_blocks_nobody(world: World) -> None:
    world.push("eu", "v2", PUSHED)
    bound(world, "us", 429, Retry_After="3")
    view = world.run(world.job())
    began = time.monotonic()

    world.forget_requests()
    other = world.shown(world.run(world.job("v2")))
    with pytest.raises(NotYet, match="us: asked everybody to wait"):
        world.tools().client("us").head_manifest(Repository(API), Tag("v1"))

    now = world.ledger.view.now()
    assert time.monotonic() - began < 1, "no worker waits"
    assert world.asked("us") == []
    assert all(item.due_at and 1 < item.due_at - now <= 3 for item in (view, other))
    assert [(item.state, item.attempts) for item in (view, other)] == [(State.PENDING, 0)] * 2
    swept(world)
    assert time.monotonic() - began > 2.5, "a comparison waits"
    assert world.asked("us")


def test_k1_a_job_that_is_half_done_stops_too(world: World) -> None:
    def refuse(request: Request) -> None:
        if request.method == "POST":
            world.ledger.availability.pause("us", 30)
            time.sleep(0.15)

    world["us"].before.append(refuse)

    view = world.run(world.job())

    assert (view.state, view.attempts) == (State.PENDING, 0)
    assert "us: asked everybody to wait" in (view.reason or "")
    assert [line for line in world.writes("us") if not line.startswith("POST")] == []


def test_k1_an_outage_that_says_how_long_stops_everybody_as_well(world: World) -> None:
    bound(world, "us", 503, Retry_After="12")
    world.run(world.job())

    assert 10 < world.ledger.availability.standing(["us"]).paused_for_s <= 12


def test_k2_a_date_is_as_good_as_seconds() -> None:
    at = formatdate(time.time() + 100, usegmt=True)

    assert refusal_of(Retry_After=at).wait_s == pytest.approx(100, abs=3)
    assert refusal_of(Retry_After="Wed, 21 Oct 2015 07:28:00 GMT").wait_s == 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [("86400", 3600), ("-7", 5), ("soon", 5), ("", 5), ("0", 1), ("1e9", 5), ("9" * 400, 3600)],
)
def test_k3_an_absurd_wait_is_kept_in_bounds(said: str, expected: float) -> None:
    assert refusal_of(Retry_After=said).wait_s == expected


@pytest.mark.parametrize("status", [503, 500, 502, 504, 408])
@pytest.mark.parametrize("headers", [{}, {"Retry-After": "9"}], ids=["", "retry-after"])
def test_k4_what_may_pass_is_tried_again_later(world: World, status: int, headers: dict[str, str]) -> None:
    world["us"].fail("PUT", "manifests/v1", status=status, headers=headers)

    view = world.run(world.job())

    assert view.state is State.PENDING
    assert view.due_at
    assert view.due_at > world.ledger.view.now()
    world.ledger.availability.mark_up("us")
    world.redis.delete("replicator:pause:us")
    world.hurried(world.job())
    assert world.digest("us") == world.digest("eu")


def test_k4_waits_grow_and_differ(world: World) -> None:
    world["us"].fail("PUT", "manifests/v1", times=FOR_EVER, status=500)
    world.run(world.job())

    def wait_s() -> float:
        view = world.hurried(world.job())
        assert view.due_at
        return view.due_at - world.ledger.view.now()

    waits = [wait_s() for _ in range(5)]

    # The second to the sixth time: 4, 8, 16, 30, 30 s, each half as long again or half as long.
    bounds = zip((4, 8, 16, 30, 30), waits, strict=True)
    assert all(0.45 * mean <= wait <= 1.5 * mean for mean, wait in bounds)
    assert len({round(wait, 3) for wait in waits}) == 5


@pytest.mark.parametrize("status", [400, 405, 413, 415])
def test_k5_what_no_retry_can_help_is_asked_once(world: World, status: int) -> None:
    world["us"].fail("PUT", "manifests/v1", times=FOR_EVER, status=status)

    view = world.run(world.job())

    assert (view.state, view.attempts) == (State.PARKED, 1)
    assert world.asked("us").count("PUT manifests/v1") == 1


def test_k5_who_is_denied_is_asked_again_only_while_a_credential_may_be_rotated(world: World) -> None:
    world["us"].fail("PUT", "manifests/v1", times=FOR_EVER, status=403)

    view = world.run(world.job())
    while view.state is State.PENDING:
        view = world.hurried(world.job())

    assert (view.state, view.attempts) == (State.PARKED, DENIED_ATTEMPTS)
    assert DENIED_ATTEMPTS < ATTEMPTS_BEFORE_PARKING
    assert world.asked("us").count("PUT manifests/v1") == DENIED_ATTEMPTS


def test_k5_a_manifest_that_is_absent_at_the_source_is_no_failure(world: World) -> None:
    view = world.run(world.job("v404"), action=None)

    assert (view.state, view.outcome) == (State.DONE, "unchanged")
    assert world.writes("us") == []


def test_k6_what_a_policy_of_harbor_keeps_back_waits_for_the_next_event(make_world: MakeWorld) -> None:
    world = make_world(RULE, kinds={"eu": RegistryType.HARBOR})
    world.push("eu", "v1", PUSHED)
    why = {
        "code": "PROJECTPOLICYVIOLATION",
        "message": "current image with 3 vulnerabilities cannot be pulled",
    }
    world["eu"].fail("GET", "manifests/v1", status=412, body=json.dumps({"errors": [why]}).encode())

    view = world.run(world.job())

    assert (view.state, view.attempts) == (State.PARKED, 1)
    assert "3 vulnerabilities" in (view.reason or "")
    assert world.ledger.availability.is_down("eu") is None
    assert world.run(world.job(), action=None).outcome == "copied"


def test_k7_the_last_of_a_quota_is_kept_from_low_priority_work(world: World) -> None:
    world.push("eu", "v2", PUSHED)
    told = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "3;w=21600"}
    world["eu"].fail("*", "manifests", headers=told)
    assert world.run(world.job()).outcome == "copied"
    low = Submission(world.job("v2"), since=1.0, is_urgent=False)
    world.ledger.submit([low])
    world.forget_requests()

    waiting = world.shown(world.work(low.job))

    assert world.asked("eu") == []
    assert waiting.due_at
    assert 3000 < waiting.due_at - world.ledger.view.now() < 21600
    world.tell(world.job("v2"))
    assert world.hurried(world.job("v2")).outcome == "copied"


@pytest.mark.parametrize("remaining", ["3", "soon", "300;w=21600", "3;w=0", "-3;w=21600"])
def test_k7_a_quota_that_makes_no_sense_holds_nothing_up(world: World, remaining: str) -> None:
    told = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": remaining}
    world["eu"].fail("*", "manifests", times=FOR_EVER, headers=told)

    assert world.run(world.job()).outcome == "copied"

    assert world.ledger.availability.standing(["eu"]).scarce_for_s == 0


def copy_once(redis_url: str, eu: str, us: str) -> None:
    """What a worker does, in a process of its own that is going to be killed."""
    ledger = Ledger.connect(redis_url, lease_s=1.0)
    with Bridge(ledger, eu, us) as bridge:
        bridge.run()


class Watched(FakeRegistry):
    """Tells when the first bytes of a blob have come."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached = threading.Event()
        self.may_go_on = threading.Event()

    def handle(self, request: Request) -> Response:
        if request.method == "PUT" and "/blobs/uploads/" in request.path and not self.is_reached.is_set():
            request.body.read(MIB)
            self.is_reached.set()
            self.may_go_on.wait(20)
        return super().handle(request)


def test_k13_a_worker_killed_in_the_middle_of_a_blob_is_followed_by_another(
    ledger: Ledger, redis_url: str
) -> None:
    large = image([layer_bytes("large", 24 * MIB)])
    source, destination = FakeRegistry(), Watched()
    push(source, API, "v1", large)
    with serve(source) as eu, serve(destination) as us:
        worker = multiprocessing.get_context("spawn").Process(
            target=copy_once, args=(redis_url, eu.url, us.url)
        )
        worker.start()
        assert destination.is_reached.wait(20)
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
        destination.may_go_on.set()

        with Bridge(ledger, eu.url, us.url) as bridge:
            eventually(lambda: bridge.run(action=None) and head(destination, API, "v1"), within_s=20)

    assert is_whole(destination, API, "v1", large)
    puts = [entry.status for entry in destination.requests("PUT", "/manifests/v1")]
    assert puts == [201]


def test_k14_a_job_that_is_told_of_twice_is_done_once(world: World) -> None:
    world.tell(world.job())
    world.forget_requests()
    together = threading.Barrier(2)

    def hear(_: int) -> None:
        together.wait()
        world.work(world.job())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(hear, range(2)))

    assert world.tags_written("us") == ["v1"]
    assert world.shown(world.ledger.view.job_view(world.job().id)).outcome == "copied"


def test_k15_of_a_hundred_images_one_fails_alone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    bad = image([b"layer of the bad one"])
    for number in range(100):
        world.push("eu", f"v{number}", bad if number == 50 else image([b"%d" % number]))
    layer = Digest.of(b"layer of the bad one")
    world["eu"].fail("GET", f"blobs/{layer}", times=FOR_EVER, body=b"something else at all")
    watch = Watch(world.ledger)
    jobs = [world.job(f"v{number}") for number in range(100)]
    for job in jobs:
        world.tell(job, action=None)
    watch.add(jobs)

    world.settle()
    status = follow(world.ledger, watch, troubles=[], as_json=False)

    assert status == 1
    assert watch.destinations["us"].outcomes == {"copied": 99, "failed": 1}
    said = capsys.readouterr().err
    assert f"{API}:v50 to us by prod" in said
    assert str(layer) in said


def test_k16_the_backlog_of_an_outage_is_one_job_a_tag_and_urgent_ones_go_first(world: World) -> None:
    world["us"].is_down = True
    for number in range(10):
        pushed = image([b"push %d" % number])
        world.push("eu", "v1", pushed)
        world.tell(world.job(), digest=pushed.digest)
    world.push("eu", "v2", PUSHED)
    low = Submission(world.job("v2"), since=1.0, is_urgent=False)
    world.ledger.submit([low])
    world.work(world.job())
    assert world.ledger.availability.is_down("us")
    assert len(world.ledger.view.jobs(state=State.PENDING)) == 2

    world["us"].is_down = False
    world.end_outage("us")
    world.ledger.reopen(world.job().id)
    rung = world.ledger.dispatch("us", 10)

    assert rung == [[world.job().id], [low.job.id]]
    world.settle()
    assert world.digest("us", "v1") == pushed.digest
    assert world["us"].requests("PUT", "/manifests/v1")[-1].status == 201
    assert len(world.tags_written("us")) == 2


def test_k17_ten_refusals_at_once_halve_the_window_once(world: World) -> None:
    world["us"].fail("*", "manifests", times=10, status=429, delay=0.1, headers={"Retry-After": "1"})
    client = world.tools().client("us")

    def ask(number: int) -> None:
        with suppress(RateLimited):
            client.head_manifest(Repository(API), Tag(f"v{number}"))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(ask, range(10)))

    assert world["us"].requests("HEAD")[-1].status == 429
    assert len(world["us"].log) == 10
    assert world.ledger.budgets.windows({"us": Limits()}) == {"us": WINDOW // 2}


def test_k18_no_more_of_an_errors_body_is_read_than_its_beginning() -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 16 * 1024
            yield b"x" * 16 * 1024

    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return endless()

    path = "GET /v2/payments/api/manifests/v1"
    for stream in (Endless(), Pieces(b"x" * 10 * MIB)):
        script = Script({path: httpx.Response(418, stream=stream)})
        with pytest.raises(PermanentError, match="answered 418") as caught:
            client_of(script).get_manifest(scripted.API, V1)
        assert len(str(caught.value)) < 500

    assert read <= 80 * 1024

"""Whether a blob is there, and mounting it (protocol cases C)."""

import threading
import time
from dataclasses import replace

import httpx
import pytest

from replicator.demo.features import Features
from replicator.demo.server import serve
from replicator.errors import PermanentError
from replicator.jobs import Job
from replicator.ledger import Ledger
from replicator.ledger.flights import FLIGHT_S
from replicator.oci import Digest, Repository
from replicator.rules import Signatures
from replicator.transfer import bring_in_line
from tests.conformance.bridge import Bridge
from tests.fakes.images import image, is_whole, layer_bytes, push
from tests.fakes.registry import Entry
from tests.integration.ledger.kit import located
from tests.integration.processes import DockerRegistry
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, World, a_rule
from tests.unit.registry import scripted
from tests.unit.registry.guarded import Guarded, reading
from tests.unit.registry.scripted import HOST, Script, blob, client_of

UNSIGNED = replace(a_rule(filters=ALL), signatures=Signatures.IGNORE)
LAYER = layer_bytes("shared")
IMAGE = image([LAYER])
BLOB = blob(LAYER)
PATH = f"/v2/payments/api/blobs/{BLOB.digest}"
OTHER = "team/web"


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world(UNSIGNED)
    for repository in (API, OTHER):
        made.push("eu", "v1", IMAGE, repository=repository)
    return made


def posts(world: World, digest: Digest = BLOB.digest) -> list[Entry]:
    """The requests to mount that blob, or to begin its upload."""
    return [entry for entry in world["us"].requests("POST") if entry.query.get("mount", digest) == digest]


def moved(world: World, digest: Digest = BLOB.digest) -> int:
    """How often the blob's bytes went over."""
    return sum(entry.query.get("digest") == digest for entry in world["us"].requests("PUT", "/uploads/"))


def has_blob(script: Script) -> bool:
    return client_of(script).has_blob(scripted.API, BLOB)


def test_c1_a_blob_that_is_there_is_neither_read_nor_sent(world: World) -> None:
    world.run(world.job())
    world.push("eu", "v2", image([LAYER, layer_bytes("own")]))

    world.run(world.job("v2"))

    assert not world["eu"].requests("GET", f"/blobs/{BLOB.digest}")
    assert not [entry for entry in posts(world) if entry.query["mount"] == BLOB.digest]


@pytest.mark.parametrize("length", ["1", "999999"])
def test_c2_a_blob_of_another_size_is_not_taken_for_this_one(length: str) -> None:
    script = Script({f"HEAD {PATH}": httpx.Response(200, headers={"Content-Length": length})})

    assert not has_blob(script)


def test_c3_a_blob_behind_a_redirect_is_there() -> None:
    storage = "https://storage.example.net/x?signed"
    script = Script(
        {
            f"HEAD {HOST}{PATH}": httpx.Response(307, headers={"Location": storage}),
            "HEAD storage.example.net/x": httpx.Response(200, headers={"Content-Length": str(len(LAYER))}),
        }
    )

    assert has_blob(script)
    assert "authorization" not in script.log[-1].headers


@pytest.mark.parametrize("status", [400, 405])
def test_c4_where_no_head_is_answered_blobs_are_sent(world: World, status: int) -> None:
    world["us"].fail("HEAD", "/blobs/", times=float("inf"), status=status)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", IMAGE)


def test_c5_a_mounted_blob_is_done(world: World) -> None:
    world.run(world.job(repository=OTHER))

    world.run(world.job())

    assert [entry.status for entry in posts(world)] == [201]
    assert moved(world) == 0
    assert not world["eu"].requests("GET", "/blobs/")


def test_c5_a_real_registry_mounts(
    ledger: Ledger, docker_registry: DockerRegistry, make_world: MakeWorld
) -> None:
    world = make_world(UNSIGNED)
    for repository in (API, OTHER):
        push(world["eu"], repository, "v1", IMAGE)
    with serve(world["eu"]) as eu, Bridge(ledger, eu.url, docker_registry.url, rule=UNSIGNED) as bridge:
        bridge.run()
        world.forget_requests()
        assert bridge.run(repository=OTHER).outcome == "copied"

    assert not world["eu"].requests("GET", "/blobs/")
    assert is_whole(docker_registry.url, OTHER, "v1", IMAGE)


def test_c6_a_mount_that_opens_an_upload_is_used(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED, features={"us": Features(mounts=False)})
    for repository in (API, OTHER):
        world.push("eu", "v1", IMAGE, repository=repository)
    world.run(world.job(repository=OTHER))

    assert world.run(world.job()).outcome == "copied"

    assert [entry.query.get("from") for entry in posts(world)] == [OTHER]
    assert moved(world) == 1
    assert not world["us"].requests("DELETE")
    assert world["us"].storage.open_uploads == 0


def test_c8_a_mount_asks_for_both_repositories_and_nothing_else_does() -> None:
    guarded = Guarded()
    client = reading(guarded)

    with pytest.raises(PermanentError):  # nothing but tokens is to be had there
        client.start_upload(scripted.API, BLOB.digest, mount_from=Repository("a/base"))

    own, other = "repository:payments/api:pull,push", "repository:a/base:pull"
    assert [item.url.params.get_list("scope") for item in guarded.given[1:]] == [[own, other], [own]]


def test_c9_no_mount_is_asked_for_without_saying_from_where(world: World) -> None:
    world.run(world.job())

    assert all(entry.query.get("from") for entry in world["us"].requests("POST") if "mount" in entry.query)


def test_c10_what_another_registry_holds_is_no_place_to_mount_from(world: World) -> None:
    world.ledger.fleet.flights.land("ap", Repository("only/there"), [BLOB.digest])

    world.run(world.job())

    assert [entry.query["from"] for entry in posts(world)] == [API]


def test_c11_a_mount_that_was_a_lie_is_forgotten_and_the_blob_sent(world: World) -> None:
    world.ledger.fleet.flights.land("us", Repository(OTHER), [BLOB.digest])
    world["us"].fail("POST", f"mount={BLOB.digest}", status=201, headers={"Location": "/v2/x"})

    assert world.run(world.job()).outcome == "copied"

    assert world.tags_written("us") == ["v1", "v1"]
    assert located(world.ledger, "us", [BLOB.digest]) == {BLOB.digest: API}
    assert is_whole(world["us"], API, "v1", IMAGE)


def test_c12_what_a_garbage_collector_took_is_repaired_once_and_then_an_error(world: World) -> None:
    world.ledger.fleet.flights.land("us", Repository(API), [BLOB.digest])

    assert world.run(world.job()).outcome == "copied"
    assert moved(world) == 1

    world["us"].fail(
        "PUT",
        "/manifests/",
        times=float("inf"),
        status=400,
        body=b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}',
    )
    view = world.run(world.job(repository=OTHER))
    assert view.outcome is None
    assert len(world["us"].requests("PUT", "/manifests/")) == 2


def together(world: World, *jobs: Job) -> None:
    """Try these jobs at once, each with a ledger of its own, as processes have."""

    def work(job: Job) -> None:
        ledger = Ledger.connect(world.redis_url)
        bring_in_line(job.id, world.tools(ledger=ledger))
        ledger.close()

    for job in jobs:
        world.tell(job)
    workers = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_c14_one_uploads_and_the_other_mounts(world: World) -> None:
    world["eu"].fail("GET", f"/blobs/{BLOB.digest}", delay=0.3)
    world.forget_requests()

    together(world, world.job(), world.job(repository=OTHER))

    assert moved(world) == 1
    assert len(world["eu"].requests("GET", f"/blobs/{BLOB.digest}")) == 1
    for repository in (API, OTHER):
        assert is_whole(world["us"], repository, "v1", IMAGE)


def test_c14_a_leader_that_died_is_followed_within_seconds(world: World) -> None:
    world.redis.set(f"replicator:flight:us|{BLOB.digest}", "dead", px=int(FLIGHT_S * 1000))
    began = time.monotonic()

    assert world.run(world.job()).outcome == "copied"

    assert time.monotonic() - began < FLIGHT_S + 1

"""Harbor's own ways (protocol cases M): its API, its garbage collection, its refusals, its accessories, its events.

Harbor itself does not run here. What is tested against is what its documentation and its source say.
"""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from replicator.demo.logins import BasicLogin, TokenLogin
from replicator.demo.messages import Request
from replicator.drift import Kind
from replicator.ledger import State
from replicator.oci import Digest, Repository, Tag
from replicator.registry import connect
from replicator.rulefiles import load
from replicator.rules import Registry, RegistryType, Signatures
from replicator.transfer import crossing
from tests.fakes.images import (
    Image,
    image,
    is_whole,
    layer_bytes,
    multi_arch,
    push,
    push_manifest,
    signature,
    signature_tag,
)
from tests.fakes.registry import FakeRegistry
from tests.fakes.wire import Wire, answer
from tests.integration.resync.kit import kinds, resynced
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, World, a_rule

HARBORS = {"eu": RegistryType.HARBOR, "us": RegistryType.HARBOR}
UNSIGNED = replace(a_rule(), signatures=Signatures.IGNORE)
FOR_EVER = float("inf")
SHARED = layer_bytes("shared")


def harbors(make_world: MakeWorld) -> World:
    return make_world(UNSIGNED, kinds=HARBORS)


def refusal(code: str, message: str) -> dict[str, Any]:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return {"headers": {"Content-Type": "application/json"}, "body": body}


def full(world: World, *names: str) -> None:
    """Both Harbors hold 100 tagged artifacts in each of these repositories, the same."""
    for side in ("eu", "us"):
        for name in names:
            push(world[side], name, None, image())
            for number in range(100):
                push_manifest(world[side], name, f"v{number}", image(annotations={"number": str(number)}))
    world.forget_requests()


@pytest.mark.parametrize("pushed", [image(), multi_arch()], ids=["image", "index"])
def test_m1_two_harbors_that_tell_each_other_everything_come_to_rest(
    make_world: MakeWorld, pushed: Image
) -> None:
    """Harbor tells of every PUT, even of one that changes nothing: an echo that is written is told again, for ever."""
    world = make_world(a_rule("forth", "eu", "us"), a_rule("back", "us", "eu"), kinds=HARBORS)
    world.listen()

    world.push("eu", "v1", pushed)
    world.forget_requests()
    world.settle()

    assert world.tags_written("us").count("v1") == 1
    assert world.tags_written("eu") == []
    assert is_whole(world["us"], API, "v1", pushed)


def test_m3_a_project_in_line_is_compared_by_listings_alone(make_world: MakeWorld) -> None:
    """1,000 artifacts in a repository are 10 requests a side.

    Where they lie in many repositories it is one for each of these at least. Harbor 2.12 could list the whole project
    instead, which is not asked of it: the answer cannot be taken in parts, repository by repository, so that a
    comparison would hold all of it in memory, and would ask for all of it though one repository was named.
    """
    world = make_world(a_rule(filters=ALL), kinds=HARBORS)
    for side in ("eu", "us"):
        push(world[side], API, None, image())
        for number in range(1000):
            push_manifest(world[side], API, f"v{number}", image(annotations={"number": str(number)}))
    world.forget_requests()

    assert Counter(kinds(world).values()) == {Kind.IN_SYNC: 1000}

    for side in ("eu", "us"):
        assert len(world[side].requests("GET", "/artifacts")) <= 10
        assert world[side].requests("*", "^/v2/") == []


def test_m4_a_harbor_without_its_api_is_compared_by_tags_and_heads(make_world: MakeWorld) -> None:
    world = make_world(a_rule(filters=ALL), kinds=HARBORS)
    full(world, API)
    for side in ("eu", "us"):
        world[side].fail("*", "^/api/v2.0/", times=FOR_EVER, status=404)

    assert Counter(kinds(world).values()) == {Kind.IN_SYNC: 100}

    for side in ("eu", "us"):
        assert len(world[side].requests("GET", "/tags/list")) == 1
        assert {entry.method for entry in world[side].requests("*", "/manifests/")} == {"HEAD"}
        assert len(world[side].requests("HEAD", "/manifests/")) == 100


def later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image with the shared layer was copied, so long ago that its blobs have to be looked at again."""
    world.push("eu", "v1", image([SHARED]))
    world.run(world.job())
    monkeypatch.setattr(crossing, "CERTAIN_S", 0.0)


def test_m5_a_blob_that_is_being_collected_is_uploaded_again(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Harbor calls it absent then, but would mount it: its files are still there, and go a moment later."""
    world = harbors(make_world)
    later(world, monkeypatch)
    world["us"].fail("HEAD", f"/blobs/{Digest.of(SHARED)}", times=FOR_EVER, status=404)
    pushed = image([SHARED, b"own"])
    world.push("eu", "v2", pushed)

    assert world.run(world.job("v2")).outcome == "copied"

    puts = [entry for entry in world["us"].requests("PUT", "/blobs/") if str(Digest.of(SHARED)) in str(entry)]
    assert [entry.status for entry in puts] == [201]
    posts = [entry for entry in world["us"].requests("POST") if str(Digest.of(SHARED)) in str(entry)]
    assert [entry.status for entry in posts] == [201]
    assert is_whole(world["us"], API, "v2", pushed)


def test_m5_a_manifest_that_is_being_collected_is_written_a_little_later(make_world: MakeWorld) -> None:
    world = harbors(make_world)
    pushed = image()
    world.push("eu", "v1", pushed)
    gone = refusal("NOT_FOUND", "the asking blob is in GC, mark it as non existing")
    world["us"].fail("PUT", "/manifests/v1", status=404, **gone)

    view = world.run(world.job())

    assert view.state is State.PENDING
    assert world.hurried(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", pushed)


def test_m6_a_blob_that_we_remember_is_touched_before_its_manifest_is_written(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A HEAD is what keeps Harbor's garbage collection off a blob that no artifact holds; a mount does not."""
    world = harbors(make_world)
    later(world, monkeypatch)
    world.delete("us", image([SHARED]).digest)
    world.push("eu", "v2", image([SHARED], annotations={"built": "again"}))

    assert world.run(world.job("v2")).outcome == "copied"

    asked = world.asked("us")
    assert asked.index(f"HEAD blobs/{Digest.of(SHARED)}") < asked.index("PUT manifests/v2")
    assert world["eu"].requests("GET", "/blobs/") == []


def test_m6_other_registries_are_asked_by_a_mount(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(UNSIGNED)
    later(world, monkeypatch)
    world.push("eu", "v2", image([SHARED], annotations={"built": "again"}))

    assert world.run(world.job("v2")).outcome == "copied"

    assert world["us"].requests("HEAD", "/blobs/") == []
    assert {entry.status for entry in world["us"].requests("POST")} == {201}


@pytest.mark.parametrize(
    "message",
    [
        "The system is in read only mode. Any modification is prohibited.",
        "adding 5.2 GiB of storage resource, which when updated to current usage of 9.9 GiB will exceed the quota",
        "can not push artifact to a proxy project: team",
    ],
)
def test_m7_harbors_refusals_are_told_apart_by_who_reads_them(make_world: MakeWorld, message: str) -> None:
    """All three are 403 `DENIED`, and only their words differ, which change from release to release.

    So each is tried again a few times, a while apart, and then parked in Harbor's words: a read-only hour needs no
    person but `failures retry`, the other two need one. None of them is an outage, and no other project waits.
    """
    world = harbors(make_world)
    pushed = image()
    world.push("eu", "v1", pushed)
    world.push("eu", "v1", pushed, repository="team/web")
    world["us"].fail("POST", f"/v2/{API}/", times=FOR_EVER, status=403, **refusal("DENIED", message))

    view = world.run(world.job())
    assert view.state is State.PENDING
    while view.state is State.PENDING:
        view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert message[:60] in (view.reason or "")
    assert world.run(world.job(repository="team/web")).outcome == "copied"
    world["us"].heal()
    world.ledger.reopen(world.job().id)
    world.settle()
    assert is_whole(world["us"], API, "v1", pushed)


def test_m8_the_slashes_of_a_repository_are_escaped_twice() -> None:
    with Wire(answer(200, {"Content-Length": "14"}, b'{"labels": []}'), answer(404)) as wire:
        client = connect(Registry("eu", RegistryType.HARBOR, wire.url))
        client.labels(Repository("payments/team/api"), image().digest)
        client.listing(Repository("payments/team/sub/api"))
        client.delete_manifest(Repository("payments/team/api"), Tag("v1"))
        client.close()

    repositories = "/api/v2.0/projects/payments/repositories/"
    asked = [head.split()[1].partition("?")[0] for head in wire.heads]
    assert asked[0] == f"{repositories}team%252Fapi/artifacts/{image().digest}"
    assert asked[1] == f"{repositories}team%252Fsub%252Fapi/artifacts"
    assert f"{repositories}team%252Fapi/artifacts/v1/tags/v1" in asked


ROBOT, SECRET = "robot$payments+ci", "pa$$w${HOME}rd$1"
RULES = """
registries:
  eu:
    type: harbor
    url: http://127.0.0.1:1
    credential: {type: basic, access_key: robot$payments+ci, access_secret: "${ROBOT_SECRET}"}
"""


@pytest.mark.parametrize(
    "login", [BasicLogin({ROBOT: SECRET}), TokenLogin({ROBOT: SECRET})], ids=["basic", "token"]
)
def test_m9_the_dollar_of_a_robot_survives(tmp_path: Path, login: BasicLogin | TokenLogin) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    described = load(tmp_path, {"ROBOT_SECRET": SECRET, "HOME": "/root"}).rules.registries["eu"]
    fake = FakeRegistry(login=login)

    client = connect(described, transport=fake.transport())

    client.ping()
    assert client.head_manifest(Repository(API), Tag("v1")) is None


def artifacts(world: World, name: str, query: str = "") -> list[dict[str, Any]]:
    """What Harbor shows as the artifacts of the repository."""
    path = f"/api/v2.0/projects/team/repositories/api/artifacts{query}"
    response = world[name].handle(Request.of("GET", path))
    found: list[dict[str, Any]] = json.loads(b"".join(response.pieces()))
    return found


def test_m11_a_signature_is_an_accessory_there_too_and_no_tag_more(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), kinds=HARBORS)
    pushed = image()
    world.push("eu", "v1", pushed)
    world.push("eu", signature_tag(pushed), signature(pushed))

    assert world.run(world.job()).outcome == "copied"

    for name in ("eu", "us"):
        assert [item["tags"] for item in artifacts(world, name)] == [[{"name": "v1"}]]
        assert len(artifacts(world, name, "?q=base%3D*")) == 2
    assert is_whole(world["us"], API, signature_tag(pushed), signature(pushed))
    assert set(kinds(world).values()) == {Kind.IN_SYNC}
    assert resynced(world) == []


def test_m12_comparing_pulls_nothing_and_a_copy_pulls_each_manifest_once(make_world: MakeWorld) -> None:
    world = harbors(make_world)
    pushed = multi_arch()
    world.push("eu", "v1", pushed)
    world.run(world.job())

    pulls = Counter(entry.path.rpartition("/")[2] for entry in world["eu"].requests("GET", "/manifests/"))
    assert pulls == {"v1": 1, **{str(child.digest): 1 for child in pushed.children}}
    assert world["us"].requests("GET", "/manifests/") == []

    world.forget_requests()
    assert set(kinds(world).values()) == {Kind.IN_SYNC}
    for name in ("eu", "us"):
        assert world[name].requests("GET", "/manifests/") == world[name].requests("GET", "/blobs/") == []


@pytest.mark.parametrize("body", [b"<html>", b'{"errors": []}', b'[{"digest": 5, "tags": [{"name": "v1"}]}]'])
def test_an_answer_of_the_api_that_is_no_listing_is_never_an_empty_one(body: bytes) -> None:
    client = connect(
        Registry("eu", RegistryType.HARBOR, "https://eu.example.com"),
        transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body)),
    )

    with pytest.raises(Exception, match="not what Harbor's API sends"):
        client.listing(Repository(API))

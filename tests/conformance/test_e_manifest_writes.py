"""E: manifest writes and tags: what proves a write, what a refusal asks for, and who may move a tag."""

import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from replicator.drift import Kind
from replicator.errors import MissingContent
from replicator.ledger import REPAIR, Ledger, State
from replicator.oci import Digest, Repository, Tag, parse_manifest
from replicator.resync import Checked, Request, Verification
from replicator.rules import RegistryType
from tests.conformance.bridge import Bridge
from tests.fakes.ecr import ECRAPI, ENVIRONMENT, serve
from tests.fakes.images import (
    Image,
    head,
    image,
    is_whole,
    layer_bytes,
    multi_arch,
    push,
    push_blob,
    tags,
)
from tests.integration.processes import DockerRegistry
from tests.integration.resync.kit import kinds, tools_of
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, World, a_rule, once

NOT_OURS = dict.fromkeys(
    ("E13", "E14", "E15"),
    "A PUT with several `?tag=` is never sent: each tag is a job, with a lock and a verdict of its own.",
)

ONE, TWO = image([b"one"]), image([b"two"])
SCHEMA_1 = b'{"schemaVersion": 1, "name": "team/api", "fsLayers": []}'
SCHEMA_1_TYPE = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def refusal(*missing: Digest, detail: bool = True, code: str = "MANIFEST_BLOB_UNKNOWN") -> bytes:
    errors = [{"code": code, **({"detail": {"digest": digest}} if detail else {})} for digest in missing]
    return json.dumps({"errors": errors}).encode()


def sent(world: World) -> set[str]:
    """The digests of the blobs that were sent to the destination."""
    return {
        entry.query["digest"]
        for entry in world["us"].log
        if entry.method == "PUT" and "/blobs/" in entry.path
    }


def test_e1_a_tag_that_has_the_digest_is_not_written(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    for name in ("eu", "us"):
        world.push(name, "v1", ONE)

    view = world.run(world.job())

    assert (view.outcome, world.writes("us")) == ("unchanged", [])


def test_e1_a_tag_that_has_the_digest_is_not_written_to_a_real_registry(bridge: Bridge) -> None:
    for url in bridge.urls:
        push(url, API, "v1", ONE)

    assert bridge.run().outcome == "unchanged"


@pytest.fixture
def bridge(ledger: Ledger, tmp_path: Path, stack: ExitStack) -> Bridge:
    """Two of Debian's docker-registry."""
    eu, us = (stack.enter_context(DockerRegistry(tmp_path / name)).url for name in ("eu", "us"))
    return stack.enter_context(Bridge(ledger, eu, us))


def test_e3_a_write_that_is_stored_as_something_else_is_no_copy(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    world["us"].fail("PUT", "manifests/v1", status=201, headers={"Docker-Content-Digest": TWO.digest})

    view = world.run(world.job())

    assert view.outcome is None
    assert f"the registry stored it as {TWO.digest}, expected {ONE.digest}" in (view.reason or "")
    record = world.ledger.fleet.copied("us", Repository(API), Tag("v1"))
    assert record
    assert record.digest is None


@pytest.mark.parametrize("status", [200, 202, 204])
def test_e4_an_unusual_success_is_believed_when_the_registry_shows_it(
    status: int, make_world: MakeWorld
) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    world["us"].fail("PUT", "manifests/v1", status=status, after=True)

    assert world.run(world.job()).outcome == "copied"
    assert world.asked("us")[-1] == "HEAD manifests/v1"


@pytest.mark.parametrize("status", [200, 202, 204])
def test_e4_an_unusual_success_that_nothing_shows_is_none(status: int, make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    world["us"].fail("PUT", "manifests/v1", status=status)

    view = world.run(world.job())

    assert (view.outcome, view.state) == (None, State.PENDING)
    assert f"answered {status} but does not hold {ONE.digest}" in (view.reason or "")


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("is_text", [False, True])
def test_e5_exactly_the_blobs_that_a_refusal_lists_are_sent(
    make_world: MakeWorld, status: int, is_text: bool
) -> None:
    world = make_world(a_rule())
    pushed = image([layer_bytes(str(number)) for number in range(4)])
    world.push("eu", "v1", pushed)
    *there, first, second = pushed.blobs
    for digest in pushed.blobs:
        world.ledger.fleet.flights.land("us", Repository(API), [digest])  # the fleet asks for none of these
    for digest in there:
        push_content(world, pushed, digest)
    body = refusal(first, second)
    if is_text:  # as CNCF Distribution 2.8 has it
        body = json.dumps(
            {"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "detail": digest} for digest in (first, second)]}
        ).encode()
    world["us"].fail("PUT", "manifests/v1", status=status, body=body)

    assert world.run(world.job()).outcome == "copied"

    assert sent(world) == {first, second}
    assert world.tags_written("us") == ["v1", "v1"]
    assert is_whole(world["us"], API, "v1", pushed)


def push_content(world: World, pushed: Image, digest: Digest) -> None:
    """Put one of its blobs where it goes."""
    push_blob(world["us"], API, pushed.blobs[digest], digest=digest)


def test_e5_a_child_that_a_refusal_lists_is_written_again(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = multi_arch()
    world.push("eu", "v1", pushed)
    lost = pushed.children[1].digest
    once(world["us"], "PUT", f"/manifests/{lost}", lambda: world.lose_manifest("us", lost))

    assert world.run(world.job()).outcome == "copied"

    assert is_whole(world["us"], API, "v1", pushed)
    assert len(sent(world)) == len(pushed.all_blobs)


def test_e5_a_real_registry_lists_what_it_lacks(bridge: Bridge) -> None:
    top = multi_arch()
    client = bridge.clients["us"]
    blobs = ONE.blobs.keys()

    with pytest.raises(MissingContent) as image_refused:
        client.put_manifest(Repository(API), Tag("v1"), parse_manifest(ONE.raw, ONE.media_type))
    with pytest.raises(MissingContent) as index_refused:
        client.put_manifest(Repository(API), Tag("v1"), parse_manifest(top.raw, top.media_type))

    assert image_refused.value.missing == blobs
    assert index_refused.value.missing == {child.digest for child in top.children}


def test_e6_a_refusal_that_lists_nothing_has_everything_sent(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image([layer_bytes(str(number)) for number in range(3)])
    world.push("eu", "v1", pushed)
    for digest in pushed.blobs:
        world.ledger.fleet.flights.land("us", Repository(API), [digest])
    body = refusal(ONE.digest, detail=False)
    world["us"].fail("PUT", "manifests/v1", status=404, body=body)

    assert world.run(world.job()).outcome == "copied"

    assert sent(world) == set(pushed.blobs)
    assert is_whole(world["us"], API, "v1", pushed)


IMMUTABLE = pytest.mark.parametrize(
    ("status", "body"),
    [
        (412, refusal(ONE.digest, code="PRECONDITION")),  # Harbor
        (400, refusal(ONE.digest, code="TAG_INVALID")),  # ECR
        (409, refusal(ONE.digest, code="TAG_IMMUTABLE")),
    ],
    ids=["harbor", "ecr", "others"],
)


@IMMUTABLE
def test_e9_an_immutable_tag_that_holds_the_same_is_right(
    make_world: MakeWorld, status: int, body: bytes
) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    # Somebody else writes it just before us.
    once(world["us"], "HEAD", "/manifests/v1", lambda: world.push("us", "v1", ONE))
    world["us"].fail("PUT", "manifests/v1", nth=2, status=status, body=body)

    assert world.run(world.job()).outcome == "copied"


@IMMUTABLE
def test_e9_an_immutable_tag_that_holds_something_else_is_set_aside_at_once(
    make_world: MakeWorld, status: int, body: bytes
) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    world.push("us", "v1", TWO)
    world["us"].fail("PUT", "manifests/v1", times=float("inf"), status=status, body=body)

    view = world.run(world.job())

    assert (view.state, view.attempts) == (State.PARKED, 1)
    assert f"answered {status}" in (view.reason or "")
    assert world.digest("us") == TWO.digest


def test_e10_a_tag_that_is_not_to_be_overridden_stays_and_shows_as_kept(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), override=False))
    world.push("eu", "v1", ONE)
    world.push("us", "v1", TWO)

    view = world.run(world.job())

    assert (view.outcome, world.digest("us"), world.writes("us")) == ("skipped", TWO.digest, [])
    assert kinds(world) == {f"us/{API}:v1": Kind.KEPT}


def test_e11_events_out_of_order_end_with_what_the_source_has(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    world.push("eu", "v1", TWO)

    for digest in (TWO.digest, ONE.digest):
        world.tell(world.job(), digest=digest)
        world.work(world.job())
    world.settle()

    assert world.digest("us") == TWO.digest


def test_e11_one_reference_has_one_writer(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), a_rule("other"))
    world.push("eu", "v1", ONE)
    other = world.job(rule="other")
    world.tell(other)
    # While the first is about to write the tag, the second is offered.
    once(world["us"], "HEAD", "/manifests/v1", lambda: world.work(other))

    assert world.run(world.job()).outcome == "copied"

    assert world.tags_written("us") == ["v1"]
    world.settle()
    assert world.shown(world.ledger.view.job_view(other.id)).outcome == "unchanged"


def test_e12_who_moves_the_tag_before_our_write_is_overwritten(make_world: MakeWorld) -> None:
    # No registry has a conditional PUT: what the rule says is what ends there.
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    once(world["us"], "HEAD", "/manifests/v1", lambda: world.push("us", "v1", TWO))

    assert world.run(world.job()).outcome == "copied"
    assert world.digest("us") == ONE.digest


def test_e12_who_moves_the_tag_after_our_write_is_found_by_the_next_look(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    once(world["us"], "PUT", "/manifests/v1", lambda: world.push("us", "v1", TWO))
    world.run(world.job())

    assert kinds(world) == {f"us/{API}:v1": Kind.UPDATE}


@pytest.mark.parametrize("tag", ["x" * 128, "_", "_leading", "UPPER.and-lower_0"])
def test_e16_any_tag_of_the_spec_is_copied(make_world: MakeWorld, bridge: Bridge, tag: str) -> None:
    world = make_world(a_rule(filters=ALL))
    world.push("eu", tag, ONE)
    push(bridge.urls[0], API, tag, ONE)

    assert world.run(world.job(tag)).outcome == "copied"
    assert bridge.run(tag).outcome == "copied"
    assert is_whole(bridge.urls[1], API, tag, ONE)


@pytest.mark.parametrize("tag", ["x" * 129, ".leading", "-leading", "", "a b", "ä", "a/b", "v1\n"])
def test_e16_other_text_is_refused_before_any_request(tag: str) -> None:
    with pytest.raises(ValueError, match="not a tag"):
        Tag(tag)


@pytest.mark.parametrize("name", ["a", "a/b/c/d/e", "team/my__api", "team/my--api", "team/a.b", "0/1"])
def test_e17_any_repository_of_the_spec_is_copied(bridge: Bridge, name: str) -> None:
    push(bridge.urls[0], name, "v1", ONE)

    assert bridge.run(repository=name).outcome == "copied"
    assert is_whole(bridge.urls[1], name, "v1", ONE)


@pytest.mark.parametrize(
    "name", ["x" * 256, "A/b", "a//b", "/a", "a/", "a..b", "a___b", "../etc", "a/_uploads?"]
)
def test_e17_other_names_are_refused_before_any_request(name: str) -> None:
    with pytest.raises(ValueError, match="not a repository name"):
        Repository(name)


@pytest.mark.parametrize("request_", ["POST", "PUT"])
def test_e18_a_repository_that_a_push_does_not_make_is_said_to_be_missing(
    make_world: MakeWorld, request_: str
) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    path = "uploads" if request_ == "POST" else "manifests/v1"
    body = refusal(ONE.digest, detail=False, code="NAME_UNKNOWN")
    world["us"].fail(request_, path, times=float("inf"), status=404, body=body)

    view = world.run(world.job())

    assert (view.state, view.attempts) == (State.PARKED, 1)
    assert "NAME_UNKNOWN" in (view.reason or "")
    assert f"{API}" in (view.reason or "")


@pytest.mark.parametrize("request_", ["POST", "PUT"])
def test_e18_a_repository_that_ecr_misses_is_created(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    world = make_world(a_rule(), kinds={"us": RegistryType.ECR})
    world.push("eu", "v1", ONE)
    path = "uploads" if request_ == "POST" else "manifests/v1"
    body = refusal(ONE.digest, detail=False, code="NAME_UNKNOWN")
    world["us"].fail(request_, path, times=float("inf"), status=404, body=body)

    with serve(ECRAPI(on_create=world["us"].heal)) as api:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL_ECR": api.url}.items():
            monkeypatch.setenv(name, value)
        view = world.run(world.job())

    assert view.outcome == "copied"
    assert {asked["repositoryName"] for asked in api.asked} == {API}
    assert is_whole(world["us"], API, "v1", ONE)


def test_e19_a_write_that_shows_late_is_waited_for(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    world["us"].fail("PUT", "manifests/v1", status=202, after=True)
    world["us"].fail("HEAD", "manifests/v1", nth=2, times=2, status=404)

    assert world.run(world.job()).outcome == "copied"


def test_e19_a_write_that_shows_later_still_is_tried_again_and_then_there(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    world["us"].fail("PUT", "manifests/v1", status=202, after=True)
    world["us"].fail("HEAD", "manifests/v1", nth=2, times=4, status=404)

    assert world.run(world.job()).state is State.PENDING
    assert world.hurried(world.job()).outcome == "unchanged"
    record = world.ledger.fleet.copied("us", Repository(API), Tag("v1"))
    assert record
    assert record.digest == ONE.digest


def test_e20_a_manifest_of_schema_1_is_set_aside_with_the_reason_and_stops_nothing_else(
    make_world: MakeWorld,
) -> None:
    # Set aside, not skipped: nobody should believe that it was copied.
    world = make_world(a_rule())
    world.push("eu", "v2", ONE)
    headers = {"Content-Type": SCHEMA_1_TYPE, "Docker-Content-Digest": Digest.of(SCHEMA_1)}
    world["eu"].fail("*", "manifests/v1", times=float("inf"), status=200, headers=headers, body=SCHEMA_1)

    old, new = world.run(world.job("v1")), world.run(world.job("v2"))

    assert (old.state, new.outcome) == (State.PARKED, "copied")
    assert SCHEMA_1_TYPE in (old.reason or "")
    assert world.digest("us") is None


def test_e21_what_has_no_tag_is_copied_by_its_digest_if_the_rule_says_so(make_world: MakeWorld) -> None:
    takes, leaves = a_rule("takes", filters=ALL), a_rule("leaves")
    world = make_world(takes, leaves)
    world.push("eu", None, ONE)

    outcomes = [world.run(world.job(ONE.digest, rule=name)).outcome for name in ("leaves", "takes")]

    assert outcomes == ["skipped", "copied"]
    assert is_whole(world["us"], API, ONE.digest, ONE)
    assert tags(world["us"], API) == set()


def test_e21_what_has_no_tag_is_copied_to_a_real_registry(bridge: Bridge) -> None:
    push(bridge.urls[0], API, None, ONE)

    assert bridge.run(ONE.digest).outcome == "copied"
    assert is_whole(bridge.urls[1], API, ONE.digest, ONE)


def test_e22_a_deep_verification_writes_nothing(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", multi_arch())
    world.run(world.job())
    world.forget_requests()

    (checked,) = Verification(tools_of(world), Request(), deep=True).run()

    assert isinstance(checked, Checked)
    assert (checked.defects, checked.proof is not None) == ((), True)
    assert world.writes("us") == world.writes("eu") == []


def test_e22_what_a_repair_writes_again_comes_to_rest(make_world: MakeWorld) -> None:
    world = make_world(a_rule("forth"), a_rule("back", "us", "eu"))
    world.listen()
    world.push("eu", "v1", ONE)
    world.settle()
    world.forget_requests()

    world.tell(world.job(rule="forth"), REPAIR)
    world.settle()

    assert world.writes("eu") == []
    assert [head(world[name], API, "v1") for name in ("eu", "us")] == [ONE.digest] * 2

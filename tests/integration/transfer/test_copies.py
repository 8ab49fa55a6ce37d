"""What is copied, how many requests that takes, and in which order it comes."""

import json
from dataclasses import replace

import pytest

from replicator.demo.features import Features
from replicator.demo.storage import Storage
from replicator.ledger import State
from replicator.oci import DOCKER_LIST, OCI_INDEX, Digest, Repository
from replicator.rules import Destination, Filter, FilterType, RegistryType, Signatures
from tests.fakes.images import (
    OCI_LAYER,
    Image,
    artifact,
    chart,
    docker_image,
    image,
    index,
    is_whole,
    layer_bytes,
    multi_arch,
    referrer,
    signature,
    signature_tag,
)
from tests.integration.ledger.kit import located
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, a_rule

UNSIGNED = replace(a_rule(), signatures=Signatures.IGNORE)


def nested() -> Image:
    return index([multi_arch("inner"), image([b"outer"])])


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_a_missing_image_takes_four_requests_and_three_for_each_blob(
    make_world: MakeWorld, layers: int
) -> None:
    world = make_world(UNSIGNED)
    digest = world.push("eu", "v1", image([layer_bytes(str(number)) for number in range(layers)]))

    view = world.run(world.job(), digest=digest)

    assert (view.outcome, view.digest, view.attempts) == ("copied", digest, 1)
    blobs = layers + 1
    assert len(world.asked("eu")) + len(world.asked("us")) == 4 + 3 * blobs
    eu, us = world.asked("eu"), world.asked("us")
    assert (eu[0], eu[-1], us[0], us[-1]) == (
        "GET manifests/v1",
        "HEAD manifests/v1",
        "HEAD manifests/v1",
        "PUT manifests/v1",
    )
    assert sum("GET blobs/" in text for text in eu) == blobs
    assert sum(text.startswith("POST") for text in us) == blobs
    assert sum(text.startswith("PUT blobs/") for text in us) == blobs


def test_to_look_for_signatures_takes_two_requests_at_most(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", image())

    world.run(world.job())

    assert len(world.asked("eu")) + len(world.asked("us")) <= 4 + 3 * 2 + 2


def test_a_reference_in_line_takes_two_requests(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", multi_arch())
    world.run(world.job())

    view = world.run(world.job())

    assert view.outcome == "unchanged"
    assert world.asked("eu") == ["GET manifests/v1"]
    assert world.asked("us") == ["HEAD manifests/v1"]


@pytest.mark.parametrize(
    "pushed",
    [
        image(),
        docker_image(),
        multi_arch(),
        multi_arch(media_type=DOCKER_LIST),
        nested(),
        artifact(),
        chart(),
        image([b""]),
        index([]),
        image([layer_bytes("large", 3_000_000)]),
    ],
    ids=["image", "docker", "index", "list", "nested", "artifact", "chart", "empty-layer", "empty", "large"],
)
def test_anything_arrives_byte_for_byte(make_world: MakeWorld, pushed: Image) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", pushed)

    view = world.run(world.job())

    assert view.outcome == "copied"
    assert is_whole(world["us"], API, "v1", pushed)


def test_a_moved_tag_is_copied_again_and_what_is_there_stays(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    shared = layer_bytes("shared")
    world.push("eu", "v1", image([shared]))
    world.run(world.job())
    moved = image([shared, b"new"])
    world.push("eu", "v1", moved)

    view = world.run(world.job())

    assert view.outcome == "copied"
    assert is_whole(world["us"], API, "v1", moved)
    # The shared layer is asked for, and is there; the new one and the config are not.
    assert sum("GET blobs/" in text for text in world.asked("eu")) == 2


def test_a_second_tag_of_what_is_there_is_one_write(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    pushed = multi_arch()
    world.push("eu", "v1", pushed)
    world.run(world.job())
    world.push("eu", "v2", pushed)

    world.run(world.job("v2"))

    assert world.writes("us") == ["PUT manifests/v2"]
    assert is_whole(world["us"], API, "v2", pushed)


def test_children_that_are_there_are_not_read_again(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    old, new = image([b"old"]), image([b"new"])
    world.push("eu", "v1", index([old]))
    world.run(world.job())
    wider = index([old, new])
    world.push("eu", "v2", wider)

    world.run(world.job("v2"))

    assert f"GET manifests/{old.digest}" not in world.asked("eu")
    assert is_whole(world["us"], API, "v2", wider)


def test_a_child_that_was_known_and_is_gone_is_brought_again(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    child = image([b"old"])
    world.push("eu", "v1", index([child]))
    world.run(world.job())
    world.delete("us", child.digest)
    wider = index([child, image([b"new"])])
    world.push("eu", "v2", wider)

    world.run(world.job("v2"))

    assert is_whole(world["us"], API, "v2", wider)


def test_an_index_may_list_blobs(make_world: MakeWorld) -> None:
    # BuildKit's caches: the entries of their index are layers.
    world = make_world(a_rule())
    layer = layer_bytes("cache")
    entry = {"mediaType": OCI_LAYER, "digest": Digest.of(layer), "size": len(layer)}
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    world.push("eu", "v1", Image(raw, OCI_INDEX, {Digest.of(layer): layer}))

    assert world.run(world.job()).outcome == "copied"
    assert world.digest("us") == Digest.of(raw)
    assert world["us"].storage.blob(Repository(API), Digest.of(layer))


def test_blobs_come_before_children_before_the_index(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = multi_arch()
    world.push("eu", "v1", pushed)

    world.run(world.job())

    children = [child.digest for child in pushed.children]
    assert world.tags_written("us") == [*children, "v1"]
    asked = world.asked("us")
    last_blob = max(at for at, text in enumerate(asked) if "PUT blobs/" in text)
    assert last_blob < asked.index(f"PUT manifests/{children[0]}")


def test_a_repository_lands_where_the_rule_says(make_world: MakeWorld) -> None:
    rule = replace(a_rule(), destinations=(Destination("us", "mirror", 1),))
    world = make_world(rule)
    pushed = image()
    world.push("eu", "v1", pushed)

    world.run(world.job())

    assert is_whole(world["us"], "mirror/api", "v1", pushed)
    assert world.digest("us") is None


def test_a_repository_that_cannot_land_is_parked_with_the_reason(make_world: MakeWorld) -> None:
    rule = replace(a_rule(), destinations=(Destination("us", "mirror", 5),))
    world = make_world(rule)
    world.push("eu", "v1", image())

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert "replace_count" in (view.reason or "")


def test_a_blob_that_the_fleet_saw_elsewhere_is_mounted(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    base = layer_bytes("base", 100_000)
    world.push("eu", "v1", image([base, b"one"]))
    world.run(world.job())
    other = image([base, b"two"])
    world.push("eu", "v1", other, repository="team/web")

    world.run(world.job(repository="team/web"))

    posts = [entry for entry in world["us"].log if entry.method == "POST"]
    assert [entry.query["from"] for entry in posts if entry.status == 201] == [API]
    assert len(world.asked("eu")) + len(world.asked("us")) == 4 + 3 * 2 + 1
    assert is_whole(world["us"], "team/web", "v1", other)


def test_a_blob_is_mounted_as_soon_as_another_job_has_sent_it(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    pushed = image([layer_bytes("base", 100_000)])
    other = world.job(repository="team/web")
    world.push("eu", "v1", pushed)
    world.push("eu", "v1", pushed, repository="team/web")
    world.tell(other)
    # The first job has sent its blobs, and is about to write its manifest.
    world["us"].before.append(lambda request: begin(request.path))

    def begin(path: str) -> None:
        if path.endswith(f"{API}/manifests/v1") and sent() == 2:
            world.work(other)

    def sent() -> int:
        return sum(entry.method == "PUT" and "/blobs/" in entry.path for entry in world["us"].log)

    world.run(world.job())

    assert sent() == 2
    assert is_whole(world["us"], "team/web", "v1", pushed)


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_mount_that_was_a_lie_is_repaired_once(make_world: MakeWorld, is_remembered: bool) -> None:
    world = make_world(UNSIGNED)
    pushed = image([b"a layer"])
    world.push("eu", "v1", pushed)
    if is_remembered:
        for digest in pushed.blobs:
            world.ledger.fleet.flights.land("us", Repository("team/web"), [digest])
    world["us"].fail("POST", "mount=", times=2, status=201, headers={"Location": "/v2/x"})

    view = world.run(world.job())

    assert view.outcome == "copied"
    assert is_whole(world["us"], API, "v1", pushed)
    assert world.tags_written("us") == ["v1", "v1"]


def test_a_blob_that_was_just_seen_in_the_repository_costs_no_request(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    shared = layer_bytes("shared")
    world.push("eu", "v1", image([shared]))
    world.run(world.job("v1"))
    pushed = image([shared, layer_bytes("own")])
    world.push("eu", "v2", pushed)

    world.run(world.job("v2"))

    assert sum(text.startswith("POST") for text in world.asked("us")) == 2
    assert not world["eu"].requests("GET", Digest.of(shared))
    assert is_whole(world["us"], API, "v2", pushed)


def test_a_blob_that_went_right_after_it_was_seen_is_sent(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    shared = layer_bytes("shared")
    world.push("eu", "v1", image([shared]))
    world.run(world.job("v1"))
    world["us"].storage.remove_blob(Repository(API), Digest.of(shared))
    pushed = image([shared, layer_bytes("own")])
    world.push("eu", "v2", pushed)

    view = world.run(world.job("v2"))

    assert view.outcome == "copied"
    assert is_whole(world["us"], API, "v2", pushed)


def test_a_destination_that_lost_everything_is_not_asked_for_what_it_had(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    shared = layer_bytes("shared")
    tags = {tag: image([shared, layer_bytes(tag)]) for tag in ("v1", "v2")}
    for tag, pushed in tags.items():
        world.push("eu", tag, pushed)
        world.run(world.job(tag))
    world["us"].storage = Storage()

    for tag, pushed in tags.items():
        world.run(world.job(tag), action=None)

        assert [text for text in world.asked("us") if "HEAD" in text] == [f"HEAD manifests/{tag}"]
        assert world.tags_written("us") == [tag]
        assert is_whole(world["us"], API, tag, pushed)


def test_a_destination_that_never_finds_its_blobs_is_given_up_with_a_reason(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    world.push("eu", "v1", image())
    refusal = b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}'
    world["us"].fail("PUT", "manifests/v1", times=float("inf"), status=400, body=refusal)

    world.run(world.job())
    world.settle()

    (view,) = world.ledger.view.failures()
    assert "MANIFEST_BLOB_UNKNOWN" in (view.reason or "")
    assert located(world.ledger, "us", image().blobs) == {}


# What a rule leaves out


def test_a_tag_that_is_kept_is_skipped_and_untouched(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), override=False))
    theirs = world.push("us", "v1", image([b"theirs"]))
    world.push("eu", "v1", image([b"ours"]))

    view = world.run(world.job())

    assert (view.outcome, view.digest) == ("skipped", theirs)
    assert world.digest("us") == theirs
    assert world.writes("us") == []


def test_a_rule_that_keeps_still_brings_what_is_missing(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), override=False))
    pushed = image()
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", pushed)


@pytest.mark.parametrize(
    ("wanted", "pushed", "outcome"),
    [
        ("image", image(), "copied"),
        ("image", docker_image(), "copied"),
        ("image", multi_arch(), "copied"),
        ("image", chart(), "skipped"),
        ("chart", chart(), "copied"),
        ("chart", image(), "skipped"),
        ("artifact", chart(), "copied"),
        ("artifact", artifact(), "copied"),
    ],
)
def test_a_resource_filter_is_judged_by_the_manifest(
    make_world: MakeWorld, wanted: str, pushed: Image, outcome: str
) -> None:
    world = make_world(a_rule(filters=(*ALL, Filter(FilterType.RESOURCE, wanted))))
    world.push("eu", "v1", pushed)

    view = world.run(world.job())

    assert view.outcome == outcome
    assert world.writes("us") == [] or outcome == "copied"


@pytest.mark.parametrize(
    ("labels", "outcome"), [(["released"], "copied"), (["released", "x"], "copied"), ([], "skipped")]
)
def test_a_label_filter_asks_harbor(make_world: MakeWorld, labels: list[str], outcome: str) -> None:
    rule = a_rule(filters=(*ALL, Filter(FilterType.LABEL, ("released",))))
    world = make_world(rule, kinds={"eu": RegistryType.HARBOR})
    world.push("eu", "v1", image())
    names = ", ".join(f'{{"name": "{label}"}}' for label in labels)
    world["eu"].fail(
        "GET",
        "/api/v2.0/projects/team/repositories/api/artifacts/",
        status=200,
        body=f'{{"labels": [{names}]}}'.encode(),
    )

    assert world.run(world.job()).outcome == outcome


def test_an_excluded_tag_brings_nothing_along(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image()
    world.push("eu", "dev", pushed)
    world.push("eu", signature_tag(pushed), signature(pushed))
    attached = referrer(pushed)
    world.push("eu", None, attached)

    outcomes = [world.run(world.job(name)).outcome for name in (signature_tag(pushed), attached.digest)]

    assert outcomes == ["skipped", "skipped"]
    assert world.digest("us", "dev") is None
    assert world.writes("us") == []


def test_an_untagged_image_is_left_out_by_a_tag_filter(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    digest = world.push("eu", None, image())

    assert world.run(world.job(digest)).outcome == "skipped"


def test_an_untagged_image_is_copied_by_a_rule_that_takes_everything(make_world: MakeWorld) -> None:
    world = make_world(a_rule(filters=ALL))
    pushed = image()
    world.push("eu", None, pushed)

    assert world.run(world.job(pushed.digest)).outcome == "copied"
    assert is_whole(world["us"], API, pushed.digest, pushed)


def test_a_registry_that_sends_no_digests_is_read_all_the_same(make_world: MakeWorld) -> None:
    bare = Features(digest_header=False)
    world = make_world(a_rule(), features={"eu": bare, "us": bare})
    pushed = image()
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"
    assert world.digest("us") == pushed.digest
    assert world.run(world.job()).outcome == "unchanged"

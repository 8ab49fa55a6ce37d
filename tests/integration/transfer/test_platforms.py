"""Rules that keep some platforms of an index: sparse where the destination takes that, rebuilt or blocked where not."""

import json
from dataclasses import replace

import pytest

from replicator.demo.features import Features
from replicator.ledger import REPAIR, State
from replicator.oci import OCI_INDEX, Digest, Repository, Tag, parse_manifest
from replicator.platforms import LEFT_OUT, choose, parse_platform, rebuilt
from replicator.rules import Rule, Signatures
from tests.fakes.images import (
    OCI_LAYER,
    Image,
    artifact,
    attestation,
    chart,
    docker_image,
    entry,
    image,
    index_of,
    is_whole,
    layer_bytes,
    push_manifest,
    referrer,
    signature,
    signature_tag,
)
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_intake import deleted, sent
from tests.integration.transfer.world import ALL, API, Killed, World, a_rule, once
from tests.unit.events.bodies import envelope

AMD, ARM = parse_platform("linux/amd64"), parse_platform("linux/arm64")
ONE = replace(a_rule(), platforms=(AMD,))
TWO = replace(ONE, platforms=(AMD, ARM))
REBUILDS = replace(ONE, platforms_rewrite=True)
SPARSE = {"us": Features(sparse_indexes=True)}


def platform_image(platform: str, seed: str = "") -> Image:
    return image([layer_bytes(f"{seed} shared"), layer_bytes(f"{seed} {platform}")], platform=platform)


A, B, C = (platform_image(platform) for platform in ("linux/amd64", "linux/arm64", "linux/s390x"))
ABOUT_A, ABOUT_C = attestation(A), attestation(C)
TOP = index_of(entry(A, "linux/amd64"), entry(B, "linux/arm64/v8"), entry(C, "linux/s390x"), ABOUT_A, ABOUT_C)


def part(pushed: Image, *platforms: object) -> Image:
    """The index that is rebuilt of it, where it says the platforms of all of its children."""
    wanted = tuple(parse_platform(str(platform)) for platform in platforms)
    form = rebuilt(choose(parse_manifest(pushed.raw, OCI_INDEX), wanted, {}))
    kept = {item.digest for item in form.kept}
    children = tuple(child for child in pushed.children if child.digest in kept)
    return Image(form.manifest.raw, form.manifest.media_type, {}, children)


def there(world: World, *images: Image, name: str = "us") -> list[bool]:
    """Which of these the registry holds, each with all that it names."""
    return [
        world.digest(name, item.digest) is not None and is_whole(world[name], API, item.digest, item)
        for item in images
    ]


def copied(world: World, rule: Rule = ONE) -> World:
    """A world whose destination holds what the rule brings of TOP."""
    world.obey(rule)
    world.push("eu", "v1", TOP)
    assert world.run(world.job()).outcome == "copied"
    return world


# Sparse


def test_only_the_children_for_wanted_platforms_are_copied_and_the_index_as_it_is(
    make_world: MakeWorld,
) -> None:
    world = copied(make_world(ONE, features=SPARSE))

    assert world.digest("us") == TOP.digest
    assert there(world, A, ABOUT_A[0], B, C, ABOUT_C[0]) == [True, True, False, False, False]
    assert not any(child in text for child in (B.digest, C.digest) for text in world.asked("eu"))
    assert world.tags_written("us") == [A.digest, ABOUT_A[0].digest, "v1"]


def test_a_sparse_index_in_line_takes_two_requests(make_world: MakeWorld) -> None:
    world = copied(make_world(ONE, features=SPARSE))

    assert world.run(world.job()).outcome == "unchanged"
    assert (world.asked("eu"), world.asked("us")) == (["GET manifests/v1"], ["HEAD manifests/v1"])


def test_an_index_for_wanted_platforms_alone_is_no_part(make_world: MakeWorld) -> None:
    world = make_world(TWO)
    pushed = index_of(entry(A, "linux/amd64"), entry(B, "linux/arm64"))
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", pushed)
    assert world.ledger.fleet.capability("us", "sparse-index") is None


@pytest.mark.parametrize(
    ("pushed", "outcome"),
    [
        (index_of(entry(C, "linux/s390x")), "skipped"),
        (index_of(entry(C, "linux/s390x"), ABOUT_C), "skipped"),
        (index_of(entry(C)), "skipped"),
        (index_of(entry(index_of(entry(C, "linux/s390x")))), "skipped"),
        (C, "skipped"),
        (docker_image(platform="linux/s390x"), "skipped"),
        (ABOUT_A[0], "skipped"),
        (A, "copied"),
        (docker_image(), "copied"),
        (index_of(entry(A)), "copied"),
        (image(config=b"{}"), "copied"),
        (image(config=b" " * 1_100_000 + b'{"os": "linux", "architecture": "s390x"}'), "copied"),
        (chart(), "copied"),
        (artifact(), "copied"),
        (index_of(entry(artifact())), "copied"),
        (index_of(), "copied"),
    ],
)
def test_what_is_for_other_platforms_is_skipped(make_world: MakeWorld, pushed: Image, outcome: str) -> None:
    world = make_world(ONE)
    world.push("eu", "v1", pushed)

    view = world.run(world.job())

    assert view.outcome == outcome
    assert world.digest("us") == (pushed.digest if outcome == "copied" else None)
    assert view.reason == (LEFT_OUT if outcome == "skipped" else None)


def test_an_image_in_line_is_not_read_for_its_platform(make_world: MakeWorld) -> None:
    world = make_world(ONE)
    world.push("eu", "v1", A)
    world.run(world.job())

    assert world.run(world.job()).outcome == "unchanged"
    assert world.asked("eu") == ["GET manifests/v1"]


def test_indexes_within_an_index_are_sparse_as_well(make_world: MakeWorld) -> None:
    world = make_world(ONE, features=SPARSE)
    inner, other = (
        index_of(entry(A, "linux/amd64"), entry(C, "linux/s390x")),
        index_of(entry(C, "linux/s390x")),
    )
    world.push("eu", "v1", index_of(entry(inner), entry(other), entry(B, "linux/arm64")))

    world.run(world.job())

    assert world.tags_written("us") == [A.digest, inner.digest, "v1"]


def test_an_index_that_keeps_a_cache_beside_its_image_brings_both(make_world: MakeWorld) -> None:
    world = make_world(ONE, features=SPARSE)
    cache = layer_bytes("cache")
    descriptor = {"mediaType": OCI_LAYER, "digest": Digest.of(cache), "size": len(cache)}
    document = {"manifests": [entry(A, "linux/amd64")[1], entry(C, "linux/s390x")[1], descriptor]}
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, **document}).encode()
    world.push("eu", "v1", Image(raw, OCI_INDEX, {Digest.of(cache): cache}, (A, C)))

    world.run(world.job())

    assert world.digest("us") == Digest.of(raw)
    assert world["us"].storage.blob(Repository(API), Digest.of(cache))


def test_a_child_by_its_digest_is_judged_by_its_config(make_world: MakeWorld) -> None:
    rule = replace(ONE, filters=ALL)
    world = make_world(rule)
    for pushed in (A, C, ABOUT_A[0]):
        world.push("eu", None, pushed)

    outcomes = [world.run(world.job(pushed.digest)).outcome for pushed in (A, C, ABOUT_A[0])]

    assert outcomes == ["copied", "skipped", "skipped"]


def test_a_child_that_nobody_wants_may_be_missing_at_the_source(make_world: MakeWorld) -> None:
    world = make_world(ONE, features={**SPARSE, "eu": Features(sparse_indexes=True)})
    world.push("eu", None, A)
    world.push("eu", None, ABOUT_A[0])
    push_manifest(world["eu"], API, "v1", TOP)

    assert world.run(world.job()).outcome == "copied"

    world.obey(TWO)
    assert world.run(world.job(), action=None).state is State.PENDING
    assert f"the index names {B.digest}, which is not there" in (
        world.shown(world.work(world.job())).reason or ""
    )


def test_the_signatures_of_what_is_there_follow(make_world: MakeWorld) -> None:
    world = make_world(ONE, features=SPARSE)
    world.push("eu", "v1", TOP)
    for signed in (TOP, A, C):
        world.push("eu", signature_tag(signed), signature(signed))
        world.push("eu", None, referrer(signed))

    world.run(world.job())
    world.run(world.job(signature_tag(C)))

    assert [world.digest("us", signature_tag(each)) is not None for each in (TOP, A, C)] == [
        True,
        True,
        False,
    ]
    assert there(world, *[referrer(each) for each in (TOP, A, C)]) == [True, True, False]


def test_a_sparse_index_is_held_back_until_it_is_signed_where_that_is_required(make_world: MakeWorld) -> None:
    world = make_world(replace(ONE, signatures=Signatures.REQUIRE), features=SPARSE)
    world.push("eu", "v1", TOP)

    assert world.run(world.job()).state is State.PENDING
    assert (world.digest("us"), world.ledger.fleet.capability("us", "sparse-index")) == (None, None)

    world.push("eu", signature_tag(TOP), signature(TOP))
    assert world.hurried(world.job()).outcome == "copied"
    assert (world.digest("us"), there(world, A, B)) == (TOP.digest, [True, False])
    assert world.digest("us", signature_tag(TOP)) == signature(TOP).digest


def test_a_second_tag_of_a_sparse_index_brings_no_blob_again(make_world: MakeWorld) -> None:
    world = copied(make_world(ONE, features=SPARSE))
    world.push("eu", "v2", TOP)

    world.run(world.job("v2"))

    assert world.writes("us") == ["PUT manifests/v2"]


def test_a_sparse_index_is_not_taken_for_whole_by_another_rule(make_world: MakeWorld) -> None:
    world = copied(make_world(ONE, features=SPARSE))
    world.obey(ONE, replace(a_rule("all", "eu", "us", filters=ALL)))
    world.push("eu", "latest", TOP)

    world.run(world.job("latest", rule="all"))

    assert is_whole(world["us"], API, "latest", TOP)


# Platforms that change


def test_a_platform_that_is_added_comes_with_the_next_look(make_world: MakeWorld) -> None:
    world = copied(make_world(ONE, features=SPARSE))
    world.obey(TWO)

    assert world.run(world.job(), action=None).outcome == "copied"

    assert there(world, A, B, C) == [True, True, False]
    assert world.tags_written("us") == [B.digest, "v1"]
    assert world.run(world.job(), action=None).outcome == "unchanged"


def test_a_platform_that_is_dropped_asks_for_nothing(make_world: MakeWorld) -> None:
    world = copied(make_world(TWO, features=SPARSE), TWO)
    world.obey(ONE)

    assert world.run(world.job(), action=None).outcome == "unchanged"


def test_a_rule_that_no_longer_names_platforms_makes_the_copy_whole(make_world: MakeWorld) -> None:
    world = copied(make_world(ONE, features=SPARSE))
    world.obey(a_rule())

    assert world.run(world.job(), action=None).outcome == "copied"

    assert is_whole(world["us"], API, "v1", TOP)
    assert world.run(world.job(), action=None).outcome == "unchanged"


def test_two_rules_for_one_reference_share_what_is_there(make_world: MakeWorld) -> None:
    other = replace(ONE, name="other", platforms=(ARM,))
    world = copied(make_world(ONE, other, features=SPARSE))
    world.obey(ONE, other)

    outcomes = [world.run(world.job(rule=name), action=None).outcome for name in ("other", "prod", "other")]

    assert outcomes == ["copied", "unchanged", "unchanged"]
    assert there(world, A, B, C) == [True, True, False]


@pytest.mark.parametrize("rewrite", [False, True])
def test_a_worker_that_dies_over_an_added_platform_leaves_the_rest_to_the_next(
    make_world: MakeWorld, rewrite: bool
) -> None:
    world = copied(make_world(ONE, features={} if rewrite else SPARSE), REBUILDS if rewrite else ONE)
    world.obey(replace(TWO, platforms_rewrite=rewrite))
    once(world["us"], "POST", "/blobs/uploads/", die)
    with pytest.raises(Killed):
        world.run(world.job(), action=None)
    world.expire(world.job())

    world.settle()

    assert there(world, A, B, C) == [True, True, False]


def die() -> None:
    raise Killed


# Where a sparse index is refused


def test_a_registry_that_takes_no_sparse_index_blocks_with_the_choice(make_world: MakeWorld) -> None:
    world = make_world(ONE)
    world.push("eu", "v1", TOP)

    view = world.run(world.job())

    assert view.state is State.BLOCKED
    assert "us takes no index" in (view.reason or "")
    assert "linux/amd64 alone: let it say platforms_rewrite: true, or drop its platforms" in (
        view.reason or ""
    )
    assert world.digest("us") is None


def refused(code: str, detail: object = None) -> bytes:
    return json.dumps({"errors": [{"code": code, "detail": detail}]}).encode()


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (refused("MANIFEST_INVALID"), "copied"),
        (refused("MANIFEST_BLOB_UNKNOWN"), "copied"),
        (refused("MANIFEST_BLOB_UNKNOWN", C.digest), "copied"),
        (refused("MANIFEST_BLOB_UNKNOWN", A.digest), None),
        (refused("SIZE_INVALID"), None),
    ],
)
def test_a_refusal_for_what_is_left_out_is_told_from_others(
    make_world: MakeWorld, body: bytes, outcome: str | None
) -> None:
    world = make_world(REBUILDS, features=SPARSE)
    world.push("eu", "v1", TOP)
    world["us"].fail("PUT", "manifests/v1", times=2 if outcome is None else 1, status=400, body=body)

    assert world.run(world.job()).outcome == outcome

    assert world.digest("us") == (part(TOP, AMD).digest if outcome else None)
    assert world.ledger.fleet.capability("us", "sparse-index") is (False if outcome else None)


def test_it_is_found_out_once_for_a_registry(make_world: MakeWorld) -> None:
    world = make_world(REBUILDS)
    for tag in ("v1", "v2"):
        pushed = index_of(
            *[entry(platform_image(name, tag), name) for name in ("linux/amd64", "linux/s390x")]
        )
        world.push("eu", tag, pushed)
    world.run(world.job("v1"))
    refused = [item for item in world["us"].log if item.status == 400]

    world.run(world.job("v2"))

    assert len(refused) == 1
    assert all(item.status < 400 or item.method == "HEAD" for item in world["us"].log)


def test_what_is_blocked_writes_nothing_once_that_is_known(make_world: MakeWorld) -> None:
    world = make_world(ONE)
    world.push("eu", "v1", TOP)
    world.run(world.job())

    assert world.run(world.job()).state is State.BLOCKED

    assert world.writes("us") == []


def test_a_mount_that_was_a_lie_is_no_refusal_of_a_sparse_index(make_world: MakeWorld) -> None:
    world = make_world(ONE, features=SPARSE)
    world.push("eu", "v1", TOP)
    world["us"].fail("POST", "mount=", times=2, status=201, headers={"Location": "/v2/x"})

    assert world.run(world.job()).outcome == "copied"

    assert there(world, A, ABOUT_A[0]) == [True, True]
    assert world.ledger.fleet.capability("us", "sparse-index") is True


# Rebuilt


def test_a_rebuilt_index_is_known_again_without_a_ledger(make_world: MakeWorld) -> None:
    world = copied(make_world(REBUILDS), REBUILDS)
    world.redis.flushall()

    assert world.run(world.job(), action=None).outcome == "unchanged"
    assert world.writes("us") == []


def test_a_moved_tag_is_rebuilt_anew(make_world: MakeWorld) -> None:
    world = copied(make_world(REBUILDS), REBUILDS)
    moved = index_of(*[entry(platform_image(name, "new"), name) for name in ("linux/amd64", "linux/s390x")])
    world.push("eu", "v1", moved)

    assert world.run(world.job()).outcome == "copied"

    assert is_whole(world["us"], API, "v1", part(moved, AMD))


def test_an_index_within_an_index_is_rebuilt_first(make_world: MakeWorld) -> None:
    world = make_world(REBUILDS)
    inner = index_of(entry(A, "linux/amd64"), entry(C, "linux/s390x"))
    outer = index_of(entry(inner), entry(B, "linux/arm64"))
    world.push("eu", "v1", outer)

    assert world.run(world.job()).outcome == "copied"

    found = world["us"].storage.shelves[Repository(API)].manifests
    top = found[world["us"].storage.shelves[Repository(API)].tags[Tag("v1")]]
    assert [child.digest for child in top.children] == [part(inner, AMD).digest]
    assert [child.digest for child in found[top.children[0].digest].children] == [A.digest]
    assert world.run(world.job()).outcome == "unchanged"


def test_a_rebuilt_index_follows_the_platforms_of_its_rule(make_world: MakeWorld) -> None:
    world = copied(make_world(REBUILDS), REBUILDS)
    for rule, expected in (
        (replace(TWO, platforms_rewrite=True), part(TOP, AMD, ARM)),
        (REBUILDS, part(TOP, AMD)),
        (a_rule(), TOP),
    ):
        world.obey(rule)

        assert world.run(world.job(), action=None).outcome == "copied"
        assert is_whole(world["us"], API, "v1", expected)
        assert world.run(world.job(), action=None).outcome == "unchanged"


def test_a_rebuilt_index_has_no_signature_of_the_index_but_those_of_its_images(make_world: MakeWorld) -> None:
    world = make_world(REBUILDS)
    world.push("eu", "v1", TOP)
    for signed in (TOP, A):
        world.push("eu", signature_tag(signed), signature(signed))
        world.push("eu", None, referrer(signed))

    world.run(world.job())
    late = world.run(world.job(signature_tag(TOP)))

    assert late.outcome == "skipped"
    assert [world.digest("us", signature_tag(each)) is not None for each in (TOP, A)] == [False, True]
    assert there(world, referrer(TOP), referrer(A)) == [False, True]


def test_a_rebuilt_index_needs_a_tag(make_world: MakeWorld) -> None:
    world = make_world(replace(REBUILDS, filters=ALL))
    world.push("eu", None, TOP)

    view = world.run(world.job(TOP.digest))

    assert (view.outcome, view.reason) == ("skipped", "an index that is rebuilt needs a tag")


def test_a_rebuilt_index_is_deleted_as_ours(make_world: MakeWorld) -> None:
    rule = replace(REBUILDS, deletion=True)
    world = copied(make_world(rule), rule)
    world.delete("eu", "v1")

    assert world.remove(world.job()).outcome == "deleted"

    assert world.digest("us") is None


def test_a_delete_by_the_sources_digest_finds_the_copy_that_was_rebuilt(
    make_world: MakeWorld, redis_url: str
) -> None:
    rule = replace(REBUILDS, deletion=True)
    world = copied(make_world(rule), rule)
    world.delete("eu", TOP.digest)

    sent(world, world.ledger.inbox("router-1"), redis_url, envelope(deleted(digest=TOP.digest)))
    world.settle()

    assert world.digest("us") is None


def test_a_rebuilt_index_that_comes_back_is_an_echo(make_world: MakeWorld) -> None:
    forth = replace(REBUILDS, name="forth")
    back = a_rule("back", "us", "eu")
    world = copied(make_world(forth, back), replace(REBUILDS, name="prod"))
    world.redis.flushall()
    world.delete("us", "v1")
    world.obey(forth, back)
    assert world.run(world.job(rule="forth")).outcome == "copied"

    view = world.run(world.job(rule="back", to="eu"))

    assert (view.outcome, world.digest("eu")) == ("unchanged", TOP.digest)


def test_what_comes_back_does_not_overwrite_newer_content_as_a_part_of_itself(make_world: MakeWorld) -> None:
    back = a_rule("back", "us", "eu")
    forth = replace(REBUILDS, name="forth")
    world = make_world(forth, back)
    world.ledger.fleet.learn("us", "sparse-index", False)
    world.push("us", "v1", TOP)
    world.run(world.job(rule="back", to="eu"))
    newer = world.push("us", "v1", platform_image("linux/amd64", "newer"))

    view = world.run(world.job(rule="forth"))

    assert (view.outcome, world.digest("us")) == ("unchanged", newer)


def test_a_repair_mends_what_the_rule_wants_and_asks_for_no_more(make_world: MakeWorld) -> None:
    for rule, features in ((ONE, SPARSE), (REBUILDS, {})):
        world = make_world(rule, features=features)
        world.redis.flushall()
        copied(world, rule)
        world["us"].storage.remove_blob(Repository(API), next(iter(A.blobs)))

        view = world.run(world.job(), action=REPAIR)

        assert view.outcome == "copied"
        assert there(world, A, B, C) == [True, False, False]


def test_a_destination_that_has_its_own_content_is_kept_from_a_part(make_world: MakeWorld) -> None:
    rule = replace(REBUILDS, override=False)
    world = make_world(rule)
    theirs = world.push("us", "v1", image([b"theirs"]))
    world.push("eu", "v1", TOP)

    assert world.run(world.job()).outcome == "skipped"
    assert world.digest("us") == theirs

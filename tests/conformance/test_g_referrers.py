"""G: referrers and signatures, by the referrers API or by tags, whichever each side has."""

import json
import multiprocessing
import time
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from replicator.demo.features import Features
from replicator.ledger import Ledger, State
from replicator.oci import DOCKER_MANIFEST, OCI_INDEX, Digest, Repository, Tag, referrers_tag
from replicator.rules import Filter, FilterType, Signatures
from tests.conformance.bridge import Bridge
from tests.fakes.images import (
    Image,
    artifact,
    docker_image,
    image,
    index,
    is_whole,
    multi_arch,
    push,
    push_manifest,
    referrer,
    signature,
    signature_tag,
)
from tests.fakes.raw import RawClient
from tests.integration.processes import DockerRegistry
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_signatures import BOTH_STYLES, FOUR_WAYS, OLD_STYLE, attach, found_at
from tests.integration.transfer.world import API, World, a_rule, once

ONE = image()
SBOM, SCAN = referrer(ONE), referrer(ONE, b"clean", kind="scan")
SBOM_TYPE = "application/vnd.example.sbom.v1+json"
LIST = referrers_tag(ONE.digest)
SUFFIXES = ("sig", "att", "sbom")


def listed(world: World, tag: str = LIST, name: str = "us") -> list[dict[str, object]]:
    """The entries of a list of referrers that is kept under a tag."""
    digest = world.digest(name, tag)
    assert digest
    raw = world[name].storage.shelves[Repository(API)].manifests[digest].raw
    entries: list[dict[str, object]] = json.loads(raw)["manifests"]
    return entries


def attach_all(world: World, subject: Image, *attached: Image) -> None:
    """Push referrers at the source, and the list of them where it keeps none itself."""
    for each in attached:
        world.push("eu", None, each)
    if not world["eu"].features.referrers:
        push_manifest(world["eu"], API, referrers_tag(subject.digest), index(attached))


@pytest.fixture
def bridge(ledger: Ledger, tmp_path: Path, stack: ExitStack) -> Bridge:
    """Two of Debian's docker-registry, which have no referrers API."""
    eu, us = (stack.enter_context(DockerRegistry(tmp_path / name)).url for name in ("eu", "us"))
    return stack.enter_context(Bridge(ledger, eu, us, rule=a_rule()))


# Both sides


@FOUR_WAYS
def test_g1_two_referrers_come_after_their_subject_with_the_same_digests(
    make_world: MakeWorld, here: Features, there: Features
) -> None:
    world = make_world(a_rule(), features={"eu": here, "us": there})
    world.push("eu", "v1", ONE)
    attach_all(world, ONE, SBOM, SCAN)

    world.run(world.job())

    written = world.tags_written("us")
    assert written[0] == ONE.digest
    assert set(written[1:3]) == {SBOM.digest, SCAN.digest}
    assert written[-1] == "v1"
    assert found_at(world, ONE.digest) == {SBOM.digest, SCAN.digest}
    for each in (SBOM, SCAN):
        assert is_whole(world["us"], API, each.digest, each)


@pytest.mark.parametrize("has_list", [True, False])
def test_g2_without_the_api_the_source_s_list_is_read_from_its_tag(
    make_world: MakeWorld, has_list: bool
) -> None:
    world = make_world(a_rule(), features={"eu": OLD_STYLE})
    world.push("eu", "v1", ONE)
    if has_list:
        attach(world, ONE, SBOM)

    assert world.run(world.job()).outcome == "copied"

    assert found_at(world, ONE.digest) == ({SBOM.digest} if has_list else set())


def test_g2_two_docker_registries_have_the_same_list(bridge: Bridge) -> None:
    eu, us = bridge.urls
    push(eu, API, "v1", ONE)
    push(eu, API, None, SBOM)
    push_manifest(eu, API, LIST, index([SBOM]))

    assert bridge.run("v1").outcome == "copied"

    assert is_whole(us, API, SBOM.digest, SBOM)
    assert [entry["digest"] for entry in _read_list(us)] == [SBOM.digest]


def _read_list(url: str, tag: str = LIST) -> list[dict[str, object]]:
    with RawClient(url) as client:
        answer = client.call("GET", f"/v2/{API}/manifests/{tag}", headers={"Accept": OCI_INDEX})
    assert answer.status == 200, answer
    entries: list[dict[str, object]] = answer.json()["manifests"]
    return entries


@pytest.mark.parametrize("side", ["eu", "us"])
def test_g3_an_unknown_repository_says_nothing_of_the_api(make_world: MakeWorld, side: str) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    attach(world, ONE, SBOM)
    unknown = json.dumps({"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]}).encode()
    world[side].fail("GET", "/referrers/", times=float("inf"), status=404, body=unknown)

    world.run(world.job())

    assert world.ledger.fleet.capability(side, "referrers-api") is None


def test_g3_a_source_that_calls_its_own_repository_unknown_may_still_list_by_tag(
    make_world: MakeWorld,
) -> None:
    world = make_world(a_rule(), features={"eu": OLD_STYLE})
    world.push("eu", "v1", ONE)
    attach(world, ONE, SBOM)
    unknown = json.dumps({"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]}).encode()
    world["eu"].fail("GET", "/referrers/", times=float("inf"), status=404, body=unknown)

    world.run(world.job())

    assert found_at(world, ONE.digest) == {SBOM.digest}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/html", b"<html>sign in</html>"), ("application/json", b'["not", "an", "index"]')],
)
def test_g4_an_answer_that_is_no_index_is_no_referrers_api(
    make_world: MakeWorld, content_type: str, body: bytes
) -> None:
    world = make_world(a_rule(), features={"eu": OLD_STYLE, "us": OLD_STYLE})
    world.push("eu", "v1", ONE)
    attach(world, ONE, SBOM)
    for side in ("eu", "us"):
        world[side].fail(
            "GET",
            "/referrers/",
            times=float("inf"),
            status=200,
            body=body,
            headers={"Content-Type": content_type},
        )

    world.run(world.job())

    assert world.ledger.fleet.capability("eu", "referrers-api") is False
    world["us"].heal()
    assert found_at(world, ONE.digest) == {SBOM.digest}


def test_g5_all_pages_of_the_api_are_read(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"eu": Features(page_limit=2)})
    many = [referrer(ONE, f"payload {number}".encode()) for number in range(5)]
    world.push("eu", "v1", ONE)
    attach_all(world, ONE, *many)

    world.run(world.job())

    assert found_at(world, ONE.digest) == {each.digest for each in many}
    assert len(world["eu"].requests("GET", "/referrers/")) >= 3


def test_g6_no_filter_is_asked_for_so_that_none_can_be_ignored(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    attach_all(world, ONE, SBOM, SCAN)

    world.run(world.job())

    asked = [*world["eu"].requests("GET", "/referrers/"), *world["us"].requests("GET", "/referrers/")]
    assert asked
    assert all("artifactType" not in entry.query for entry in asked)


# The list under a tag


@pytest.mark.parametrize("is_late", [False, True])
def test_g7_a_registry_that_does_not_say_oci_subject_gets_the_list(
    make_world: MakeWorld, is_late: bool
) -> None:
    # It serves the API, and lists nothing there.
    world = make_world(a_rule(), features={"us": Features(says_subject=False)})
    typed, untyped = referrer(ONE), image(subject=ONE, annotations={"made": "by hand"})
    world.push("eu", "v1", ONE)
    if is_late:
        world.run(world.job())
    attach_all(world, ONE, typed, untyped)

    world.run(world.job())
    for each in (typed, untyped) if is_late else ():
        world.run(world.job(each.digest))

    found_again = [world.run(world.job(each.digest)).outcome for each in (typed, untyped)]
    config_type = untyped.document["config"]["mediaType"]
    by_digest = {entry["digest"]: entry for entry in listed(world)}
    assert by_digest == {
        typed.digest: typed.descriptor(artifactType=SBOM_TYPE, annotations={"kind": "sbom"}),
        untyped.digest: untyped.descriptor(artifactType=config_type, annotations={"made": "by hand"}),
    }
    assert found_again == ["unchanged", "unchanged"]


def test_g7_a_registry_that_says_oci_subject_gets_no_list(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    attach(world, ONE, SBOM)

    world.run(world.job())

    assert world.digest("us", LIST) is None


def test_g7_a_docker_registry_gets_the_list_of_a_late_referrer(bridge: Bridge) -> None:
    eu, us = bridge.urls
    push(eu, API, "v1", ONE)
    bridge.run("v1")
    push(eu, API, None, SBOM)

    assert bridge.run(SBOM.digest).outcome == "copied"

    assert _read_list(us) == [SBOM.descriptor(artifactType=SBOM_TYPE, annotations={"kind": "sbom"})]


def test_g9_two_workers_that_append_at_the_same_time_lose_no_entry(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": replace(OLD_STYLE, compares=False)})
    world.push("eu", "v1", ONE)
    world.run(world.job())
    attach_all(world, ONE, SBOM, SCAN)
    for each in (SBOM, SCAN):
        world.tell(world.job(each.digest))

    # Between the first one's reading and its writing, the second one does its whole work.
    def second() -> None:
        once(world["us"], "GET", f"manifests/{LIST}", lambda: world.work(world.job(SCAN.digest)))

    once(world["us"], "PUT", f"manifests/{SBOM.digest}", second)
    world.work(world.job(SBOM.digest))
    world.settle()

    assert found_at(world, ONE.digest) == {SBOM.digest, SCAN.digest}


def _bring(ready: Barrier, redis_url: str, urls: tuple[str, str], digests: list[str]) -> None:
    """A worker, in a process of its own, that has these referrers to bring, and begins when all are ready."""
    ledger = Ledger.connect(redis_url)
    with Bridge(ledger, *urls, rule=a_rule()) as bridge:
        ready.wait()
        for digest in digests:
            while bridge.run(digest).outcome is None:
                time.sleep(0.05)
    ledger.close()


def test_g9_processes_that_append_to_the_list_of_a_docker_registry_lose_no_entry(
    bridge: Bridge, redis_url: str
) -> None:
    eu, us = bridge.urls
    many = [referrer(ONE, f"payload {number}".encode()) for number in range(18)]
    push(eu, API, "v1", ONE)
    bridge.run("v1")
    for each in many:
        push(eu, API, None, each)

    spawn = multiprocessing.get_context("spawn")
    shares = [[each.digest for each in many[number::3]] for number in range(3)]
    ready = spawn.Barrier(3)
    workers = [spawn.Process(target=_bring, args=(ready, redis_url, bridge.urls, share)) for share in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert {entry["digest"] for entry in _read_list(us)} == {each.digest for each in many}


def test_g9_a_stranger_who_appends_in_between_is_seen_where_etags_are_compared(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": OLD_STYLE})
    world.push("eu", "v1", ONE)
    world.run(world.job())
    for each in (SBOM, SCAN):
        world.push("us", None, each)
    push_manifest(world["us"], API, LIST, index([SBOM]))
    ours = referrer(ONE, b"ours")
    world.push("eu", None, ours)

    def stranger() -> None:
        push_manifest(world["us"], API, LIST, index([SBOM, SCAN]))

    once(
        world["us"],
        "GET",
        f"manifests/{LIST}",
        lambda: once(world["us"], "GET", f"manifests/{LIST}", stranger),
    )
    world.run(world.job(ours.digest))

    assert {entry["digest"] for entry in listed(world)} == {SBOM.digest, SCAN.digest, ours.digest}


def test_g9_a_list_that_is_overwritten_at_once_is_written_again(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": replace(OLD_STYLE, compares=False)})
    world.push("eu", "v1", ONE)
    world.run(world.job())
    for name in ("eu", "us"):
        world.push(name, None, SBOM)
    world.push("us", None, SCAN)

    once(
        world["us"], "PUT", f"manifests/{LIST}", lambda: push_manifest(world["us"], API, LIST, index([SCAN]))
    )
    world.run(world.job(SBOM.digest))

    assert {entry["digest"] for entry in listed(world)} == {SBOM.digest, SCAN.digest}


def test_g10_what_is_no_index_under_the_list_s_tag_is_reported_and_stays(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": OLD_STYLE})
    world.push("eu", "v1", ONE)
    world.run(world.job())
    world.push("eu", None, SBOM)
    theirs = world.push("us", LIST, image([b"no list"]))

    view = world.run(world.job(SBOM.digest))

    assert view.state is State.PARKED
    assert "not an index" in (view.reason or "")
    assert world.digest("us", LIST) == theirs


def test_g11_an_entry_that_is_there_is_not_written_again(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": OLD_STYLE})
    world.push("eu", "v1", ONE)
    attach(world, ONE, SBOM)
    world.run(world.job())
    world.push("eu", "v2", ONE)

    world.run(world.job("v2"))
    again = world.asked("us")
    late = world.run(world.job(SBOM.digest))

    assert f"PUT manifests/{LIST}" not in again
    assert late.outcome == "unchanged"
    assert world.writes("us") == []
    assert [entry["digest"] for entry in listed(world)] == [SBOM.digest]


def test_g11_the_entries_of_others_stay_as_they_wrote_them(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": OLD_STYLE})
    world.push("eu", "v1", ONE)
    world.run(world.job())
    world.push("us", None, SCAN)
    theirs = SCAN.descriptor(platform={"os": "linux", "architecture": "arm"}, data="aGVsbG8=", urls=[])
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [theirs], "annotations": {"a": "b"}}
    push_manifest(world["us"], API, LIST, Image(json.dumps(document).encode(), OCI_INDEX))
    world.push("eu", None, SBOM)

    world.run(world.job(SBOM.digest))

    assert listed(world)[0] == theirs
    digest = world.digest("us", LIST)
    assert digest
    held = world["us"].storage.shelves[Repository(API)].manifests[digest]
    assert json.loads(held.raw)["annotations"] == {"a": "b"}


def of_sha512(pushed: Image) -> Digest:
    return Digest.of(pushed.raw, "sha512")


def referrer_by_sha512(subject: Image) -> Image:
    made = referrer(subject)
    document = made.document
    document["subject"]["digest"] = of_sha512(subject)
    return Image(json.dumps(document).encode(), made.media_type, made.blobs)


@BOTH_STYLES
def test_g12_the_list_of_a_sha512_subject_has_64_of_its_digits(
    make_world: MakeWorld, there: Features
) -> None:
    world = make_world(a_rule(filters=()), features={"us": there})
    subject, late = of_sha512(ONE), referrer_by_sha512(ONE)
    tag = Tag(f"sha512-{subject.hex[:64]}")
    world.push("eu", subject, ONE)
    world.push("eu", None, late)

    assert world.run(world.job(subject)).outcome == "copied"

    assert found_at(world, subject) == {late.digest}
    assert (world.digest("us", tag) is None) == there.referrers


def test_g12_a_list_of_a_sha512_subject_is_no_tag_to_be_copied(make_world: MakeWorld) -> None:
    world = make_world(a_rule(filters=()), features={"eu": OLD_STYLE, "us": OLD_STYLE})
    subject, ours, theirs = of_sha512(ONE), referrer_by_sha512(ONE), referrer(ONE, b"theirs")
    tag = referrers_tag(subject)
    for name in ("eu", "us"):
        world.push(name, subject, ONE)
    world.push("us", tag, index([theirs]))
    world.push("eu", tag, index([ours]))

    assert world.run(world.job(tag)).outcome == "copied"

    assert found_at(world, subject) == {ours.digest, theirs.digest}


# Late, deep, and odd ones


@FOUR_WAYS
def test_g13_a_referrer_that_comes_when_all_is_in_sync_is_copied(
    make_world: MakeWorld, here: Features, there: Features
) -> None:
    world = make_world(a_rule(), features={"eu": here, "us": there})
    world.push("eu", "v1", ONE)
    world.run(world.job())
    attach(world, ONE, SBOM)

    assert world.run(world.job(SBOM.digest), digest=SBOM.digest).outcome == "copied"

    assert found_at(world, ONE.digest) == {SBOM.digest}
    assert world.digest("us") == ONE.digest


@FOUR_WAYS
def test_g14_referrers_of_referrers_and_of_children_are_followed(
    make_world: MakeWorld, here: Features, there: Features
) -> None:
    world = make_world(a_rule(), features={"eu": here, "us": there})
    pushed = multi_arch()
    child = pushed.children[1]
    sbom = referrer(child)
    signed = referrer(sbom, b"signed", kind="signature")
    world.push("eu", "v1", pushed)
    attach(world, child, sbom)
    attach(world, sbom, signed)

    world.run(world.job())

    assert found_at(world, child.digest) == {sbom.digest}
    assert found_at(world, sbom.digest) == {signed.digest}


def test_g14_a_chain_without_end_is_not_followed_to_its_end(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", ONE)
    last = ONE
    for number in range(8):
        last = referrer(last, f"{number}".encode())
        world.push("eu", None, last)

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert "deep" in (view.reason or "")
    assert world.digest("us") is None


@BOTH_STYLES
def test_g14_a_referrer_that_its_subject_s_index_lists_too_is_a_referrer_as_well(
    make_world: MakeWorld, there: Features
) -> None:
    world = make_world(a_rule(), features={"us": there})
    sbom = referrer(ONE)
    pushed = index([ONE, sbom])
    world.push("eu", "v1", pushed)

    world.run(world.job())

    assert is_whole(world["us"], API, "v1", pushed)
    assert found_at(world, ONE.digest) == {sbom.digest}


@BOTH_STYLES
def test_g14_a_referrer_may_name_a_child_that_comes_after_its_subject(
    make_world: MakeWorld, there: Features
) -> None:
    world = make_world(a_rule(), features={"us": there})
    pushed = multi_arch()
    first, second = pushed.children
    around = index([second], subject=first)
    world.push("eu", "v1", pushed)
    world.push("eu", None, around)

    assert world.run(world.job()).outcome == "copied"

    assert is_whole(world["us"], API, around.digest, around)
    assert found_at(world, first.digest) == {around.digest}


@FOUR_WAYS
@pytest.mark.parametrize("known", ["child", "index"])
def test_g14_what_follows_a_child_comes_although_another_rule_brought_the_child_without(
    make_world: MakeWorld, known: str, here: Features, there: Features
) -> None:
    plain = replace(a_rule("plain", filters=(Filter(FilterType.TAG, "plain"),)), signatures=Signatures.IGNORE)
    world = make_world(plain, a_rule(), features={"eu": here, "us": there})
    pushed = index([multi_arch(), image([b"other"])])
    child = pushed.children[0].children[0] if known == "index" else pushed.children[1]
    sbom = referrer(child)
    world.push("eu", "v1", pushed)
    world.push("eu", "plain", pushed.children[0] if known == "index" else child)
    world.run(world.job("plain", rule="plain"))
    world.push("eu", signature_tag(child), signature(child))
    attach(world, child, sbom)

    world.run(world.job())

    assert is_whole(world["us"], API, signature_tag(child), signature(child))
    assert found_at(world, child.digest) == {sbom.digest}
    assert world.tags_written("us")[-1] == "v1"


@FOUR_WAYS
def test_g14_another_tag_of_what_has_referrers_writes_none_of_them_again(
    make_world: MakeWorld, here: Features, there: Features
) -> None:
    world = make_world(a_rule(), features={"eu": here, "us": there})
    pushed = multi_arch()
    child = pushed.children[0]
    sbom = referrer(child)
    world.push("eu", "v1", pushed)
    attach(world, child, sbom)
    attach(world, sbom, referrer(sbom, b"signed", kind="signature"))
    world.run(world.job())
    push_manifest(world["eu"], API, "v2", pushed)

    world.run(world.job("v2"))

    assert world.writes("us") == ["PUT manifests/v2"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_g15_cosign_s_tags_come_past_the_tag_filter(make_world: MakeWorld, suffix: str) -> None:
    world = make_world(a_rule())
    tag = f"sha256-{ONE.digest.hex}.{suffix}"
    world.push("eu", "v1", ONE)
    world.push("eu", tag, signature(ONE))

    view = world.run(world.job())

    assert view.outcome == "copied"
    assert world.tags_written("us") == [ONE.digest, tag, "v1"]


def test_g15_two_subjects_may_have_the_same_companion(make_world: MakeWorld) -> None:
    # SBOMs that cosign attaches to both platforms of an image are the same bytes if the SBOMs are.
    world = make_world(a_rule())
    pushed = multi_arch()
    sbom = artifact()
    tags = [f"sha256-{child.digest.hex}.sbom" for child in pushed.children]
    world.push("eu", "v1", pushed)
    for tag in tags:
        world.push("eu", tag, sbom)

    world.run(world.job())

    assert [world.digest("us", tag) for tag in tags] == [sbom.digest, sbom.digest]


def test_g15_a_companion_without_its_subject_is_nobody_s_tag(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    tag = signature_tag(ONE)
    world.push("eu", "latest", ONE)
    world.push("eu", tag, signature(ONE))

    assert world.run(world.job(tag)).outcome == "skipped"
    assert world.digest("us", tag) is None


@BOTH_STYLES
def test_g17_a_referrer_that_was_pushed_before_its_subject_comes_after_it(
    make_world: MakeWorld, there: Features
) -> None:
    world = make_world(a_rule(), features={"us": there})
    world.push("eu", None, SBOM)

    assert world.run(world.job(SBOM.digest)).outcome == "skipped"
    world.push("eu", "v1", ONE)
    world.run(world.job())

    written = world.tags_written("us")
    assert written.index(ONE.digest) < written.index(SBOM.digest) < written.index("v1")
    assert found_at(world, ONE.digest) == {SBOM.digest}


@FOUR_WAYS
def test_g18_a_docker_manifest_with_a_subject_is_copied_as_it_is(
    make_world: MakeWorld, here: Features, there: Features
) -> None:
    world = make_world(a_rule(), features={"eu": here, "us": there})
    made = docker_image([b"a layer"])
    raw = json.dumps(made.document | {"subject": ONE.descriptor()}).encode()
    pushed = Image(raw, DOCKER_MANIFEST, made.blobs)
    world.push("eu", "v1", ONE)
    world.push("eu", "v2", pushed)
    world.run(world.job("v1"))

    assert world.run(world.job("v2")).outcome == "copied"

    assert is_whole(world["us"], API, "v2", pushed)
    assert is_whole(world["us"], API, "v1", ONE)

"""Signatures and referrers: before the tag of their subject, or late, past the tag filter; registries old and new."""

from dataclasses import replace

import pytest

from replicator.demo.features import Features
from replicator.ledger import State
from replicator.oci import Digest, Repository, Tag, parse_manifest, referrers_tag
from replicator.rules import Signatures
from tests.fakes.images import (
    Image,
    artifact,
    image,
    index,
    is_whole,
    multi_arch,
    push_manifest,
    referrer,
    referrers,
    signature,
    signature_tag,
)
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule, once

OLD_STYLE = Features(referrers=False)
BOTH_STYLES = pytest.mark.parametrize("there", [Features(), OLD_STYLE], ids=["to-api", "to-tag"])
FOUR_WAYS = pytest.mark.parametrize(
    ("here", "there"),
    [(here, there) for here in (Features(), OLD_STYLE) for there in (Features(), OLD_STYLE)],
    ids=["api-api", "api-tag", "tag-api", "tag-tag"],
)


def attach(world: World, subject: Image, attached: Image) -> None:
    """Push a referrer at the source, listed by tag where the registry does not list it itself: as oras does."""
    world.push("eu", None, attached)
    if not world["eu"].features.referrers:
        listed = index([attached])
        push_manifest(world["eu"], API, referrers_tag(subject.digest), listed)


def found_at(world: World, subject: Digest) -> set[Digest]:
    """What a client finds as referrers at the destination, in the way that this registry offers."""
    listed = referrers(world["us"], API, subject)
    if listed is not None:
        return listed
    tag = referrers_tag(subject)
    digest = world.digest("us", tag)
    shelf = world["us"].storage.shelves[Repository(API)]
    return {child.digest for child in shelf.manifests[digest].children} if digest else set()


@pytest.mark.parametrize("suffix", ["sig", "att", "sbom"])
def test_a_companion_tag_comes_before_the_tag_of_its_subject(make_world: MakeWorld, suffix: str) -> None:
    world = make_world(a_rule())
    pushed = image()
    tag = f"sha256-{pushed.digest.hex}.{suffix}"
    world.push("eu", "v1", pushed)
    world.push("eu", tag, signature(pushed))

    world.run(world.job())

    assert world.tags_written("us") == [pushed.digest, tag, "v1"]
    assert is_whole(world["us"], API, tag, signature(pushed))


def test_the_companions_of_an_index_and_of_its_children_come_along(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = multi_arch()
    signed = [pushed, *pushed.children]
    world.push("eu", "v1", pushed)
    for item in signed:
        world.push("eu", signature_tag(item), signature(item))

    world.run(world.job())

    assert {signature_tag(item) for item in signed} <= set(world.tags_written("us")[:-1])
    assert world.tags_written("us")[-1] == "v1"


@FOUR_WAYS
def test_referrers_come_before_the_tag_of_their_subject(
    make_world: MakeWorld, here: Features, there: Features
) -> None:
    world = make_world(a_rule(), features={"eu": here, "us": there})
    pushed = image()
    attached = referrer(pushed)
    world.push("eu", "v1", pushed)
    attach(world, pushed, attached)

    world.run(world.job())

    listing = [] if there.referrers else [referrers_tag(pushed.digest)]
    assert world.tags_written("us") == [pushed.digest, attached.digest, *listing, "v1"]
    assert is_whole(world["us"], API, attached.digest, attached)
    assert found_at(world, pushed.digest) == {attached.digest}


@BOTH_STYLES
def test_referrers_of_children_and_of_referrers_come_along(make_world: MakeWorld, there: Features) -> None:
    world = make_world(a_rule(), features={"us": there})
    pushed = multi_arch()
    sbom = referrer(pushed.children[0])
    signed = referrer(sbom, b"signed", kind="signature")
    world.push("eu", "v1", pushed)
    world.push("eu", None, sbom)
    world.push("eu", None, signed)

    world.run(world.job())

    assert found_at(world, pushed.children[0].digest) == {sbom.digest}
    assert found_at(world, sbom.digest) == {signed.digest}
    assert is_whole(world["us"], API, signed.digest, signed)


def test_signatures_are_left_where_the_rule_ignores_them(make_world: MakeWorld) -> None:
    world = make_world(replace(a_rule(), signatures=Signatures.IGNORE))
    pushed = image()
    world.push("eu", "v1", pushed)
    world.push("eu", signature_tag(pushed), signature(pushed))
    attached = referrer(pushed)
    world.push("eu", None, attached)

    world.run(world.job())
    late = [world.run(world.job(name)).outcome for name in (signature_tag(pushed), attached.digest)]

    assert late == ["skipped", "skipped"]
    assert world.digest("us", signature_tag(pushed)) is None
    assert world.digest("us", attached.digest) is None


def test_a_late_signature_follows_past_the_tag_filter(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image()
    tag = signature_tag(pushed)
    world.push("eu", "v1", pushed)
    world.run(world.job())
    world.push("eu", tag, signature(pushed))

    view = world.run(world.job(tag))

    assert view.outcome == "copied"
    assert is_whole(world["us"], API, tag, signature(pushed))
    assert world.run(world.job(tag)).outcome == "unchanged"


def test_a_second_signature_under_the_same_tag_follows_even_where_tags_are_kept(
    make_world: MakeWorld,
) -> None:
    world = make_world(replace(a_rule(), override=False))
    pushed = image()
    tag = signature_tag(pushed)
    world.push("eu", "v1", pushed)
    world.push("eu", tag, signature(pushed))
    world.run(world.job())
    world.push("eu", tag, signature(pushed, "another key"))

    assert world.run(world.job(tag)).outcome == "copied"
    assert is_whole(world["us"], API, tag, signature(pushed, "another key"))


@FOUR_WAYS
def test_a_late_referrer_follows_past_the_tag_filter(
    make_world: MakeWorld, here: Features, there: Features
) -> None:
    world = make_world(a_rule(), features={"eu": here, "us": there})
    pushed = image()
    attached = referrer(pushed)
    world.push("eu", "v1", pushed)
    world.run(world.job())
    attach(world, pushed, attached)

    # An untagged push event; and one for the referrers tag, where the source's client keeps it.
    view = world.run(world.job(attached.digest), digest=attached.digest)

    assert view.outcome == "copied"
    assert found_at(world, pushed.digest) == {attached.digest}
    assert world.run(world.job(attached.digest)).outcome == "unchanged"
    if not here.referrers:
        assert world.run(world.job(referrers_tag(pushed.digest))).outcome == "unchanged"


@BOTH_STYLES
def test_a_moved_referrers_tag_brings_what_it_lists(make_world: MakeWorld, there: Features) -> None:
    world = make_world(a_rule(), features={"eu": OLD_STYLE, "us": there})
    pushed = image()
    sbom, scan = referrer(pushed), referrer(pushed, b"clean", kind="scan")
    world.push("eu", "v1", pushed)
    attach(world, pushed, sbom)
    world.run(world.job())
    world.push("eu", None, scan)
    push_manifest(world["eu"], API, referrers_tag(pushed.digest), index([sbom, scan]))

    view = world.run(world.job(referrers_tag(pushed.digest)))

    assert view.outcome == "copied"
    assert found_at(world, pushed.digest) == {sbom.digest, scan.digest}


def test_what_others_listed_at_the_destination_stays(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": OLD_STYLE})
    pushed = image()
    theirs, ours = referrer(pushed, b"theirs"), referrer(pushed, b"ours")
    for name in ("eu", "us"):
        world.push(name, "v1", pushed)
    world.push("us", None, theirs)
    push_manifest(world["us"], API, referrers_tag(pushed.digest), index([theirs]))
    world.push("eu", None, ours)

    world.run(world.job(ours.digest))

    assert found_at(world, pushed.digest) == {theirs.digest, ours.digest}


def test_a_referrers_tag_that_is_somebody_elses_is_not_overwritten(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": OLD_STYLE})
    pushed = image()
    for name in ("eu", "us"):
        world.push(name, "v1", pushed)
    theirs = world.push("us", referrers_tag(pushed.digest), image([b"no list"]))
    attached = referrer(pushed)
    world.push("eu", None, attached)

    view = world.run(world.job(attached.digest))

    assert view.state is State.PARKED
    assert "not an index" in (view.reason or "")
    assert world.digest("us", referrers_tag(pushed.digest)) == theirs


def test_a_companion_waits_for_a_subject_that_is_on_its_way(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image()
    tag = signature_tag(pushed)
    world.push("eu", "v1", pushed)
    world["us"].fail("PUT", "manifests/v1", status=503)
    assert world.run(world.job()).outcome is None
    world.end_outage("us")
    world.push("eu", tag, signature(pushed))

    waiting = world.run(world.job(tag))

    assert (waiting.state, waiting.attempts) == (State.PENDING, 0)
    assert "on its way" in (waiting.reason or "")
    world.settle()
    assert is_whole(world["us"], API, tag, signature(pushed))
    assert is_whole(world["us"], API, "v1", pushed)


@pytest.mark.parametrize("signed", ["the index", "a child", "a grandchild"])
def test_a_signature_that_comes_while_its_subject_is_on_its_way_is_not_missed(
    make_world: MakeWorld, signed: str
) -> None:
    world = make_world(a_rule())
    pushed = index([multi_arch()])
    subject = {
        "the index": pushed,
        "a child": pushed.children[0],
        "a grandchild": pushed.children[0].children[0],
    }[signed]
    tag = signature_tag(subject)
    world.push("eu", "v1", pushed)

    def sign() -> None:
        world.push("eu", tag, signature(subject))
        world.tell(world.job(tag))
        world.work(world.job(tag))

    once(world["eu"], "GET", "/tags/list", sign)
    world.run(world.job())
    world.settle()

    assert is_whole(world["us"], API, tag, signature(subject))


@pytest.mark.parametrize("is_moving", [False, True])
def test_a_signature_that_moves_while_its_subject_is_copied_ends_as_the_newer(
    make_world: MakeWorld, is_moving: bool
) -> None:
    world = make_world(a_rule())
    pushed = image()
    tag = signature_tag(pushed)
    newer = signature(pushed, "another key")
    world.push("eu", "v1", pushed)
    world.run(world.job())
    world.push("eu", tag, signature(pushed))
    world.push("eu", "v2", pushed)

    def sign_again() -> None:
        world.push("eu", tag, newer)
        world.tell(world.job(tag))
        assert world.shown(world.work(world.job(tag))).outcome == "copied"
        if is_moving:
            world["eu"].fail("HEAD", f"manifests/{tag}", status=500)

    once(world["eu"], "GET", f"manifests/{tag}", sign_again)
    world.tell(world.job("v2"))
    world.work(world.job("v2"))
    world.settle()

    assert world.digest("us", "v2") == pushed.digest
    assert is_whole(world["us"], API, tag, newer)


def test_a_second_tag_writes_no_signature_that_is_there(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image()
    tag = signature_tag(pushed)
    world.push("eu", "v1", pushed)
    world.push("eu", tag, signature(pushed))
    world.run(world.job())
    world.push("eu", "v2", pushed)

    world.run(world.job("v2"))

    assert world.writes("us") == ["PUT manifests/v2"]
    assert f"HEAD manifests/{tag}" not in world.asked("eu")


def test_a_signature_that_was_overwritten_at_the_destination_comes_again(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image()
    tag = signature_tag(pushed)
    world.push("eu", "v1", pushed)
    world.push("eu", tag, signature(pushed))
    world.run(world.job())
    world.push("us", tag, image([b"theirs"]))
    world.push("eu", "v2", pushed)

    world.run(world.job("v2"))

    assert is_whole(world["us"], API, tag, signature(pushed))


def test_a_tagged_artifact_that_refers_is_listed_at_an_old_registry(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": OLD_STYLE})
    pushed = image()
    attached = referrer(pushed)
    world.push("eu", "v1", pushed)
    world.run(world.job())
    world.push("eu", "v1-sbom", attached)

    assert world.run(world.job("v1-sbom")).outcome == "copied"
    assert is_whole(world["us"], API, "v1-sbom", attached)
    assert found_at(world, pushed.digest) == {attached.digest}


def test_an_artifact_tagged_like_a_referrers_tag_by_a_rule_for_all_is_still_a_list(
    make_world: MakeWorld,
) -> None:
    world = make_world(a_rule(filters=()), features={"eu": OLD_STYLE})
    pushed = image()
    attached = referrer(pushed)
    world.push("eu", "v1", pushed)
    attach(world, pushed, attached)

    for name in ("v1", attached.digest, referrers_tag(pushed.digest)):
        assert world.run(world.job(name)).state is State.DONE

    # The destination has the API: it lists referrers itself, and needs no such tag.
    assert world.digest("us", referrers_tag(pushed.digest)) is None
    assert found_at(world, pushed.digest) == {attached.digest}


def test_a_loop_of_companions_ends(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = artifact()
    # An index that lists itself as its own companion cannot be made; a companion that is the subject itself can.
    world.push("eu", "v1", pushed)
    world.push("eu", Tag(signature_tag(pushed)), pushed)

    assert world.run(world.job()).outcome == "copied"
    assert parse_manifest(pushed.raw, pushed.media_type).digest == world.digest("us")

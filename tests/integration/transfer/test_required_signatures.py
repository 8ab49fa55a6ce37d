"""Rules that require signatures: nothing is shown unsigned, and nobody waits for longer than is needed."""

from dataclasses import replace

import pytest

from replicator.demo.features import Features
from replicator.jobs import Job
from replicator.ledger import JobView, State
from replicator.oci import Tag, referrers_tag
from replicator.rules import Filter, FilterType, Rule, Signatures
from replicator.signing import NOTATION, PublicKey
from tests.fakes import signing
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
from tests.fakes.signing import Signer
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_signatures import FOUR_WAYS, attach
from tests.integration.transfer.world import API, World, a_rule, once

SIGNER, STRANGER = Signer(), Signer("rsa")


def requiring(*keys: PublicKey, wait_s: float = 600.0) -> Rule:
    """The rule, with signatures required."""
    return replace(a_rule(), signatures=Signatures.REQUIRE, keys=keys, signature_wait_s=wait_s)


def sign(world: World, subject: Image, made: Image | None = None) -> Job:
    """Sign at the source, under cosign's tag; the job of the event."""
    tag = signature_tag(subject)
    world.push("eu", tag, made or signature(subject))
    return world.job(tag)


def age(world: World, subject: Image, by_s: float) -> None:
    """Whoever waits for that signature began so much earlier."""
    key = f"replicator:unsigned:us|{API}|{subject.digest}"
    for name, at in world.redis.hgetall(key).items():
        world.redis.hset(key, name, float(at) - by_s)


def due_in_s(world: World, view: JobView) -> float:
    assert view.due_at is not None
    return view.due_at - world.ledger.view.now()


# Without keys


def test_what_is_signed_is_copied_with_its_signature_before_the_tag(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    pushed = image()
    world.push("eu", "v1", pushed)
    sign(world, pushed)

    assert world.run(world.job()).outcome == "copied"
    assert world.tags_written("us") == [pushed.digest, signature_tag(pushed), "v1"]


@FOUR_WAYS
@pytest.mark.parametrize(
    "signed",
    [signing.bundle(SIGNER, image()), artifact(NOTATION, subject=image())],
    ids=["bundle", "notation"],
)
def test_a_referrer_that_signs_is_a_signature(
    make_world: MakeWorld, here: Features, there: Features, signed: Image
) -> None:
    world = make_world(requiring(), features={"eu": here, "us": there})
    pushed = image()
    world.push("eu", "v1", pushed)
    attach(world, pushed, signed)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, signed.digest, signed)
    assert world.tags_written("us")[-1] == "v1"


@pytest.mark.parametrize("attached", ["nothing", "an attestation tag", "an sbom", "an attestation"])
def test_what_is_not_signed_waits_and_shows_nothing(make_world: MakeWorld, attached: str) -> None:
    world = make_world(requiring())
    pushed = image()
    world.push("eu", "v1", pushed)
    attested = {"dev.sigstore.bundle.predicateType": "https://slsa.dev/provenance/v1"}
    if attached == "an attestation tag":
        world.push("eu", f"sha256-{pushed.digest.hex}.att", signature(pushed))
    elif attached == "an sbom":
        world.push("eu", None, referrer(pushed))
    elif attached == "an attestation":
        world.push("eu", None, signing.bundled({}, pushed, annotations=attested))

    view = world.run(world.job())

    assert (view.state, view.attempts) == (State.PENDING, 0)
    assert f"eu|{API}|v1: {pushed.digest} waits to be signed, 600 s more at most" in (view.reason or "")
    assert world.writes("us") == []
    assert world.ledger.fleet.copied("us", world.job().repository, Tag("v1")) is None


def test_the_source_is_asked_ever_less_often(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    pushed = image()
    world.push("eu", "v1", pushed)

    assert due_in_s(world, world.run(world.job())) == pytest.approx(1, abs=0.5)
    age(world, pushed, 20)
    assert due_in_s(world, world.hurried(world.job())) == pytest.approx(20, abs=1)
    age(world, pushed, 280)
    assert due_in_s(world, world.hurried(world.job())) == pytest.approx(300, abs=1)


def test_what_nobody_signs_in_time_is_parked_with_the_reason(make_world: MakeWorld) -> None:
    world = make_world(requiring(wait_s=30))
    pushed = image()
    world.push("eu", "v1", pushed)
    world.run(world.job())
    age(world, pushed, 31)

    view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert f"{pushed.digest} is not signed, which the rule requires; nobody signed it in 31 s" in (
        view.reason or ""
    )
    assert world.digest("us") is None
    # A resync looks once more, and does not begin to wait anew.
    assert world.run(world.job(), action=None).state is State.PARKED


@pytest.mark.parametrize("is_parked", [False, True])
@pytest.mark.parametrize("kind", ["tag", "referrer", "list"])
def test_a_late_signature_starts_the_job_that_waits_at_once(
    make_world: MakeWorld, kind: str, is_parked: bool
) -> None:
    world = make_world(requiring(wait_s=30), features={"eu": Features(referrers=kind == "referrer")})
    pushed = image()
    made = signing.bundle(SIGNER, pushed)
    for name in ("v1", "v2"):
        world.push("eu", name, pushed)
        world.run(world.job(name))
    age(world, pushed, 40 if is_parked else 20)
    views = [world.hurried(world.job(name)) for name in ("v1", "v2")]
    assert {view.state for view in views} == {State.PARKED if is_parked else State.PENDING}

    if kind == "tag":
        late = sign(world, pushed)
    else:
        attach(world, pushed, made)
        late = world.job(referrers_tag(pushed.digest) if kind == "list" else made.digest)
    view = world.run(late)

    assert (view.outcome, view.reason) == ("skipped", f"it comes with {pushed.digest}, once that is signed")
    for name in ("v1", "v2"):
        waiting = world.shown(world.ledger.view.job_view(world.job(name).id))
        assert due_in_s(world, waiting) <= 0
        assert world.shown(world.work(world.job(name))).outcome == "copied"
    arrived = (
        is_whole(world["us"], API, signature_tag(pushed), signature(pushed))
        if kind == "tag"
        else referrers(world["us"], API, pushed.digest) == {made.digest}
    )
    assert arrived


def test_an_attestation_that_comes_before_the_signature_is_not_lost(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    pushed = image()
    attested = Tag(f"sha256-{pushed.digest.hex}.att")
    world.push("eu", "v1", pushed)
    world.run(world.job())
    world.push("eu", attested, signature(pushed, "attested"))

    assert world.run(world.job(attested)).outcome == "skipped"
    waiting = world.shown(world.work(world.job()))
    assert due_in_s(world, waiting) < 1.5
    world.run(sign(world, pushed))
    world.settle()

    assert is_whole(world["us"], API, attested, signature(pushed, "attested"))
    assert world.digest("us") == pushed.digest


def test_a_signature_that_comes_while_its_subject_is_looked_at_is_not_missed(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    pushed = image()
    tag = signature_tag(pushed)
    world.push("eu", "v1", pushed)
    world.run(world.job())

    def sign_now() -> None:
        world.run(sign(world, pushed))

    once(world["eu"], "GET", "/tags/list", sign_now)
    world.hurried(world.job())

    # Whoever is at work does not see it any more, but comes back soon.
    assert due_in_s(world, world.shown(world.ledger.view.job_view(world.job().id))) < 2.1
    world.settle()
    assert world.digest("us") == pushed.digest
    assert is_whole(world["us"], API, tag, signature(pushed))


def test_an_index_is_signed_itself_and_its_children_need_not_be(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    pushed = multi_arch()
    world.push("eu", "v1", pushed)
    for child in pushed.children:
        sign(world, child)

    assert world.run(world.job()).state is State.PENDING
    world.run(sign(world, pushed))
    world.settle()

    assert is_whole(world["us"], API, "v1", pushed)


def test_a_moved_tag_shows_the_old_content_until_the_new_is_signed(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    old, new = image([b"old"]), image([b"new"])
    world.push("eu", "v1", old)
    sign(world, old)
    world.run(world.job())
    world.push("eu", "v1", new)

    assert world.run(world.job()).state is State.PENDING
    assert world.digest("us") == old.digest
    world.run(sign(world, new))
    world.settle()

    assert world.digest("us") == new.digest


def test_a_second_tag_needs_no_second_signature(make_world: MakeWorld) -> None:
    world = make_world(requiring(SIGNER.key))
    pushed = image()
    world.push("eu", "v1", pushed)
    sign(world, pushed, signing.simple(SIGNER, pushed))
    world.run(world.job())
    world.push("eu", "v2", pushed)

    assert world.run(world.job("v2")).outcome == "copied"
    assert world.writes("us") == ["PUT manifests/v2"]


def test_a_signature_that_only_the_destination_has_left_does_not_count(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    pushed = image()
    world.push("eu", "v1", pushed)
    sign(world, pushed)
    world.run(world.job())
    world.delete("eu", signature_tag(pushed))
    world.push("eu", "v2", pushed)

    assert world.run(world.job("v2")).state is State.PENDING


def test_a_delete_ends_the_wait(make_world: MakeWorld) -> None:
    world = make_world(replace(requiring(), deletion=True))
    world.push("eu", "v1", image())
    world.run(world.job())
    world.delete("eu", "v1")

    assert world.remove(world.job()).state is State.DONE


def test_what_is_there_stays_when_its_rule_requires_signatures_later(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image()
    world.push("eu", "v1", pushed)
    world.run(world.job())
    world.obey(requiring())

    assert world.run(world.job()).outcome == "unchanged"
    assert len(world.asked("eu") + world.asked("us")) == 2
    assert world.run(world.job(), action="repair").outcome == "unchanged"
    assert world.digest("us") == pushed.digest


def test_a_repair_writes_nothing_unsigned(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image()
    world.push("eu", "v1", pushed)
    world.run(world.job())
    world.obey(requiring())
    world.lose_manifest("us", pushed.digest)

    assert world.run(world.job(), action="repair").state is State.PENDING
    world.run(sign(world, pushed))
    world.settle()

    assert is_whole(world["us"], API, "v1", pushed)


def test_two_ways_come_to_rest(make_world: MakeWorld) -> None:
    back = replace(
        requiring(), name="back", source="us", destinations=a_rule("back", "us", "eu").destinations
    )
    world = make_world(requiring(), back)
    world.listen()
    pushed = image()
    world.push("eu", "v1", pushed)
    sign(world, pushed)
    world.settle()
    world.forget_requests()
    world.settle()

    assert world.digest("us") == pushed.digest
    assert world.writes("eu") == world.writes("us") == []


def test_a_rule_without_it_shows_what_another_holds_back(make_world: MakeWorld) -> None:
    world = make_world(requiring(), a_rule("free"))
    pushed = image()
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).state is State.PENDING
    world.run(world.job(rule="free"))

    assert world.digest("us") == pushed.digest
    assert world.hurried(world.job()).outcome == "unchanged"


def test_what_has_no_tag_waits_for_nothing(make_world: MakeWorld) -> None:
    world = make_world(replace(requiring(), filters=(Filter(FilterType.NAME, "**"),)))
    pushed = image()
    world.push("eu", None, pushed)

    view = world.run(world.job(pushed.digest))

    assert (view.outcome, view.reason) == ("skipped", "the rule requires a signature, which it does not have")
    world.run(sign(world, pushed))
    world.settle()
    assert is_whole(world["us"], API, pushed.digest, pushed)


def test_whatever_calls_itself_a_referrer_is_signed_like_everything(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    world.push("eu", "v1", image([b"claims to be attached"], subject=image()))

    assert world.run(world.job()).state is State.PENDING
    assert world.digest("us") is None


def test_a_signed_sbom_comes_with_its_own_signature(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed, sbom = image(), image([b"an sbom under a tag"])
    world.push("eu", "v1", pushed)
    world.push("eu", f"sha256-{pushed.digest.hex}.sbom", sbom)
    sign(world, sbom)

    world.run(world.job())

    assert is_whole(world["us"], API, signature_tag(sbom), signature(sbom))
    assert world.tags_written("us")[-1] == "v1"


# With keys


@pytest.mark.parametrize("form", ["tag", "bundle"])
def test_what_a_key_of_the_rule_signed_is_copied(make_world: MakeWorld, form: str) -> None:
    world = make_world(requiring(STRANGER.key, SIGNER.key))
    pushed = image()
    world.push("eu", "v1", pushed)
    made = signing.simple(SIGNER, pushed) if form == "tag" else signing.bundle(SIGNER, pushed)
    world.push("eu", signature_tag(pushed) if form == "tag" else None, made)

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", pushed)
    assert is_whole(world["us"], API, signature_tag(pushed) if form == "tag" else made.digest, made)


def _for_another(subject: Image) -> Image:
    return signing.simple(SIGNER, image([b"another"]))


def _by_another(subject: Image) -> Image:
    return signing.simple(STRANGER, subject)


def _too_large(subject: Image) -> Image:
    return signing.simple(SIGNER, subject, lambda document: document.update(optional="x" * 200_000))


def _unverifiable(subject: Image) -> Image:
    return image([b"not a signature at all"])


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_for_another, "it is for 'sha256:"),
        (_by_another, "none of the rule's keys made it"),
        (_too_large, "bytes: too many"),
        (_unverifiable, "is of a kind that keys cannot verify"),
    ],
)
def test_what_is_not_signed_well_is_parked_and_says_why(
    make_world: MakeWorld, make: object, why: str
) -> None:
    world = make_world(requiring(SIGNER.key))
    pushed = image()
    world.push("eu", "v1", pushed)
    assert callable(make)
    sign(world, pushed, make(pushed))

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert f"{pushed.digest} has no good signature: " in (view.reason or "")
    assert why in (view.reason or "")
    assert world.writes("us") == []


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_payload_that_is_damaged_or_missing_verifies_nothing(make_world: MakeWorld, is_lost: bool) -> None:
    world = make_world(requiring(SIGNER.key))
    pushed = image()
    made = signing.simple(SIGNER, pushed)
    payload = next(digest for digest, content in made.blobs.items() if b"critical" in content)
    world.push("eu", "v1", pushed)
    sign(world, pushed, made)
    if is_lost:
        world["eu"].fail("GET", f"blobs/{payload}", status=404, times=9)
    else:
        world.damage("eu", payload, b"x" * len(made.blobs[payload]))

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert ("does not have this blob" if is_lost else "the bytes hash to") in (view.reason or "")
    assert world.writes("us") == []


def test_an_outage_while_a_signature_is_read_is_no_verdict(make_world: MakeWorld) -> None:
    world = make_world(requiring(SIGNER.key))
    pushed = image()
    made = signing.bundle(SIGNER, pushed)
    world.push("eu", "v1", pushed)
    world.push("eu", None, made)
    world["eu"].fail("GET", "blobs/", status=503)

    assert world.run(world.job()).state is State.PENDING
    world.end_outage("eu")
    world.settle()

    assert is_whole(world["us"], API, "v1", pushed)


def test_a_bad_signature_does_not_hide_a_good_one(make_world: MakeWorld) -> None:
    world = make_world(requiring(SIGNER.key))
    pushed = image()
    world.push("eu", "v1", pushed)
    sign(world, pushed, signing.simple(STRANGER, pushed))
    world.push("eu", None, artifact(NOTATION, subject=pushed))
    world.push("eu", None, signing.bundled(signing.message(STRANGER, pushed), pushed))

    parked = world.run(world.job())
    assert parked.state is State.PARKED
    assert "(and 2 more)" in (parked.reason or "")

    payload = signing.payload(pushed)
    world.run(sign(world, pushed, signing.simples([(payload, STRANGER), (payload, SIGNER)])))
    world.settle()

    assert is_whole(world["us"], API, "v1", pushed)


def test_a_source_with_signatures_without_end_is_not_read_to_the_end(make_world: MakeWorld) -> None:
    world = make_world(requiring(SIGNER.key))
    pushed = image()
    world.push("eu", "v1", pushed)
    sign(world, pushed, signing.simples([(b"%d" % number, STRANGER) for number in range(100)]))

    assert world.run(world.job()).state is State.PARKED
    assert len([text for text in world.asked("eu") if "GET blobs/" in text]) == 64


def test_the_signature_of_an_index_is_over_the_index(make_world: MakeWorld) -> None:
    world = make_world(requiring(SIGNER.key), features={"eu": Features(referrers=False)})
    pushed = multi_arch()
    made = signing.bundle(SIGNER, pushed)
    world.push("eu", "v1", pushed)
    world.push("eu", None, made)
    push_manifest(world["eu"], API, referrers_tag(pushed.digest), index([made]))

    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", pushed)


def test_a_signature_that_is_listed_twice_is_one(make_world: MakeWorld) -> None:
    world = make_world(requiring(SIGNER.key))
    pushed = image()
    made = signing.bundle(STRANGER, pushed)
    world.push("eu", "v1", pushed)
    world.push("eu", None, made)
    push_manifest(world["eu"], API, referrers_tag(pushed.digest), index([made]))

    reason = world.run(world.job()).reason or ""

    assert reason.endswith("none of the rule's keys made it")
    assert len([text for text in world.asked("eu") if "GET blobs/" in text]) == 1


# What is there already


def test_later_signatures_of_what_is_shown_come_by_themselves(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    pushed = image()
    tag = signature_tag(pushed)
    world.push("eu", "v1", pushed)
    world.run(world.job())
    world.run(sign(world, pushed))
    world.settle()

    again = world.run(sign(world, pushed, signature(pushed, "another key")))

    assert again.outcome == "copied"
    assert is_whole(world["us"], API, tag, signature(pushed, "another key"))
    assert world.ledger.job(world.job().id) is None


def test_signatures_that_a_rule_takes_by_their_own_tag_need_none(make_world: MakeWorld) -> None:
    world = make_world(replace(requiring(), filters=()))
    pushed = image()

    assert world.run(sign(world, pushed)).outcome == "copied"


def test_a_signature_that_moves_while_it_is_looked_at_does_not_count_before_it_is_there(
    make_world: MakeWorld,
) -> None:
    world = make_world(requiring())
    pushed = image()
    tag = signature_tag(pushed)
    world.push("eu", "v1", pushed)
    sign(world, pushed)
    world.run(world.job())
    world.push("eu", "v2", pushed)

    once(world["us"], "HEAD", f"manifests/{tag}", lambda: sign(world, pushed, signature(pushed, "moved")))
    waits = world.run(world.job("v2"))

    assert waits.state is State.PENDING
    world.settle()
    assert is_whole(world["us"], API, tag, signature(pushed, "moved"))


def test_what_a_resync_listed_before_is_not_believed_after_the_first_look(make_world: MakeWorld) -> None:
    world = make_world(requiring())
    pushed = image()
    world.push("eu", "v1", pushed)
    repository = world.job().repository
    token = world.ledger.fleet.companions.begin("eu", repository)
    world.ledger.fleet.companions.note("eu", repository, [], token)
    world.run(world.job(), action=None)

    sign(world, pushed)  # and nobody tells

    assert world.hurried(world.job()).outcome == "copied"

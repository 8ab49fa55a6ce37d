"""Plans, carried out on a model of a registry that refuses what dangles: interrupted anywhere, and planned again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.errors import PermanentError
from replicator.oci import DOCKER_LIST, Descriptor, Digest, Repository, Tag, companion_tags, referrers_tag
from replicator.plan import (
    Artifact,
    ListReferrers,
    Plan,
    PutManifest,
    blobs_of,
    follow_up,
    merged_list,
    steps,
    thinned_list,
)
from replicator.platforms import Platforms, parse_platform
from replicator.verdict import (
    Facts,
    Removal,
    Verdict,
    Written,
    decide,
    decide_removal,
    is_lost,
    origins,
    was_cut_short,
)
from tests.unit.plan_model import (
    CASES,
    HERE,
    NEW,
    OLD,
    OTHERS,
    PARTS,
    V1,
    Case,
    Model,
    RefusedError,
    artifacts,
    blob,
    destinations,
    ground,
    image,
    index,
    pointer,
    widened,
)

ELSEWHERE = Repository("base/os")


# Properties


@given(CASES)
def test_a_plan_ends_in_line_and_the_next_one_is_empty(case: Case) -> None:
    model = Model()

    model.complete(case.plan(model))

    case.check_all_there(model)
    assert case.verdict(model) is Verdict.UNCHANGED


@given(CASES, st.data())
def test_a_plan_may_be_stopped_after_any_step_and_nothing_dangles(case: Case, data: st.DataObject) -> None:
    model = data.draw(destinations(case))
    before = model.tags.get(V1)

    for _ in model.carry_out(case.plan(model)):
        assert model.tags.get(V1) == before
        model.check_nothing_dangles()


@given(CASES, st.integers(0, 40), st.data())
def test_from_any_state_of_the_destination_it_converges_and_then_there_is_nothing_to_do(
    case: Case, after: int, data: st.DataObject
) -> None:
    model = data.draw(destinations(case))
    others = {tag: digest for tag, digest in model.tags.items() if tag.startswith("t")}
    listed = {subject: model.listed(subject, has_api=case.has_api) for subject in model.manifests}

    model.interrupt(case.plan(model), after=after)
    model.complete(case.plan(model))

    case.check_all_there(model)
    assert case.verdict(model) is Verdict.UNCHANGED
    assert others.items() <= model.tags.items()
    for subject, referrers in listed.items():
        assert referrers <= model.listed(subject, has_api=case.has_api)


@given(CASES, st.sets(st.integers(0, 30), max_size=3), st.booleans(), st.data())
def test_a_garbage_collector_between_the_steps_makes_a_plan_fail_at_most(
    case: Case, pauses: set[int], certain: bool, data: st.DataObject
) -> None:
    model = data.draw(destinations(case))
    # A referrer without a tag that was there a moment ago is believed to stay: nothing that is written needs it.
    model.remembered -= {found.digest for found in model.manifests.values() if found.subject}

    try:
        for number, _ in enumerate(model.carry_out(case.plan(model, certain=certain))):
            if number in pauses:
                model.collect(has_api=case.has_api)
            model.check_whole()
    except RefusedError:
        case.bring(model)

    model.check_whole()
    case.check_all_there(model)
    assert case.verdict(model) is Verdict.UNCHANGED


@given(CASES, st.data())
def test_a_repair_brings_back_whatever_was_lost(case: Case, data: st.DataObject) -> None:
    model = data.draw(destinations(case))
    model.complete(case.plan(model))
    there = sorted(model.blobs | set(model.manifests))
    lost = data.draw(st.sets(st.sampled_from(there)))
    plan = case.plan(model, trusts=False)

    model.lose(lost)
    model.interrupt(plan, after=data.draw(st.integers(0, 40)))
    model.lose(data.draw(st.sets(st.sampled_from(there), max_size=2)))
    case.bring(model, trusts=False)

    case.check_all_there(model)
    assert case.verdict(model) is Verdict.UNCHANGED


@given(CASES)
def test_the_tag_is_last_and_written_once(case: Case) -> None:
    writes = case.plan(Model()).writes

    assert writes[-1] == PutManifest(case.artifact.manifest, V1)
    assert [step for step in writes if step.reference == V1] == [writes[-1]]


@given(CASES)
def test_no_step_comes_twice(case: Case) -> None:
    plan = case.plan(Model())

    assert len({step.blob.digest for step in plan.blobs}) == len(plan.blobs)
    assert len(set(plan.writes)) == len(plan.writes)


@given(CASES)
def test_no_foreign_layer_is_ever_brought(case: Case) -> None:
    assert not any(step.blob.is_foreign for step in case.plan(Model()).blobs)


@given(CASES)
def test_a_subject_comes_before_its_signatures_and_referrers(case: Case) -> None:
    writes = case.plan(Model()).writes
    numbered = reversed([*enumerate(writes)])
    first = {step.manifest.digest: at for at, step in numbered if isinstance(step, PutManifest)}

    for part in case.artifact.walk():
        followers = [item for _, item in part.companions] + list(part.referrers)
        if part.manifest.subject is None:
            for follower in followers:
                if follower.manifest.digest != part.manifest.digest:
                    assert first[part.manifest.digest] < first[follower.manifest.digest]


@given(CASES)
def test_another_tag_of_what_is_there_brings_none_of_its_blobs_again(case: Case) -> None:
    model = Model()
    model.complete(case.plan(model))
    followers = [*[item for _, item in case.drawn.companions], *case.drawn.referrers]

    plan = case.plan(model, Tag("v2"))
    model.complete(plan)

    assert {step.blob for step in plan.blobs} <= set(blobs_of(followers))
    assert model.tags[Tag("v2")] == case.artifact.manifest.digest


@given(CASES)
def test_an_index_brings_only_those_of_its_children_that_are_not_there(case: Case) -> None:
    model = Model()
    model.complete(case.plan(model))
    fresh = Artifact(image(blob("fresh"), note="fresh"))
    around = index(pointer(case.drawn.manifest), pointer(fresh.manifest))
    wider = Case(Artifact(around, children=(case.drawn, fresh)), case.has_api)

    plan = wider.plan(model, Tag("v2"))
    model.complete(plan)

    assert [step.blob for step in plan.blobs] == list(fresh.manifest.blobs)
    puts = [step.reference for step in plan.writes if isinstance(step, PutManifest)]
    assert [reference for reference in puts if reference != around.digest] == [fresh.manifest.digest, "v2"]
    wider.check_all_there(model)


@given(CASES)
def test_a_reference_by_digest_is_written_once_and_its_referrers_after_it(case: Case) -> None:
    model = Model()
    digest = case.artifact.manifest.digest

    plan = case.plan(model, digest)
    model.complete(plan)

    case.check_all_there(model)
    assert [step for step in plan.writes if step.reference == digest] == [
        PutManifest(case.artifact.manifest, digest)
    ]


@given(artifacts(depth=1), st.booleans(), st.data())
def test_an_artifact_that_refers_is_listed_before_its_tag_shows_it(
    subject: Artifact, has_api: bool, data: st.DataObject
) -> None:
    model = Model()
    model.complete(Case(subject, has_api).plan(model, Tag("subject")))
    case = Case(data.draw(artifacts(depth=1, subject=subject.manifest)), has_api)

    plan = case.plan(model)
    model.interrupt(plan, after=len(plan.blobs) + len(plan.writes) - 1)

    listed = model.listed(subject.manifest.digest, has_api=has_api)
    assert V1 not in model.tags
    assert has_api or case.artifact.manifest.digest in listed
    model.complete(case.plan(model))
    assert case.artifact.manifest.digest in model.listed(subject.manifest.digest, has_api=has_api)


@given(artifacts(depth=1), st.booleans(), st.integers(0, 20), st.data())
def test_late_referrers_follow_a_subject_that_is_there(
    subject: Artifact, has_api: bool, after: int, data: st.DataObject
) -> None:
    model = Model()
    model.complete(Case(subject, has_api).plan(model))
    late = tuple(data.draw(st.lists(artifacts(depth=1, subject=subject.manifest), min_size=1, max_size=3)))
    digest = subject.manifest.digest
    plan = follow_up(digest, late, ground(has_api=has_api))

    model.interrupt(plan, after=after)
    model.complete(follow_up(digest, late, ground(has_api=has_api)))

    wanted = {referrer.manifest.digest for referrer in (*subject.referrers, *late)}
    assert wanted <= model.listed(digest, has_api=has_api)
    assert model.tags[V1] == digest


# Properties of indexes in part


@given(PARTS, st.integers(0, 40), st.none() | st.just(OLD))
def test_an_index_in_part_may_be_interrupted_after_any_step_and_planned_again(
    case: Case, after: int, before: Digest | None
) -> None:
    model = Model(tags={V1: before} if before else {})
    plan = case.plan(model)

    model.interrupt(plan, after=min(after, len(plan.blobs) + len(plan.writes) - 1))

    assert model.tags.get(V1) == before
    assert case.verdict(model) is Verdict.COPY
    model.complete(case.plan(model))
    case.check_all_there(model)
    assert case.verdict(model) is Verdict.UNCHANGED


@given(PARTS)
def test_nothing_but_what_is_left_out_is_missing_after_any_step(case: Case) -> None:
    model = Model()

    for _ in model.carry_out(case.plan(model)):
        for manifest in model.manifests.values():
            named = {item.digest for item in manifest.children}
            assert named - model.blobs - set(model.manifests) <= OTHERS.keys()


@given(PARTS)
def test_what_was_left_out_comes_when_it_is_wanted_and_not_before(case: Case) -> None:
    model = Model()
    model.complete(case.plan(model))
    assert not OTHERS.keys() & model.manifests.keys()
    wider = Case(widened(case.drawn), case.has_api)

    model.complete(wider.plan(model))

    wider.check_all_there(model)
    assert case.drawn.left_out <= model.manifests.keys()


# Examples


def test_a_plain_image_takes_its_blobs_and_one_write() -> None:
    manifest = image(blob("a"), blob("b"))

    plan = steps(Artifact(manifest), V1, ground())

    assert [step.blob.digest for step in plan.blobs] == [item.digest for item in manifest.blobs]
    assert plan.writes == (PutManifest(manifest, V1),)
    assert plan.manifests == (manifest.digest,)


def test_a_blob_may_be_mounted_from_where_it_is_known_to_be_or_from_right_here() -> None:
    manifest = image(blob("a"))
    known = {Digest.of(b"a"): ELSEWHERE}

    plan = steps(Artifact(manifest), V1, ground(locations=known))

    assert [step.mount_from for step in plan.blobs] == [HERE, ELSEWHERE]


def test_a_foreign_layer_stays_where_it_is() -> None:
    plan = steps(Artifact(image(blob("f", is_foreign=True))), V1, ground())

    assert [step.blob.digest for step in plan.blobs] == [Digest.of(b"config")]


def test_an_artifact_that_is_there_takes_its_tag_alone() -> None:
    manifest = image(blob("a"))

    assert steps(Artifact(manifest, is_there=True), V1, ground()) == Plan((), (PutManifest(manifest, V1),))


def test_a_signed_index_comes_in_the_order_that_a_puller_needs() -> None:
    child = image(blob("a"))
    top = index(pointer(child))
    signature, sbom = image(blob("s")), image(blob("r"), subject=top)
    tag = companion_tags(top.digest)[0]
    artifact = Artifact(
        top,
        children=(Artifact(child),),
        companions=((tag, Artifact(signature)),),
        referrers=(Artifact(sbom),),
    )

    plan = steps(artifact, V1, ground(has_api=False))

    assert plan.writes == (
        PutManifest(child, child.digest),
        PutManifest(top, top.digest),
        PutManifest(signature, tag),
        PutManifest(sbom, sbom.digest),
        ListReferrers(top.digest, (sbom.descriptor,)),
        PutManifest(top, V1),
    )


def test_the_followers_are_what_is_kept_under_references_of_its_own() -> None:
    child, sbom, signed = image(blob("a")), image(blob("r")), image(blob("s"))
    top = index(pointer(child))
    tag = companion_tags(child.digest)[0]
    inner = Artifact(child, companions=((tag, Artifact(signed)),))
    artifact = Artifact(top, children=(inner,), referrers=(Artifact(sbom),))

    assert [*artifact.followers()] == [(tag, signed.digest), (sbom.digest, sbom.digest)]


def test_a_list_of_referrers_has_the_tag_of_its_subject() -> None:
    assert ListReferrers(OLD, ()).reference == referrers_tag(OLD)


NEWEST = Digest.of(b"newest")
EU, US, AP = "eu|team/api|v1", "us|team/api|v1", "ap|team/api|v1"
FROM_US = Written(US, digest=NEW, intent=NEW, origins=(AP, US), at=2.0)
FROM_EU = Written(EU, digest=OLD, intent=OLD, origins=(EU,), at=1.0)
FROM_AP = Written(AP, digest=OLD, intent=OLD, origins=(AP,), at=1.0)
PLAIN = Facts(wanted=NEW, found=OLD, start=EU, end=US, override=True)
ECHO = replace(PLAIN, here=FROM_US, there=FROM_EU, is_answered=True)
FROM_US_BY_AP = Written(AP, digest=NEW, intent=NEW, origins=(US, AP), at=2.0)
FROM_EU_BY_AP = Written(AP, digest=OLD, intent=OLD, origins=(EU, AP), at=1.0)
CROSSED = replace(ECHO, here=FROM_US_BY_AP, there=FROM_EU_BY_AP)
CROSSED_BACK = Facts(
    OLD, NEW, US, EU, override=True, here=FROM_EU_BY_AP, there=FROM_US_BY_AP, is_answered=True
)
CONFLICT = replace(PLAIN, there=FROM_AP, is_strangers=True)
AMD, ARM = parse_platform("linux/amd64"), parse_platform("linux/arm64")
PART = replace(
    PLAIN, found=NEW, platforms=(AMD,), there=replace(FROM_EU, digest=NEW, intent=NEW, platforms=(AMD,))
)
MADE = replace(FROM_EU, digest=NEW, intent=NEW, platforms=(AMD,), made_from=OLD)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (PLAIN, Verdict.COPY),
        (replace(PLAIN, found=None), Verdict.COPY),
        (replace(PLAIN, found=NEW), Verdict.UNCHANGED),
        (replace(PLAIN, override=False), Verdict.KEEP),
        (replace(PLAIN, override=False, found=None), Verdict.COPY),
        (replace(PLAIN, override=False, is_approved=True), Verdict.COPY),
        # What came from the destination, which has moved on
        (ECHO, Verdict.ECHO),
        (replace(ECHO, found=NEW), Verdict.UNCHANGED),
        (replace(ECHO, found=None), Verdict.ECHO),
        (replace(ECHO, found=None, is_resync=True), Verdict.COPY),
        (replace(ECHO, is_resync=True), Verdict.ECHO),
        (replace(ECHO, there=None), Verdict.ECHO),
        (replace(ECHO, here=replace(FROM_US, digest=OLD)), Verdict.ECHO),
        (replace(ECHO, here=replace(FROM_US, intent=OLD)), Verdict.ECHO),
        (replace(ECHO, here=replace(FROM_US, digest=OLD, intent=OLD)), Verdict.COPY),
        (replace(ECHO, here=replace(FROM_US, origins=(AP,))), Verdict.COPY),
        (replace(ECHO, there=replace(FROM_EU, at=3.0)), Verdict.COPY),
        (replace(ECHO, there=replace(FROM_AP, at=3.0)), Verdict.ECHO),
        (replace(ECHO, is_answered=False), Verdict.COPY),
        (replace(ECHO, is_approved=True), Verdict.ECHO),
        (replace(ECHO, override=False), Verdict.ECHO),
        # What came from each other, when pushes crossed: the greater digest goes on
        (CROSSED, Verdict.COPY if NEW > OLD else Verdict.ECHO),
        (CROSSED_BACK, Verdict.COPY if OLD > NEW else Verdict.ECHO),
        (replace(CROSSED, found=NEWEST), Verdict.ECHO),
        (replace(CROSSED, there=replace(FROM_EU_BY_AP, origins=(AP,))), Verdict.ECHO),
        # What a stranger wrote
        (CONFLICT, Verdict.CONFLICT),
        (replace(CONFLICT, override=False), Verdict.CONFLICT),
        (replace(CONFLICT, found=NEW), Verdict.UNCHANGED),
        (replace(CONFLICT, found=None), Verdict.COPY),
        (replace(CONFLICT, is_approved=True), Verdict.COPY),
        (replace(CONFLICT, is_strangers=False), Verdict.COPY),
        (replace(CONFLICT, there=FROM_EU), Verdict.COPY),
        (replace(CONFLICT, there=None), Verdict.COPY),
        # The index that is wanted, of which we brought some platforms
        (PART, Verdict.UNCHANGED),
        (replace(PART, platforms=(AMD, ARM)), Verdict.COPY),
        (replace(PART, platforms=(ARM,), override=False), Verdict.COPY),
        (replace(PART, platforms=()), Verdict.COPY),
        (replace(PART, platforms=(ARM,), there=FROM_EU), Verdict.UNCHANGED),
        (replace(PART, platforms=(ARM,), there=replace(FROM_EU, digest=NEW)), Verdict.UNCHANGED),
        (replace(PART, platforms=(ARM,), there=None), Verdict.UNCHANGED),
        (replace(PART, platforms=(AMD, ARM), there=MADE), Verdict.UNCHANGED),
    ],
)
def test_the_verdict_on_a_reference(facts: Facts, expected: Verdict) -> None:
    assert decide(facts) is expected


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (None, (EU,)),
        (FROM_AP, (EU,)),
        (replace(FROM_AP, digest=NEW), (AP, EU)),
        (replace(FROM_AP, intent=NEW), (AP, EU)),
        (FROM_US, (EU,)),
    ],
    ids=["pushed", "pushed-since", "verified", "under-way", "from-the-destination"],
)
def test_a_copy_comes_through_the_places_of_what_we_put_at_the_source(
    here: Written | None, expected: tuple[str, ...]
) -> None:
    assert origins(replace(PLAIN, here=here)) == expected


@pytest.mark.parametrize(
    ("found", "there", "expected"),
    [
        (NEW, replace(FROM_EU, intent=NEW), True),
        (NEW, replace(FROM_EU, intent=NEW, digest=None), True),
        (NEW, replace(FROM_EU, intent=NEW, digest=NEW), False),
        (OLD, replace(FROM_EU, intent=NEW), False),
        (NEW, FROM_EU, False),
        (NEW, None, False),
    ],
)
def test_a_write_was_cut_short_if_it_is_there_and_unconfirmed(
    found: Digest, there: Written | None, expected: bool
) -> None:
    assert was_cut_short(replace(PLAIN, found=found, there=there)) is expected


@pytest.mark.parametrize(
    ("found", "there", "expected"),
    [
        (None, replace(FROM_EU, digest=NEW), True),
        (None, replace(FROM_EU, digest=OLD), False),
        (None, replace(FROM_EU, digest=OLD, made_from=NEW), True),
        (None, None, False),
        (OLD, replace(FROM_EU, digest=NEW), False),
    ],
)
def test_a_copy_is_lost_if_what_we_put_there_is_gone(
    found: Digest | None, there: Written | None, expected: bool
) -> None:
    assert is_lost(replace(PLAIN, found=found, there=there)) is expected


@pytest.mark.parametrize(
    ("record", "source", "platforms", "expected"),
    [
        (MADE, OLD, (AMD,), NEW),
        (MADE, NEW, (AMD,), None),
        (MADE, None, (AMD,), None),
        (MADE, OLD, (AMD, ARM), None),
        (replace(MADE, intent=OLD), OLD, (AMD,), None),
        (replace(MADE, platforms=(ARM, AMD)), OLD, (AMD, ARM), NEW),
        (FROM_EU, OLD, (), None),
    ],
    ids=["it", "of-another", "of-nothing", "of-other-platforms", "under-way", "in-any-order", "not-rebuilt"],
)
def test_what_an_index_was_rebuilt_of_is_remembered(
    record: Written, source: Digest | None, platforms: Platforms, expected: Digest | None
) -> None:
    assert record.rebuilt_of(source, platforms) == expected


def test_an_index_in_part_counts_as_brought_only_when_nothing_is_left_out() -> None:
    child = image(note="child")
    top = index(pointer(child), pointer(next(iter(OTHERS.values()))))
    artifact = Artifact(top, children=(Artifact(child),), left_out=frozenset(OTHERS))

    assert steps(artifact, V1, ground()).manifests == (child.digest,)


def test_a_plan_names_the_manifests_that_it_writes() -> None:
    child, top = image(note="child"), image(note="top")
    writes = (PutManifest(child, child.digest), ListReferrers(child.digest, ()), PutManifest(top, V1))

    assert Plan((), writes).manifests == (child.digest, top.digest)


def test_a_blob_that_is_certain_is_there() -> None:
    item = Descriptor("application/octet-stream", Digest.of(b"a"), 1)
    certain = replace(ground(), certain=frozenset({item.digest}))

    (asked,), (known,) = ground().copies([item]), certain.copies([item])

    assert (asked.is_there, known.is_there) == (False, True)


@pytest.mark.parametrize(
    ("found", "put_there", "deletion", "expected"),
    [
        (None, (), True, Removal.NOTHING),
        (None, (OLD, OLD), False, Removal.NOTHING),
        (OLD, (OLD, OLD), False, Removal.KEEP),
        (OLD, (OLD, NEW), True, Removal.WAIT),
        (NEW, (OLD, NEW), True, Removal.WAIT),
        (NEW, (OLD, None), True, Removal.NOT_OURS),
        (NEW, (), True, Removal.NOT_OURS),
    ],
)
def test_the_verdict_on_a_reference_that_is_gone(
    found: Digest | None, put_there: tuple[Digest | None, ...], deletion: bool, expected: Removal
) -> None:
    assert decide_removal(found=found, put_there=put_there, deletion=deletion) is expected


def test_what_others_listed_stays() -> None:
    theirs, ours = image(note="theirs").descriptor, image(note="ours").descriptor
    first = merged_list(None, [theirs])
    assert first

    both = merged_list(first, [ours, ours])

    assert both
    assert list(both.children) == [theirs, ours]
    assert merged_list(both, [theirs, ours]) is None
    assert merged_list(None, []) is None


def test_a_referrers_tag_that_is_no_list_is_not_overwritten() -> None:
    with pytest.raises(PermanentError, match="not an index"):
        merged_list(image(), [image(note="ours").descriptor])
    assert thinned_list(image(), OLD) is None


def test_a_docker_list_is_no_list_of_referrers() -> None:
    with pytest.raises(PermanentError, match="not an index of referrers"):
        merged_list(replace(index(), media_type=DOCKER_LIST), [image(note="ours").descriptor])


def test_a_referrer_that_is_gone_is_struck_from_the_list() -> None:
    theirs, ours = image(note="theirs").descriptor, image(note="ours").descriptor
    both = merged_list(None, [theirs, ours])

    thinned = thinned_list(both, ours.digest)

    assert thinned
    assert list(thinned.children) == [theirs]
    assert thinned_list(thinned, ours.digest) is None
    assert thinned_list(None, ours.digest) is None

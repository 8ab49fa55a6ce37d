"""Plans, resyncs and verifications of rules that keep some platforms of an index."""

from collections.abc import Mapping

import pytest

from replicator.demo.features import Features
from replicator.drift import LACKS_PLATFORMS, Kind
from replicator.platforms import LEFT_OUT
from replicator.resync import Change, Checked, Request, Verification, jobs_of_plan
from replicator.rules import Rule
from tests.fakes.images import entry, image, index_of, is_whole, layer_bytes
from tests.integration.resync.kit import kinds, resynced, swept, tools_of
from tests.integration.resync.test_verify import defects, verified
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.test_platforms import (
    AMD,
    ONE,
    REBUILDS,
    SPARSE,
    TOP,
    TWO,
    A,
    B,
    C,
    part,
    platform_image,
)
from tests.integration.transfer.world import API, a_rule

HERE = f"us/{API}:v1"
STRICT: dict[str, Features] = {}
FORMS = pytest.mark.parametrize(
    ("rule", "features"), [(ONE, SPARSE), (REBUILDS, STRICT)], ids=["sparse", "rebuilt"]
)


@FORMS
def test_a_resync_ends_in_line(make_world: MakeWorld, rule: Rule, features: Mapping[str, Features]) -> None:
    world = make_world(rule, features=features)
    world.push("eu", "v1", TOP)

    assert resynced(world) == [HERE]

    assert kinds(world) == {HERE: Kind.IN_SYNC}
    assert defects(world, deep=True) == []


@FORMS
def test_what_is_in_line_is_known_for_such_without_a_ledger(
    make_world: MakeWorld, rule: Rule, features: Mapping[str, Features]
) -> None:
    world = make_world(rule, features=features)
    world.push("eu", "v1", TOP)
    resynced(world)
    world.redis.flushall()

    assert kinds(world) == {HERE: Kind.IN_SYNC}
    assert defects(world) == []


def test_with_a_ledger_a_rebuilt_index_is_not_read_to_be_compared(make_world: MakeWorld) -> None:
    world = make_world(REBUILDS)
    world.push("eu", "v1", TOP)
    resynced(world)
    world.forget_requests()

    kinds(world)

    assert not [text for text in world.asked("eu") if text.startswith("GET manifests/")]
    assert [entry.status for entry in world["us"].log if entry.method == "HEAD"] == [304]


@FORMS
def test_a_child_that_is_wanted_and_missing_is_a_defect(
    make_world: MakeWorld, rule: Rule, features: Mapping[str, Features]
) -> None:
    world = make_world(rule, features=features)
    world.push("eu", "v1", TOP)
    resynced(world)
    world.lose_manifest("us", A.digest)

    assert defects(world) == [f"{HERE}: the child {A.digest} is absent"]


def test_a_platform_that_was_added_is_drift_and_comes_with_a_resync(make_world: MakeWorld) -> None:
    world = make_world(ONE, features=SPARSE)
    world.push("eu", "v1", TOP)
    resynced(world)
    world.obey(TWO)

    (found,) = swept(world, weighs=True)[1]
    assert (found.kind, found.detail) == (Kind.UPDATE, LACKS_PLATFORMS)
    # The shared layer is there already.
    assert 0 < found.size_bytes < sum(map(len, B.blobs.values()))
    assert defects(world) == [f"{HERE} {LACKS_PLATFORMS}"]
    assert len(jobs_of_plan([Change.of(found)], tools_of(world))) == 1

    assert resynced(world) == [HERE]
    assert kinds(world) == {HERE: Kind.IN_SYNC}
    assert is_whole(world["us"], API, B.digest, B)


def test_a_plan_of_a_rebuilt_index_is_carried_out_as_it_was_read(make_world: MakeWorld) -> None:
    world = make_world(REBUILDS)
    world.push("eu", "v1", TOP)
    resynced(world)
    moved = index_of(*[entry(platform_image(name, "new"), name) for name in ("linux/amd64", "linux/s390x")])
    world.push("eu", "v1", moved)

    (found,) = swept(world)[1]

    assert (found.kind, found.wanted, found.found) == (Kind.UPDATE, moved.digest, part(TOP, AMD).digest)
    assert len(jobs_of_plan([Change.of(found)], tools_of(world))) == 1


@pytest.mark.parametrize("rule", [ONE, a_rule()], ids=["one", "all"])
def test_only_what_would_move_is_weighed(make_world: MakeWorld, rule: Rule) -> None:
    world = make_world(rule)
    world.push("eu", "v1", TOP)
    wanted = [TOP.children[at] for at in ((0, 3) if rule is ONE else range(5))]

    (found,) = swept(world, weighs=True)[1]

    blobs = {digest: content for child in wanted for digest, content in child.blobs.items()}
    assert found.size_bytes == sum(map(len, blobs.values()))


@pytest.mark.parametrize("weighs", [False, True])
def test_what_is_for_other_platforms_is_no_drift(make_world: MakeWorld, weighs: bool) -> None:
    world = make_world(ONE)
    world.push("eu", "v1", C)
    world.push("eu", "v2", index_of(entry(C, "linux/s390x")))

    found = swept(world, weighs=weighs)[1]

    assert [(item.kind, item.detail, item.is_drift) for item in found] == 2 * [
        (Kind.SKIPPED, LEFT_OUT, False)
    ]


def test_what_was_made_before_a_time_goes_by_an_image_that_is_kept(make_world: MakeWorld) -> None:
    world = make_world(ONE)
    new, old = (
        image(
            [layer_bytes(str(year))],
            annotations={"org.opencontainers.image.created": f"{year}-01-01T00:00:00Z"},
        )
        for year in (2031, 2001)
    )
    world.push("eu", "v1", index_of(entry(new, "linux/s390x"), entry(old, "linux/amd64")))

    assert kinds(world, Request(since=1e9)) == {HERE: Kind.SKIPPED}


def test_an_image_with_another_platform_that_is_there_all_the_same_is_in_sync(make_world: MakeWorld) -> None:
    world = make_world(ONE, features=SPARSE)
    for name in ("eu", "us"):
        world.push(name, "v1", C)

    assert kinds(world) == {HERE: Kind.IN_SYNC}
    assert defects(world) == []


def test_a_blocked_reference_is_drift_until_the_rule_says_more(make_world: MakeWorld) -> None:
    world = make_world(ONE)
    world.push("eu", "v1", TOP)
    resynced(world)

    assert kinds(world) == {HERE: Kind.BLOCKED}

    world.obey(REBUILDS)
    world.tell(world.job(), action=None)
    world.settle()
    assert kinds(world) == {HERE: Kind.IN_SYNC}


def test_what_a_verification_mends_is_looked_for_as_it_was_rebuilt(make_world: MakeWorld) -> None:
    world = make_world(REBUILDS)
    world.push("eu", "v1", TOP)
    before = verified(world)
    resynced(world)

    (again,) = Verification(tools_of(world), Request()).again(before)

    assert isinstance(again, Checked)
    assert (again.defects, again.proof is not None) == ((), True)

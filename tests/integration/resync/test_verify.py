"""Verification of fake registries: everything that a destination should hold, and what is wrong with it."""

from collections.abc import Iterable

import pytest

from replicator.ledger import REPAIR, Submission
from replicator.resync import Checked, Request, Trouble, Verification
from replicator.rules import Filter, FilterType
from tests.fakes import images
from tests.integration.resync.kit import only, resynced, tools_of
from tests.integration.resync.test_sweeps_of_repositories import breaks
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import World, a_rule


def verified(world: World, request: Request | None = None, **how: object) -> list[Checked]:
    stream = Verification(tools_of(world), request or Request(), **how).run()  # type: ignore[arg-type]
    return sorted(_checked(stream), key=lambda item: item.difference.destination_name)


def _checked(stream: Iterable[Checked | Trouble]) -> list[Checked]:
    found = list(stream)
    assert not [item for item in found if isinstance(item, Trouble)], found
    return [item for item in found if isinstance(item, Checked)]


def defects(world: World, **how: object) -> list[str]:
    return [sentence for checked in verified(world, **how) for sentence in checked.defects]  # type: ignore[arg-type]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A signed index and an image, copied."""
    made = make_world(a_rule())
    index = images.multi_arch("verified")
    made.push("eu", "v1", index)
    made.push("eu", images.signature_tag(index), images.signature(index))
    made.push("eu", "v2", images.image([b"two"]))
    resynced(made)
    return made


def test_a_good_copy_has_no_defects(world: World) -> None:
    found = verified(world, deep=True)

    assert [item.defects for item in found] == [()] * len(found)
    proofs = [item.proof for item in found if item.proof]
    assert sum(proof.manifests for proof in proofs) >= 4
    assert sum(proof.signatures for proof in proofs) >= 1


def test_what_is_absent_or_moved_is_wrong(world: World) -> None:
    world.delete("us", "v2")
    assert defects(world) == ["us/team/api:v2 is absent"]

    world.push("us", "v2", images.image([b"somebody else's"]))
    assert defects(world) == ["us/team/api:v2 holds another digest than the source"]


def test_a_blob_that_is_gone_below_a_right_tag_is_found_and_mended(world: World) -> None:
    blob = next(iter(images.image([b"two"]).all_blobs))
    world["us"].storage.shelf(world.job().repository).blobs.discard(blob)

    damaged = [item for item in verified(world) if item.defects]
    assert [item.difference.reference for item in damaged] == ["v2"]
    assert blob in damaged[0].defects[0]
    world.ledger.submit([Submission(damaged[0].difference.job, world.ledger.view.now(), REPAIR)])
    world.settle()

    assert defects(world) == []


def test_a_child_that_is_gone_below_a_right_index_is_found(world: World) -> None:
    child = images.multi_arch("verified").children[0]
    world["us"].storage.shelf(world.job().repository).manifests.pop(child.digest)

    assert any(child.digest in sentence for sentence in defects(world))


def test_a_signature_that_is_gone_is_found(world: World) -> None:
    index = images.multi_arch("verified")
    world.delete("us", images.signature_tag(index))

    assert any(images.signature_tag(index) in sentence for sentence in defects(world))


def test_a_sample_looks_below_some_tags_only(world: World) -> None:
    world.forget_requests()

    found = verified(world, sample=0.0)

    assert [item.proof for item in found] == [None] * len(found)
    assert not [text for text in world.asked("us") if "blobs" in text]


def test_what_a_filter_on_manifests_leaves_out_is_not_missed(make_world: MakeWorld) -> None:
    world = make_world(a_rule(filters=(Filter(FilterType.RESOURCE, "chart"),)))
    world.push("eu", "v1", images.image())

    assert defects(world) == []


def test_what_cannot_be_read_is_neither_right_nor_wrong(world: World) -> None:
    breaks(world["us"], "blobs", status=403)

    found = list(Verification(tools_of(world), Request()).run())

    assert [item for item in found if isinstance(item, Trouble)]
    assert not [item for item in found if isinstance(item, Checked) and item.defects]


def test_what_was_mended_is_checked_again_as_it_is_now(world: World) -> None:
    world.delete("us", "v2")
    verification = Verification(tools_of(world), only(tag="v2"))
    damaged = [item for item in _checked(verification.run()) if item.defects]
    resynced(world)

    assert [item.defects for item in _checked(verification.again(damaged))] == [()]

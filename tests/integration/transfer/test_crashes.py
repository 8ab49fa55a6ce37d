"""A worker that dies at any of its requests: the tag never shows what is not whole, and the next one ends in line."""

from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from replicator.demo.features import Features
from replicator.demo.messages import Request
from replicator.oci import Repository, Tag, referrers_tag
from tests.fakes.images import (
    image,
    index,
    is_whole,
    layer_bytes,
    multi_arch,
    push_manifest,
    referrer,
    signature,
    signature_tag,
)
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, Killed, World, a_rule, once

OLD = image([b"old"])
TOP = multi_arch()
SIGNATURE, SBOM = signature(TOP), referrer(TOP)
CHILD_SIGNATURE = signature(TOP.children[0])
MOST_REQUESTS = 200


class Mortality:
    """Kills the worker at its `number`-th request, before or after that took effect, and all of its threads with it."""

    def __init__(self, world: World, number: int, *, after: bool) -> None:
        self._left = number
        self.is_dead = False
        for registry in world.registries.values():
            (registry.after if after else registry.before).append(self._die)
            registry.before.append(self._stay_dead)

    def lift(self, world: World) -> None:
        """From now on workers live; what the dead one held is free."""
        for registry in world.registries.values():
            for hooks in (registry.before, registry.after):
                hooks[:] = [hook for hook in hooks if hook not in (self._die, self._stay_dead)]
        world.expire(world.job())

    def _die(self, _: Request) -> None:
        self._left -= 1
        if self._left == 0:
            self.is_dead = True
            raise Killed

    def _stay_dead(self, _: Request) -> None:
        if self.is_dead:
            raise Killed


def signed(world: World) -> None:
    """The source holds a signed multi-arch image with an SBOM; the destination has old content under that tag."""
    world.push("us", "v1", OLD)
    world.push("eu", "v1", TOP)
    world.push("eu", signature_tag(TOP), SIGNATURE)
    world.push("eu", signature_tag(TOP.children[0]), CHILD_SIGNATURE)
    world.push("eu", None, SBOM)
    if not world["eu"].features.referrers:
        push_manifest(world["eu"], API, referrers_tag(TOP.digest), index([SBOM]))


def check_never_partial(world: World, _: Request) -> None:
    """The tag is as it was before, or it is new and all that belongs to it is there."""
    digest = world.digest("us")
    assert digest in {OLD.digest, TOP.digest}
    if digest == TOP.digest:
        assert is_signed(world)


def is_signed(world: World) -> bool:
    tags = {signature_tag(TOP): SIGNATURE, signature_tag(TOP.children[0]): CHILD_SIGNATURE}
    return (
        all(world.digest("us", tag) == held.digest for tag, held in tags.items())
        and world.digest("us", SBOM.digest) == SBOM.digest
        and (world["us"].features.referrers or world.digest("us", referrers_tag(TOP.digest)) is not None)
    )


@pytest.mark.parametrize(
    ("features", "after"),
    [(Features(), False), (Features(), True), (Features(referrers=False), True)],
    ids=["before", "after", "after-with-referrers-tags"],
)
def test_a_worker_may_die_at_any_request_of_a_copy(
    make_world: MakeWorld, features: Features, after: bool
) -> None:
    for number in range(1, MOST_REQUESTS):
        world = make_world(a_rule(), features={"eu": features, "us": features})
        world.redis.flushall()
        signed(world)
        world["us"].after.append(partial(check_never_partial, world))

        mortality = Mortality(world, number, after=after)

        world.tell(world.job(), action=None)
        with suppress(Killed):
            world.work(world.job())
        mortality.lift(world)
        world.settle()

        assert is_whole(world["us"], API, "v1", TOP)
        assert is_signed(world)
        if not mortality.is_dead:
            return
    pytest.fail("a copy takes too many requests")


def die() -> None:
    raise Killed


def test_what_was_written_before_the_worker_died_counts_as_ours(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", TOP)
    world.push("eu", signature_tag(TOP), SIGNATURE)
    once(world["us"], "PUT", "/manifests/v1", die)
    with pytest.raises(Killed):
        world.run(world.job())
    world.expire(world.job())

    world.settle()

    copies = world.ledger.fleet.copies("us", Repository(API))
    assert copies[Tag("v1")].digest == TOP.digest
    assert copies[Tag(signature_tag(TOP))].intent == SIGNATURE.digest


def test_what_a_person_pushed_does_not_count_as_ours(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", OLD)
    world.run(world.job())
    for name in ("eu", "us"):
        world.push(name, "v1", TOP)

    assert world.run(world.job()).outcome == "unchanged"

    assert world.ledger.fleet.copies("us", Repository(API))[Tag("v1")].digest == OLD.digest


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("features", [Features(), Features(tag_delete=False)], ids=["by-tag", "by-digest"])
def test_a_worker_may_die_at_any_request_of_a_delete(
    make_world: MakeWorld, features: Features, after: bool
) -> None:
    rule = replace(a_rule(), deletion=True, delete_grace_s=0.01)
    for number in range(1, MOST_REQUESTS):
        world = make_world(rule, features={"us": features})
        world.redis.flushall()
        for tag, pushed in (("v1", OLD), ("v2", image([layer_bytes("other")]))):
            world.push("eu", tag, pushed)
            world.run(world.job(tag))
        world.delete("eu", "v1")
        mortality = Mortality(world, number, after=after)

        world.tell(world.job(), "delete")
        with suppress(Killed):
            world.settle()
        mortality.lift(world)
        world.settle()

        assert world.digest("us", "v1") is None
        assert is_whole(world["us"], API, "v2", image([layer_bytes("other")]))
        if not mortality.is_dead:
            return
    pytest.fail("a delete takes too many requests")

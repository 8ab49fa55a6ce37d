"""Comparing fake registries on a real ledger: what is found, what it costs, and what a resync makes of it."""

import re
from dataclasses import replace

import pytest

from replicator.demo.features import Features
from replicator.demo.messages import Request as Asked
from replicator.demo.messages import Response
from replicator.drift import Kind
from replicator.errors import ConfigError
from replicator.ledger import Claim
from replicator.oci import Repository
from replicator.resync import Request, Scope
from replicator.rules import Filter, FilterType
from tests.fakes import images
from tests.integration.resync.kit import kinds, only, resynced, swept
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, Watched, a_rule

DELETES = replace(a_rule(), deletion=True)


def costs(registry: Watched) -> dict[str, int]:
    """How many requests of each kind a registry got."""
    found: dict[str, int] = {}
    for entry in registry.log:
        what = f"{entry.method} {re.search('_catalog|tags/list|manifests|blobs|referrers', entry.path)[0]}"  # type: ignore[index]
        found[what] = found.get(what, 0) + 1
    return found


def breaks(registry: Watched, path_regex: str, status: int = 500) -> None:
    """From now on such requests fail."""
    whole = registry.handle

    def handle(request: Asked) -> Response:
        return Response(status) if re.search(path_regex, request.path) else whole(request)

    registry.handle = handle  # type: ignore[method-assign]


def test_everything_is_missing_at_an_empty_destination(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image([b"one"]))
    world.push("eu", "v2", images.image([b"two"]), repository="team/web")
    world.push("eu", "dev", images.image([b"left out"]))

    assert kinds(world) == {"us/team/api:v1": Kind.ADD, "us/team/web:v2": Kind.ADD}


def test_a_resync_leaves_nothing_to_do(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    moved = images.image([b"new"])
    world.push("eu", "v1", moved)
    world.push("us", "v1", images.image([b"old"]))
    world.push("eu", "v2", images.image([b"two"]))

    assert resynced(world) == ["us/team/api:v1", "us/team/api:v2"]

    assert kinds(world) == {"us/team/api:v1": Kind.IN_SYNC, "us/team/api:v2": Kind.IN_SYNC}
    assert world.digest("us", "v1") == moved.digest


def test_comparing_costs_a_listing_a_side_and_a_look_at_what_both_have(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    for number in range(5):
        world.push("eu", f"v{number}", images.image([f"{number}".encode()]))
    resynced(world)
    world.push("eu", "v9", images.image([b"new"]))
    world.forget_requests()

    swept(world)

    # What the destination does not have is to be added whatever it is.
    assert costs(world["eu"]) == {"GET _catalog": 1, "GET tags/list": 1, "HEAD manifests": 5}
    assert costs(world["us"]) == {"GET tags/list": 1, "HEAD manifests": 5}


def test_a_source_is_read_once_for_all_of_its_destinations(make_world: MakeWorld) -> None:
    world = make_world(a_rule("prod", "eu", "us", "ap"), a_rule("also", "eu", "jp"))
    world.push("eu", "v1", images.image())
    world.forget_requests()

    swept(world)

    assert costs(world["eu"]) == {"GET _catalog": 1, "GET tags/list": 1}
    world.forget_requests()
    swept(world, weighs=True)
    assert costs(world["eu"]) == {
        "GET tags/list": 1,
        "GET _catalog": 1,
        "HEAD manifests": 1,
        "GET manifests": 3,
    }


def test_what_the_ledger_knows_may_be_believed(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image())
    resynced(world)
    world.forget_requests()

    assert kinds(world, Request(recheck=0.0)) == {"us/team/api:v1": Kind.IN_SYNC}

    assert costs(world["us"]) == {"GET tags/list": 1}


def test_a_repository_that_is_named_needs_no_catalogue(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image())
    world.push("eu", "v1", images.image(), repository="team/web")

    assert kinds(world, only(repository="team/api")) == {"us/team/api:v1": Kind.ADD}
    assert "GET _catalog" not in costs(world["eu"])


def test_tags_can_be_narrowed_down(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1.0", images.image())
    world.push("eu", "v2.0", images.image())

    assert kinds(world, only(tag="v1.*")) == {"us/team/api:v1.0": Kind.ADD}


def test_a_listing_that_fails_is_an_error_and_never_nothing(make_world: MakeWorld) -> None:
    world = make_world(a_rule("prod", "eu", "us", "ap"))
    world.push("eu", "v1", images.image())
    breaks(world["us"], "tags/list", status=403)

    sweep, found = swept(world)

    assert [item.destination_name for item in found] == ["ap/team/api:v1"]
    (trouble,) = sweep.troubles
    assert "us" in trouble
    assert not sweep.tally.is_whole(("prod", "us"))
    assert sweep.tally.is_whole(("prod", "ap"))


def test_a_catalogue_that_is_refused_is_an_error(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    breaks(world["eu"], "_catalog", status=401)

    sweep, found = swept(world)

    assert found == []
    assert "--repository" in sweep.troubles[0]


def test_what_only_the_destination_has_stays_unless_it_is_pruned(make_world: MakeWorld) -> None:
    world = make_world(DELETES)
    world.push("eu", "v1", images.image([b"one"]))
    world.push("us", "v7", images.image([b"not ours"]))
    resynced(world)
    world.delete("eu", "v1")

    assert kinds(world) == {"us/team/api:v1": Kind.EXTRA, "us/team/api:v7": Kind.EXTRA}
    assert kinds(world, Request(prune=True)) == {"us/team/api:v1": Kind.DELETE, "us/team/api:v7": Kind.EXTRA}

    resynced(world, Request(prune=True))

    assert world.digest("us", "v1") is None
    assert world.digest("us", "v7")


def test_a_repository_that_is_gone_at_the_source_is_pruned_by_what_the_ledger_knows(
    make_world: MakeWorld,
) -> None:
    world = make_world(DELETES)
    world.push("eu", "v1", images.image(), repository="team/gone")
    resynced(world)
    world["eu"].storage.shelves.pop(Repository("team/gone"))

    assert kinds(world, Request(prune=True)) == {"us/team/gone:v1": Kind.DELETE}


def test_a_signature_that_is_missing_shows_by_itself(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    image = images.image()
    world.push("eu", "v1", image)
    resynced(world)
    signature = images.signature(image)
    world.push("eu", images.signature_tag(image), signature)

    assert kinds(world)[f"us/team/api:{images.signature_tag(image)}"] is Kind.ADD

    resynced(world)

    assert world.digest("us", images.signature_tag(image)) == signature.digest
    assert set(kinds(world).values()) == {Kind.IN_SYNC}


def test_an_older_copy_of_our_own_is_no_drift(make_world: MakeWorld) -> None:
    world = make_world(a_rule("there", "eu", "us"), a_rule("back", "us", "eu"))
    world.push("eu", "v1", images.image([b"old"]))
    resynced(world, only(rule="there"))
    world.push("eu", "v1", images.image([b"new"]))

    assert kinds(world, only(rule="back")) == {"eu/team/api:v1": Kind.OWN}
    assert kinds(world, only(rule="there")) == {"us/team/api:v1": Kind.UPDATE}


def test_what_a_filter_on_manifests_leaves_out_is_no_drift(make_world: MakeWorld) -> None:
    charts = replace(a_rule(), filters=(Filter(FilterType.RESOURCE, "chart"),))
    world = make_world(charts)
    world.push("eu", "v1", images.image())
    world.push("eu", "v2", images.chart())

    assert kinds(world) == {"us/team/api:v1": Kind.SKIPPED, "us/team/api:v2": Kind.ADD}


def test_shared_blobs_are_weighed_once(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    one, two = images.image([b"shared" * 100, b"one"]), images.image([b"shared" * 100, b"two"])
    world.push("eu", "v1", one)
    world.push("eu", "v2", two)

    sweep, _ = swept(world, weighs=True)

    blobs = {**one.all_blobs, **two.all_blobs}
    assert [lane.bytes for lane in sweep.sums()] == [sum(len(content) for content in blobs.values())]


def test_what_the_destination_has_already_weighs_nothing(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image([b"shared" * 100]))
    resynced(world)
    world.push("eu", "v2", images.image([b"shared" * 100, b"new"]))

    sweep, _ = swept(world, weighs=True)

    assert sweep.sums()[0].bytes < 600


def test_what_the_ledger_only_believes_to_be_there_weighs(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image([b"shared" * 100]))
    resynced(world)
    world["us"].storage.shelves.clear()

    sweep, _ = swept(world, weighs=True)

    assert sweep.sums()[0].bytes > 600


def test_the_ledger_knows_what_a_whole_comparison_found(make_world: MakeWorld) -> None:
    world = make_world(a_rule("prod", "eu", "us", "ap"))
    world.push("eu", "v1", images.image())
    breaks(world["ap"], "tags/list")

    swept(world)
    swept(world, only(tag="v9"))

    found = world.ledger.sweeps.swept([("prod", "us"), ("prod", "ap")])
    assert {lane: swept.drift for lane, swept in found.items()} == {("prod", "us"): 1}


def test_a_repository_that_fits_nowhere_is_told(make_world: MakeWorld) -> None:
    rule = a_rule(filters=())
    deep = replace(rule, destinations=(replace(rule.destinations[0], namespace="mirror", replace_count=1),))
    world = make_world(deep)
    world.push("eu", "v1", images.image(), repository="short")

    sweep, _ = swept(world)

    assert "eu/short has no place at us" in sweep.troubles[0]


def test_a_resync_leaves_what_waits_for_a_person_though_it_never_read_it(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image())
    world.tell(world.job())
    claim = world.ledger.claim(world.job().id)
    assert isinstance(claim, Claim)
    world.ledger.block(claim, "a person should look")

    _, found = swept(world)

    assert [(item.kind, item.detail) for item in found] == [(Kind.BLOCKED, "a person should look")]
    assert resynced(world) == []


def test_a_scope_without_a_rule_is_a_mistake(make_world: MakeWorld) -> None:
    with pytest.raises(ConfigError, match="there is no rule"):
        swept(make_world(a_rule()), only(rule="nobody"))


def test_old_images_can_be_left_out(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image(config=b'{"created": "2020-01-01T00:00:00Z"}'))
    world.push("eu", "v2", images.image(config=b'{"created": "2026-01-01T00:00:00Z"}'))
    world.push("eu", "v3", images.image(config=b'{"created": "0001-01-01T00:00:00Z"}'))

    found = kinds(world, Request(Scope(), since=1.7e9))

    assert found == {"us/team/api:v1": Kind.SKIPPED, "us/team/api:v2": Kind.ADD, "us/team/api:v3": Kind.ADD}


def test_a_registry_without_conditional_requests_is_compared_all_the_same(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), features={"us": Features()})
    world.push("eu", "v1", images.image())
    resynced(world)
    world.redis.delete(f"replicator:copied:us|{API}")

    assert kinds(world) == {"us/team/api:v1": Kind.IN_SYNC}


def test_what_the_twin_holds_is_not_weighed_though_it_was_seen_elsewhere_since(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", images.image([b"shared by all"]))
    resynced(world)
    world.push("eu", "v1", images.image([b"shared by all"]), repository="team/other")
    resynced(world)
    pushed = images.image([b"shared by all", b"new"])
    world.push("eu", "v2", pushed)

    (found,) = [item for item in swept(world, weighs=True)[1] if item.kind is Kind.ADD]

    assert found.size_bytes == sum(map(len, pushed.blobs.values())) - len(b"shared by all")

"""What a job, or a comparison, may cost (protocol cases N), counted in the logs of the registries.

The budgets are upper bounds: those of the rows, or those that we promise where they are tighter. Ours count one HEAD
that the rows do not: after a write the source is asked whether it moved meanwhile.
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import pytest
from pydantic import SecretStr

from replicator.demo.features import Features
from replicator.demo.logins import TokenLogin
from replicator.demo.messages import Request, Response
from replicator.demo.server import serve
from replicator.drift import Kind
from replicator.ledger import Ledger
from replicator.oci import Digest
from replicator.rules import Credential, Destination, RegistryType, Signatures
from replicator.transfer.blobs import BLOBS_AT_ONCE
from tests.conformance.bridge import Bridge
from tests.fakes.images import Image, image, index, is_whole, layer_bytes, multi_arch, push, push_manifest
from tests.fakes.registry import FakeRegistry
from tests.fakes.wire import Door
from tests.integration.processes import PASSWORD, USER, DockerRegistry
from tests.integration.resync.kit import kinds
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, World, a_rule

NOT_OURS = {
    "N8": "Each destination has jobs, a pace and outages of its own, and bytes pass straight through: to read a blob "
    "once for all of them would tie fast regions to slow ones, or keep it on a disk of ours.",
}

UNSIGNED = replace(a_rule(), signatures=Signatures.IGNORE)
PLATFORMS = 3


def cost(world: World) -> int:
    """The requests of the last job, at both ends."""
    return len(world.asked("eu")) + len(world.asked("us"))


def layers(seed: str, count: int) -> list[bytes]:
    return [layer_bytes(f"{seed} {number}") for number in range(count)]


def reads_of(world: World, digests: list[Digest]) -> int:
    return sum(len(world["eu"].requests("GET", str(digest))) for digest in digests)


@pytest.mark.parametrize("pushed", [image(), multi_arch()], ids=["image", "index"])
def test_n1_an_event_for_what_is_in_line_costs_two_requests(make_world: MakeWorld, pushed: Image) -> None:
    """The row allows one, and believes the event: we ask the source, because events come late, or from strangers."""
    world = make_world(a_rule())
    digest = world.push("eu", "v1", pushed)
    world.run(world.job(), digest=digest)

    assert world.run(world.job(), digest=digest).outcome == "unchanged"

    assert cost(world) <= 2


def test_n2_a_tag_in_line_costs_two_requests_without_an_event(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", image())
    world.run(world.job())

    assert world.run(world.job(), action=None).outcome == "unchanged"

    assert cost(world) <= 2


def test_n2_a_comparison_asks_for_a_tag_in_line_once_a_side(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", image())
    world.run(world.job())
    world.forget_requests()

    assert kinds(world) == {"us/team/api:v1": Kind.IN_SYNC}

    for name in ("eu", "us"):
        assert [entry.method for entry in world[name].requests("*", "/manifests/")] == ["HEAD"]


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_n3_an_image_of_which_all_is_missing(make_world: MakeWorld, count: int) -> None:
    world = make_world(UNSIGNED)
    digest = world.push("eu", "v1", image(layers("new", count)))

    assert world.run(world.job(), digest=digest).outcome == "copied"

    assert cost(world) <= 4 + 3 * (count + 1)
    assert world["us"].requests("HEAD", "/blobs/") == []


@pytest.mark.parametrize("has_api", [True, False])
def test_n3_to_look_for_signatures_costs_one_tag_listing_and_the_referrers_where_they_are(
    make_world: MakeWorld, has_api: bool
) -> None:
    world = make_world(a_rule(), features={"eu": Features(referrers=has_api)})
    world.push("eu", "v1", image())
    world.run(world.job())
    world.push("eu", "v2", image(layers("next", 2)))

    world.run(world.job("v2"))

    assert cost(world) <= 4 + 3 * 3 + 1 + has_api
    assert len(world["eu"].requests("*", "/tags/list")) <= 1


def test_n4_a_tag_that_is_absent_where_all_blobs_are(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    pushed = image(layers("shared", 4))
    world.push("eu", "v1", pushed, repository="team/web")
    world.run(world.job(repository="team/web"))
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"

    assert cost(world) <= 4 + 5
    assert reads_of(world, list(pushed.blobs)) == 0


def test_n4_blobs_that_were_just_seen_in_the_repository_cost_nothing(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    shared = layers("shared", 4)
    world.push("eu", "v1", image(shared))
    world.run(world.job())
    world.push("eu", "v2", image(shared, annotations={"built": "again"}))

    assert world.run(world.job("v2")).outcome == "copied"

    assert cost(world) <= 4
    assert world["us"].requests("*", "/blobs/") == []


def test_n5_layers_that_another_repository_has_are_mounted(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    base, own = layers("base", 3), layers("own", 1)
    world.push("eu", "v1", image(base))
    world.run(world.job())
    pushed = image([*base, *own])
    world.push("eu", "v1", pushed, repository="team/web")

    world.run(world.job(repository="team/web"))

    for layer in base:
        about = [entry for entry in world["us"].log if str(Digest.of(layer)) in str(entry)]
        assert [(entry.method, entry.status) for entry in about] == [("POST", 201)]
    assert reads_of(world, [Digest.of(layer) for layer in base]) == 0
    assert is_whole(world["us"], "team/web", "v1", pushed)


def test_n5_a_real_registry_mounts_them_too(
    ledger: Ledger, docker_registry: DockerRegistry, stack: ExitStack
) -> None:
    source = FakeRegistry()
    base = layers("base", 3)
    push(source, API, "v1", image(base))
    other = image([*base, b"own"])
    push(source, "team/web", "v1", other)

    with Bridge(ledger, stack.enter_context(serve(source)).url, docker_registry.url) as bridge:
        bridge.run()
        source.log.clear()
        assert bridge.run(repository="team/web").outcome == "copied"

    assert all(source.requests("GET", str(Digest.of(layer))) == [] for layer in base)
    assert is_whole(docker_registry.url, "team/web", "v1", other)


def test_n6_an_index_without_anything_shared(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    children = [
        image(layers(f"platform {number}", 2), platform=f"linux/p{number}") for number in range(PLATFORMS)
    ]
    pushed = index(children)
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"

    blobs = len(pushed.all_blobs)
    assert blobs == PLATFORMS * 3
    assert cost(world) <= 4 + PLATFORMS * 2 + 3 * blobs
    assert cost(world) <= 3 + PLATFORMS * (3 + 4 * 3)


def test_n7_an_index_in_line_costs_two_requests(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", index([multi_arch("inner"), image()]))
    world.run(world.job())

    for action in ("push", None):
        assert world.run(world.job(), action=action).outcome == "unchanged"
        assert cost(world) <= 2


def test_n9_a_second_tag_of_one_digest_is_one_more_write(make_world: MakeWorld) -> None:
    world = make_world(UNSIGNED)
    pushed = multi_arch()
    world.push("eu", "v1", pushed)
    world.push("eu", "v2", pushed)

    world.run(world.job("v1"))
    world.run(world.job("v2"))

    assert world.writes("us") == ["PUT manifests/v2"]
    assert world["us"].requests("*", "/blobs/") == world["eu"].requests("*", "/blobs/") == []
    assert [entry.method for entry in world["eu"].requests("*", "/manifests/")] == ["GET", "HEAD"]
    assert cost(world) <= 5
    assert is_whole(world["us"], API, "v2", pushed)


def test_n9_a_second_place_in_one_registry_costs_no_second_read(make_world: MakeWorld) -> None:
    """What N8 asks of many registries holds for many places in one: there the blobs are mounted."""
    world = make_world(
        replace(UNSIGNED, name="first"),
        replace(UNSIGNED, name="second", destinations=(Destination("us", namespace="mirror"),)),
    )
    pushed = image(layers("shared", 3))
    world.push("eu", "v1", pushed)

    world.run(world.job(rule="first"))
    world.run(world.job(rule="second"))

    assert reads_of(world, list(pushed.blobs)) == 0
    assert is_whole(world["us"], "mirror/team/api", "v1", pushed)


def test_n10_harbors_that_agree_are_compared_by_their_listings(make_world: MakeWorld) -> None:
    """A tenth of the row: 1,000 artifacts in 10 repositories, so 10 listings a side, and one of the repositories."""
    world = make_world(a_rule(filters=ALL), kinds={"eu": RegistryType.HARBOR, "us": RegistryType.HARBOR})
    names = [f"team/r{number}" for number in range(10)]
    base = image()
    for side in ("eu", "us"):
        for name in names:
            push(world[side], name, None, base)
            for number in range(100):
                pushed = image(annotations={"number": str(number)})
                push_manifest(world[side], name, f"v{number}", pushed)
    world.forget_requests()

    found = kinds(world)

    assert Counter(found.values()) == {Kind.IN_SYNC: 1000}
    for side in ("eu", "us"):
        assert world[side].requests("*", "/manifests/") == []
        assert len(world[side].requests("*", "/artifacts")) <= 10
    assert len(world["eu"].log) + len(world["us"].log) <= 2 * 10 + 1


class Guarded(FakeRegistry):
    """A registry that keeps which scopes its tokens were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[tuple[str, ...]] = Counter()

    def handle(self, request: Request) -> Response:
        if request.path == "/token":
            self.asked[tuple(value for name, value in request.query if name == "scope")] += 1
        return super().handle(request)


def test_n11_a_token_is_asked_for_once_for_each_scope(ledger: Ledger, stack: ExitStack) -> None:
    registries = [Guarded(), Guarded()]
    for name in (API, "team/web"):
        for number in range(3):
            push(registries[0], name, f"v{number}", image(layers(str(number), 6)))
    for each in registries:
        each.login = TokenLogin({USER: PASSWORD})
    urls = [stack.enter_context(serve(each)).url for each in registries]

    with Bridge(ledger, *urls, credential=Credential(USER, SecretStr(PASSWORD))) as bridge:
        for name in (API, "team/web"):
            for number in range(3):
                assert bridge.run(f"v{number}", repository=name).outcome == "copied"
                assert bridge.run(f"v{number}", repository=name).outcome == "unchanged"

    for each in registries:
        assert each.asked
        assert max(each.asked.values()) == 1


@pytest.mark.parametrize("kind", ["ours", "real"])
def test_n12_connections_are_used_again_from_image_to_image(
    ledger: Ledger, docker_registry: DockerRegistry, stack: ExitStack, kind: str
) -> None:
    source = FakeRegistry()
    for number in range(8):
        push(source, API, f"v{number}", image(layers(str(number), 6)))
    destination = docker_registry.url if kind == "real" else stack.enter_context(serve(FakeRegistry())).url
    doors = [stack.enter_context(Door(url)) for url in (stack.enter_context(serve(source)).url, destination)]

    with Bridge(ledger, *(door.url for door in doors)) as bridge:
        for number in range(8):
            assert bridge.run(f"v{number}").outcome == "copied"

    for door in doors:
        assert 1 <= door.connections <= BLOBS_AT_ONCE + 1

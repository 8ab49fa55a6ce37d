"""What is pushed arrives, byte for byte, where the rules say; and nothing else does."""

from pathlib import Path

import pytest

from replicator.oci import DOCKER_LIST
from tests.e2e import skopeo
from tests.e2e.world import World
from tests.fakes import images

PUSHED_BY_SKOPEO = {
    "image": images.image([images.layer_bytes("skopeo one"), images.layer_bytes("skopeo two", 300_000)]),
    "index": images.multi_arch("skopeo"),
    "docker image": images.docker_image([images.layer_bytes("skopeo docker")]),
}
PUSHED_BY_HTTP = {
    "index": images.multi_arch("raw"),
    "docker list": images.multi_arch("raw docker", media_type=DOCKER_LIST),
    "nested index": images.index([images.multi_arch("inner"), images.image([b"beside it"])]),
    "artifact": images.artifact(payload=b'{"an": "artifact"}'),
    "chart": images.chart("app", "2.0.0"),
    "no layers": images.image([]),
    "one layer twice": images.image([b"the same", b"the same"]),
    "empty layer": images.image([b""]),
}


@pytest.mark.parametrize("kind", PUSHED_BY_SKOPEO)
def test_what_skopeo_pushes_arrives_verbatim(world: World, tmp_path: Path, kind: str) -> None:
    image, repository = PUSHED_BY_SKOPEO[kind], f"production/skopeo/{kind.replace(' ', '-')}"

    skopeo.push(tmp_path, world.registries["eu"].host, repository, "v1", image)

    for region in ("us", "ap"):
        world.await_copy(region, repository, "v1", image)


def test_whatever_is_pushed_arrives_verbatim(world: World) -> None:
    for kind, image in PUSHED_BY_HTTP.items():
        world.push("eu", _repository(kind), "v1", image)

    for kind, image in PUSHED_BY_HTTP.items():
        for region in ("us", "ap"):
            world.await_copy(region, _repository(kind), "v1", image)


def test_a_moved_tag_is_copied_again(world: World) -> None:
    first, second = images.image([b"first"]), images.image([b"second"])
    world.push("eu", "production/moved", "v1", first)
    for region in ("us", "ap"):
        world.await_copy(region, "production/moved", "v1", first)

    world.push("eu", "production/moved", "v1", second)

    for region in ("us", "ap"):
        world.await_copy(region, "production/moved", "v1", second)
    world.push("eu", "production/moved", "v1", first)
    for region in ("us", "ap"):
        world.await_copy(region, "production/moved", "v1", first)


def test_several_tags_of_one_image_all_arrive(world: World) -> None:
    image = images.multi_arch("many tags")
    tags = {f"v1.{number}" for number in range(5)}

    for tag in tags:
        world.push("eu", "production/tags", tag, image)

    for tag in tags:
        world.await_copy("us", "production/tags", tag, image)
    assert world.tags("us", "production/tags") == tags


def test_excluded_names_and_tags_never_arrive(world: World) -> None:
    left_out = [
        ("production/filtered", "latest"),
        ("production/filtered", "v2-rc1"),
        ("production/filtered", "hot-rc"),
        ("production/scratch/filtered", "v1"),
        ("productionx/filtered", "v1"),
        ("filtered", "v1"),
    ]
    for repository, tag in left_out:
        world.push("eu", repository, tag, images.image([f"{repository}:{tag}".encode()]))
    last = world.push("eu", "production/filtered", "v1", images.image([b"the last one"]))

    for region in ("us", "ap"):
        world.await_copy(region, "production/filtered", "v1", last)
    world.replicator.settle()
    for region in ("us", "ap"):
        assert world.tags(region, "production/filtered") == {"v1"}
        for repository in ("production/scratch/filtered", "productionx/filtered", "filtered"):
            assert world.tags(region, repository) == set()


def test_only_charts_pass_a_resource_filter(world: World) -> None:
    chart = images.chart("web", "1.2.3")
    world.push("ap", "charts/web", "an-image", images.image([b"no chart"]))
    world.push("ap", "charts/web", "an-artifact", images.artifact())
    world.push("ap", "charts/web", "1.2.3", chart)

    world.await_copy("us", "charts/web", "1.2.3", chart)
    world.replicator.settle()

    assert world.tags("us", "charts/web") == {"1.2.3"}


def test_repositories_land_in_the_namespace_of_the_destination(world: World) -> None:
    image = world.push("eu", "moved/team/app", "v1", images.image([b"moved"]))

    world.await_copy("us", "mirror/eu/team/app", "v1", image)
    world.await_copy("ap", "flat/app", "v1", image)

    assert world.tags("us", "moved/team/app") == set()
    assert world.tags("ap", "moved/team/app") == set()


def test_a_blob_that_the_destination_has_elsewhere_is_mounted(world: World) -> None:
    layer = images.layer_bytes("shared by two repositories", 500_000)
    first = world.push("eu", "production/mount/first", "v1", images.image([layer], platform="linux/amd64"))
    world.await_copy("us", "production/mount/first", "v1", first)
    sent_before = world.replicator.metric("replicator_bytes_total", source="eu", destination="us") or 0.0
    world.replicator.settle()

    second = world.push("eu", "production/mount/second", "v1", images.image([layer], platform="linux/arm64"))
    world.await_copy("us", "production/mount/second", "v1", second)
    world.replicator.settle()

    sent = (
        world.replicator.metric("replicator_bytes_total", source="eu", destination="us") or 0.0
    ) - sent_before
    assert sent < 10_000


def test_without_override_a_tag_that_is_there_is_left_alone(world: World) -> None:
    first, second = images.image([b"careful"]), images.image([b"reckless"])
    world.push("eu", "careful/app", "v1", first)
    world.await_copy("us", "careful/app", "v1", first)

    world.push("eu", "careful/app", "v1", second)
    other = world.push("eu", "careful/app", "v2", second)
    world.await_copy("us", "careful/app", "v2", other)
    world.replicator.settle()

    assert world.head("us", "careful/app", "v1") == first.digest
    assert world.replicator.outcomes("careful/app", "v1")[0] == "skipped"


def test_an_image_that_is_there_is_not_written_again(world: World) -> None:
    image = world.push("eu", "production/again", "v1", images.image([b"again"]))
    for region in ("us", "ap"):
        world.await_copy(region, "production/again", "v1", image)
    world.replicator.settle()

    images.push_manifest(world.url("eu"), "production/again", "v1", image)
    later = world.push("eu", "production/again", "v2", images.image([b"later"]))
    for region in ("us", "ap"):
        world.await_copy(region, "production/again", "v2", later)
    world.replicator.settle()

    for region in ("us", "ap"):
        assert world.puts(region, "production/again") == ["v1", "v2"]


def _repository(kind: str) -> str:
    return f"production/raw/{kind.replace(' ', '-')}"

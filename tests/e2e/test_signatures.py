"""Signatures and referrers follow what they belong to, and are there before the tag that makes people look for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from replicator.oci import Digest, Tag, referrers_tag
from tests.e2e.world import World
from tests.fakes import images
from tests.fakes.images import Image
from tests.fakes.raw import RawClient

DESTINATIONS = ("us", "ap")


def test_a_signature_is_there_before_the_tag(world: World) -> None:
    repository = "production/signed"
    rounds = [images.multi_arch(f"signed {number}") for number in range(5)]
    seen: list[str] = []

    with _watched(world, "us", repository, "v1", rounds, seen):
        for image in rounds:
            signature = images.signature(image)
            world.push("eu", repository, None, image)
            world.push("eu", repository, images.signature_tag(image), signature)
            world.push("eu", repository, "v1", image)
            for region in DESTINATIONS:
                world.await_copy(region, repository, "v1", image)
                world.await_copy(region, repository, images.signature_tag(image), signature)

    assert seen.count("unsigned") == 0
    assert seen.count("signed") > 0


def test_the_signature_of_one_platform_comes_along(world: World) -> None:
    index = images.multi_arch("signed platform")
    child = index.children[0]
    signature = images.signature(child)
    world.push("eu", "production/platform", None, index)
    world.push("eu", "production/platform", images.signature_tag(child), signature)

    world.push("eu", "production/platform", "v1", index)

    for region in DESTINATIONS:
        world.await_copy(region, "production/platform", "v1", index)
        world.await_copy(region, "production/platform", images.signature_tag(child), signature)


def test_a_late_signature_passes_a_tag_filter_that_does_not_name_it(world: World) -> None:
    image = world.push("eu", "production/late", "v1", images.image([b"signed later"]))
    for region in DESTINATIONS:
        world.await_copy(region, "production/late", "v1", image)
    world.replicator.settle()

    for signer in ("the first", "one more"):
        signature = images.signature(image, signer)
        world.push("eu", "production/late", images.signature_tag(image), signature)

        for region in DESTINATIONS:
            world.await_copy(region, "production/late", images.signature_tag(image), signature)


def test_the_signature_of_an_excluded_image_stays_at_home(world: World) -> None:
    left_out = world.push("eu", "production/unsigned", "latest", images.image([b"left out"]))
    world.push("eu", "production/unsigned", images.signature_tag(left_out), images.signature(left_out))
    later = world.push("eu", "production/unsigned", "v1", images.image([b"taken"]))

    world.await_copy("us", "production/unsigned", "v1", later)
    world.replicator.settle()

    assert world.tags("us", "production/unsigned") == {"v1"}


def test_referrers_that_a_client_lists_under_a_tag_come_along(world: World) -> None:
    image = images.image([b"with an sbom"])
    sbom = images.referrer(image)
    listing = images.index([sbom], platforms=[])
    world.push("eu", "production/referred", None, image)
    world.push("eu", "production/referred", _list_tag(image), listing)

    world.push("eu", "production/referred", "v1", image)

    for region in DESTINATIONS:
        world.await_copy(region, "production/referred", "v1", image)
        world.await_copy(region, "production/referred", sbom.digest, sbom)
        assert _listed(world, region, "production/referred", image) == {sbom.digest}


def test_a_late_referrer_comes_after(world: World) -> None:
    image = world.push("eu", "production/attested", "v1", images.image([b"attested later"]))
    for region in DESTINATIONS:
        world.await_copy(region, "production/attested", "v1", image)
    world.replicator.settle()
    first, second = images.referrer(image), images.referrer(image, b"{}", kind="attestation")

    world.push("eu", "production/attested", _list_tag(image), images.index([first], platforms=[]))
    world.push("eu", "production/attested", _list_tag(image), images.index([first, second], platforms=[]))

    for region in DESTINATIONS:
        world.await_copy(region, "production/attested", second.digest, second)
        world.await_copy(region, "production/attested", first.digest, first)
    world.replicator.settle()
    for region in DESTINATIONS:
        assert _listed(world, region, "production/attested", image) == {first.digest, second.digest}


@contextmanager
def _watched(
    world: World, region: str, repository: str, tag: str, rounds: list[Image], seen: list[str]
) -> Iterator[None]:
    """Looks at the destination all the time: whether what the tag holds is signed in that very moment."""
    signature_of = {image.digest: images.signature_tag(image) for image in rounds}
    done = threading.Event()

    def watch() -> None:
        with RawClient(world.url(region)) as client:
            while not done.is_set():
                answer = client.call("HEAD", f"/v2/{repository}/manifests/{tag}", headers=images.ACCEPT)
                # 404: nothing there yet. 500: docker-registry's answer about a tag that is being moved.
                assert answer.status in (200, 404, 500), answer
                if answer.status == 200:
                    digest = Digest(answer.headers["docker-content-digest"])
                    signature = images.head(client, repository, signature_of[digest])
                    seen.append("signed" if signature else "unsigned")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _list_tag(subject: Image) -> Tag:
    return referrers_tag(subject.digest)


def _listed(world: World, region: str, repository: str, subject: Image) -> set[str]:
    with RawClient(world.url(region)) as client:
        answer = client.call("GET", f"/v2/{repository}/manifests/{_list_tag(subject)}", headers=images.ACCEPT)
    assert answer.status == 200, answer
    return {item["digest"] for item in answer.json()["manifests"]}

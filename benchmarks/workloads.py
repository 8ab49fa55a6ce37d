"""The images that copying is measured with: the same bytes on every machine, made here.

    w1  200 small images: 20 repositories with 10 tags, 3 layers of 16 KiB each and 2 of 64 KiB that all share
    w2  20 images of 32 MiB: 8 layers of 4 MiB, 6 of which all share
    w3  4 images of 512 MiB: 2 layers
    w4  10 indexes over 4 platforms, 3 layers of 256 KiB each
    w5  w1 at a destination that has all of it

Layers are tars compressed by gzip, with the right `diff_ids`: a tool that looks into them finds nothing to rewrite.
"""

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from replicator.oci import Digest
from tests.fakes import images
from tests.fakes.images import Image

KIB, MIB = 1 << 10, 1 << 20
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x")
WARM_UP = "warm"
"""The repositories that every contestant copies before it is measured: none of their layers is in any workload."""

Tagged = tuple[str, str, Image]
"""An image with the repository and the tag that it lies under."""
Layer = tuple[bytes, Digest]
"""A compressed layer, and the digest of what it holds."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a destination must hold of a tag: each manifest under its reference, byte for byte, and each blob's size."""

    repository: str
    tag: str
    manifests: Mapping[str, bytes]
    blobs: Mapping[Digest, int]


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be copied. `images` makes it, one image after another; their repositories are below `namespace`."""

    name: str
    title: str
    namespace: str
    images: Callable[[], Iterator[Tagged]]
    is_in_sync: bool = False


def wanted(tagged: Tagged) -> Wanted:
    """What a copy of the image is compared with; the bytes of its layers are not kept."""
    repository, tag, image = tagged
    manifests = {tag: image.raw} | {child.digest: child.raw for child in image.children}
    blobs = {digest: len(content) for digest, content in image.all_blobs.items()}
    return Wanted(repository, tag, manifests, blobs)


def repositories(found: Iterable[Wanted]) -> list[str]:
    """The repositories of these, each once, in order."""
    return list(dict.fromkeys(one.repository for one in found))


def warm_up() -> Iterator[Tagged]:
    """40 small images in 4 repositories: enough to have every process of a tool at work once."""
    for number in range(40):
        yield f"{WARM_UP}/app{number % 4}", f"v{number // 4}", _image([_layer(f"warm {number}", 4 * KIB)])


def layer(seed: str, size_bytes: int) -> bytes:
    """A layer with one file of so many random bytes."""
    return _layer(seed, size_bytes)[0]


def _small() -> Iterator[Tagged]:
    shared = [_layer(f"w1 shared {number}", 64 * KIB) for number in range(2)]
    for number in range(200):
        own = [_layer(f"w1 {number} {part}", 16 * KIB) for part in range(3)]
        yield f"w1/app{number // 10:02d}", f"v{number % 10}", _image([*shared, *own])


def _shared() -> Iterator[Tagged]:
    shared = [_layer(f"w2 shared {number}", 4 * MIB) for number in range(6)]
    for number in range(20):
        own = [_layer(f"w2 {number} {part}", 4 * MIB) for part in range(2)]
        yield f"w2/app{number:02d}", "v1", _image([*shared, *own])


def _large() -> Iterator[Tagged]:
    for number in range(4):
        yield f"w3/big{number}", "v1", _image([_layer(f"w3 {number} {part}", 256 * MIB) for part in range(2)])


def _multi_platform() -> Iterator[Tagged]:
    for number in range(10):
        children = [
            _image([_layer(f"w4 {number} {platform} {part}", 256 * KIB) for part in range(3)], platform)
            for platform in PLATFORMS
        ]
        yield f"w4/multi{number:02d}", "v1", images.index(children, platforms=PLATFORMS)


WORKLOADS = {
    "w1": Workload("w1", "200 small images, 20 repositories", "w1", _small),
    "w2": Workload("w2", "20 x 32 MiB, 6 of 8 layers shared", "w2", _shared),
    "w3": Workload("w3", "4 x 512 MiB", "w3", _large),
    "w4": Workload("w4", "10 indexes x 4 platforms", "w4", _multi_platform),
    "w5": Workload("w5", "in sync, repeated", "w1", _small, is_in_sync=True),
}


def _layer(seed: str, size_bytes: int) -> Layer:
    content = _tar(seed, size_bytes)
    # Stored, not deflated: random bytes cannot be made smaller, and this is several times as fast.
    return gzip.compress(content, compresslevel=0, mtime=0), Digest.of(content)


def _tar(seed: str, size_bytes: int) -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as archive:
        member = tarfile.TarInfo("data")
        member.size = size_bytes
        archive.addfile(member, io.BytesIO(_random_bytes(seed, size_bytes)))
    return found.getvalue()


def _random_bytes(seed: str, size_bytes: int) -> bytes:
    chance = random.Random(seed)
    return b"".join(chance.randbytes(min(MIB, size_bytes - start)) for start in range(0, size_bytes, MIB))


def _image(layers: Sequence[Layer], platform: str = "linux/amd64") -> Image:
    system, _, architecture = platform.partition("/")
    config = {
        "architecture": architecture,
        "os": system,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest for _, digest in layers]},
        "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
    }
    return images.image([content for content, _ in layers], config=json.dumps(config).encode())

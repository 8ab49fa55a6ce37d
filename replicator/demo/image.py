"""A small signed image for two platforms: made here, pushed and read back through our own registry client."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from replicator.errors import Corrupt
from replicator.oci import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    Repository,
    Tag,
    companion_tags,
    parse_manifest,
)
from replicator.registry import RegistryClient

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
_PLATFORMS = ("amd64", "arm64")
_LAYER_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class SignedImage:
    """An index over two platforms and the signature manifest that cosign's layout puts under a tag beside it.

    The signature's bytes are a stand-in: the demo shows that signatures travel first, not that they verify.
    """

    index: Manifest
    images: tuple[Manifest, ...]
    signature: Manifest
    blobs: dict[Digest, bytes]

    @property
    def signature_tag(self) -> Tag:
        """Where cosign looks for the signature."""
        return companion_tags(self.index.digest)[0]


def make_image(seed: str) -> SignedImage:
    """An image whose bytes follow from `seed`."""
    blobs: dict[Digest, bytes] = {}
    images = tuple(_platform_image(blobs, seed, platform) for platform in _PLATFORMS)
    children = [
        {**_descriptor(OCI_MANIFEST, image.raw), "platform": {"os": "linux", "architecture": platform}}
        for image, platform in zip(images, _PLATFORMS, strict=True)
    ]
    index = _manifest({"mediaType": OCI_INDEX, "manifests": children}, OCI_INDEX)
    payload = json.dumps({"critical": {"image": {"docker-manifest-digest": index.digest}}}).encode()
    signature = _image_manifest(blobs, config=b"{}", layer=payload, layer_type=SIMPLE_SIGNING)
    return SignedImage(index, images, signature, blobs)


def push(client: RegistryClient, repository: Repository, tag: Tag, image: SignedImage) -> None:
    """Push the signature first, then the image: as a careful build does it."""
    for digest, content in image.blobs.items():
        upload = client.start_upload(repository, digest)
        if upload:
            client.finish_upload(upload, Descriptor(LAYER, digest, len(content)), [content])
    for child in image.images:
        client.put_manifest(repository, child.digest, child)
    client.put_manifest(repository, image.index.digest, image.index)
    client.put_manifest(repository, image.signature_tag, image.signature)
    client.put_manifest(repository, tag, image.index)


def read_back(client: RegistryClient, repository: Repository, tag: Tag, image: SignedImage) -> int:
    """Read everything of `image` at a registry and check every digest; the number of bytes that were right.

    Raises Corrupt if anything is missing or another image stands under the tag.
    """
    size_bytes = 0
    for reference, expected in ((tag, image.index), (image.signature_tag, image.signature)):
        found = client.get_manifest(repository, reference)
        if found is None or found.digest != expected.digest:
            raise Corrupt(
                f"{client.name}/{repository}:{reference} is {found and found.digest}, not {expected.digest}"
            )
        size_bytes += _read_below(client, repository, found)
    return size_bytes


def _read_below(client: RegistryClient, repository: Repository, manifest: Manifest) -> int:
    size_bytes = len(manifest.raw)
    for descriptor in manifest.children:
        child = client.get_manifest(repository, descriptor.digest)
        if child is None:
            raise Corrupt(f"{client.name}/{repository}: {descriptor.digest} is missing")
        size_bytes += _read_below(client, repository, child)
    for blob in manifest.blobs:
        with client.open_blob(repository, blob) as chunks:
            size_bytes += sum(len(chunk) for chunk in chunks)
    return size_bytes


def _platform_image(blobs: dict[Digest, bytes], seed: str, platform: str) -> Manifest:
    config = json.dumps({"os": "linux", "architecture": platform, "rootfs": {"type": "layers"}}).encode()
    unit = f"{seed} {platform} ".encode()
    return _image_manifest(blobs, config=config, layer=unit * (_LAYER_BYTES // len(unit)), layer_type=LAYER)


def _image_manifest(blobs: dict[Digest, bytes], *, config: bytes, layer: bytes, layer_type: str) -> Manifest:
    for content in (config, layer):
        blobs[Digest.of(content)] = content
    document = {
        "mediaType": OCI_MANIFEST,
        "config": _descriptor(OCI_CONFIG, config),
        "layers": [_descriptor(layer_type, layer)],
    }
    return _manifest(document, OCI_MANIFEST)


def _manifest(document: Mapping[str, object], media_type: str) -> Manifest:
    return parse_manifest(json.dumps({"schemaVersion": 2, **document}).encode(), media_type)


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}

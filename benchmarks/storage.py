"""docker-registry's storage on disk, written directly: how a hundred thousand references come to be within seconds.

The layout is CNCF Distribution's filesystem driver: blobs by digest, and below each repository small files, called
links, that hold a digest. Equal links share one file on disk, so that memory holds them all.
"""

import os
from pathlib import Path

from replicator.oci import Digest
from tests.fakes.images import Image


class Storage:
    """The storage of one registry, below its root directory."""

    def __init__(self, root: Path) -> None:
        self._registry = root / "docker/registry/v2"
        self._links = root / "links"
        self._links.mkdir(parents=True, exist_ok=True)

    def put(self, repository: str, tag: str, image: Image) -> None:
        """Afterwards the registry holds the image, with all below it, under that tag."""
        place = self._registry / "repositories" / repository
        self._image(place, image)
        self._link(place / "_manifests/tags" / tag / "current", image.digest)

    def _image(self, place: Path, image: Image) -> None:
        for child in image.children:
            self._image(place, child)
        self._blob(image.digest, image.raw)
        self._link(place / "_manifests/revisions" / _named(image.digest), image.digest)
        for digest, content in image.blobs.items():
            self._blob(digest, content)
            self._link(place / "_layers" / _named(digest), digest)

    def _blob(self, digest: Digest, content: bytes) -> None:
        algorithm, _, name = digest.partition(":")
        path = self._registry / "blobs" / algorithm / name[:2] / name / "data"
        if not path.exists():
            path.parent.mkdir(parents=True)
            path.write_bytes(content)

    def _link(self, directory: Path, digest: Digest) -> None:
        if (directory / "link").exists():
            return
        shared = self._links / digest.hex
        if not shared.exists():
            shared.write_text(digest)
        directory.mkdir(parents=True, exist_ok=True)
        os.link(shared, directory / "link")


def _named(digest: Digest) -> str:
    return digest.replace(":", "/")

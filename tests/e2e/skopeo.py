"""Pushing with skopeo, from layouts on disk: what people and pipelines do, with a client that we did not write."""

import json
import subprocess
from pathlib import Path

from replicator.oci import DOCKER_MANIFEST, OCI_INDEX
from tests import judges
from tests.fakes.images import Image


def push(directory: Path, host: str, repository: str, tag: str, image: Image) -> None:
    """Push `image`, its digests unchanged, to `host` (without a scheme) by way of a layout in `directory`."""
    layout = directory / image.digest.hex
    if image.media_type == DOCKER_MANIFEST:
        source = f"dir:{_docker_directory(layout, image)}"
    else:
        source = f"oci:{_oci_layout(layout, image)}:pushed"
    subprocess.run(
        [
            judges.need("skopeo"),
            "copy",
            "--all",
            "--preserve-digests",
            "--insecure-policy",
            "--dest-tls-verify=false",
            source,
            f"docker://{host}/{repository}:{tag}",
        ],
        check=True,
        capture_output=True,
    )


def _oci_layout(layout: Path, image: Image) -> Path:
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for digest, content in image.all_blobs.items():
        (blobs / digest.hex).write_bytes(content)
    for manifest in (image, *image.children):
        (blobs / manifest.digest.hex).write_bytes(manifest.raw)
    (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    top = image.descriptor(annotations={"org.opencontainers.image.ref.name": "pushed"})
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [top]}
    (layout / "index.json").write_text(json.dumps(index))
    return layout


def _docker_directory(layout: Path, image: Image) -> Path:
    layout.mkdir(parents=True)
    (layout / "version").write_text("Directory Transport Version: 1.1\n")
    (layout / "manifest.json").write_bytes(image.raw)
    for digest, content in image.blobs.items():
        (layout / digest.hex).write_bytes(content)
    return layout

"""Manifests, and the configs and signatures beside them, from a registry that wishes us ill."""

import json
import random
from contextlib import suppress

from replicator.errors import ReplicatorError
from replicator.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    layers_of,
    parse_manifest,
)
from replicator.platforms import choose, config_of, parse_platform, standing_of, unsaid, ways
from replicator.signing import BUNDLE, SIMPLE_SIGNING, flaw, is_signature, seals
from tests.fuzz.engine import Target
from tests.fuzz.spoiling import respelt, scratched, some, value

_DIGESTS = tuple(f"sha256:{digit * 64}" for digit in "0123456789abcdef")
_WANTED = frozenset({parse_platform("linux/amd64"), parse_platform("linux/arm64/v8")})
_MESSAGE_CHARACTERS = 700

Input = tuple[bytes, str]


def _pointer(media_type: str, number: int, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _DIGESTS[number], "size": 100 + number, **more}


IMAGE = {
    "schemaVersion": 2,
    "mediaType": OCI_MANIFEST,
    "config": _pointer(OCI_CONFIG, 1),
    "layers": [
        _pointer("application/vnd.oci.image.layer.v1.tar+gzip", 2),
        _pointer(
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            3,
            urls=["https://evil.example.net/a"],
        ),
    ],
    "subject": _pointer(OCI_MANIFEST, 4),
    "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": OCI_INDEX,
    "manifests": [
        _pointer(OCI_MANIFEST, 5, platform={"os": "linux", "architecture": "amd64"}),
        _pointer(OCI_MANIFEST, 6, platform={"os": "linux", "architecture": "arm64", "variant": "v8"}),
        _pointer(OCI_MANIFEST, 7, annotations={"vnd.docker.reference.type": "attestation-manifest"}),
    ],
}
SIGNATURE = {
    "schemaVersion": 2,
    "artifactType": BUNDLE,
    "config": _pointer("application/vnd.oci.empty.v1+json", 8),
    "layers": [
        _pointer(SIMPLE_SIGNING, 9, annotations={"dev.cosignproject.cosign/signature": "AAAA"}),
        _pointer(BUNDLE, 10),
    ],
    "annotations": {"dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1"},
}
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "created": "0001-01-01T00:00:00Z",
    "config": {"Labels": {"a": "b"}},
}
STATEMENT = {
    "critical": {
        "image": {"docker-manifest-digest": _DIGESTS[1]},
        "type": "cosign container image signature",
    },
    "messageSignature": {"messageDigest": {"algorithm": "SHA2_256", "digest": "AAAA"}, "signature": "AAAA"},
    "dsseEnvelope": {
        "payload": "e30=",
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "AA=="}],
    },
    "subject": [{"digest": {"sha256": "0" * 64}}],
}
DOCUMENTS = (IMAGE, IMAGE, INDEX, INDEX, SIGNATURE, CONFIG, STATEMENT)
KEYS = (
    *(
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "subject",
        "annotations",
        "digest",
        "size",
        "urls",
    ),
    *(
        "platform",
        "os",
        "architecture",
        "variant",
        "artifactType",
        "data",
        "os.version",
        "os.features",
        "errors",
        "tags",
    ),
    *(
        "critical",
        "image",
        "docker-manifest-digest",
        "signature",
        "payload",
        "payloadType",
        "signatures",
        "sig",
        "type",
    ),
)
TYPES = (
    *MANIFEST_TYPES,
    OCI_MANIFEST,
    OCI_INDEX,
    "",
    "text/html",
    "application/json; charset=utf-8",
    "application/\x00",
)
_SUBJECT: Manifest = parse_manifest(json.dumps(IMAGE).encode(), OCI_MANIFEST)


def make(rng: random.Random) -> Input:
    """The bytes of an answer, and its content type."""
    way = rng.random()
    document = respelt(rng, some(rng, DOCUMENTS), KEYS) if way < 0.85 else value(rng, KEYS)
    if way > 0.998:
        document = _many(rng)
    raw = json.dumps(document, ensure_ascii=rng.random() < 0.8).encode(errors="replace")
    if 0.6 < way < 0.8:
        raw = scratched(rng, raw)
    return raw, some(rng, TYPES)


def _many(rng: random.Random) -> object:
    count = rng.choice((100, 1_000, 3_000))
    item = some(
        rng, (_pointer(OCI_MANIFEST, 5), {}, [], 1, {"a": {"a": {"a": 1}}}, [[[[]]]], "x" * 90, [[]] * 20)
    )
    image = {"schemaVersion": 2, "config": _pointer(OCI_CONFIG, 1), "layers": [item] * count}
    index = {
        "schemaVersion": 2,
        "mediaType": some(rng, (OCI_INDEX, DOCKER_LIST)),
        "manifests": [item] * count,
    }
    return some(
        rng, (image, index, {"mediaType": DOCKER_MANIFEST, "config": item, "layers": [], "x": [item] * count})
    )


def check(fed: Input) -> None:
    """Raises for anything but a manifest all of whose parts are sound, or an error of ours that is short."""
    raw, content_type = fed
    standing_of(raw, _WANTED)
    try:
        manifest = parse_manifest(raw, content_type)
    except ReplicatorError as exc:
        text = str(exc)
        assert len(text) < _MESSAGE_CHARACTERS, len(text)
        assert text.isprintable(), text[:100]
        return
    assert manifest.raw == raw
    for item in (*manifest.blobs, *manifest.children, *layers_of(manifest)):
        assert 0 <= item.size_bytes < 2**63
        float(item.size_bytes)
    config_of(manifest)
    is_signature(manifest)
    for seal in seals(manifest)[:3]:
        flaw(seal, raw, _SUBJECT, ())
    if manifest.is_index:
        unsaid(manifest, _WANTED)
        for choice in ways(choose(manifest, _WANTED, {}), sparse=True, rewrite=True):
            with suppress(ReplicatorError):
                parse_manifest(choice.manifest.raw, OCI_INDEX)


TARGET = Target("manifests", make, check, 100_000)

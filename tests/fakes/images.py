"""Images for tests, the same bytes every time: built here, pushed and read back by raw HTTP.

`push` writes in the right order; `read_back` proves that a reference is whole, by its own reading of the manifests.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicator.oci import (
    DOCKER_CONFIG,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MANIFEST_TYPES,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Digest,
    Repository,
    Tag,
)
from tests.fakes.raw import RawClient, Target, opened

OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SIGNATURE_LAYER = "application/vnd.dev.cosign.simplesigning.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"

ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}

Descriptor = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest with all that it names: an image, an index or an artifact."""

    raw: bytes
    media_type: str
    blobs: Mapping[Digest, bytes] = field(default_factory=dict)
    children: tuple["Image", ...] = ()

    @property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return Digest.of(self.raw)

    @property
    def document(self) -> dict[str, Any]:
        """The manifest, parsed."""
        document: dict[str, Any] = json.loads(self.raw)
        return document

    @property
    def all_blobs(self) -> dict[Digest, bytes]:
        """The blobs of this manifest and of all below it."""
        found = dict(self.blobs)
        for child in self.children:
            found |= child.all_blobs
        return found

    def descriptor(self, **extra: object) -> Descriptor:
        """How an index or a subject points to this manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.raw), **extra}


def layer_bytes(seed: str, size_bytes: int = 1000) -> bytes:
    """Bytes that look random and depend on `seed` alone."""
    return hashlib.shake_128(seed.encode()).digest(size_bytes)


def image(
    layers: Sequence[bytes] = (b"the only layer",),
    *,
    config: bytes | None = None,
    platform: str = "linux/amd64",
    subject: Image | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An OCI image. Layers are any bytes: nobody unpacks them."""
    return _manifest(
        _described(config if config is not None else _config(layers, platform), OCI_CONFIG),
        [_described(layer, OCI_LAYER) for layer in layers],
        extra=_extra(subject, annotations),
    )


def docker_image(layers: Sequence[bytes] = (b"the only layer",), *, platform: str = "linux/amd64") -> Image:
    """A Docker schema 2 image."""
    return _manifest(
        _described(_config(layers, platform), DOCKER_CONFIG),
        [_described(layer, DOCKER_LAYER) for layer in layers],
        media_type=DOCKER_MANIFEST,
    )


def index(
    children: Sequence[Image],
    *,
    media_type: str = OCI_INDEX,
    platforms: Sequence[str] = ("linux/amd64", "linux/arm64", "linux/s390x"),
    subject: Image | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An index over images or over other indexes; `media_type=DOCKER_LIST` makes a Docker manifest list."""
    items = [
        child.descriptor() | ({} if child.children else {"platform": _platform(platform)})
        for child, platform in zip(children, [*platforms, *["linux/unknown"] * len(children)], strict=False)
    ]
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": items}
    return Image(_dump(document | _extra(subject, annotations)), media_type, {}, tuple(children))


def attestation(described: Image, payload: bytes = b'{"predicate": {}}') -> tuple[Image, Descriptor]:
    """What BuildKit attests of an image, and the entry of the index that both are in."""
    made = image([payload + described.raw], platform="unknown/unknown")
    notes = {
        "vnd.docker.reference.digest": described.digest,
        "vnd.docker.reference.type": "attestation-manifest",
    }
    return made, made.descriptor(platform=_platform("unknown/unknown"), annotations=notes)


def index_of(*entries: tuple[Image, Descriptor], media_type: str = OCI_INDEX) -> Image:
    """An index whose entries are spelled out."""
    items = [descriptor for _, descriptor in entries]
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": items}
    return Image(_dump(document), media_type, {}, tuple(child for child, _ in entries))


def entry(child: Image, platform: str = "") -> tuple[Image, Descriptor]:
    """A child of an index with its entry, which says the platform if there is one."""
    return child, child.descriptor(**({"platform": _platform(platform)} if platform else {}))


def multi_arch(seed: str = "multi", *, media_type: str = OCI_INDEX, size_bytes: int = 1000) -> Image:
    """An index over an amd64 and an arm64 image that share one layer."""
    make = docker_image if media_type == DOCKER_LIST else image
    shared = layer_bytes(f"{seed} shared", size_bytes)
    children = [
        make([shared, layer_bytes(f"{seed} {platform}", size_bytes)], platform=platform)
        for platform in ("linux/amd64", "linux/arm64")
    ]
    return index(children, media_type=media_type)


def artifact(
    artifact_type: str = "application/vnd.example.sbom.v1+json",
    payload: bytes = b'{"packages": []}',
    *,
    subject: Image | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Image:
    """An OCI 1.1 artifact: empty config, an `artifactType`, and a subject if it refers to one."""
    return _manifest(
        _described(EMPTY, EMPTY_TYPE),
        [_described(payload, artifact_type)],
        extra={"artifactType": artifact_type} | _extra(subject, annotations),
    )


def chart(name: str = "web", version: str = "1.0.0") -> Image:
    """A Helm chart as `helm push` writes it."""
    config = _dump({"name": name, "version": version, "apiVersion": "v2"})
    return _manifest(
        _described(config, "application/vnd.cncf.helm.config.v1+json"),
        [_described(layer_bytes(f"{name}-{version}"), "application/vnd.cncf.helm.chart.content.v1.tar+gzip")],
    )


def referrer(subject: Image, payload: bytes = b'{"packages": []}', *, kind: str = "sbom") -> Image:
    """An artifact that refers to `subject`, to be pushed by digest."""
    return artifact(
        f"application/vnd.example.{kind}.v1+json", payload, subject=subject, annotations={"kind": kind}
    )


def signature(subject: Image, signer: str = "a key") -> Image:
    """A signature manifest like cosign's, to be pushed under `signature_tag(subject)`. Nobody verifies it."""
    payload = _dump(
        {"critical": {"image": {"docker-manifest-digest": subject.digest}, "type": "cosign container image"}}
    )
    layer = _described(payload, SIGNATURE_LAYER)
    layer[0]["annotations"] = {"dev.cosignproject.cosign/signature": f"signed by {signer}"}
    return _manifest(_described(_config([payload], "linux/amd64"), OCI_CONFIG), [layer])


def signature_tag(subject: Image) -> Tag:
    """Where cosign keeps the signature of `subject`."""
    return Tag(f"sha256-{subject.digest.hex}.sig")


def push(target: Target, repository: str, reference: str | None, pushed: Image) -> Digest:
    """Push an image with all below it, blobs that are there left out; no reference means by digest alone."""
    with opened(target) as client:
        for child in pushed.children:
            push(client, repository, None, child)
        for digest, content in pushed.blobs.items():
            push_blob(client, repository, content, digest=digest)
        return push_manifest(client, repository, reference, pushed)


def push_blob(target: Target, repository: str, content: bytes, *, digest: Digest | None = None) -> Digest:
    """Push one blob, unless it is there."""
    digest = digest or Digest.of(content)
    with opened(target) as client:
        if client.call("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200:
            return digest
        started = client.call("POST", f"/v2/{repository}/blobs/uploads/")
        assert started.status == 202, started
        location = started.headers["location"]
        url = f"{location}{'&' if '?' in location else '?'}digest={digest}"
        ended = client.call("PUT", url, headers={"Content-Type": "application/octet-stream"}, body=content)
        assert ended.status == 201, ended
    return digest


def push_manifest(target: Target, repository: str, reference: str | None, pushed: Image) -> Digest:
    """Push the manifest alone: what moves a tag when its content is there."""
    with opened(target) as client:
        path = f"/v2/{repository}/manifests/{reference or pushed.digest}"
        answer = client.call("PUT", path, headers={"Content-Type": pushed.media_type}, body=pushed.raw)
        assert answer.status == 201, answer
    return pushed.digest


def delete(target: Target, repository: str, reference: str) -> None:
    """Delete a manifest (by digest) or a tag."""
    with opened(target) as client:
        answer = client.call("DELETE", f"/v2/{repository}/manifests/{reference}")
        assert answer.status == 202, answer


def head(target: Target, repository: str, reference: str) -> Digest | None:
    """The digest that a reference has, None if it is absent."""
    with opened(target) as client:
        answer = client.call("HEAD", f"/v2/{repository}/manifests/{reference}", headers=ACCEPT)
    if answer.status == 404:
        return None
    assert answer.status == 200, answer
    return Digest(answer.headers["docker-content-digest"])


def tags(target: Target, repository: str) -> set[str]:
    """All tags of a repository, none if it is absent."""
    with opened(target) as client:
        answer = client.call("GET", f"/v2/{repository}/tags/list?n=1000")
    if answer.status == 404:
        return set()
    assert answer.status == 200, answer
    return set(answer.json()["tags"] or ())


def referrers(target: Target, repository: str, subject: str) -> set[Digest] | None:
    """The digests that refer to `subject` by the referrers API, None where there is no such API."""
    with opened(target) as client:
        answer = client.call("GET", f"/v2/{repository}/referrers/{subject}")
    if answer.status == 404:
        return None
    assert answer.status == 200, answer
    return {Digest(item["digest"]) for item in answer.json()["manifests"]}


@dataclass(frozen=True, slots=True)
class Copy:
    """What `read_back` found under a reference: the manifest's bytes and type, and every digest below it."""

    digest: Digest
    raw: bytes
    media_type: str
    digests: frozenset[Digest]


def read_back(target: Target, repository: str, reference: str) -> Copy:
    """Read a reference with all below it and verify every digest and size. AssertionError tells what is wrong."""
    Repository(repository)
    with opened(target) as client:
        answer = client.call("GET", f"/v2/{repository}/manifests/{reference}", headers=ACCEPT)
        assert answer.status == 200, f"{repository}:{reference}: {answer.status} {answer.body[:300]!r}"
        digest = Digest.of(answer.body)
        assert answer.headers["docker-content-digest"] == digest
        assert ":" not in reference or reference == digest, f"{reference} reads as {digest}"
        media_type = answer.headers["content-type"]
        below = _read_below(client, repository, json.loads(answer.body))
        return Copy(digest, answer.body, media_type, frozenset({digest, *below}))


pull = read_back


def is_whole(target: Target, repository: str, reference: str, expected: Image) -> bool:
    """True if the reference is there with these very bytes; AssertionError if it is, but something below is wrong."""
    with opened(target) as client:
        if head(client, repository, reference) != expected.digest:
            return False
        copy = read_back(client, repository, reference)
        return (copy.raw, copy.media_type) == (expected.raw, expected.media_type)


def _read_below(client: RawClient, repository: str, document: dict[str, Any]) -> Iterator[Digest]:
    for item in document.get("manifests", ()):
        copy = read_back(client, repository, item["digest"])
        assert len(copy.raw) == item["size"]
        yield from copy.digests
    for item in [document["config"], *document["layers"]] if "layers" in document else ():
        answer = client.call("GET", f"/v2/{repository}/blobs/{item['digest']}")
        assert answer.status == 200, f"{repository}: blob {item['digest']}: {answer.status}"
        assert len(answer.body) == item["size"]
        assert Digest.of(answer.body, Digest(item["digest"]).algorithm) == item["digest"]
        yield Digest(item["digest"])


def _manifest(
    config: tuple[Descriptor, bytes],
    layers: Sequence[tuple[Descriptor, bytes]],
    *,
    media_type: str = OCI_MANIFEST,
    extra: Mapping[str, object] | None = None,
) -> Image:
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config[0],
        "layers": [descriptor for descriptor, _ in layers],
        **(extra or {}),
    }
    blobs = {Digest(descriptor["digest"]): content for descriptor, content in (config, *layers)}
    return Image(_dump(document), media_type, blobs)


def _described(content: bytes, media_type: str) -> tuple[Descriptor, bytes]:
    return {"mediaType": media_type, "digest": Digest.of(content), "size": len(content)}, content


def _extra(subject: Image | None, annotations: Mapping[str, str] | None) -> dict[str, object]:
    extra: dict[str, object] = {}
    if subject is not None:
        extra["subject"] = subject.descriptor()
    if annotations:
        extra["annotations"] = dict(annotations)
    return extra


def _config(layers: Sequence[bytes], platform: str) -> bytes:
    diff_ids = [Digest.of(layer) for layer in layers]
    return _dump(
        {
            **_platform(platform),
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [],
        }
    )


def _platform(platform: str) -> dict[str, str]:
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def _dump(document: object) -> bytes:
    # Odd spacing on purpose: whoever writes a manifest anew instead of verbatim changes its digest.
    return json.dumps(document, indent=3, separators=(" ,", ": ")).encode() + b"\n"

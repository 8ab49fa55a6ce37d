"""The values of the OCI distribution world: names, tags, digests, descriptors and manifests.

A value is valid once it exists: constructors check the grammars of the OCI distribution and image specs, so that
no unchecked text reaches a URL or a Redis key. This module knows nothing of HTTP, rules or jobs.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from replicator.errors import Corrupt, Unsupported

# OCI distribution spec 1.1, "Pulling manifests". `\Z`, not `$`: a trailing newline is not part of a name.
_REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z"
)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
_DIGEST = re.compile(r"(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})\Z")
# cosign's convention: the signature of sha256:<hex> is the tag sha256-<hex>.sig; the OCI referrers tag has no suffix.
_COMPANION = re.compile(r"(sha256|sha512)-([a-f0-9]{64,128})(?:\.(sig|att|sbom))?\Z")

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"

INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST)

MANIFEST_LIMIT_BYTES = 8 * 1024 * 1024
"""The largest manifest we read. The spec wants 4 MiB supported; regclient reads 8."""
VALUES_LIMIT = 200_000
"""Values in one manifest, counted by the signs that set them apart: ten times what 1,000 children need. 8 MiB of
nothing but brackets would take most of a second."""
_SIZE_LIMIT_BYTES = 2**63  # what others keep a size in
_QUOTED_CHARACTERS = 80


class Repository(str):
    """A repository path inside a registry, such as `payments/api`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises ValueError for text that is not a repository name of at most 255 characters."""
        if len(text) > 255 or not _REPOSITORY.match(text):
            raise ValueError(f"not a repository name: {text[:80]!r}")
        return super().__new__(cls, text)


class Tag(str):
    """A tag, such as `v1.2`."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises ValueError for text that is not a tag of at most 128 characters."""
        if not _TAG.match(text):
            raise ValueError(f"not a tag: {text[:80]!r}")
        return super().__new__(cls, text)


class Digest(str):
    """A content digest, `sha256:<64 hex>` or `sha512:<128 hex>`, lower case."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Raises ValueError for another algorithm, a wrong length or upper-case hex."""
        if not _DIGEST.match(text):
            raise ValueError(f"not a digest: {text[:80]!r}")
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """The digest of `data`."""
        return cls(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")

    @property
    def algorithm(self) -> str:
        """`sha256` or `sha512`, as hashlib spells it."""
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.partition(":")[2]


Reference = Tag | Digest


def parse_reference(text: str) -> Reference:
    """A tag or a digest: a colon never occurs in a tag. Raises ValueError for neither."""
    return Digest(text) if ":" in text else Tag(text)


def named(repository: str, reference: str) -> str:
    """A reference with its repository as image names have it: `team/api:v1`, `team/api@sha256:...`."""
    return f"{repository}{'@' if ':' in reference else ':'}{reference}"


def companion_subject(tag: str) -> Digest | None:
    """The digest that a companion tag belongs to, or None for an ordinary tag.

    Companions are cosign's `sha256-<hex>.sig`, `.att`, `.sbom` and the OCI referrers tag `sha256-<hex>`. The referrers
    tag of a sha512 subject holds only 64 of its 128 digits (OCI 1.1, "Referrers Tag Schema"): it names no subject.
    """
    found = _COMPANION.match(tag)
    if not found:
        return None
    try:
        return Digest(f"{found[1]}:{found[2]}")
    except ValueError:
        return None


def is_referrers_tag(tag: str) -> bool:
    """Whether a list of referrers is kept under a tag of that name, where a registry has no referrers API."""
    found = _COMPANION.match(tag)
    return found is not None and found[3] is None and len(found[2]) == 64


def companion_tags(subject: Digest) -> tuple[Tag, ...]:
    """The tags under which cosign keeps signature, attestation and SBOM of `subject`: none for sha512, too long."""
    if subject.algorithm != "sha256":
        return ()
    return tuple(Tag(f"{subject.algorithm}-{subject.hex}.{suffix}") for suffix in ("sig", "att", "sbom"))


def referrers_tag(subject: Digest) -> Tag:
    """The tag that lists the referrers of `subject` where a registry has no referrers API (OCI 1.1)."""
    return Tag(f"{subject.algorithm}-{subject.hex[:64]}")


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on, as an index or an image's config says it. The variant is empty where none is said."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: media type, digest and size in bytes, as an OCI manifest writes it."""

    media_type: str
    digest: Digest
    size_bytes: int
    urls: tuple[str, ...] = ()
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)
    platform: Platform | None = field(default=None, compare=False)

    @property
    def is_foreign(self) -> bool:
        """True for a layer that lives at other hosts: never fetched, never uploaded, never asked for by a registry.

        A non-distributable type without `urls` must be uploaded: distribution checks that it is there.
        """
        return bool(self.urls) and ("nondistributable" in self.media_type or "foreign" in self.media_type)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's exact bytes, their digest and media type, and what the bytes point to.

    `blobs` is the config and the distinct layers, `children` the manifests of an index, `subject` what it refers to.
    """

    raw: bytes
    digest: Digest
    media_type: str
    blobs: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    subject: Digest | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def descriptor(self) -> Descriptor:
        """How an index, or a referrers list, points to this manifest."""
        return Descriptor(
            self.media_type,
            self.digest,
            len(self.raw),
            artifact_type=self.artifact_type,
            annotations=self.annotations,
        )

    @property
    def is_index(self) -> bool:
        """True for an image index or a Docker manifest list."""
        return self.media_type in INDEX_TYPES


def parse_manifest(raw: bytes, content_type: str, *, expected: Digest | None = None) -> Manifest:
    """The manifest that a registry sent, checked.

    Raises Corrupt if the bytes do not hash to `expected`, are no JSON object, contradict their media type or hold an
    invalid descriptor; Unsupported for Docker schema 1, for types that are no manifest and for more than VALUES_LIMIT
    values.
    """
    digest = Digest.of(raw, expected.algorithm if expected else "sha256")
    if expected and digest != expected:
        raise Corrupt(f"manifest bytes hash to {digest}, expected {expected}")
    document = _json_object(raw, digest)
    media_type = _media_type(document, content_type, digest)
    try:
        return _manifest(raw, digest, media_type, document)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise Corrupt(f"manifest {digest} is malformed: {exc}") from exc


def _json_object(raw: bytes, digest: Digest) -> dict[str, Any]:
    if sum(raw.count(sign) for sign in (b",", b"[", b"{")) > VALUES_LIMIT:
        raise Unsupported(f"manifest {digest} holds more than {VALUES_LIMIT} values")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise Corrupt(f"manifest {digest} is not JSON") from exc
    if not isinstance(document, dict):
        raise Corrupt(f"manifest {digest} is not a JSON object")
    return document


def _media_type(document: dict[str, Any], content_type: str, digest: Digest) -> str:
    declared = document.get("mediaType")
    sent = content_type.partition(";")[0].strip().lower()
    if declared is not None and not isinstance(declared, str):
        raise Corrupt(f"manifest {digest} has a mediaType that is no text")
    if declared and sent in MANIFEST_TYPES and declared != sent:
        raise Corrupt(f"manifest {digest} says it is {_quoted(declared)} but was sent as {sent!r}")
    media_type = declared or (sent if sent in MANIFEST_TYPES else _guess(document))
    if "manifests" in document and "layers" in document:
        raise Corrupt(f"manifest {digest} claims to be an index and an image at once")
    if media_type not in MANIFEST_TYPES:
        said = _quoted(media_type or sent or "none")
        raise Unsupported(f"manifest {digest} has the unsupported type {said}")
    return media_type


def _guess(document: dict[str, Any]) -> str:
    # A generic Content-Type and no mediaType: old tools wrote such OCI manifests (oci-spec "mediaType" was optional).
    if "manifests" in document:
        return OCI_INDEX
    return OCI_MANIFEST if "config" in document and "layers" in document else ""


def _manifest(raw: bytes, digest: Digest, media_type: str, document: dict[str, Any]) -> Manifest:
    subject = document.get("subject")
    is_index = media_type in INDEX_TYPES
    config = None if is_index else _descriptor(document["config"])
    layers = () if is_index else (_descriptor(item) for item in document["layers"])
    blobs = [config, *layers] if config else []
    return Manifest(
        raw,
        digest,
        media_type,
        blobs=tuple({item.digest: item for item in blobs}.values()),
        children=tuple(_descriptor(item) for item in document["manifests"]) if is_index else (),
        subject=_descriptor(subject).digest if subject else None,
        artifact_type=_text(document.get("artifactType")) or (config.media_type if config else None),
        annotations=_texts(document.get("annotations")),
    )


def _descriptor(item: dict[str, Any]) -> Descriptor:
    size = item["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < _SIZE_LIMIT_BYTES:
        raise ValueError(f"size {_quoted(size)} is not a number of bytes")
    return Descriptor(
        media_type=str(item.get("mediaType", "")),
        digest=Digest(item["digest"]),
        size_bytes=size,
        urls=tuple(str(url) for url in item.get("urls") or ()),
        artifact_type=_text(item.get("artifactType")),
        annotations=_texts(item.get("annotations")),
        platform=platform_of(item.get("platform")),
    )


def platform_of(item: object) -> Platform | None:
    """The platform that JSON such as `{"os": "linux", "architecture": "arm64"}` names, None if it names none."""
    if not isinstance(item, dict):
        return None
    system, architecture = _text(item.get("os")), _text(item.get("architecture"))
    if not system or not architecture:
        return None
    return Platform(system, architecture, _text(item.get("variant")) or "")


def _quoted(value: object) -> str:
    # A stranger's words in a message of ours, which is kept and shown.
    return repr(value[:_QUOTED_CHARACTERS] if isinstance(value, str) else value)[: 2 * _QUOTED_CHARACTERS]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> dict[str, str]:
    return {str(key): str(text) for key, text in value.items()} if isinstance(value, dict) else {}


def layers_of(manifest: Manifest) -> tuple[Descriptor, ...]:
    """Every layer of an image in its order, the same content more than once if annotations tell its layers apart.

    cosign keeps two signatures over one payload so. An index has none.
    """
    return tuple(_descriptor(item) for item in json.loads(manifest.raw).get("layers") or ())


def index_of(descriptors: list[Descriptor]) -> bytes:
    """The bytes of an OCI index over `descriptors`: what a referrers tag holds (OCI 1.1, "Referrers Tag Schema")."""
    items = [_document(item) for item in descriptors]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": items}, sort_keys=True
    ).encode()


def relisted(raw: bytes, *, added: Iterable[Descriptor] = (), gone: Collection[Digest] = ()) -> bytes:
    """The bytes of an index with other entries. All else stays as it is, what we do not know of included."""
    document = json.loads(raw)
    kept = [item for item in document["manifests"] if item["digest"] not in gone]
    document["manifests"] = kept + [_document(item) for item in added]
    return json.dumps(document, sort_keys=True).encode()


def _document(item: Descriptor) -> dict[str, Any]:
    document: dict[str, Any] = {
        "mediaType": item.media_type,
        "digest": str(item.digest),
        "size": item.size_bytes,
    }
    if item.artifact_type:
        document["artifactType"] = item.artifact_type
    if item.annotations:
        document["annotations"] = dict(item.annotations)
    return document

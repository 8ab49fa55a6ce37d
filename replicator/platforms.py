"""Which images of an index a rule's platforms keep, and the index that names these alone.

Platforms are compared as containerd compares them: `linux/arm64` is `linux/arm64/v8`, `linux/arm` is `linux/arm/v7`,
`linux/amd64` is `linux/amd64/v1`; every other variant is a platform of its own. An entry of an index that is for no
platform (an artifact, a BuildKit cache) is kept; an attestation goes where the image goes that it describes.

Nothing here reads a registry: what an index does not say of its entries itself is found out by `transfer`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from replicator.oci import (
    DOCKER_CONFIG,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_CONFIG,
    Descriptor,
    Digest,
    Manifest,
    Platform,
    parse_manifest,
    platform_of,
)

# Go's names, which OCI image spec 1.1 ("Image Index", `platform`) asks for. What is not here is a slip of the pen.
_SYSTEMS = frozenset({
    "aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "netbsd", "openbsd",
    "plan9", "solaris", "wasip1", "windows", "zos",
})  # fmt: skip
_ARCHITECTURES = frozenset({
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le",
    "riscv64", "s390x", "sparc64", "wasm",
})  # fmt: skip
# What containerd and BuildKit take for the same.
_ALIASES = {
    "i386": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_DEFAULT_VARIANTS = {"amd64": "v1", "arm64": "v8"}
_VARIANT = re.compile(r"[a-z0-9.]{1,16}")
_UNKNOWN = "unknown"
_DESCRIBED = "vnd.docker.reference.digest"
_IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})

LEFT_OUT = "it is for none of the rule's platforms"
"""Why a rule that takes it leaves it out all the same."""

Platforms = tuple[Platform, ...]
"""The platforms that a rule wants. None at all means every one."""


class Standing(Enum):
    """How something stands to the platforms that are wanted."""

    WANTED = auto()
    OTHER = auto()
    """It is for other platforms."""
    NEUTRAL = auto()
    """It is for no platform."""


def parse_platform(text: str) -> Platform:
    """The platform that a rule names, os/architecture or os/architecture/variant. Raises ValueError for other text."""
    system, _, rest = text.partition("/")
    architecture, slash, variant = rest.partition("/")
    if not architecture or (slash and not _VARIANT.fullmatch(variant)):
        raise ValueError("a platform is written os/architecture or os/architecture/variant, like linux/arm64")
    found = normal(Platform(system, architecture, variant))
    if found.os not in _SYSTEMS:
        raise ValueError(f"{system!r} is no operating system that Go knows")
    if found.architecture not in _ARCHITECTURES:
        raise ValueError(f"{architecture!r} is no architecture that Go knows")
    return found


def normal(platform: Platform) -> Platform:
    """The one way to write this platform, so that equal ones compare equal."""
    system, architecture = platform.os.lower(), platform.architecture.lower()
    variant = platform.variant.lower()
    if architecture in _ALIASES:
        architecture, implied = _ALIASES[architecture]
        variant = implied or variant
    if variant[:1].isdigit():
        variant = f"v{variant}"
    variant = variant.removesuffix(".0")
    if architecture == "arm":
        variant = variant or "v7"
    if variant == _DEFAULT_VARIANTS.get(architecture):
        variant = ""
    return Platform("darwin" if system == "macos" else system, architecture, variant)


def covers(held: Platforms, wanted: Platforms) -> bool:
    """Whether a copy of the platforms `held` has all that are `wanted`."""
    return not held or (bool(wanted) and set(wanted) <= set(held))


def joined(held: Platforms, more: Platforms) -> Platforms:
    """The platforms of both, in the one order that records keep; every one if either has."""
    return tuple(sorted({*held, *more}, key=str)) if held and more else ()


# An image by itself


def config_of(manifest: Manifest) -> Descriptor | None:
    """The config that says which platform an image is for; None for what is no image."""
    is_image = not manifest.is_index and manifest.artifact_type in _IMAGE_CONFIGS
    return manifest.blobs[0] if is_image else None


def standing_of(config: bytes, wanted: Platforms) -> Standing:
    """How an image with that config stands by itself. An attestation is wanted with its index alone."""
    try:
        said = platform_of(json.loads(config))
    except (ValueError, RecursionError):
        said = None
    if said is None:
        return Standing.NEUTRAL
    return Standing.WANTED if normal(said) in wanted else Standing.OTHER


# An index


@dataclass(frozen=True, slots=True)
class Choice:
    """What is kept of a manifest: all of an image, or those entries of an index for which `keeps` is true.

    `below` has the choices of those entries that are indexes. `standing` is that of the whole; what is OTHER is not to
    be copied.
    """

    manifest: Manifest
    keeps: tuple[bool, ...] = ()
    below: Mapping[Digest, "Choice"] = field(default_factory=dict)
    standing: Standing = Standing.NEUTRAL
    made_from: Digest | None = None
    """The index that this one was rebuilt of."""

    @classmethod
    def whole(cls, manifest: Manifest, standing: Standing = Standing.NEUTRAL) -> "Choice":
        """The choice that leaves nothing out."""
        return cls(manifest, (True,) * len(manifest.children), standing=standing)

    @property
    def kept(self) -> tuple[Descriptor, ...]:
        """The entries that are kept."""
        pairs = zip(self.manifest.children, self.keeps, strict=True)
        return tuple(entry for entry, is_kept in pairs if is_kept)

    @property
    def is_part(self) -> bool:
        """Whether it is part of an index, as it is or rebuilt."""
        return bool(self.made_from or self.left_out)

    @property
    def left_out(self) -> frozenset[Digest]:
        """What is named, here or below, and not kept."""
        kept = {entry.digest for entry in self.kept}
        here = frozenset(entry.digest for entry in self.manifest.children) - kept
        return here.union(*(self.below[digest].left_out for digest in kept & self.below.keys()))


def unsaid(index: Manifest, wanted: Platforms) -> tuple[Descriptor, ...]:
    """The entries of an index that have to be looked into: indexes, and images that only their config tells of."""
    return tuple(entry for entry in index.children if _said(entry, wanted) is None)


def choose(index: Manifest, wanted: Platforms, seen: Mapping[Digest, Choice]) -> Choice:
    """What `wanted` keeps of an index. `seen` has the choices of what was looked into; what is not there is kept."""
    standings = [_said(entry, wanted) or _seen(entry, seen) for entry in index.children]
    if Standing.WANTED in standings:
        standing = Standing.WANTED
    else:
        standing = Standing.OTHER if Standing.OTHER in standings else Standing.NEUTRAL
    pairs = [*zip(index.children, standings, strict=True)]
    # The same image may be listed twice, for a wanted platform and for another.
    kept = {entry.digest for entry, its in pairs if its is not Standing.OTHER}
    gone = {entry.digest for entry in index.children} - kept
    keeps = tuple(
        its is not Standing.OTHER and entry.annotations.get(_DESCRIBED) not in gone for entry, its in pairs
    )
    below = {digest: choice for digest, choice in seen.items() if choice.manifest.is_index and digest in kept}
    return Choice(index, keeps, below, standing)


def rebuilt(choice: Choice) -> Choice:
    """The choice as an index of its own, which names what is kept and nothing else: always the same bytes."""
    if not choice.left_out:
        return choice
    below = {digest: rebuilt(inner) for digest, inner in choice.below.items()}
    document: dict[str, Any] = json.loads(choice.manifest.raw)
    entries = zip(choice.manifest.children, document["manifests"], choice.keeps, strict=True)
    document["manifests"] = [
        _pointing(item, below.get(entry.digest)) for entry, item, is_kept in entries if is_kept
    ]
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    made = parse_manifest(raw, choice.manifest.media_type)
    inner = {item.manifest.digest: item for item in below.values()}
    return replace(Choice.whole(made, choice.standing), below=inner, made_from=choice.manifest.digest)


def ways(choice: Choice, *, sparse: bool, rewrite: bool) -> Iterator[Choice]:
    """The forms in which a destination may hold it, the best first: as it is, if it may be `sparse`; else rebuilt."""
    if sparse or not choice.left_out:
        yield choice
    if rewrite and choice.left_out:
        yield rebuilt(choice)


def _said(entry: Descriptor, wanted: Platforms) -> Standing | None:
    """What an index says of its entry itself; None if that has to be looked into."""
    is_image = entry.platform is not None and entry.platform.os != _UNKNOWN
    if entry.platform and is_image and normal(entry.platform) not in wanted:
        return Standing.OTHER
    if entry.media_type in INDEX_TYPES:
        return None
    if is_image:
        return Standing.WANTED
    says_nothing = entry.platform is None and _DESCRIBED not in entry.annotations
    return None if says_nothing and entry.media_type in MANIFEST_TYPES else Standing.NEUTRAL


def _seen(entry: Descriptor, seen: Mapping[Digest, Choice]) -> Standing:
    return seen[entry.digest].standing if entry.digest in seen else Standing.NEUTRAL


def _pointing(item: dict[str, Any], inner: Choice | None) -> dict[str, Any]:
    if inner is None:
        return item
    pointer = {"digest": inner.manifest.digest, "size": len(inner.manifest.raw)}
    return {key: value for key, value in item.items() if key != "data"} | pointer

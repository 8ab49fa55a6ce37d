"""One registry as a set of verbs. Being written: the signatures are final."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from replicator.oci import Descriptor, Digest, Manifest, Reference, Repository, Tag
from replicator.rules.registries import Registry

Observe = Callable[[str, str, int, float], None]


def ignore(registry: str, method: str, status: int, seconds: float) -> None:
    """The default observer: registry name, method, status (0 = no answer), seconds."""


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """What a registry says of a manifest without sending it."""

    digest: Digest
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Upload:
    """An open upload session: where the blob's bytes are to be sent."""

    repository: Repository
    digest: Digest
    location: str


class RegistryClient:
    """A registry; safe for several threads; keeps connections and tokens."""

    def __init__(
        self, registry: Registry, *, transport: httpx.BaseTransport | None = None, observe: Observe = ignore
    ) -> None:
        self.name = registry.name

    def head_manifest(self, repository: Repository, reference: Reference) -> ManifestHead | None:
        raise NotImplementedError

    def get_manifest(self, repository: Repository, reference: Reference) -> Manifest | None:
        raise NotImplementedError

    def put_manifest(self, repository: Repository, reference: Reference, manifest: Manifest) -> bool:
        raise NotImplementedError

    def delete_manifest(self, repository: Repository, reference: Reference) -> bool:
        raise NotImplementedError

    def has_blob(self, repository: Repository, descriptor: Descriptor) -> bool:
        raise NotImplementedError

    def start_upload(
        self, repository: Repository, digest: Digest, *, mount_from: Repository | None = None
    ) -> Upload | None:
        raise NotImplementedError

    def finish_upload(self, upload: Upload, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
        raise NotImplementedError

    def cancel_upload(self, upload: Upload) -> None:
        raise NotImplementedError

    @contextmanager
    def open_blob(self, repository: Repository, descriptor: Descriptor) -> Iterator[Iterable[bytes]]:
        raise NotImplementedError
        yield ()

    def tags(self, repository: Repository) -> list[Tag] | None:
        raise NotImplementedError

    def referrers(self, repository: Repository, digest: Digest) -> list[Descriptor] | None:
        raise NotImplementedError

    def labels(self, repository: Repository, digest: Digest) -> frozenset[str] | None:
        raise NotImplementedError

    def ping(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def connect(
    registry: Registry, *, transport: httpx.BaseTransport | None = None, observe: Observe = ignore
) -> RegistryClient:
    """A client of `registry`."""
    return RegistryClient(registry, transport=transport, observe=observe)

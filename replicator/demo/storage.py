"""What the demo registry holds: repositories with their manifests, tags and blobs, and the uploads under way.

Small blobs are kept in memory, large ones in unnamed temporary files, so that memory stays flat. It knows nothing of
HTTP. `Storage.lock` guards everything but the bytes of an upload, which has a lock of its own.
"""

import hashlib
import os
import secrets
import tempfile
import threading
import uuid
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from replicator.oci import Digest, Manifest, Repository, Tag

_MEMORY_LIMIT_BYTES = 1024 * 1024
_READ_BYTES = 256 * 1024


class _File:
    """A temporary file without a name; it goes when nothing refers to it any more, readers included."""

    def __init__(self) -> None:
        self.fd, name = tempfile.mkstemp(prefix="registry-")
        Path(name).unlink()
        weakref.finalize(self, os.close, self.fd)

    def append(self, data: bytes) -> None:
        """Write at the end. Raises OSError when the disk is full."""
        if os.write(self.fd, data) != len(data):
            raise OSError("the disk took only part of a blob")


class Blob:
    """Bytes that no longer change."""

    def __init__(self, content: bytes | _File, size_bytes: int) -> None:
        self._content = content
        self.size_bytes = size_bytes

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces. May be read by many threads at once."""
        stop = self.size_bytes if stop is None else stop
        for offset in range(start, stop, _READ_BYTES):
            size = min(_READ_BYTES, stop - offset)
            if isinstance(self._content, bytes):
                yield self._content[offset : offset + size]
            else:
                yield os.pread(self._content.fd, size, offset)


class Upload:
    """A blob that is being sent; `lock` is held by the request that sends."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.id = str(uuid.uuid4())
        self.secret = secrets.token_urlsafe(9)
        self.lock = threading.Lock()
        self.size_bytes = 0
        self._sha256 = hashlib.sha256()
        self._memory = bytearray()
        self._file: _File | None = None

    def append(self, data: bytes) -> None:
        """Keep `data` after what came before."""
        self._sha256.update(data)
        self.size_bytes += len(data)
        if self._file is None and self.size_bytes > _MEMORY_LIMIT_BYTES:
            self._file = _File()
            self._file.append(bytes(self._memory))
            self._memory.clear()
        if self._file is None:
            self._memory += data
        else:
            self._file.append(data)

    def blob(self) -> Blob:
        """What was sent so far."""
        return Blob(bytes(self._memory) if self._file is None else self._file, self.size_bytes)

    def digest(self, algorithm: str) -> Digest:
        """The digest of what was sent so far. Only sha256 is known without reading it again."""
        if algorithm == "sha256":
            return Digest(f"sha256:{self._sha256.hexdigest()}")
        hasher = hashlib.new(algorithm)
        for chunk in self.blob().chunks():
            hasher.update(chunk)
        return Digest(f"{algorithm}:{hasher.hexdigest()}")


@dataclass(slots=True)
class Shelf:
    """One repository."""

    manifests: dict[Digest, Manifest] = field(default_factory=dict)
    tags: dict[Tag, Digest] = field(default_factory=dict)
    blobs: set[Digest] = field(default_factory=set)
    has_had_manifests: bool = False

    def add(self, manifest: Manifest) -> None:
        """Keep a manifest, untagged so far."""
        self.manifests[manifest.digest] = manifest
        self.has_had_manifests = True

    def remove(self, digest: Digest) -> list[Tag]:
        """Forget a manifest and every tag that points to it; gives those tags."""
        del self.manifests[digest]
        gone = sorted(tag for tag, held in self.tags.items() if held == digest)
        for tag in gone:
            del self.tags[tag]
        return gone

    def missing(self, manifest: Manifest) -> list[Digest]:
        """The blobs and children that a manifest names and this repository lacks; a subject may be missing."""
        wanted = [item.digest for item in manifest.blobs if not item.is_foreign]
        lacking = [digest for digest in wanted if digest not in self.blobs]
        # BuildKit's cache indexes list layers as children, so that a child may be a blob.
        children = [item.digest for item in manifest.children]
        lacking += [
            digest for digest in children if digest not in self.manifests and digest not in self.blobs
        ]
        return lacking


class Storage:
    """All repositories. Blobs are kept once, however many repositories hold them."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.shelves: dict[Repository, Shelf] = {}
        self._blobs: dict[Digest, Blob] = {}
        self._uploads: dict[str, Upload] = {}

    def shelf(self, repository: Repository) -> Shelf:
        """The repository, made if it is not there. To be called with the lock held."""
        return self.shelves.setdefault(repository, Shelf())

    def find(self, repository: Repository) -> Shelf | None:
        """The repository if there is one. To be called with the lock held."""
        return self.shelves.get(repository)

    def blob(self, repository: Repository, digest: Digest) -> Blob | None:
        """The blob if this very repository holds it."""
        with self.lock:
            shelf = self.shelves.get(repository)
            return self._blobs[digest] if shelf and digest in shelf.blobs else None

    def add_blob(self, repository: Repository, digest: Digest, blob: Blob) -> None:
        """Let the repository hold the blob."""
        with self.lock:
            self._blobs.setdefault(digest, blob)
            self.shelf(repository).blobs.add(digest)

    def remove_blob(self, repository: Repository, digest: Digest) -> bool:
        """Take the blob from the repository; False if it was not there."""
        with self.lock:
            if self.blob(repository, digest) is None:
                return False
            self.shelves[repository].blobs.discard(digest)
            if not any(digest in shelf.blobs for shelf in self.shelves.values()):
                del self._blobs[digest]
            return True

    def start_upload(self, repository: Repository) -> Upload:
        """A new, empty upload."""
        upload = Upload(repository)
        with self.lock:
            self._uploads[upload.id] = upload
        return upload

    def upload(self, repository: Repository, upload_id: str) -> Upload | None:
        """The upload of that id in that repository."""
        with self.lock:
            upload = self._uploads.get(upload_id)
        return upload if upload and upload.repository == repository else None

    def end_upload(self, upload: Upload) -> None:
        """Forget an upload, finished or not."""
        with self.lock:
            self._uploads.pop(upload.id, None)

    @property
    def open_uploads(self) -> int:
        """How many uploads were neither finished nor cancelled."""
        return len(self._uploads)

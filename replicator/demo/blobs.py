"""The blob half of the registry API: reading, mounting, uploading and deleting blobs.

Functions from a `Call` to a `Response`; manifests, names and logins are somebody else's business.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from replicator.demo.features import Features
from replicator.demo.messages import Refusal, Request, Response
from replicator.demo.storage import Blob, Storage, Upload
from replicator.oci import Digest, Repository

_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
# OCI 1.1, "Pushing a blob in chunks": inclusive on both sides, without the unit.
_CHUNK = re.compile(r"(?:bytes )?(\d+)-(\d+)(?:/\S+)?\Z")


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose route, repository and login were understood; `rest` is the last part of its path."""

    request: Request
    repository: Repository
    rest: str
    actor: str


def parse_digest(text: str) -> Digest:
    """The digest that a client sent. Raises Refusal if it is none."""
    try:
        return Digest(text)
    except ValueError as exc:
        raise Refusal(400, "DIGEST_INVALID", "not a digest that this registry knows") from exc


def serve_blob(storage: Storage, features: Features, call: Call) -> Response:
    """GET, HEAD and DELETE of one blob."""
    digest = parse_digest(call.rest)
    if call.request.method == "DELETE":
        return _delete(storage, features, call.repository, digest)
    blob = storage.blob(call.repository, digest)
    if blob is None:
        raise _unknown(digest)
    headers = {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
    }
    wanted = _range(call.request, blob.size_bytes)
    if wanted is None:
        return Response(200, headers, blob.chunks(), blob.size_bytes)
    start, stop = wanted
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size_bytes}"
    return Response(206, headers, blob.chunks(start, stop), stop - start)


def _range(request: Request, size_bytes: int) -> tuple[int, int] | None:
    found = _RANGE.match(request.header("range"))
    if not found or found[0] == "bytes=-" or request.method == "HEAD":
        return None
    if found[1]:
        start, stop = int(found[1]), min(int(found[2] or size_bytes) + 1, size_bytes)
    else:
        start, stop = max(size_bytes - int(found[2]), 0), size_bytes
    if start >= stop:
        headers = {"Content-Range": f"bytes */{size_bytes}"}
        raise Refusal(416, "RANGE_INVALID", "the blob ends before that range", headers=headers)
    return start, stop


def _delete(storage: Storage, features: Features, repository: Repository, digest: Digest) -> Response:
    if not features.deletes:
        raise Refusal(405, "UNSUPPORTED", "this registry deletes nothing")
    if not storage.remove_blob(repository, digest):
        raise _unknown(digest)
    return Response(202)


def _unknown(digest: Digest) -> Refusal:
    return Refusal(404, "BLOB_UNKNOWN", "blob unknown to registry", details=[{"digest": digest}])


def start_upload(storage: Storage, features: Features, call: Call) -> Response:
    """POST: mount a blob, take a whole one, or open an upload."""
    request = call.request
    mount, origin = request.parameter("mount"), request.parameter("from")
    if mount and origin and features.mounts:
        digest = parse_digest(mount)
        blob = _mountable(storage, origin, digest)
        if blob is not None:
            storage.add_blob(call.repository, digest, blob)
            return _created(features, call, digest)
    upload = storage.start_upload(call.repository)
    whole = request.parameter("digest")
    if whole and not mount and features.single_post:
        return _finish(storage, features, call, upload, parse_digest(whole))
    return _progress(features, call, upload, 202)


def _mountable(storage: Storage, origin: str, digest: Digest) -> Blob | None:
    try:
        return storage.blob(Repository(origin), digest)
    except ValueError:
        return None


def serve_upload(storage: Storage, features: Features, call: Call) -> Response:
    """PATCH, PUT, GET and DELETE of an upload that POST opened."""
    upload = _upload(storage, call)
    method = call.request.method
    if method == "DELETE":
        storage.end_upload(upload)
        return Response(204)
    if method == "GET":
        return _progress(features, call, upload, 204)
    if method == "PATCH":
        _receive(features, call, upload)
        return _progress(features, call, upload, 202)
    digest = call.request.parameter("digest")
    if digest is None:
        raise Refusal(400, "DIGEST_INVALID", "a PUT closes an upload and needs its digest")
    return _finish(storage, features, call, upload, parse_digest(digest))


def _upload(storage: Storage, call: Call) -> Upload:
    upload = storage.upload(call.repository, call.rest)
    if upload is None:
        raise Refusal(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    # A Location is opaque: a client that drops or rewrites its query is told so, as CNCF Distribution does.
    if not (call.request.parameter("_state") or "").startswith(upload.secret):
        raise Refusal(404, "BLOB_UPLOAD_INVALID", "the upload's location was changed")
    return upload


def _receive(features: Features, call: Call, upload: Upload) -> None:
    """Append the body. What came before a client was lost stays, so that it can go on from there."""
    with upload.lock:
        _check_chunk(call, upload)
        for chunk in call.request.chunks():
            upload.append(chunk)
            if features.blob_limit_bytes is not None and upload.size_bytes > features.blob_limit_bytes:
                raise Refusal(
                    413, "SIZE_INVALID", f"blobs over {features.blob_limit_bytes} bytes are refused"
                )


def _check_chunk(call: Call, upload: Upload) -> None:
    sent = call.request.header("content-range")
    if not sent:
        return
    found = _CHUNK.match(sent)
    if not found or int(found[1]) != upload.size_bytes:
        headers = _position(call, upload, absolute=False)
        raise Refusal(
            416, "RANGE_INVALID", f"the upload stands at {upload.size_bytes} bytes", headers=headers
        )


def _finish(storage: Storage, features: Features, call: Call, upload: Upload, digest: Digest) -> Response:
    _receive(features, call, upload)
    found = upload.digest(digest.algorithm)
    storage.end_upload(upload)
    if found != digest:
        detail = {"expected": digest, "received": found}
        raise Refusal(400, "DIGEST_INVALID", "what was sent has another digest", details=[detail])
    storage.add_blob(call.repository, digest, upload.blob())
    return _created(features, call, digest)


def _created(features: Features, call: Call, digest: Digest) -> Response:
    location = f"{_root(call, absolute=features.absolute_locations)}/blobs/{digest}"
    return Response(201, {"Location": location, "Docker-Content-Digest": digest})


def _progress(features: Features, call: Call, upload: Upload, status: int) -> Response:
    return Response(status, _position(call, upload, absolute=features.absolute_locations))


def _position(call: Call, upload: Upload, *, absolute: bool) -> dict[str, str]:
    # The state changes with every chunk, so that a client which keeps an old Location shows.
    state = quote(f"{upload.secret}.{upload.size_bytes}")
    return {
        "Location": f"{_root(call, absolute=absolute)}/blobs/uploads/{upload.id}?_state={state}",
        "Docker-Upload-UUID": upload.id,
        # An empty upload is 0-0 as well: CNCF Distribution says it so, and clients have to live with it.
        "Range": f"0-{max(upload.size_bytes - 1, 0)}",
    }


def _root(call: Call, *, absolute: bool) -> str:
    return f"{call.request.base_url if absolute else ''}/v2/{call.repository}"

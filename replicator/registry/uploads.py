"""Puts blobs into a registry: a mount or an upload session, then one PUT (OCI 1.1, "Pushing blobs").

The bytes go straight from an iterator to the connection. If the iterator fails, the connection breaks off before the
announced length is reached, so that the registry never takes the blob for complete.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from replicator.errors import (
    Corrupt,
    PermanentError,
    ReplicatorError,
    TemporaryError,
    Unavailable,
    Unsupported,
)
from replicator.oci import Descriptor, Digest, Repository
from replicator.registry import ecr
from replicator.registry.addresses import URL
from replicator.registry.blobs import has_blob
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.pace import Pace
from replicator.registry.session import Call, Session

log = logging.getLogger(__name__)

# The closing PUT may have been taken all the same: its answer was lost, or a proxy or the login ran out of time.
_IN_DOUBT = frozenset({401, 408, 499, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Upload:
    """An open upload session: where the bytes of `digest` are to be sent. `location` may hold signed state.

    `offset` bytes are there already. A chunk that is not the last has `chunk_min_bytes` at least.
    """

    repository: Repository
    digest: Digest
    location: str = field(repr=False)
    offset: int = 0
    chunk_min_bytes: int = 0


def start(
    session: Session, repository: Repository, digest: Digest, *, mount_from: Repository | None
) -> Upload | None:
    """An open session for the blob, or None if it could be mounted from another repository of the registry."""
    topic = Topic("uploading", session.name, repository, digest)
    answer = _mount(session, repository, digest, mount_from=mount_from, topic=topic) if mount_from else None
    if answer is None:
        url = session.url(f"/v2/{repository}/blobs/uploads/", _algorithm(digest))
        call = Call("POST", url, topic, session.scopes(repository, "pull,push"))
        answer = ecr.with_repository(session, call, answer=session.send(call), repository=repository)
        if not answer.is_success:
            raise failure(answer, topic)
    elif answer.status == 201:
        return None
    location = answer.headers.get("location")
    if answer.status != 202 or not location:
        raise TemporaryError(f"{topic}: answered {answer.status} and named no place to upload to")
    url = session.resolve(answer.url, location, topic)
    return Upload(repository, digest, str(url), chunk_min_bytes=_least(answer))


def _mount(
    session: Session, repository: Repository, digest: Digest, *, mount_from: Repository, topic: Topic
) -> Answer | None:
    """The answer 201 or 202, or None where the registry cannot or may not mount from there."""
    query = [f"mount={_quoted(digest)}", f"from={_quoted(mount_from)}", _algorithm(digest)]
    url = session.url(f"/v2/{repository}/blobs/uploads/", "&".join(filter(None, query)))
    scopes = (*session.scopes(repository, "pull,push"), *session.scopes(mount_from, "pull"))
    call = Call("POST", url, topic, scopes)
    try:
        answer = session.send(call)
    except PermanentError:
        # No token for both repositories, say. What is wrong in general shows with the plain request.
        return None
    answer = ecr.with_repository(session, call, answer=answer, repository=repository)
    if answer.is_success:
        return answer
    error = failure(answer, topic)
    if isinstance(error, TemporaryError):
        raise error
    return None


def _least(answer: Answer) -> int:
    text = answer.headers.get("oci-chunk-min-length", "")
    return int(text[:18]) if text.isascii() and text.isdigit() else 0


def _algorithm(digest: Digest) -> str:
    # Registries assume sha256 unless told (spec after 1.1.1, end-4c); the others ignore the parameter. A mount that
    # fails opens a session as well.
    return "" if digest.algorithm == "sha256" else f"digest-algorithm={digest.algorithm}"


def finish(session: Session, upload: Upload, descriptor: Descriptor, chunks: Iterable[bytes]) -> None:
    """Afterwards the registry holds the blob. Raises what `chunks` raises, and then the registry does not.

    `chunks` are what is not there yet. Raises Unsupported where what came in parts does not make up the blob.
    """
    topic = Topic("uploading", session.name, upload.repository, upload.digest)
    size_bytes = descriptor.size_bytes - upload.offset
    body = Body(chunks, size_bytes, topic)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
    if upload.offset and size_bytes:
        headers["Content-Range"] = f"{upload.offset}-{descriptor.size_bytes - 1}"
    call = Call(
        "PUT",
        _closing_url(session, upload, topic),
        topic,
        session.scopes(upload.repository, "pull,push"),
        headers,
        iter(body),
    )
    try:
        answer = session.send(call)
    except Unavailable as exc:
        if body.is_sent and _is_there(session, upload, descriptor):
            return
        if body.is_begun and exc.registry == session.name:
            # It took the connection and some of the blob: what broke may be this blob's, not the registry's, fault.
            raise TemporaryError(str(exc)) from exc
        raise
    if answer.status in {201, 204}:
        _check_digest(answer, upload, topic)
        return
    is_in_doubt = answer.is_success or (answer.status in _IN_DOUBT and body.is_sent)
    if not (is_in_doubt and _is_there(session, upload, descriptor)):
        raise _not_whole(answer, topic) if upload.offset else refusal(answer, topic)


def cancel(session: Session, upload: Upload) -> None:
    """Tells the registry that the session is over. Never fails: a forgotten session expires by itself."""
    topic = Topic("giving up the upload of", session.name, upload.repository, upload.digest)
    scopes = (*session.scopes(upload.repository, "pull,push"), *session.scopes(upload.repository, "delete"))
    try:
        session.send(Call("DELETE", location_of(session, upload, topic), topic, scopes))
    except ReplicatorError as exc:
        log.debug("an upload session stays behind", extra={"registry": session.name, "reason": str(exc)})


class Body:
    """The chunks of a blob, exactly as many bytes as announced, at a pace."""

    def __init__(self, chunks: Iterable[bytes], size_bytes: int, topic: Topic) -> None:
        self._chunks = chunks
        self._size_bytes = size_bytes
        self._topic = topic
        self._sent_bytes = 0

    @property
    def is_sent(self) -> bool:
        """True once the last byte was handed over to the connection."""
        return self._sent_bytes == self._size_bytes

    @property
    def is_begun(self) -> bool:
        """True once the first bytes were handed over to the connection."""
        return self._sent_bytes > 0

    def __iter__(self) -> Iterator[bytes]:
        yield from Pace(self._topic, self._size_bytes).taken(self._counted())
        if self._sent_bytes < self._size_bytes:
            raise Corrupt(f"{self._topic}: only {self._sent_bytes} of {self._size_bytes} bytes came")

    def _counted(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if self._sent_bytes + len(chunk) > self._size_bytes:
                raise Corrupt(f"{self._topic}: more than {self._size_bytes} bytes came")
            self._sent_bytes += len(chunk)
            yield chunk


def location_of(session: Session, upload: Upload, topic: Topic) -> URL:
    # Checked again: an upload may have been kept elsewhere since it was started.
    return session.resolve(session.url("/"), upload.location, topic)


def _closing_url(session: Session, upload: Upload, topic: Topic) -> URL:
    # The query is opaque state and stays byte for byte, but for a digest that is there already.
    url = location_of(session, upload, topic)
    kept = [part for part in url.query.split("&") if part and not part.startswith("digest=")]
    query = "&".join([*kept, f"digest={_quoted(upload.digest)}"])
    return url.at(f"{url.path}?{query}")


def _is_there(session: Session, upload: Upload, descriptor: Descriptor) -> bool:
    try:
        return has_blob(session, upload.repository, descriptor)
    except ReplicatorError:
        return False


def _check_digest(answer: Answer, upload: Upload, topic: Topic) -> None:
    said = answer.headers.get("docker-content-digest", "")
    if said.partition(":")[0] == upload.digest.algorithm and said != upload.digest:
        raise Corrupt(f"{topic}: the registry stored it as {said[:80]!r}")


def _not_whole(answer: Answer, topic: Topic) -> ReplicatorError:
    """Why an upload in parts was not closed."""
    if answer.status == 413:
        return PermanentError(f"{topic}: answered 413 to the last part: larger than the registry takes")
    if answer.status in {400, 416}:
        return Unsupported(f"{topic}: answered {answer.status}: it does not have what was sent in parts")
    return refusal(answer, topic)


def refusal(answer: Answer, topic: Topic) -> ReplicatorError:
    if answer.is_success:
        return TemporaryError(f"{topic}: answered {answer.status} but does not hold the blob")
    if answer.status == 401:
        return TemporaryError(f"{topic}: the login ran out while the bytes were sent")
    if answer.status == 404 and "NAME_UNKNOWN" not in answer.codes:
        return TemporaryError(f"{topic}: the upload session is gone")
    return failure(answer, topic)


def _quoted(name: Digest | Repository) -> str:
    # As a part of a query; neither can hold anything else that needs it.
    return name.replace(":", "%3A").replace("/", "%2F")

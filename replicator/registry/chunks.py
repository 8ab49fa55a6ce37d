"""Uploads in parts: a chunk into a session, and how far a session got (OCI 1.1, "Pushing a blob in chunks").

A chunk is never sent again unasked: the registry may have taken it though its answer was lost, and then wants the next
one at another place.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from replicator.errors import (
    PermanentError,
    ReplicatorError,
    TemporaryError,
    TooLarge,
    Unavailable,
    Unsupported,
)
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.session import Call, Session
from replicator.registry.uploads import Body, Upload, location_of, refusal

# Some say "bytes=0-9" (Quay); "0--1" is a session with nothing in it.
_RANGE = re.compile(r"(?:bytes[= ])?0-(\d{1,18})")
_UNKNOWN_SESSION = frozenset({"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"})


def send_chunk(session: Session, upload: Upload, chunk: Sequence[bytes]) -> Upload:
    """Where the session stands afterwards, with all of `chunk` in it.

    Raises Unsupported where the registry does not take chunks, or does not keep what came before; TooLarge where the
    first of them is too large; TemporaryError where it is not known what of the chunk arrived.
    """
    topic = Topic("uploading a part of", session.name, upload.repository, upload.digest)
    size_bytes = sum(map(len, chunk))
    end = upload.offset + size_bytes
    call = Call(
        "PATCH",
        location_of(session, upload, topic),
        topic,
        session.scopes(upload.repository, "pull,push"),
        {
            "Content-Type": "application/octet-stream",
            # Without a unit, and both ends belong to it: not as in RFC 9110.
            "Content-Range": f"{upload.offset}-{end - 1}",
            "Content-Length": str(size_bytes),
        },
    )
    answer = _sent(session, call, chunk)
    if not answer.is_success:
        raise _refused(upload, answer, topic)
    stands = _advanced(session, upload, answer, topic)
    found = _offset(answer)
    if found is not None and found != end:
        raise Unsupported(f"{topic}: took bytes {call.headers['Content-Range']} and says that it has {found}")
    return replace(stands, offset=end)


def look_up(session: Session, upload: Upload) -> Upload | None:
    """Where the session stands, or None where it is over, or where that is not to be trusted.

    A session with nothing in it and one with a single byte look the same: it is begun again rather than guessed at.
    """
    topic = Topic("looking for the upload of", session.name, upload.repository, upload.digest)
    try:
        url = location_of(session, upload, topic)
        answer = session.send(Call("GET", url, topic, session.scopes(upload.repository, "pull,push")))
        if not answer.is_success:
            error = failure(answer, topic)
            if isinstance(error, TemporaryError) and not _is_over(answer):
                raise error
            return None
        offset = _offset(answer)
        if offset is None or offset < 2:
            return None
        return replace(_advanced(session, upload, answer, topic), offset=offset)
    except PermanentError:
        return None


def _sent(session: Session, call: Call, chunk: Sequence[bytes]) -> Answer:
    for is_last in (False, True):
        body = Body(chunk, sum(map(len, chunk)), call.topic)
        try:
            answer = session.send(replace(call, content=iter(body)))
        except Unavailable as exc:
            if body.is_begun:
                raise TemporaryError(str(exc)) from exc  # it took the connection: no sign of an outage
            raise
        # The login ran out between two chunks: nothing of this one was taken, and the next has a new one.
        if answer.status != 401 or is_last:
            break
    return answer


def _refused(upload: Upload, answer: Answer, topic: Topic) -> ReplicatorError:
    is_first = upload.offset == 0
    if answer.status == 413 and not is_first:
        return PermanentError(
            f"{topic}: answered 413 after {upload.offset} bytes: larger than the registry takes"
        )
    if answer.status == 416 and is_first:
        # GHCR says so of a chunk over 4 MiB; nothing else can be wrong with the first one.
        return TooLarge(f"{topic}: answered 416 to the first part")
    if answer.status in {404, 405, 501} and not answer.codes & (_UNKNOWN_SESSION | {"NAME_UNKNOWN"}):
        return Unsupported(f"{topic}: answered {answer.status} to a PATCH")
    return refusal(answer, topic)


def _is_over(answer: Answer) -> bool:
    return answer.status in {404, 416} or bool(answer.codes & _UNKNOWN_SESSION)


def _advanced(session: Session, upload: Upload, answer: Answer, topic: Topic) -> Upload:
    # Quay names no Location when asked how far an upload got: the last one stays good then.
    location = answer.headers.get("location")
    if not location:
        return upload
    return replace(upload, location=str(session.resolve(answer.url, location, topic)))


def _offset(answer: Answer) -> int | None:
    found = _RANGE.fullmatch(answer.headers.get("range", "").strip())
    return int(found[1]) + 1 if found else None

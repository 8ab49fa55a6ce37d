"""Reads, writes and deletes manifests by the rules of the OCI distribution spec, and checks every digest on the way.

404 means absent and nothing else does: a refusal or an outage must never pass for "not there", or it would be copied
over or deleted.
"""

import time
from dataclasses import dataclass, replace

from replicator.errors import (
    Corrupt,
    InUse,
    ManifestInvalid,
    MissingContent,
    Overtaken,
    ReplicatorError,
    TagImmutable,
    TemporaryError,
    Unsupported,
)
from replicator.oci import (
    MANIFEST_LIMIT_BYTES,
    MANIFEST_TYPES,
    Digest,
    Manifest,
    Reference,
    Repository,
    Tag,
    parse_manifest,
)
from replicator.registry import ecr
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.session import Call, Session

# One header that names them all: some registries read only the first header, and convert what is not named (OCI 1.1,
# "Pulling manifests").
_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}
_NO_HEAD = frozenset({405, 501})
_MISSING = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
# Harbor answers 412 for a child of an index and for an immutable tag, others 409 or 400.
_NEEDED = frozenset({400, 409, 412})
_IMMUTABLE = frozenset({"TAG_INVALID", "TAG_IMMUTABLE"})
# Some registries show a write a little later than they acknowledge it.
_LOOKS_S = (0.0, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """What a registry says of a manifest without sending it."""

    digest: Digest
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Edition:
    """What a reference held when it was read, None if it was absent, and the mark by which the registry knows that."""

    manifest: Manifest | None
    etag: str = ""


def head(session: Session, repository: Repository, reference: Reference) -> ManifestHead | None:
    """What `reference` is, or None where it is absent. Reads the manifest if the registry's HEAD does not say."""
    call = _call(session, "HEAD", repository, reference, doing="looking at")
    answer = session.send(call)
    if answer.status == 404:
        return None
    if answer.is_success:
        found = _head_of(answer, reference, call.topic)
        if found:
            return found
    elif answer.status not in _NO_HEAD:
        raise failure(answer, call.topic)
    manifest = get(session, repository, reference)
    return ManifestHead(manifest.digest, manifest.media_type, len(manifest.raw)) if manifest else None


def digest_of(
    session: Session, repository: Repository, reference: Reference, *, known: Digest | None = None
) -> Digest | None:
    """The digest that `reference` holds, or None where it is absent.

    A registry that can is asked only whether a tag still holds what is `known`: it answers 304, which is no pull.
    """
    call = _call(session, "HEAD", repository, reference, doing="looking at")
    if isinstance(reference, Digest):
        # Distribution compares a digest with itself, and answers 304 for what it does not have.
        known = None
    if known:
        call = replace(call, headers={**_ACCEPT, "If-None-Match": f'"{known}"'})
    answer = session.send(call)
    if answer.status == 404:
        return None
    said = _digest_of(answer)
    if known and answer.status == 304:
        if said and said != known:
            raise Corrupt(f"{call.topic}: the registry says that {known} is unchanged and that it is {said}")
        return known
    if answer.is_success and said:
        return _agreed(said, reference, call.topic)
    if not answer.is_success and answer.status not in _NO_HEAD:
        raise failure(answer, call.topic)
    manifest = get(session, repository, reference)
    return manifest.digest if manifest else None


def _head_of(answer: Answer, reference: Reference, topic: Topic) -> ManifestHead | None:
    said = _digest_of(answer)
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    length = answer.headers.get("content-length", "")
    if not said or not media_type or not (length.isascii() and length.isdigit()):
        return None
    return ManifestHead(_agreed(said, reference, topic), media_type, int(length[:18]))


def _agreed(said: Digest, reference: Reference, topic: Topic) -> Digest:
    """What the registry says, unless it was asked about a digest: then that one, with which it must not disagree."""
    if not isinstance(reference, Digest):
        return said
    if said.algorithm == reference.algorithm and said != reference:
        raise Corrupt(f"{topic}: the registry says it is {said}")
    return reference


def get(session: Session, repository: Repository, reference: Reference) -> Manifest | None:
    """The manifest, its bytes checked against `reference` or what the registry says; None where it is absent."""
    return edition(session, repository, reference).manifest


def edition(session: Session, repository: Repository, reference: Reference) -> Edition:
    """The same, to be replaced only as long as it is what the reference holds."""
    call = _call(session, "GET", repository, reference, doing="reading")
    answer = session.send(replace(call, limit_bytes=MANIFEST_LIMIT_BYTES))
    if answer.status == 404:
        return Edition(None)
    if not answer.is_success:
        raise failure(answer, call.topic)
    expected = reference if isinstance(reference, Digest) else _digest_of(answer)
    try:
        manifest = parse_manifest(answer.body, answer.headers.get("content-type", ""), expected=expected)
    except (Corrupt, Unsupported) as exc:
        raise type(exc)(f"{call.topic}: {exc}") from exc
    return Edition(manifest, answer.headers.get("etag", "").strip())


def put(
    session: Session,
    repository: Repository,
    reference: Reference,
    manifest: Manifest,
    *,
    replacing: Edition | None = None,
) -> bool | None:
    """Afterwards `reference` holds exactly these bytes. True if the answer carried `OCI-Subject`, None without one.

    A 201 with the digest that we computed proves it; after any other good answer the registry is asked. Raises
    Overtaken if the registry compares, and holds something else than the edition that is to be replaced.
    """
    call = _call(session, "PUT", repository, reference, doing="writing")
    call = replace(
        call,
        scopes=session.scopes(repository, "pull,push"),
        headers={"Content-Type": manifest.media_type, **_condition(replacing)},
        content=manifest.raw,
    )
    answer = ecr.with_repository(session, call, answer=session.send(call), repository=repository)
    if answer.status == 412 and "If-Match" in call.headers:
        raise Overtaken(f"{call.topic}: it changed since it was read", retry_after=0.5)
    if not answer.is_success:
        error = _refusal(answer, reference, call.topic)
        # Some refuse to write even the same content to an immutable tag; then all is as it should be.
        if not isinstance(error, TagImmutable) or not _holds(session, repository, reference, manifest):
            raise error
        return None
    said = _digest_of(answer)
    if said and said != Digest.of(manifest.raw, said.algorithm):
        raise Corrupt(f"{call.topic}: the registry stored it as {said}, expected {manifest.digest}")
    if (answer.status != 201 or not said) and not _appears(session, repository, reference, manifest):
        raise TemporaryError(f"{call.topic}: answered {answer.status} but does not hold {manifest.digest}")
    return "oci-subject" in answer.headers


def delete(session: Session, repository: Repository, reference: Reference) -> bool:
    """Deletes a tag, or a manifest with every tag of it; False if it was already gone.

    Raises Unsupported where the registry cannot delete in this way, InUse where it keeps what something needs.
    """
    call = _call(session, "DELETE", repository, reference, doing="deleting")
    answer = session.send(replace(call, scopes=session.scopes(repository, "delete")))
    if answer.is_success:
        return True
    if answer.status == 404:
        return False
    if answer.status in {400, 405, 501} and isinstance(reference, Tag):
        raise Unsupported(f"{call.topic}: the registry cannot delete a tag (it answered {answer.status})")
    if answer.status in _NEEDED:
        raise InUse(str(failure(answer, call.topic)))
    raise failure(answer, call.topic)


def _call(session: Session, method: str, repository: Repository, reference: Reference, *, doing: str) -> Call:
    topic = Topic(doing, session.name, repository, reference)
    url = session.url(f"/v2/{repository}/manifests/{reference}")
    return Call(method, url, topic, session.scopes(repository, "pull"), _ACCEPT)


def _condition(replacing: Edition | None) -> dict[str, str]:
    # A weak mark matches nothing here (RFC 9110, "If-Match").
    if replacing is None or not replacing.etag.startswith('"'):
        return {}
    return {"If-Match": replacing.etag}


def _digest_of(answer: Answer) -> Digest | None:
    try:
        return Digest(answer.headers.get("docker-content-digest", "").strip())
    except ValueError:
        return None


def _refusal(answer: Answer, reference: Reference, topic: Topic) -> ReplicatorError:
    error = failure(answer, topic)
    if answer.status in {400, 404} and answer.codes & _MISSING:
        return MissingContent(str(error), missing=answer.digests)
    if answer.status == 404 and "NOT_FOUND" in answer.codes:
        # Harbor's own code: it is removing these very bytes just now, and takes them again when it has.
        return TemporaryError(str(error))
    if answer.status < 500 and "MANIFEST_INVALID" in answer.codes:
        return ManifestInvalid(str(error))
    is_tag = isinstance(reference, Tag)
    if is_tag and (answer.status in {409, 412} or (answer.status < 500 and answer.codes & _IMMUTABLE)):
        return TagImmutable(str(error))
    return error


def _holds(session: Session, repository: Repository, reference: Reference, manifest: Manifest) -> bool:
    found = head(session, repository, reference)
    return found is not None and found.digest == Digest.of(manifest.raw, found.digest.algorithm)


def _appears(session: Session, repository: Repository, reference: Reference, manifest: Manifest) -> bool:
    for wait_s in _LOOKS_S:
        time.sleep(wait_s)
        if _holds(session, repository, reference, manifest):
            return True
    return False

"""Lists the tags of a repository, with their digests where it tells them, and the referrers of a manifest."""

import json
from collections.abc import Iterator
from urllib.parse import quote

from replicator.errors import Corrupt, TemporaryError
from replicator.oci import OCI_INDEX, Descriptor, Digest, Repository, Tag, parse_manifest
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.pages import PAGE_BYTES, check_count, names_of, pages
from replicator.registry.session import Call, Session
from replicator.rules.registries import RegistryType

Listing = dict[Tag, Digest | None]
"""The tags of a repository. None: the listing does not say which digest the tag holds."""

_TAGS_A_PAGE = 1000
_TOO_MANY = frozenset({400, 405})
_UNKNOWN = frozenset({"NAME_UNKNOWN", "MANIFEST_UNKNOWN", "MANIFEST_INVALID"})
_NO_REFERRERS_API = frozenset({400, 404, 405, 501})


def tags(session: Session, repository: Repository) -> list[Tag] | None:
    """Every tag, each once, in the registry's order; None where the repository is absent."""
    found = listing(session, repository)
    return None if found is None else list(found)


def listing(session: Session, repository: Repository) -> Listing | None:
    """Every tag, and its digest if the registry's list of tags says so; None where the repository is absent."""
    topic = Topic("listing the tags of", session.name, repository)
    found: Listing = {}
    last = ""
    while True:
        page, known = [], len(found)
        for answer in _pages(session, repository, topic, last=last):
            if answer.status == 404 and not last and not _is_page(answer):
                return None
            if not answer.is_success:
                raise failure(answer, topic)
            page = names_of(answer, "tags", topic)
            digests = _digests(answer.body) if session.kind is RegistryType.GAR else {}
            found.update((tag, digests.get(tag)) for text in page if (tag := tag_of(text)))
            check_count(len(found), topic)
        # A full page without a link may be all there is, or the work of a registry that sends no links (1.0.1).
        if len(page) < _TAGS_A_PAGE or len(found) == known:
            return found
        last = page[-1]


def _pages(
    session: Session, repository: Repository, topic: Topic, *, last: str, size: int | None = _TAGS_A_PAGE
) -> Iterator[Answer]:
    """The pages after `last`. Who refuses pages of so many tags is asked for as many as it likes to send."""
    wanted = {"n": str(size or ""), "last": quote(last, safe="")}
    query = "&".join(f"{key}={value}" for key, value in wanted.items() if value)
    url = session.url(f"/v2/{repository}/tags/list", query)
    scopes = session.scopes(repository, "pull")
    answers = pages(session, Call("GET", url, topic, scopes, limit_bytes=PAGE_BYTES))
    first = next(answers)
    if first.status in _TOO_MANY and size:
        yield from _pages(session, repository, topic, last=last, size=None)
        return
    yield first
    yield from answers


def tag_of(text: str) -> Tag | None:
    """The tag of that name, or None: Nexus and Artifactory list empty names and digests among the tags."""
    try:
        return Tag(text)
    except ValueError:
        return None


def note(found: Listing, tag: Tag, digest: Digest) -> None:
    """Adds what a listing says of `tag`. Where it says two things, because the tag moved meanwhile, it says nothing."""
    found[tag] = digest if found.get(tag, digest) == digest else None


def _digests(body: bytes) -> Listing:
    # Google's `manifest` beside `tags`: by digest what it knows of each, its tags among that.
    found: Listing = {}
    try:
        for text, facts in json.loads(body)["manifest"].items():
            for name in facts.get("tag") or ():
                note(found, Tag(name), Digest(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return found


def _is_page(answer: Answer) -> bool:
    # A proxy's own 404 is no word of the registry: taken for one, everything in the repository would count as gone.
    kind = str(answer.headers.get("content-type", ""))
    return kind.partition(";")[0].strip().lower() == "text/html"


def referrers(session: Session, repository: Repository, digest: Digest) -> list[Descriptor] | None:
    """What refers to `digest`; None where the registry has no referrers API."""
    call = _referrers_call(session, repository, digest)
    found: dict[Digest, Descriptor] = {}
    for number, answer in enumerate(pages(session, call)):
        if not _is_list(answer):
            if number:
                raise TemporaryError(f"{call.topic}: the listing went away while it was read")
            return [] if _serves(answer, call.topic) is None else None
        try:
            children = parse_manifest(answer.body, OCI_INDEX).children
        except Corrupt as exc:
            raise Corrupt(f"{call.topic}: {exc}") from exc
        found.update((item.digest, item) for item in children)
    return list(found.values())


def serves_referrers(session: Session, repository: Repository, digest: Digest) -> bool | None:
    """Whether the registry has the referrers API; None where it does not know what it was asked about."""
    call = _referrers_call(session, repository, digest)
    return _serves(session.send(call), call.topic)


def _referrers_call(session: Session, repository: Repository, digest: Digest) -> Call:
    topic = Topic("listing the referrers of", session.name, repository, digest)
    url = session.url(f"/v2/{repository}/referrers/{digest}")
    scopes = session.scopes(repository, "pull")
    return Call("GET", url, topic, scopes, {"Accept": OCI_INDEX}, limit_bytes=PAGE_BYTES)


def _is_list(answer: Answer) -> bool:
    # Front ends answer 200 with a page of their own: only an index is a list of referrers.
    kind = str(answer.headers.get("content-type", ""))
    return answer.is_success and kind.partition(";")[0].strip().lower() == OCI_INDEX


def _serves(answer: Answer, topic: Topic) -> bool | None:
    if answer.is_success:
        return _is_list(answer)
    # The repository, or at Quay the digest, is what is not known. That says nothing of the API.
    if answer.status in {400, 404} and answer.codes & _UNKNOWN:
        return None
    if answer.status in _NO_REFERRERS_API:
        return False
    raise failure(answer, topic)

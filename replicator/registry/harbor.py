"""What Harbor offers only through its own API v2.0: labels, listings with digests, and the deletion of one tag.

That API takes Basic credentials, no registry tokens, and wants the slashes of a repository escaped twice. And how
Harbor's garbage collection learns that a blob is wanted.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote

from replicator.errors import InUse, PermanentError, TemporaryError, Unsupported
from replicator.oci import Descriptor, Digest, Repository, Tag
from replicator.registry import catalog, listings, manifests
from replicator.registry.blobs import blob_size
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.listings import Listing
from replicator.registry.session import Call, Session

_ARTIFACT_BYTES = 4 * 1024 * 1024
# A page has 100 items at most; an artifact comes with the whole configuration of its image.
_ITEMS_A_PAGE = 100
_PAGE_BYTES = 32 * 1024 * 1024
_PAGES = 1000
_NOT_OFFERED = frozenset({400, 401, 403, 404, 405, 501})
# Without `base` Harbor leaves out signatures and other accessories, tags of theirs or not.
_TAGGED = "q=base%3D*%2Ctags%3D*&with_tag=true&sort=id"

_Item = Mapping[str, object]


def labels(session: Session, repository: Repository, digest: Digest) -> frozenset[str]:
    """The names of the labels that the artifact carries."""
    topic = Topic("reading the labels of", session.name, repository, digest)
    url = session.url(_artifact(repository, digest), "with_label=true&with_tag=false")
    answer = session.send(Call("GET", url, topic, limit_bytes=_ARTIFACT_BYTES, is_basic=True))
    if answer.status == 404:
        raise TemporaryError(f"{topic}: the registry knows no such artifact, or not yet")
    if not answer.is_success:
        raise failure(answer, topic)
    try:
        found = json.loads(answer.body).get("labels") or []
        return frozenset(str(item["name"]) for item in found)
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError) as exc:
        raise _strange(topic) from exc


def delete_tag(session: Session, repository: Repository, tag: Tag) -> bool:
    """Deletes the tag and leaves its artifact; False if it was already gone. InUse for an immutable tag."""
    topic = Topic("deleting", session.name, repository, tag)
    url = session.url(f"{_artifact(repository, tag)}/tags/{tag}")
    answer = session.send(Call("DELETE", url, topic, is_basic=True))
    if answer.is_success:
        return True
    if answer.status == 412:
        raise InUse(str(failure(answer, topic)))
    if answer.status != 404:
        raise failure(answer, topic)
    # 404 is also what something that is no Harbor says; a tag that is still there was not deleted.
    if manifests.head(session, repository, tag):
        raise Unsupported(f"{topic}: Harbor's API is not offered there")
    return False


def keeps(session: Session, repository: Repository, digest: Digest) -> bool:
    """Whether the blob, which the repository held before, is there to stay.

    No artifact may hold it any more. A HEAD takes it off the list of Harbor's garbage collection, which a mount does
    not, and is 404 if that has begun to remove it.
    """
    return blob_size(session, repository, Descriptor("", digest, 0)) is not None


def repositories(session: Session, *, last: str = "") -> Iterator[Repository]:
    """Every repository of the projects that we may see, each once, after `last`; all of them if that is gone.

    Raises Unsupported where neither Harbor's API nor `_catalog` lists them to us.
    """
    topic = Topic("listing the repositories of", session.name)
    found = _pages(session, "/api/v2.0/repositories", "sort=name", topic)
    if found is None:
        yield from catalog.repositories(session, last=last, is_basic=True)
        return
    seen: set[Repository] = set()
    is_after = not last
    for items in found:
        for name in filter(None, (catalog.repository_of(str(item.get("name"))) for item in items)):
            if is_after and name not in seen:
                yield name
            seen.add(name)
            is_after = is_after or name == last
    if not is_after:
        # Only its place would have told what comes after it.
        yield from repositories(session)


def listing(session: Session, repository: Repository) -> Listing | None:
    """Every tag with its digest; without where only the list of tags is to be had. None for an absent repository."""
    topic = Topic("listing the artifacts of", session.name, repository)
    found: Listing = {}
    for items in _pages(session, _artifacts(repository), _TAGGED, topic) or ():
        for tag, digest in _tagged(items, topic):
            listings.note(found, tag, digest)
    # A repository that does not exist has no artifacts here, nor has one without tags: the list of tags knows.
    return found or listings.listing(session, repository)


def _tagged(items: list[_Item], topic: Topic) -> list[tuple[Tag, Digest]]:
    try:
        return [
            (tag, Digest(str(item["digest"])))
            for item in items
            for entry in item.get("tags") or ()  # type: ignore[attr-defined]
            if (tag := listings.tag_of(entry["name"]))
        ]
    except (ValueError, TypeError, KeyError) as exc:
        raise _strange(topic) from exc


def _pages(session: Session, path: str, query: str, topic: Topic) -> Iterator[list[_Item]] | None:
    """The items of every page, read as they are asked for; None where the API is not offered, or not to us."""

    def page(number: int) -> Answer:
        url = session.url(path, f"{query}&page={number}&page_size={_ITEMS_A_PAGE}")
        return session.send(Call("GET", url, topic, limit_bytes=_PAGE_BYTES, is_basic=True))

    first = page(1)
    return None if first.status in _NOT_OFFERED else _followed(page, first, topic)


def _followed(page: Callable[[int], Answer], first: Answer, topic: Topic) -> Iterator[list[_Item]]:
    # Pages are numbered, so a deletion meanwhile moves what comes after it to an earlier page, unread. Fewer items in
    # all than before give it away: then as many pages are read again as the missing items can have moved back.
    number, size, before, answer = 1, 0, 0, first
    for _ in range(_PAGES):
        if not answer.is_success:
            raise failure(answer, topic)
        items, total = _items(answer, topic), _total(answer)
        yield items
        size = size or len(items)
        gone = max(0, before - total) if total is not None else 0
        if not gone and (not items or (total is not None and number * size >= total)):
            return
        number = max(1, number - -(-gone // size)) if gone else number + 1
        before = total or 0
        answer = page(number)
    raise PermanentError(f"{topic}: the listing does not end")


def _items(answer: Answer, topic: Topic) -> list[_Item]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError) as exc:
        raise _strange(topic) from exc
    items = [] if document is None else document
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise _strange(topic)
    return items


def _total(answer: Answer) -> int | None:
    text = answer.headers.get("x-total-count", "")
    return int(text[:18]) if text.isascii() and text.isdigit() else None


def _strange(topic: Topic) -> PermanentError:
    return PermanentError(f"{topic}: the answer is not what Harbor's API sends")


def _artifact(repository: Repository, reference: str) -> str:
    return f"{_artifacts(repository)}/{reference}"


def _artifacts(repository: Repository) -> str:
    project, _, rest = repository.partition("/")
    name = quote(quote(rest, safe=""), safe="")
    return f"/api/v2.0/projects/{project}/repositories/{name}/artifacts"

"""Lists the repositories of a registry by `_catalog`, page by page.

It comes from Docker and is in no OCI spec: many registries have none, and others keep it for their administrators.
"""

from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote

from replicator.errors import Denied, ReplicatorError, Unsupported
from replicator.oci import Repository
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.pages import PAGE_BYTES, check_count, names_of, pages
from replicator.registry.session import Call, Session
from replicator.rules.registries import RegistryType

_NAMES_A_PAGE = 1000
_SCOPES = ("registry:catalog:*",)
_NOT_OFFERED = frozenset({401, 403, 404, 405, 501})
_ABSENT = frozenset({RegistryType.DOCKERHUB, RegistryType.GHCR, RegistryType.ECR_PUBLIC})


def repositories(session: Session, *, last: str = "", is_basic: bool = False) -> Iterator[Repository]:
    """Every repository after `last`, each once. A page is read when the one before it is used up.

    Raises Unsupported where the registry does not list its repositories, or not to us.
    """
    topic = Topic("listing the repositories of", session.name)
    if session.kind in _ABSENT:
        raise _unsupported(topic, f"{session.kind} offers no such list")
    seen: set[Repository] = set()
    while True:
        page, known = [], len(seen)
        for page in _pages(session, topic, last=last, is_basic=is_basic):
            found = [name for text in page if (name := repository_of(text)) and name not in seen]
            seen.update(found)
            check_count(len(seen), topic)
            yield from dict.fromkeys(found)
        # A full page without a link may be all there is, or the work of a registry that sends no links.
        if len(page) < _NAMES_A_PAGE or len(seen) == known:
            return
        last = page[-1]


def repository_of(text: str) -> Repository | None:
    """The repository of that name, or None where nothing could be read by it: it is no name to the OCI spec."""
    try:
        return Repository(text)
    except ValueError:
        return None


def _pages(
    session: Session, topic: Topic, *, last: str, is_basic: bool, size: int | None = _NAMES_A_PAGE
) -> Iterator[list[str]]:
    wanted = {"n": str(size or ""), "last": quote(last, safe="")}
    url = session.url("/v2/_catalog", "&".join(f"{key}={value}" for key, value in wanted.items() if value))
    answers = pages(session, Call("GET", url, topic, _SCOPES, limit_bytes=PAGE_BYTES, is_basic=is_basic))
    try:
        first = next(answers)
    except Denied as exc:
        # The token server kept back what a list of everything needs.
        raise _unsupported(topic, str(exc)) from exc
    if first.status == 400 and size:
        # Distribution 3 does not send less than asked: it refuses more than its operator allows.
        yield from _pages(session, topic, last=last, is_basic=is_basic, size=None)
        return
    if not first.is_success:
        raise _refusal(first, topic, is_start=not last)
    for answer in chain([first], answers):
        yield names_of(answer, "repositories", topic)


def _refusal(answer: Answer, topic: Topic, *, is_start: bool) -> ReplicatorError:
    error = failure(answer, topic)
    if is_start and answer.status in _NOT_OFFERED:
        return _unsupported(topic, f"the registry answered {answer.status}")
    return error


def _unsupported(topic: Topic, reason: str) -> Unsupported:
    return Unsupported(f"{topic}: {reason}; name the repositories in the rule or with --repository")

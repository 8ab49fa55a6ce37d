"""Follows `Link: <...>; rel="next"` (RFC 8288) through the pages of a listing.

The next page must be at the registry's own origin, must not have been read before, and there is an end to patience.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from replicator.errors import PermanentError, TemporaryError
from replicator.registry.addresses import URL
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.session import Call, Session

PAGE_BYTES = 10 * 1024 * 1024
_PAGES = 1000
_NAMES = 1_000_000
_HEADER_CHARACTERS = 16 * 1024
# A quoted value may hold anything, signs of further links included.
_LINK = re.compile(r'<([^<>]*)>((?:[^<"]|"[^"]*")*)')
_PARAMETER = re.compile(r';[ \t]*([^\s;,="]+)[ \t]*(?:=[ \t]*(?:"([^"]*)"|([^\s;,"]+)))?')
# What comes of a page whose neighbour was deleted meanwhile: Harbor cannot go on after a name that it does not have.
_GONE = frozenset({400, 404})


def pages(session: Session, call: Call) -> Iterator[Answer]:
    """The first answer, whatever its status, and the good pages that follow it.

    Raises PermanentError for a link to elsewhere, in a circle or without end, TemporaryError for a later page that is
    not there: half a listing must not pass for a whole one.
    """
    seen = {call.url}
    answer = session.send(call)
    yield answer
    while answer.is_success:
        url = next_page(session, answer, call.topic)
        if url is None:
            return
        if url in seen or len(seen) >= _PAGES:
            raise PermanentError(f"{call.topic}: the listing does not end")
        seen.add(url)
        answer = session.send(replace(call, url=url))
        if answer.status in _GONE:
            raise TemporaryError(f"{call.topic}: the listing went away while it was read")
        if not answer.is_success:
            raise failure(answer, call.topic)
        yield answer


def names_of(answer: Answer, kind: str, topic: Topic) -> list[str]:
    """The names that a page lists under the key `kind`. Raises PermanentError for an answer in another form."""
    try:
        listed = json.loads(answer.body)[kind]
    except (ValueError, RecursionError, KeyError, TypeError) as exc:
        raise PermanentError(f"{topic}: the answer is no list of {kind}") from exc
    if listed is None:
        return []
    if not isinstance(listed, list):
        raise PermanentError(f"{topic}: the answer is no list of {kind}")
    return [text for text in listed if isinstance(text, str)]


def check_count(count: int, topic: Topic) -> None:
    """Raises PermanentError for more names than a listing may have: without an end they would fill the memory."""
    if count > _NAMES:
        raise PermanentError(f"{topic}: the listing does not end: more than {_NAMES} names")


def next_page(session: Session, answer: Answer, topic: Topic) -> URL | None:
    """Where the page after `answer` is, if there is one."""
    header = ", ".join(answer.headers.get_list("link"))[:_HEADER_CHARACTERS]
    for target, parameters in _LINK.findall(header):
        if "next" in _relations(parameters):
            return session.resolve(answer.url, target, topic)
    return None


def _relations(parameters: str) -> list[str]:
    for name, quoted, plain in _PARAMETER.findall(parameters):
        if name.lower() == "rel":  # the first counts, says the RFC
            return str(quoted or plain).lower().split()
    return []

"""Requests to one registry, logged in and redirected as the protocol allows.

Authorization is put on each request by exact origin: nothing of ours is sent to another host (OCI distribution spec,
"API"). Only GET and HEAD follow redirects; every other request stays at the registry's own origin or is refused.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from replicator.errors import PermanentError, ReplicatorError
from replicator.oci import Repository
from replicator.registry.addresses import URL, is_inward, is_reachable, url_of
from replicator.registry.exchange import SMALL_BODY_BYTES, Exchange, read, read_start
from replicator.registry.failures import Answer, Topic
from replicator.registry.login import Login, Scopes
from replicator.registry.notices import Notices
from replicator.registry.transport import Response
from replicator.rules.registries import RegistryType

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOPS = 5
# What a token for a deletion is asked for: Quay refuses a request that names `delete`, Docker Hub wants all three.
_DELETE_ACTIONS: Mapping[RegistryType, str] = {
    RegistryType.QUAY: "pull,push",
    RegistryType.DOCKERHUB: "delete,pull,push",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to be made. `limit_bytes` is for the body of a good answer; an error's is read to 64 KiB."""

    method: str
    url: URL
    topic: Topic
    scopes: Scopes = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Iterable[bytes] | None = None
    limit_bytes: int = SMALL_BODY_BYTES
    is_basic: bool = False

    @property
    def is_repeatable(self) -> bool:
        """True where the body can be sent a second time."""
        return self.content is None or isinstance(self.content, bytes)


class Session:
    """Sends calls to one registry. Safe for several threads."""

    def __init__(self, exchange: Exchange) -> None:
        self.name = exchange.registry.name
        self.kind = exchange.registry.type
        self.proxy = exchange.registry.proxy
        self._exchange = exchange
        self._login = Login(exchange)
        self._notices = Notices(exchange.registry.name)
        self._base = exchange.base

    def url(self, path: str, query: str = "") -> URL:
        """The URL of `path`, which starts with a slash and is already quoted, below the registry's base."""
        target = f"{self._base.path}{path}"
        return self._base.at(f"{target}?{query}" if query else target)

    def resolve(self, answer_url: URL, location: str, topic: Topic) -> URL:
        """The URL that a `Location` or `Link` names, which must be at the registry's own origin.

        Raises PermanentError for another one: what is sent there could end up with a stranger, or in the clear.
        """
        url = joined(answer_url, location, topic)
        if not self._exchange.is_own(url):
            raise PermanentError(
                f"{topic}: sent on to {url.origin.scheme}://{url.origin.host[:100]}, which is not where this"
                " registry is configured to be (a proxy in front of it that does not pass on the scheme?)"
            )
        return url

    def scopes(self, repository: Repository, actions: str) -> Scopes:
        """The token scopes for `actions` (`pull`, `pull,push` or `delete`) in `repository`."""
        if self.kind is RegistryType.ECR_PUBLIC:
            return ("aws",)
        if actions == "delete":
            actions = _DELETE_ACTIONS.get(self.kind, "delete,pull")
        return (f"repository:{repository}:{actions}",)

    def send(self, call: Call) -> Answer:
        """The whole answer, whatever its status. Raises our errors where there is none or it is too large."""
        response, url = self._open(call)
        try:
            answer = Answer(response.status, response.headers, _body(call, response), url)
        finally:
            response.close()
        self._exchange.gate.carry(len(answer.body))
        return answer

    @contextmanager
    def stream(self, call: Call) -> Iterator[Response]:
        """The answer with its body unread; closed at the end."""
        response, _ = self._open(call)
        try:
            yield response
        finally:
            response.close()

    def carried(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks of a blob, each as soon as the registry's link may carry it."""
        for chunk in chunks:
            self._exchange.gate.carry(len(chunk))
            yield chunk

    def close(self) -> None:
        """Closes every connection."""
        self._exchange.close()

    def _open(self, call: Call) -> tuple[Response, URL]:
        url, hops, is_anew = call.url, 0, False
        if not self._exchange.is_own(url):
            raise PermanentError(f"{call.topic}: the request would leave the registry")
        while True:
            response, sent = self._once(call, url)
            is_refused = response.status == 401 and self._exchange.is_own(url)
            if is_refused and not is_anew and self._is_worth_repeating(call, response, sent):
                is_anew = True
                continue
            if response.status not in _REDIRECTS or call.method not in {"GET", "HEAD"}:
                return response, url
            location = response.headers.get("location")
            if not location:
                return response, url
            _drop(response, call.topic)
            hops += 1
            url = self._redirected(url, location, hops, call.topic)

    def _once(self, call: Call, url: URL) -> tuple[Response, str | None]:
        sent = None
        if self._exchange.is_own(url):
            sent = self._login.header(call.scopes, is_long=not call.is_repeatable, is_basic=call.is_basic)
        headers = {**call.headers, "Authorization": sent} if sent else call.headers
        response = self._exchange.open(
            call.method, url, topic=call.topic, headers=headers, content=call.content
        )
        if self._exchange.is_own(url):
            self._notices.note(response.headers)
        return response, sent

    def _is_worth_repeating(self, call: Call, response: Response, sent: str | None) -> bool:
        try:
            is_learned = self._login.refused(response.headers, sent, call.scopes)
        except ReplicatorError:
            response.close()
            raise
        if is_learned and call.is_repeatable:
            _drop(response, call.topic)
            return True
        return False

    def _redirected(self, url: URL, location: str, hops: int, topic: Topic) -> URL:
        there = joined(url, location, topic)
        if hops > _HOPS:
            raise PermanentError(f"{topic}: redirected more than {_HOPS} times")
        if url.origin.scheme == "https" and there.origin.scheme != "https":
            raise PermanentError(f"{topic}: redirected from https to {there.origin.scheme}")
        if is_inward(there.origin.host) and not is_inward(self._base.origin.host):
            raise PermanentError(f"{topic}: redirected to an address that only this machine can reach")
        return there


def joined(url: URL, location: str, topic: Topic) -> URL:
    """`location` relative to `url` (RFC 3986), without its fragment. Raises PermanentError if that is no URL."""
    if plain := url.beside(location):
        return plain
    try:
        there = url.join(location)
    except (httpx.InvalidURL, ValueError) as exc:
        raise PermanentError(f"{topic}: sent on to something that is not a URL") from exc
    if there.userinfo or not is_reachable(there):
        raise PermanentError(f"{topic}: sent on to a malformed URL")
    return url_of(there)


def _body(call: Call, response: Response) -> bytes:
    if call.method == "HEAD":
        return b""
    # What a write is answered matters by its status and headers: it was made, even if the rest is lost.
    if call.method != "GET" or not 200 <= response.status < 300:
        return read_start(response, call.topic)
    return read(response, call.topic, limit_bytes=call.limit_bytes)


def _drop(response: Response, topic: Topic) -> None:
    # Reading a short rest keeps the connection; a long one is not worth it.
    try:
        read_start(response, topic)
    finally:
        response.close()

"""Proves to one registry who we are: Basic, or bearer tokens of the distribution token protocol.

A credential, or a token made from it, is handed out only for the registry's own origin; the caller sees to that. A
token is asked for once per set of scopes however many threads want it, and again at 80 % of its life. Registries
grant less than asked without saying so, so a request is logged in anew at most once.
"""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from replicator.errors import Denied, PermanentError
from replicator.registry.addresses import URL
from replicator.registry.challenges import Challenge, challenges, realm_url
from replicator.registry.exchange import SMALL_BODY_BYTES, Exchange, read, read_start
from replicator.registry.failures import Answer, Topic, failure
from replicator.registry.heads import Headers

log = logging.getLogger(__name__)

Scopes = tuple[str, ...]

_LIFE_DEFAULT_S = 60.0
_LIFE_MAX_S = 12 * 3600.0
_KEPT_TOKENS = 1000
_SCOPE_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    since: float
    life_s: float

    def is_due(self, now: float, *, share: float) -> bool:
        return now - self.since >= self.life_s * share


class Login:
    """What is known of one registry's way to log in, and the tokens it gave. Safe for several threads."""

    def __init__(self, exchange: Exchange, *, clock: Callable[[], float] = time.monotonic) -> None:
        credential = exchange.registry.credential
        self._registry = exchange.registry
        self._exchange = exchange
        self._clock = clock
        self._key = credential.access_key if credential else ""
        self._secret = credential.access_secret.get_secret_value() if credential else ""
        self._lock = threading.Lock()
        self._discovery = threading.Lock()
        self._is_known = False
        self._challenge = Challenge("")
        self._tokens: dict[Scopes, _Token] = {}
        self._token_locks: dict[Scopes, threading.Lock] = {}
        self._wider: dict[Scopes, Scopes] = {}

    def header(self, scopes: Scopes, *, is_long: bool = False, is_basic: bool = False) -> str | None:
        """The `Authorization` to send, or None.

        With a credential the first call finds out how to log in: a request without it could be answered 404 instead
        of 401, which would pass for "absent". `is_long` asks for a token with half of its life before it. `is_basic`
        is for APIs beside the distribution protocol, which take no such tokens.
        """
        if self._registry.credential and not self._is_known:
            self._discover()
        if self._challenge.scheme == "bearer" and not is_basic:
            return f"Bearer {self._token(scopes, share=0.5 if is_long else 0.8)}"
        return self._basic()

    def refused(self, headers: Headers, sent: str | None, scopes: Scopes) -> bool:
        """Learns from a 401. True if the request is worth sending once more."""
        offered = {item.scheme: item for item in reversed(challenges(headers))}
        bearer, basic = offered.get("bearer"), offered.get("basic")
        if sent and sent.startswith("Bearer "):
            # Harbor answers a weak token with a Basic challenge; it does not mean that tokens are of no use.
            self._forget(sent, scopes, bearer)
            return True
        if bearer and "realm" in bearer.parameters:
            self._learn(bearer)
            return True
        if sent:
            return self._reread_secret()
        if basic and self._key:
            self._learn(basic)
            return True
        # Some front ends answer 401 without a challenge: the API's root has the true one.
        return not offered and not self._is_known and self._discover()

    def _discover(self) -> bool:
        with self._discovery:
            if self._is_known:
                return self._challenge.scheme == "bearer"
            topic = Topic("logging in at", self._registry.name)
            base = self._exchange.base
            url = base.at(f"{base.path}/v2/")
            response = self._exchange.open("GET", url, topic=topic, headers={})
            try:
                answer = Answer(response.status, response.headers, read_start(response, topic), url)
            finally:
                response.close()
            if answer.status == 429 or answer.status >= 500:
                raise failure(answer, topic)
            offered = {item.scheme: item for item in reversed(challenges(answer.headers))}
            # A registry that lets anybody see its root takes a Basic credential without asking, or ignores it.
            chosen = offered.get("bearer") or offered.get("basic") or Challenge("")
            self._learn(chosen)
            return chosen.scheme == "bearer"

    def _learn(self, challenge: Challenge) -> None:
        with self._lock:
            if challenge.scheme == "bearer" or self._challenge.scheme != "bearer":
                self._challenge = challenge
            self._is_known = True

    def _basic(self) -> str | None:
        if not self._key:
            return None
        pair = f"{self._key}:{self._secret}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"

    def _forget(self, sent: str, scopes: Scopes, bearer: Challenge | None) -> None:
        wanted = bearer.parameters.get("scope", "")[:_SCOPE_CHARACTERS].split() if bearer else []
        # The registry may name an action that we did not think of, though only for what we asked about.
        more = [scope for scope in wanted if _is_about(scope, scopes)]
        with self._lock:
            key = self._wider.get(_key(scopes), _key(scopes))
            token = self._tokens.get(key)
            if token and sent == f"Bearer {token.text}":
                del self._tokens[key]
            if not set(more) <= set(key):
                self._wider[_key(scopes)] = _key((*scopes, *more))

    def _token(self, scopes: Scopes, *, share: float) -> str:
        with self._lock:
            key = _key(scopes)
            key = self._wider.get(key, key)
            lock = self._token_locks.setdefault(key, threading.Lock())
        with lock:
            token = self._tokens.get(key)
            if token is None or token.is_due(self._clock(), share=share):
                # Some token servers honour the first scope only: what is needed now comes first.
                token = self._fetch((*scopes, *(scope for scope in key if scope not in scopes)))
                with self._lock:
                    self._prune()
                    self._tokens[key] = token
            return token.text

    def _prune(self) -> None:
        if len(self._tokens) < _KEPT_TOKENS:
            return
        now = self._clock()
        self._tokens = {key: token for key, token in self._tokens.items() if not token.is_due(now, share=1)}
        if len(self._tokens) >= _KEPT_TOKENS:
            self._tokens.clear()
        self._token_locks.clear()
        self._wider.clear()

    def _fetch(self, scopes: Scopes) -> _Token:
        topic = Topic("getting a token for", self._registry.name)
        url = self._token_url(scopes)
        began = self._clock()
        answer = self._ask(url, topic)
        if answer.status == 401 and self._reread_secret():
            answer = self._ask(url, topic)
        if not answer.is_success:
            raise failure(answer, topic, quote=False)
        return _parsed(answer.body, began, topic)

    def _token_url(self, scopes: Scopes) -> URL:
        parameters = self._challenge.parameters
        url = realm_url(self._registry, self._exchange.base, parameters.get("realm", ""))
        query = [("service", parameters["service"])] if parameters.get("service") else []
        added = urlencode([*query, *(("scope", scope) for scope in scopes)])
        return url.at(f"{url.path}?{'&'.join(part for part in (url.query, added) if part)}")

    def _ask(self, url: URL, topic: Topic) -> Answer:
        basic = self._basic()
        headers = {"Authorization": basic} if basic else {}
        response = self._exchange.open("GET", url, topic=topic, headers=headers)
        try:
            is_token = 200 <= response.status < 300
            body = (
                read(response, topic, limit_bytes=SMALL_BODY_BYTES)
                if is_token
                else read_start(response, topic)
            )
            return Answer(response.status, response.headers, body, url)
        finally:
            response.close()

    def _reread_secret(self) -> bool:
        credential = self._registry.credential
        if not credential or not credential.secret_file:
            return False
        try:
            secret = Path(credential.secret_file).read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError):
            log.warning("a secret file cannot be read", extra={"registry": self._registry.name})
            return False
        with self._lock:
            has_changed = secret != self._secret
            self._secret = secret
        return has_changed


def _key(scopes: Scopes) -> Scopes:
    return tuple(sorted(set(scopes)))


def _is_about(scope: str, scopes: Scopes) -> bool:
    """True for a scope of a repository that is among `scopes`, under its own name or below a registry's prefix."""
    kind, _, rest = scope.partition(":")
    name = rest.rpartition(":")[0]
    ours = [item.split(":")[1] for item in scopes if item.startswith("repository:")]
    return kind == "repository" and any(name == own or name.endswith(f"/{own}") for own in ours)


def _parsed(body: bytes, began: float, topic: Topic) -> _Token:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise PermanentError(f"{topic}: the answer is not JSON") from exc
    fields = document if isinstance(document, dict) else {}
    text = fields.get("token") or fields.get("access_token")
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
        raise Denied(f"{topic}: the answer holds no token")
    # Counted from before the request, on our own clock: the server's may be wrong.
    return _Token(text, began, _life_s(fields.get("expires_in")))


def _life_s(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return _LIFE_DEFAULT_S
    return float(min(value, _LIFE_MAX_S))

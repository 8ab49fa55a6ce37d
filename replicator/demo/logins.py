"""Who may do what at the demo registry: Basic passwords, or bearer tokens from a token server on the same address.

Both follow what registries do (RFC 7617; the Docker token specification): a refusal is 401 with a challenge that
names the scopes needed, and a token holds only the scopes that its owner may have.
"""

import base64
import binascii
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest

from replicator.demo.messages import Refusal, Request, Response, json_response

_READING = frozenset({"pull"})


@dataclass(frozen=True, slots=True)
class Scope:
    """Actions on one repository, written `repository:payments/api:pull,push`."""

    name: str
    actions: frozenset[str]
    kind: str = "repository"

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(sorted(self.actions))}"


def _parse_scope(text: str) -> Scope | None:
    kind, _, rest = text.partition(":")
    name, _, actions = rest.rpartition(":")
    return Scope(name, frozenset(actions.split(",")), kind) if name and actions else None


@dataclass(frozen=True, slots=True)
class BasicLogin:
    """Passwords by user; the users in `readers` may only pull."""

    users: Mapping[str, str]
    readers: frozenset[str] = frozenset()
    realm: str = "registry"

    def admit(self, request: Request, scopes: Sequence[Scope]) -> str:
        """The user's name. Raises Refusal: 401 for an unknown user, 403 for one who may not."""
        user = _basic_user(request, self.users)
        if user is None:
            headers = {"WWW-Authenticate": f'Basic realm="{self.realm}"'}
            raise Refusal(401, "UNAUTHORIZED", "authentication required", headers=headers)
        if user in self.readers and any(scope.actions - _READING for scope in scopes):
            raise Refusal(403, "DENIED", "requested access to the resource is denied")
        return user

    def token(self, request: Request) -> Response:
        """Always 404: there is no token server."""
        del request
        return Response(404)


@dataclass(frozen=True, slots=True)
class _Token:
    user: str
    expires: float
    scopes: tuple[Scope, ...]

    def covers(self, wanted: Scope) -> bool:
        held = [
            scope.actions for scope in self.scopes if (scope.kind, scope.name) == (wanted.kind, wanted.name)
        ]
        return wanted.actions <= frozenset().union(*held)


@dataclass(slots=True)
class TokenLogin:
    """Bearer tokens that live `ttl_s` seconds, for the users, or for pulling by anybody where `anonymous_pull`."""

    users: Mapping[str, str]
    readers: frozenset[str] = frozenset()
    ttl_s: float = 300.0
    anonymous_pull: bool = False
    service: str = "demo-registry"
    token_requests: list[tuple[str, ...]] = field(default_factory=list)
    """The scopes of each token request so far, refused ones included."""
    _tokens: dict[str, _Token] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, request: Request, scopes: Sequence[Scope]) -> str:
        """The name of the token's owner. Raises Refusal with a challenge if it does not cover `scopes`."""
        kind, _, text = request.header("authorization").partition(" ")
        token = self._tokens.get(text.strip()) if kind.lower() == "bearer" else None
        if token is None or token.expires < time.monotonic():
            raise self._challenge(request, scopes, error="invalid_token" if text else "")
        if not all(token.covers(scope) for scope in scopes):
            raise self._challenge(request, scopes, error="insufficient_scope")
        return token.user

    def _challenge(self, request: Request, scopes: Sequence[Scope], *, error: str) -> Refusal:
        parts = [f'Bearer realm="{request.base_url}/token"', f'service="{self.service}"']
        if scopes:
            parts.append(f'scope="{" ".join(str(scope) for scope in scopes)}"')
        if error:
            parts.append(f'error="{error}"')
        headers = {"WWW-Authenticate": ",".join(parts)}
        return Refusal(401, "UNAUTHORIZED", "authentication required", headers=headers)

    def token(self, request: Request) -> Response:
        """`GET /token`: a token for as many of the wanted scopes as the caller may have."""
        texts = [text for key, value in request.query if key == "scope" for text in value.split()]
        user = _basic_user(request, self.users)
        with self._lock:
            self.token_requests.append(tuple(texts))
        if user is None and (request.header("authorization") or not self.anonymous_pull):
            headers = {"WWW-Authenticate": f'Basic realm="{self.service}"'}
            raise Refusal(401, "UNAUTHORIZED", "wrong user or password", headers=headers)
        wanted = [scope for text in texts if (scope := _parse_scope(text))]
        limit = _READING if user is None or user in self.readers else None
        granted = tuple(Scope(s.name, s.actions & limit if limit else s.actions, s.kind) for s in wanted)
        text = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens[text] = _Token(user or "", time.monotonic() + self.ttl_s, granted)
        answer = {"token": text, "access_token": text, "expires_in": int(self.ttl_s)}
        return json_response(200, answer, {"Cache-Control": "no-store"})


Login = BasicLogin | TokenLogin


def _basic_user(request: Request, users: Mapping[str, str]) -> str | None:
    kind, _, text = request.header("authorization").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    known = users.get(user)
    return user if known is not None and compare_digest(known.encode(), password.encode()) else None

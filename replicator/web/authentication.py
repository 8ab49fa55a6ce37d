"""Who is speaking: the registry that a notification claims to come from, or a holder of one of the API's tokens.

Every comparison takes the same time for a near miss as for a wild guess, and nothing here is ever logged.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pydantic import SecretStr

from replicator.rules import Webhook


def is_authentic(webhook: Webhook | None, headers: Iterable[tuple[bytes, bytes]], path_secret: str) -> bool:
    """True if the sender proved that it is the registry with this `webhook`, or need not.

    A secret may come as the whole Authorization header (Harbor's "auth header", Distribution's static headers), as
    its bearer token, as its basic password or `user:password`, or in the path. Two Authorization headers are refused:
    a proxy in between may have looked at the other one.
    """
    if webhook is None:
        return False
    if webhook.anonymous:
        return True
    authorizations = [value for name, value in headers if name == b"authorization"]
    if len(authorizations) > 1:
        return False
    offers = [path_secret.encode("utf-8", "surrogatepass")] if path_secret else []
    if authorizations:
        offers.extend(_readings(authorizations[0]))
    return _any_equal(offers, webhook.secrets)


class Scope(StrEnum):
    """What a token of the API may do."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The API's tokens: `write` may do everything, `read` may only look."""

    write: SecretStr
    read: SecretStr | None = None

    def scopes(self, authorization: str) -> frozenset[Scope]:
        """What the bearer of this Authorization header may do: nothing, for another token or none."""
        scheme, _, value = authorization.partition(" ")
        offers = [value.strip().encode()] if scheme.lower() == "bearer" else []
        # Both are compared, whatever the first says.
        writes = _any_equal(offers, (self.write,))
        reads = _any_equal(offers, (self.read,) if self.read else ())
        if writes:
            return frozenset(Scope)
        return frozenset({Scope.READ}) if reads else frozenset()


def _readings(authorization: bytes) -> Iterator[bytes]:
    """Everything that the header may mean by a secret."""
    yield authorization
    scheme, _, value = authorization.partition(b" ")
    value = value.strip()
    if scheme.lower() == b"bearer":
        yield value
    elif scheme.lower() == b"basic":
        try:
            pair = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return
        yield pair
        yield pair.partition(b":")[2]


def _any_equal(offers: Sequence[bytes], secrets: Sequence[SecretStr]) -> bool:
    matched = False
    for secret in secrets:
        expected = secret.get_secret_value().encode()
        for offer in offers:
            # No early return: how long this takes tells nothing about which secret or reading came close.
            matched |= bool(expected) and hmac.compare_digest(offer, expected)
    return matched

"""Every way in which a secret may come, and everything that only looks like one."""

import base64

import pytest
from pydantic import SecretStr

from replicator.rules import Webhook
from replicator.web.authentication import Scope, Tokens, is_authentic

SECRET = "s3cret/+="
USER_PASSWORD = "robot$eu:pässword"
WEBHOOK = Webhook((SecretStr(SECRET), SecretStr(USER_PASSWORD)))


def basic(pair: str) -> bytes:
    return b"Basic " + base64.b64encode(pair.encode())


def authorized(*values: bytes, webhook: Webhook | None = WEBHOOK, path_secret: str = "") -> bool:
    return is_authentic(webhook, [(b"authorization", value) for value in values], path_secret)


@pytest.mark.parametrize(
    "value",
    [
        SECRET.encode(),
        b"Bearer " + SECRET.encode(),
        b"bearer  " + SECRET.encode(),
        basic(f"anyone:{SECRET}"),
        basic(f":{SECRET}"),
        basic(USER_PASSWORD),
        basic(f"x:{USER_PASSWORD}"),
    ],
)
def test_a_secret_is_known_in_every_form(value: bytes) -> None:
    assert authorized(value)


def test_a_secret_may_be_a_whole_header() -> None:
    webhook = Webhook((SecretStr("Bearer abc"),))

    assert authorized(b"Bearer abc", webhook=webhook)


def test_a_secret_may_be_in_the_path() -> None:
    assert authorized(path_secret=SECRET)
    assert authorized(b"Bearer wrong", path_secret=SECRET)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"Bearer",
        b"Bearer ",
        b"Bearer " + SECRET[:-1].encode(),
        b"Bearer " + SECRET.encode() + b"x",
        b"Basic " + SECRET.encode(),
        b"Basic !!!",
        b"Basic",
        basic(f"{SECRET}:"),
        basic("robot$eu:wrong"),
        b"Negotiate " + SECRET.encode(),
        b"\xff\xfe",
    ],
)
def test_what_is_not_the_secret_is_refused(value: bytes) -> None:
    assert not authorized(value)


def test_two_authorization_headers_are_refused() -> None:
    assert not authorized(SECRET.encode(), SECRET.encode())


def test_nobody_gets_in_without_a_configuration() -> None:
    assert not authorized(SECRET.encode(), webhook=None, path_secret=SECRET)
    assert not authorized(b"", webhook=Webhook(), path_secret="x")


def test_an_empty_secret_opens_nothing() -> None:
    empty = Webhook((SecretStr(""),))

    assert not authorized(b"", webhook=empty)
    assert not authorized(b"Bearer ", webhook=empty)
    assert not authorized(basic("user:"), webhook=empty)


def test_anonymous_is_anonymous() -> None:
    assert authorized(webhook=Webhook(anonymous=True))


def test_the_path_secret_may_hold_any_character() -> None:
    assert not authorized(path_secret="\udcff\x00ü")


def test_the_api_wants_its_token_as_bearer() -> None:
    token = SecretStr("tökén")

    assert Tokens(token).scopes("Bearer tökén") == {Scope.READ, Scope.WRITE}
    for header in ("tökén", "Bearer tökén2", ""):
        assert Tokens(token).scopes(header) == set()
    assert Tokens(SecretStr("")).scopes("Bearer ") == set()


def test_a_reading_token_may_only_read() -> None:
    tokens = Tokens(SecretStr("writes"), SecretStr("reads"))

    assert tokens.scopes("Bearer reads") == {Scope.READ}
    assert tokens.scopes("bearer writes") == {Scope.READ, Scope.WRITE}
    assert tokens.scopes("Bearer else") == set()

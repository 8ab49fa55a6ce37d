"""Basic passwords and bearer tokens at our own registry."""

import base64
import time

from replicator.demo.logins import BasicLogin, TokenLogin
from replicator.demo.registry import Registry
from tests.fakes.raw import Answer, RawClient

USERS = {"writer": "w-secret", "reader": "r-secret"}
READERS = frozenset({"reader"})


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def token(raw: RawClient, scope: str, headers: dict[str, str]) -> dict[str, str]:
    answer = raw.call("GET", f"/token?service=demo-registry&scope={scope}", headers=headers)
    assert answer.status == 200
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def upload(raw: RawClient, headers: dict[str, str], query: str = "") -> Answer:
    return raw.call("POST", f"/v2/a/b/blobs/uploads/{query}", headers=headers)


def test_basic_login_wants_the_right_password() -> None:
    raw = RawClient(Registry(login=BasicLogin(USERS)))

    refused = raw.call("GET", "/v2/")

    assert (refused.status, refused.error_codes) == (401, ["UNAUTHORIZED"])
    assert refused.headers["www-authenticate"] == 'Basic realm="registry"'
    assert raw.call("GET", "/v2/", headers=basic("writer", "wrong")).status == 401
    assert raw.call("GET", "/v2/", headers={"Authorization": "Basic %%%"}).status == 401
    assert raw.call("GET", "/v2/", headers=basic("writer", "w-secret")).status == 200


def test_a_reader_may_not_push() -> None:
    raw = RawClient(Registry(login=BasicLogin(USERS, READERS)))

    refused = upload(raw, basic("reader", "r-secret"))

    assert (refused.status, refused.error_codes) == (403, ["DENIED"])
    assert upload(raw, basic("writer", "w-secret")).status == 202


def test_the_challenge_names_realm_service_and_scope() -> None:
    raw = RawClient(Registry(login=TokenLogin(USERS)))

    refused = upload(raw, {})

    assert refused.status == 401
    assert refused.headers["www-authenticate"] == (
        'Bearer realm="http://registry.test/token",service="demo-registry",scope="repository:a/b:pull,push"'
    )


def test_a_mount_asks_for_both_repositories() -> None:
    raw = RawClient(Registry(login=TokenLogin(USERS)))

    refused = upload(raw, {}, f"?mount=sha256:{'0' * 64}&from=c/d")

    assert 'scope="repository:a/b:pull,push repository:c/d:pull"' in refused.headers["www-authenticate"]


def test_a_token_opens_what_it_covers_and_nothing_else() -> None:
    login = TokenLogin(USERS)
    raw = RawClient(Registry(login=login))

    held = token(raw, "repository:a/b:pull", basic("writer", "w-secret"))

    assert raw.call("GET", "/v2/a/b/tags/list", headers=held).status == 404
    refused = upload(raw, held)
    assert refused.status == 401
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert raw.call("GET", "/v2/c/d/tags/list", headers=held).status == 401
    assert login.token_requests == [("repository:a/b:pull",)]


def test_a_reader_gets_a_token_for_less() -> None:
    raw = RawClient(Registry(login=TokenLogin(USERS, READERS)))

    held = token(raw, "repository:a/b:pull,push", basic("reader", "r-secret"))

    assert upload(raw, held).status == 401
    assert raw.call("GET", "/v2/a/b/tags/list", headers=held).status == 404


def test_anonymous_pulls_need_a_token_where_they_are_allowed() -> None:
    refused = RawClient(Registry(login=TokenLogin(USERS))).call("GET", "/token?scope=repository:a:pull")
    raw = RawClient(Registry(login=TokenLogin(USERS, anonymous_pull=True)))

    held = token(raw, "repository:a/b:pull,push", {})

    assert refused.status == 401
    assert raw.call("GET", "/v2/a/b/tags/list", headers=held).status == 404
    assert upload(raw, held).status == 401


def test_a_token_runs_out() -> None:
    raw = RawClient(Registry(login=TokenLogin(USERS, ttl_s=0.05)))
    held = token(raw, "repository:a/b:pull", basic("writer", "w-secret"))

    time.sleep(0.06)

    refused = raw.call("GET", "/v2/a/b/tags/list", headers=held)
    assert refused.status == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]

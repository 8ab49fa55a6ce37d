"""Logging in (protocol cases J): challenges, tokens and their lives, realms, scopes, rotation."""

import base64
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from replicator.demo.logins import BasicLogin, TokenLogin
from replicator.demo.server import serve
from replicator.errors import Denied, NotYet, PermanentError
from replicator.ledger import Ledger, State
from replicator.oci import Digest, Repository, Tag
from replicator.registry import RegistryClient, connect
from replicator.rules import Credential, Registry, RegistryType
from tests.conformance.bridge import Bridge
from tests.fakes.images import image, layer_bytes
from tests.fakes.registry import FakeRegistry
from tests.integration.processes import PASSWORD, USER, DockerRegistry
from tests.unit.registry.guarded import BASIC, ROBOT, TOKEN_PATH, WITH_ROBOT, Guarded, reading
from tests.unit.registry.scripted import API, HOST, V1, Script, blob, client_of, registry

NOT_OURS = {
    "J12": "Docker configuration files and their identity tokens are refused by name in rule files until they are "
    "built: there is no credential of that kind to log in with.",
}

BASE = Repository("a/base")
CREDENTIAL = Credential(USER, SecretStr(PASSWORD))
HEADER_LIMIT_BYTES = 8 * 1024


def challenge(text: str) -> dict[str, str]:
    return {"WWW-Authenticate": text}


BEARER = challenge(f'Bearer realm="https://{HOST}/token",service="s"')


def scopes_of(request: httpx.Request) -> list[str]:
    return request.url.params.get_list("scope")


def sent(requests: list[httpx.Request]) -> list[str | None]:
    """The Authorization of each request."""
    return [request.headers.get("authorization") for request in requests]


@contextmanager
def client_at(
    url: str, credential: Credential | None = CREDENTIAL, name: str = "eu"
) -> Iterator[RegistryClient]:
    client = connect(Registry(name, RegistryType.DISTRIBUTION, url, credential=credential))
    try:
        yield client
    finally:
        client.close()


def test_j1_a_token_is_fetched_and_the_request_repeated_once() -> None:
    guarded = Guarded(anonymous=True)

    reading(guarded, registry())

    assert len(guarded.given) == 1
    assert guarded.given[0].url.params["service"] == "the registry"
    assert scopes_of(guarded.given[0]) == ["repository:payments/api:pull"]
    assert sent(guarded.log) == [None, "Bearer token-1"]


@pytest.mark.parametrize(
    "headers",
    [
        [f'Basic realm="a, b", BeArEr ReAlM="https://{HOST}/token",scope="repository:x:pull,push",service=s'],
        ['Basic realm="x"', f'Bearer realm="https://{HOST}/token"'],
        [f'Bearer realm="https://{HOST}/token"', 'Basic realm="x"'],
        [f"Negotiate, bearer   realm = https://{HOST}/token , service = s , Basic"],
        [f'Digest qop="auth\\",x", Bearer realm="https://{HOST}/to\\ken"'],
    ],
)
def test_j2_the_bearer_challenge_is_found_among_others(headers: list[str]) -> None:
    offered = httpx.Response(401, headers=[("WWW-Authenticate", text) for text in headers])
    script = Script({"GET /v2/": offered, TOKEN_PATH: httpx.Response(200, json={"token": "t"})})

    assert client_of(script, WITH_ROBOT).head_manifest(API, V1) is None

    assert script.log[-1].headers["authorization"] == "Bearer t"


def test_j3_what_the_registry_asks_for_is_asked_for_with_what_we_need() -> None:
    narrow = challenge(f'{BEARER["WWW-Authenticate"]},scope="repository:payments/api:pull"')
    script = Script(
        {
            "GET /v2/": httpx.Response(401, headers=BEARER),
            "POST /v2/payments/api/blobs/uploads/": [
                httpx.Response(401, headers=narrow),
                httpx.Response(202, headers={"Location": "/upload"}),
            ],
            TOKEN_PATH: httpx.Response(200, json={"token": "t"}),
        }
    )

    assert client_of(script, WITH_ROBOT).start_upload(API, blob(b"x").digest)

    tokens = [request for request in script.log if request.url.path == "/token"]
    assert [scopes_of(request) for request in tokens] == [
        ["repository:payments/api:pull,push"],
        ["repository:payments/api:pull,push", "repository:payments/api:pull"],
    ]


@pytest.mark.parametrize("life_s", [None, 5])
def test_j4_a_token_of_little_or_unknown_life_serves_for_a_while(life_s: int | None) -> None:
    guarded = Guarded(life_s=life_s)
    client = reading(guarded)

    for _ in range(20):
        client.head_manifest(API, V1)

    assert len(guarded.given) == 1


def test_j5_many_requests_in_flight_share_a_token() -> None:
    login = TokenLogin({USER: PASSWORD}, ttl_s=300)
    with (
        serve(FakeRegistry(login=login)) as server,
        client_at(server.url) as client,
        ThreadPoolExecutor(50) as pool,
    ):
        found = pool.map(lambda number: client.head_manifest(API, Tag(f"v{number}")), range(50))
        assert set(found) == {None}

    assert len(login.token_requests) == 1


def test_j6_a_fresh_token_that_is_refused_is_the_end() -> None:
    script = Script(
        {
            "GET /v2/": httpx.Response(401, headers=BEARER),
            "HEAD /v2/payments/api/manifests/v1": httpx.Response(401, headers=BEARER),
            TOKEN_PATH: httpx.Response(200, json={"token": "t"}),
        }
    )

    with pytest.raises(Denied, match="payments/api:v1"):
        client_of(script, WITH_ROBOT).head_manifest(API, V1)

    assert script.lines.count("HEAD /v2/payments/api/manifests/v1") == 2


def test_j7_a_scope_that_a_mount_lacks_is_added_once() -> None:
    more = 'error="insufficient_scope",scope="repository:payments/api:pull,push,mount"'
    uploads = "POST /v2/payments/api/blobs/uploads/"
    script = Script(
        {
            "GET /v2/": httpx.Response(401, headers=BEARER),
            uploads: [
                httpx.Response(401, headers=challenge(f"{BEARER['WWW-Authenticate']},{more}")),
                httpx.Response(201),
            ],
            TOKEN_PATH: httpx.Response(200, json={"token": "t"}),
        }
    )

    assert client_of(script, WITH_ROBOT).start_upload(API, blob(b"x").digest, mount_from=BASE) is None

    first, second = [scopes_of(request) for request in script.log if request.url.path == "/token"]
    assert set(second) - set(first) == {"repository:payments/api:pull,push,mount"}
    assert sum(line.startswith(uploads) for line in script.lines) == 2


@pytest.mark.parametrize(
    "realm",
    [
        "https://evil.example.net/token",
        f"http://{HOST}/token",
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/token",
        f"https://{HOST}.example.net/token",
        f"https://me:secret@{HOST}/token",
        "/token",
        "",
    ],
)
def test_j8_no_credential_goes_to_a_realm_that_is_not_the_registrys(realm: str) -> None:
    script = Script({"GET /v2/": httpx.Response(401, headers=challenge(f'Bearer realm="{realm}"'))})

    with pytest.raises(PermanentError, match="token server"):
        client_of(script, WITH_ROBOT).head_manifest(API, V1)

    assert script.lines == ["GET /v2/"]
    assert sent(script.log) == [None]


def test_j9_two_accounts_at_one_host_do_not_mix() -> None:
    first, second = FakeRegistry(login=TokenLogin({USER: PASSWORD, "other": "pass"})), []
    with serve(first) as server:
        for name, credential in (("eu", CREDENTIAL), ("us", Credential("other", SecretStr("pass")))):
            with client_at(server.url, credential, name) as client:
                client.head_manifest(API, V1)
                client.head_manifest(API, V1)
            asked = [entry.headers.get("authorization", "") for entry in first.log]
            second.append({text for text in asked if text.startswith("Basic")})
            first.log.clear()

    assert [len(texts) for texts in second] == [1, 1]
    assert second[0].isdisjoint(second[1])


def test_j9_a_token_never_goes_where_a_redirect_leads() -> None:
    content = b"x" * 100
    script = Script(
        {
            "GET /v2/": httpx.Response(401, headers=BEARER),
            TOKEN_PATH: httpx.Response(200, json={"token": "t"}),
            f"GET {HOST}/v2/payments/api/blobs/{Digest.of(content)}": httpx.Response(
                307, headers={"Location": "https://storage.example.net/x"}
            ),
            "GET storage.example.net/x": httpx.Response(200, content=content),
        }
    )

    with client_of(script, WITH_ROBOT).open_blob(API, blob(content)) as chunks:
        assert b"".join(chunks) == content

    assert [request.url.host for request in script.log if "authorization" in request.headers] == [HOST, HOST]


def test_j10_a_registry_without_tokens_gets_the_password(tmp_path: Path) -> None:
    with DockerRegistry(tmp_path, htpasswd=True) as server, client_at(server.url) as client:
        content = image([layer_bytes("basic", 1000)])
        with client_at(server.url, None) as stranger, pytest.raises(Denied):
            stranger.head_manifest(API, V1)

        assert client.head_manifest(API, V1) is None
        assert client.start_upload(API, content.digest)


def test_j10_a_password_that_is_replaced_in_time_is_used_from_its_first_refusal(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("old")
    users = {"AWS": "old"}
    fake = FakeRegistry(login=BasicLogin(users))
    with (
        serve(fake) as server,
        client_at(server.url, Credential("AWS", SecretStr("old"), str(secret))) as client,
    ):
        client.head_manifest(API, V1)
        secret.write_text("new")
        users["AWS"] = "new"
        client.head_manifest(API, V1)
        client.head_manifest(API, V1)

    assert [entry.status for entry in fake.log] == [401, 404, 401, 404, 404]


def test_j11_an_anonymous_token_is_fetched_where_anybody_may_pull() -> None:
    fake = FakeRegistry(login=TokenLogin({USER: PASSWORD}, anonymous_pull=True))
    with serve(fake) as server, client_at(server.url, None) as client:
        assert client.head_manifest(API, V1) is None

    assert [(entry.method, entry.path, "authorization" in entry.headers) for entry in fake.log] == [
        ("HEAD", f"/v2/{API}/manifests/v1", False),
        ("GET", "/token", False),
        ("HEAD", f"/v2/{API}/manifests/v1", True),
    ]


def test_j13_five_hundred_repositories_make_no_long_header() -> None:
    guarded = Guarded()
    client = reading(guarded)

    for number in range(500):
        client.head_manifest(Repository(f"team/project-{number:03}"), V1)

    sizes = [
        sum(len(name) + len(value) for name, value in request.headers.raw) + len(request.url.raw_path)
        for request in (*guarded.log, *guarded.given)
    ]
    assert max(sizes) < HEADER_LIMIT_BYTES
    assert all(len(scopes_of(request)) == 1 for request in guarded.given)


@pytest.mark.parametrize("status", [429, 503])
def test_j14_a_token_server_that_asks_to_wait_is_left_alone_by_all(ledger: Ledger, status: int) -> None:
    fake = FakeRegistry(login=TokenLogin({USER: PASSWORD}))
    fake.fail("GET", "/token", status=status, headers={"Retry-After": "9"})
    with (
        serve(fake) as eu,
        serve(FakeRegistry()) as us,
        Bridge(ledger, eu.url, us.url, credential=CREDENTIAL) as bridge,
    ):
        view = bridge.run()
        asked = len(fake.log)
        with pytest.raises(NotYet, match="eu: asked everybody to wait"):
            bridge.clients["eu"].head_manifest(API, V1)

    assert (view.state, view.attempts) == (State.PENDING, 0)
    assert 5 < ledger.availability.standing(["eu"]).paused_for_s <= 9
    assert len(fake.log) == asked


@pytest.mark.parametrize("honoured", [0, -1])
def test_j15_a_token_server_that_honours_one_scope_costs_a_mount_at_most(honoured: int) -> None:
    numbers = itertools.count()

    def token(request: httpx.Request) -> httpx.Response:
        text = f"{scopes_of(request)[honoured]}#{next(numbers)}"
        return httpx.Response(200, json={"token": base64.b64encode(text.encode()).decode()})

    def uploads(request: httpx.Request) -> httpx.Response:
        held = base64.b64decode(request.headers["authorization"].removeprefix("Bearer ")).decode()
        if not held.startswith("repository:payments/api:"):
            return httpx.Response(401, headers=BEARER)
        return httpx.Response(202, headers={"Location": "/upload"})

    script = Script(
        {
            "GET /v2/": httpx.Response(401, headers=BEARER),
            TOKEN_PATH: token,
            "POST /v2/payments/api/blobs/uploads/": uploads,
        }
    )

    assert client_of(script, WITH_ROBOT).start_upload(API, blob(b"x").digest, mount_from=BASE)


@pytest.mark.parametrize("login", ["basic", "tokens"])
def test_j17_a_rotated_credential_is_read_again_without_a_restart(tmp_path: Path, login: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("before\n")
    users = {"robot$eu": "before"}
    fake = FakeRegistry(login=BasicLogin(users) if login == "basic" else TokenLogin(users))
    credential = Credential("robot$eu", SecretStr("before"), str(secret))
    with serve(fake) as server, client_at(server.url, credential) as client:
        assert client.head_manifest(API, V1) is None
        users["robot$eu"] = "after"
        with pytest.raises(Denied):
            client.head_manifest(BASE, V1)

        secret.write_text("after\n")

        assert client.head_manifest(BASE, V1) is None


def test_j18_a_token_lives_by_our_clock_and_not_by_its_servers() -> None:
    answers = itertools.count()

    def token(request: httpx.Request) -> httpx.Response:
        issued = ("2099-01-01T00:00:00Z", "1999-01-01T00:00:00Z")[next(answers) % 2]
        return httpx.Response(200, content=json.dumps({"token": "t", "issued_at": issued, "expires_in": 300}))

    script = Script({"GET /v2/": httpx.Response(401, headers=BEARER), TOKEN_PATH: token})
    client = client_of(script, registry(credential=ROBOT))

    for name in ("a/one", "a/two"):
        for _ in range(5):
            client.head_manifest(Repository(name), V1)

    assert sum(request.url.path == "/token" for request in script.log) == 2
    assert sent(script.log).count(BASIC) == 2

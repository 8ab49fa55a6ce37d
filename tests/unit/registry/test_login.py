import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from replicator.errors import Denied, PermanentError, RateLimited, Unavailable
from replicator.oci import Repository, Tag
from replicator.registry import RegistryClient
from replicator.rules.registries import Credential, RegistryType
from tests.unit.registry.guarded import BASIC, ROBOT, TOKEN_PATH, WITH_ROBOT, Guarded, reading
from tests.unit.registry.scripted import API, HOST, MANIFEST, V1, Script, blob, client_of, registry


def test_a_token_is_fetched_with_the_credential_and_used() -> None:
    guarded = Guarded()

    reading(guarded)

    [request] = guarded.given
    assert request.url.params.get_list("scope") == ["repository:payments/api:pull"]
    assert (request.url.params["service"], request.url.params["x"]) == ("the registry", "1")
    assert request.headers["authorization"] == BASIC
    assert [item.url.path for item in guarded.log] == ["/v2/", "/v2/payments/api/manifests/v1"]


def test_a_token_is_kept_for_its_repository() -> None:
    guarded = Guarded()
    client = reading(guarded)

    client.head_manifest(API, Tag("v2"))
    client.head_manifest(Repository("other"), V1)

    assert [item.url.params["scope"] for item in guarded.given] == [
        "repository:payments/api:pull",
        "repository:other:pull",
    ]


def test_an_anonymous_token_is_fetched_where_one_is_needed() -> None:
    guarded = Guarded(anonymous=True)

    client = reading(guarded, registry())
    client.head_manifest(API, V1)

    assert len(guarded.given) == 1
    assert len(guarded.log) == 3


def test_many_threads_fetch_one_token() -> None:
    guarded = Guarded()
    client = RegistryClient(WITH_ROBOT, transport=httpx.MockTransport(guarded))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: client.head_manifest(API, Tag(f"v{number}")), range(50)))

    assert len(guarded.given) == 1
    assert [item.url.path for item in guarded.log].count("/v2/") == 1


def test_a_token_that_is_no_longer_taken_is_replaced_once() -> None:
    guarded = Guarded()
    client = reading(guarded)
    guarded.valid.clear()

    assert client.head_manifest(API, V1) is None
    assert len(guarded.given) == 2


def test_a_registry_that_takes_no_token_denies_after_one_more_try() -> None:
    class Deaf(Guarded):
        def token(self, request: httpx.Request) -> httpx.Response:
            answer = super().token(request)
            self.valid.clear()
            return answer

    deaf = Deaf()

    with pytest.raises(Denied, match="payments/api:v1 at eu"):
        reading(deaf)
    assert len(deaf.given) == 2
    assert len(deaf.log) == 3


def test_a_basic_challenge_to_a_token_does_not_end_the_use_of_tokens() -> None:
    guarded = Guarded()
    client = reading(guarded)
    guarded.challenge = 'Basic realm="harbor"'
    guarded.valid.clear()

    assert client.head_manifest(API, V1) is None
    assert all(not item.headers.get("authorization", "").startswith("Basic") for item in guarded.log)


def test_an_action_that_the_registry_asks_for_is_added_for_that_repository() -> None:
    class Strict(Guarded):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            sent = request.headers.get("authorization", "")
            if request.url.path != "/token" and sent and sent != "Bearer wide":
                wanted = "repository:payments/api:metadata_read repository:secrets:pull registry:catalog:*"
                return httpx.Response(401, headers={"WWW-Authenticate": f'{self.challenge},scope="{wanted}"'})
            return httpx.Response(404) if sent == "Bearer wide" else super().__call__(request)

        def token(self, request: httpx.Request) -> httpx.Response:
            self.given.append(request)
            is_wide = len(request.url.params.get_list("scope")) > 1
            return httpx.Response(200, json={"token": "wide" if is_wide else "narrow"})

    strict = Strict()
    client = reading(strict)
    client.head_manifest(API, V1)

    assert [item.url.params.get_list("scope") for item in strict.given] == [
        ["repository:payments/api:pull"],
        ["repository:payments/api:pull", "repository:payments/api:metadata_read"],
    ]


def test_a_basic_credential_is_sent_from_the_start_after_a_basic_challenge() -> None:
    basic = {"WWW-Authenticate": 'Basic realm="r"'}
    script = Script({"GET /v2/": httpx.Response(401, headers=basic)})

    client_of(script, WITH_ROBOT).head_manifest(API, V1)

    assert [item.headers.get("authorization") for item in script.log] == [None, BASIC]


def test_a_root_open_to_all_does_not_keep_the_credential_back() -> None:
    script = Script({"GET /v2/": httpx.Response(200)})

    client_of(script, WITH_ROBOT).head_manifest(API, V1)

    assert script.log[-1].headers["authorization"] == BASIC


def test_nothing_is_sent_ahead_without_a_credential() -> None:
    script = Script({})

    client_of(script).head_manifest(API, V1)

    assert script.lines == ["HEAD /v2/payments/api/manifests/v1"]


def test_a_root_that_cannot_answer_is_no_proof_of_absence() -> None:
    script = Script({"GET /v2/": httpx.Response(503)})

    with pytest.raises(Unavailable):
        client_of(script, WITH_ROBOT).head_manifest(API, V1)


def test_a_challenge_that_only_the_root_gives_is_found() -> None:
    script = Script(
        {
            "HEAD /v2/payments/api/manifests/v1": [httpx.Response(401), httpx.Response(404)],
            "GET /v2/": httpx.Response(
                401, headers={"WWW-Authenticate": f'Bearer realm="https://{HOST}/token"'}
            ),
            "GET /token": httpx.Response(200, json={"token": "t"}),
        }
    )

    assert client_of(script).head_manifest(API, V1) is None
    assert script.log[-1].headers["authorization"] == "Bearer t"


def test_a_wrong_password_is_denied_and_not_told() -> None:
    guarded = Guarded(password="another")

    with pytest.raises(Denied) as caught:
        reading(guarded)

    assert "sesame" not in str(caught.value)
    assert len(guarded.given) == 1


@pytest.mark.parametrize("scheme", ["bearer", "basic"])
def test_a_rotated_secret_is_read_again(tmp_path: Path, scheme: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    described = registry(credential=Credential("robot$eu", SecretStr("old"), str(secret)))
    if scheme == "bearer":
        reading(Guarded(), described)
        return

    def basic(request: httpx.Request) -> httpx.Response:
        is_right = request.headers.get("authorization") == BASIC
        return httpx.Response(404 if is_right else 401, headers={"WWW-Authenticate": "Basic realm=r"})

    script = Script({"GET /v2/": basic, "HEAD /v2/payments/api/manifests/v1": basic})
    assert client_of(script, described).head_manifest(API, V1) is None


def test_a_secret_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    described = registry(credential=Credential("robot$eu", SecretStr("old"), str(tmp_path / "absent")))

    with pytest.raises(Denied):
        reading(Guarded(), described)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, content=b"<html>"), PermanentError),
        (httpx.Response(200, json={}), Denied),
        (httpx.Response(200, json={"token": 5}), Denied),
        (httpx.Response(200, json={"token": "a\r\nX-Evil: 1"}), Denied),
        (httpx.Response(200, json=["token"]), Denied),
        (httpx.Response(200, content=b" " * 70_000), PermanentError),
        (httpx.Response(302, headers={"Location": "https://evil.example.net/"}), PermanentError),
        (httpx.Response(403), Denied),
        (httpx.Response(429), RateLimited),
        (httpx.Response(503), Unavailable),
    ],
)
def test_a_token_server_that_gives_no_token(answer: httpx.Response, expected: type[Exception]) -> None:
    script = Script(
        {
            "GET /v2/": httpx.Response(
                401, headers={"WWW-Authenticate": f'Bearer realm="https://{HOST}/token"'}
            ),
            TOKEN_PATH: answer,
        }
    )

    with pytest.raises(expected):
        client_of(script, WITH_ROBOT).head_manifest(API, V1)
    assert all(item.url.host == HOST for item in script.log)


def test_a_credential_never_goes_to_a_strange_token_server() -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="https://evil.example.net/token"'}
    script = Script({"GET /v2/": httpx.Response(401, headers=challenge)})

    with pytest.raises(PermanentError, match=r"evil\.example\.net"):
        client_of(script, WITH_ROBOT).head_manifest(API, V1)
    assert all(item.url.host == HOST for item in script.log)


def test_a_mount_asks_for_both_repositories_what_is_needed_first() -> None:
    guarded = Guarded()
    client = reading(guarded)

    with pytest.raises(PermanentError):
        client.start_upload(API, blob(b"x").digest, mount_from=Repository("a/base"))

    assert guarded.given[1].url.params.get_list("scope") == [
        "repository:payments/api:pull,push",
        "repository:a/base:pull",
    ]


@pytest.mark.parametrize(
    ("kind", "scope"),
    [
        (RegistryType.DISTRIBUTION, "repository:payments/api:delete,pull"),
        (RegistryType.QUAY, "repository:payments/api:pull,push"),
        (RegistryType.ECR_PUBLIC, "aws"),
    ],
)
def test_a_deletion_asks_for_what_the_registry_calls_it(kind: RegistryType, scope: str) -> None:
    guarded = Guarded()
    client = RegistryClient(registry(kind=kind, credential=ROBOT), transport=httpx.MockTransport(guarded))

    client.delete_manifest(API, MANIFEST.digest)

    assert guarded.given[0].url.params.get_list("scope") == [scope]


def test_a_waiting_thread_does_not_hold_up_another_repository() -> None:
    slow = threading.Event()

    class Slow(Guarded):
        def token(self, request: httpx.Request) -> httpx.Response:
            if "slow" in request.url.params["scope"]:
                slow.wait(5)
            return super().token(request)

    client = RegistryClient(WITH_ROBOT, transport=httpx.MockTransport(Slow()))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.head_manifest, Repository("slow"), V1)
        began = time.monotonic()
        client.head_manifest(API, V1)
        assert time.monotonic() - began < 2
        slow.set()
        assert waiting.result() is None


def test_a_ping_needs_no_right_but_a_sound_credential() -> None:
    client_of(Script({"GET /v2/": httpx.Response(200)})).ping()
    reading(Guarded()).ping()
    client_of(Script({"GET /v2/": httpx.Response(401, headers={"WWW-Authenticate": "Basic realm=r"})})).ping()
    guarded = Guarded()
    RegistryClient(registry(), transport=httpx.MockTransport(guarded)).ping()

    with pytest.raises(Denied):
        RegistryClient(WITH_ROBOT, transport=httpx.MockTransport(Guarded(password="other"))).ping()
    with pytest.raises(PermanentError):
        client_of(Script({})).ping()


def test_the_body_of_a_token_answer_is_json_with_either_name() -> None:
    script = Script(
        {
            "GET /v2/": httpx.Response(
                401, headers={"WWW-Authenticate": f'Bearer realm="https://{HOST}/token"'}
            ),
            TOKEN_PATH: httpx.Response(200, content=json.dumps({"token": "t", "issued_at": "2099-01-01"})),
        }
    )

    assert client_of(script, WITH_ROBOT).head_manifest(API, V1) is None

import logging

import httpx
import pytest
from pydantic import SecretStr

from replicator import __version__
from replicator.errors import PermanentError, TemporaryError, Unavailable
from replicator.registry import RegistryClient
from replicator.rules.registries import Credential
from tests.unit.registry.scripted import (
    API,
    HOST,
    MANIFEST,
    RAW,
    V1,
    Pieces,
    Script,
    blob,
    client_of,
    registry,
)

PATH = "/v2/payments/api/manifests/v1"
GOOD = {"Content-Type": MANIFEST.media_type, "Docker-Content-Digest": MANIFEST.digest}
WITH_PASSWORD = registry(credential=Credential("robot", SecretStr("sesame")))


def redirect(location: str, status: int = 307) -> httpx.Response:
    return httpx.Response(status, headers={"Location": location, "Set-Cookie": "a=b"})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_without_the_credential(status: int) -> None:
    script = Script(
        {
            f"GET {HOST}{PATH}": redirect("https://storage.example.net/x?sig=1", status),
            "GET storage.example.net/x": httpx.Response(200, content=RAW, headers=GOOD),
        }
    )

    assert client_of(script, WITH_PASSWORD).get_manifest(API, V1) == MANIFEST

    there = script.log[-1]
    assert there.url.raw_path == b"/x?sig=1"
    assert "authorization" not in there.headers
    assert "cookie" not in there.headers


def test_a_redirect_to_the_registry_itself_keeps_the_credential() -> None:
    script = Script(
        {
            f"GET {PATH}": redirect("/elsewhere"),
            "GET /elsewhere": httpx.Response(200, content=RAW, headers=GOOD),
        }
    )

    assert client_of(script, WITH_PASSWORD).get_manifest(API, V1) == MANIFEST
    assert "authorization" in script.log[-1].headers


@pytest.mark.parametrize(
    "location",
    [
        "http://storage.example.net/x",
        f"http://{HOST}/x",
        "https://user:pass@storage.example.net/x",
        "https://169.254.169.254/latest/meta-data",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://localhost/x",
        "https://storage..example.net/x",
        f"https://{HOST}:0/x",
        "https://storage.example.net:99999/x",
        "https://" + "a" * 70 + ".example.net/",
        "https://[broken/x",
        "ftp://storage.example.net/x",
        "file:///etc/passwd",
        "https://2852039166/x",
        "https://127.1/x",
        "https://0x7f.0.0.1/x",
        "https://[::ffff:169.254.169.254]/x",
        "https://localhost./x",
        "https://a b/x",
    ],
)
def test_a_redirect_that_leads_astray_is_refused(location: str) -> None:
    script = Script({f"GET {PATH}": redirect(location)})

    with pytest.raises(PermanentError, match="payments/api:v1 at eu"):
        client_of(script).get_manifest(API, V1)
    assert len(script.log) == 1


def test_redirects_come_to_an_end() -> None:
    script = Script({f"GET {PATH}": redirect(PATH)})

    with pytest.raises(PermanentError, match="redirected more than 5 times"):
        client_of(script).get_manifest(API, V1)
    assert len(script.log) == 6


def test_a_write_is_never_redirected() -> None:
    script = Script({f"PUT {PATH}": redirect("/elsewhere")})

    with pytest.raises(PermanentError, match="redirect"):
        client_of(script).put_manifest(API, V1, MANIFEST)
    assert len(script.log) == 1


def test_a_401_of_a_redirects_target_gets_no_credential() -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="https://storage.example.net/token"'}
    script = Script(
        {
            f"GET {HOST}{PATH}": redirect("https://storage.example.net/x"),
            "GET storage.example.net/x": httpx.Response(401, headers=challenge),
        }
    )

    with pytest.raises(PermanentError):
        client_of(script, WITH_PASSWORD).get_manifest(API, V1)
    assert "authorization" not in script.log[-1].headers
    assert len(script.log) == 3


def test_requests_say_who_asks_and_want_plain_bytes() -> None:
    script = Script({})

    client_of(script).head_manifest(API, V1)

    headers = script.log[0].headers
    assert headers["user-agent"] == f"replicator/{__version__}"
    assert headers["accept-encoding"] == "identity"
    assert headers["accept"].count("application/vnd.") == 4


def test_a_registry_may_lie_below_a_path() -> None:
    script = Script({})

    client_of(script, registry(url=f"https://{HOST}:8443/docker/mirror")).tags(API)

    assert str(script.log[0].url) == f"https://{HOST}:8443/docker/mirror/v2/payments/api/tags/list?n=1000"


def test_a_broken_connection_is_tried_once_more() -> None:
    answers: list[object] = [httpx.ReadError("reset"), httpx.Response(404)]
    script = Script({f"HEAD {PATH}": answers})  # type: ignore[dict-item]

    assert client_of(script).head_manifest(API, V1) is None
    assert len(script.log) == 2


def test_a_connection_that_stays_broken_is_an_outage() -> None:
    script = Script({f"HEAD {PATH}": httpx.RemoteProtocolError("server disconnected")})

    with pytest.raises(Unavailable) as caught:
        client_of(script).head_manifest(API, V1)
    assert caught.value.registry == "eu"
    assert len(script.log) == 2


def test_a_refused_connection_is_not_tried_again_at_once() -> None:
    script = Script({f"HEAD {PATH}": httpx.ConnectError("refused")})

    with pytest.raises(Unavailable):
        client_of(script).head_manifest(API, V1)
    assert len(script.log) == 1


def test_an_endless_error_is_read_to_a_limit() -> None:
    read = 0

    class Endless(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            nonlocal read
            while True:
                read += 1024
                yield bytes(1024)

    script = Script({f"GET {PATH}": httpx.Response(400, stream=Endless())})

    with pytest.raises(PermanentError):
        client_of(script).get_manifest(API, V1)
    assert read <= 65 * 1024


def test_a_large_manifest_is_read_to_a_limit() -> None:
    stream = Pieces(*[bytes(1024 * 1024)] * 20)
    script = Script({f"GET {PATH}": httpx.Response(200, stream=stream)})

    with pytest.raises(PermanentError, match="larger than"):
        client_of(script).get_manifest(API, V1)


@pytest.mark.parametrize("end", [[], [httpx.ReadError("reset")]], ids=["in good order", "broken"])
def test_an_answer_that_is_cut_short_is_tried_again_but_is_no_outage(end: list[Exception]) -> None:
    headers = {**GOOD, "Content-Length": str(len(RAW) + 1)}
    script = Script({f"GET {PATH}": httpx.Response(200, headers=headers, stream=Pieces(RAW, *end))})

    with pytest.raises(TemporaryError, match="cut short") as caught:
        client_of(script).get_manifest(API, V1)
    assert not isinstance(caught.value, Unavailable)


def test_every_request_is_counted() -> None:
    counted: list[tuple[str, str, int]] = []
    script = Script({f"HEAD {PATH}": httpx.Response(404), f"GET {PATH}": httpx.ConnectError("refused")})
    client = RegistryClient(
        registry(),
        transport=httpx.MockTransport(script),
        observe=lambda name, method, status, _: counted.append((name, method, status)),
    )

    client.head_manifest(API, V1)
    with pytest.raises(Unavailable):
        client.get_manifest(API, V1)

    assert counted == [("eu", "HEAD", 404), ("eu", "GET", 0)]


def test_the_http_libraries_keep_quiet(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client_of(Script({})).has_blob(API, blob(b"x"))

    assert not [record for record in caplog.records if record.name.startswith("http")]

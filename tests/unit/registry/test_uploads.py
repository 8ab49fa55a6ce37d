from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from replicator.errors import (
    Corrupt,
    Denied,
    PermanentError,
    RateLimited,
    ReplicatorError,
    TemporaryError,
    TooLarge,
    Unavailable,
)
from replicator.oci import Digest, Repository
from replicator.registry import Upload
from replicator.rules.registries import Credential
from tests.unit.registry.scripted import API, HOST, Answer, Script, blob, client_of, refusal, registry

CONTENT = b"0123456789" * 10
BLOB = blob(CONTENT)
DIGEST = f"sha256%3A{BLOB.digest.hex}"
BASE = Repository("base/alpine")
START = "POST /v2/payments/api/blobs/uploads/"
SESSION = "/v2/payments/api/blobs/uploads/u1"
PUT = f"PUT {SESSION}"
HEAD = f"HEAD /v2/payments/api/blobs/{BLOB.digest}"
PRESENT = httpx.Response(200, headers={"Content-Length": "100"})
UPLOAD = Upload(API, BLOB.digest, f"https://{HOST}{SESSION}?_state=abc")


def opened(location: str = SESSION) -> httpx.Response:
    return httpx.Response(202, headers={"Location": location})


def finish(script: Script) -> None:
    client_of(script).finish_upload(UPLOAD, BLOB, [CONTENT[:50], CONTENT[50:]])


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (f"{SESSION}?_state=a%2Bb%3D&x=1", f"{SESSION}?_state=a%2Bb%3D&x=1&digest={DIGEST}"),
        (SESSION, f"{SESSION}?digest={DIGEST}"),
        ("u1?_state=abc==", f"{SESSION}?_state=abc==&digest={DIGEST}"),
        (f"https://{HOST}{SESSION}?_state=abc", f"{SESSION}?_state=abc&digest={DIGEST}"),
        (f"https://{HOST}:443{SESSION}", f"{SESSION}?digest={DIGEST}"),
        (f"https://{HOST.upper()}{SESSION}", f"{SESSION}?digest={DIGEST}"),
        (f"//{HOST}{SESSION}", f"{SESSION}?digest={DIGEST}"),
        (f"{SESSION}?digest=sha256:0&_state=a#part", f"{SESSION}?_state=a&digest={DIGEST}"),
    ],
)
def test_bytes_go_where_the_session_is(location: str, target: str) -> None:
    script = Script({START: opened(location), PUT: httpx.Response(201)})
    client = client_of(script)

    upload = client.start_upload(API, BLOB.digest)
    assert upload
    client.finish_upload(upload, BLOB, [CONTENT[:50], CONTENT[50:]])

    assert script.log[0].headers["content-length"] == "0"
    put = script.log[1]
    assert put.url.raw_path.decode() == target
    assert put.content == CONTENT
    assert put.headers["content-length"] == "100"
    assert "transfer-encoding" not in put.headers


@pytest.mark.parametrize(
    "location",
    [
        "https://uploads.example.net/u1",
        f"http://{HOST}{SESSION}",
        f"https://{HOST}:8443{SESSION}",
        f"https://user:pass@{HOST}{SESSION}",
        "https://a b/",
        "https://[x",
    ],
)
def test_bytes_go_to_no_other_place(location: str) -> None:
    described = registry(credential=Credential("robot", SecretStr("sesame")))
    script = Script({START: opened(location), "GET /v2/": httpx.Response(200)})

    with pytest.raises(PermanentError):
        client_of(script, described).start_upload(API, BLOB.digest)
    with pytest.raises(PermanentError):
        client_of(script, described).finish_upload(Upload(API, BLOB.digest, location), BLOB, [CONTENT])
    assert all(item.url.host == HOST and item.method != "PUT" for item in script.log)


@pytest.mark.parametrize("answer", [httpx.Response(202), httpx.Response(201), httpx.Response(200)])
def test_a_session_without_a_place_is_tried_again_later(answer: httpx.Response) -> None:
    with pytest.raises(TemporaryError, match="named no place"):
        client_of(Script({START: answer})).start_upload(API, BLOB.digest)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(403, "DENIED", "quota exceeded"), Denied),
        (refusal(404, "NAME_UNKNOWN"), PermanentError),
        (httpx.Response(429, headers={"Retry-After": "7"}), RateLimited),
        (httpx.Response(503), Unavailable),
    ],
)
def test_a_session_that_is_refused_says_why(answer: Answer, expected: type[ReplicatorError]) -> None:
    with pytest.raises(expected, match="payments/api@sha256"):
        client_of(Script({START: answer})).start_upload(API, BLOB.digest)


def test_a_sha512_session_says_so() -> None:
    script = Script({START: opened()})

    client_of(script).start_upload(API, Digest.of(b"x", "sha512"))

    assert script.lines == [f"{START}?digest-algorithm=sha512"]


def test_a_mount_leaves_nothing_to_do() -> None:
    script = Script({START: httpx.Response(201)})

    assert client_of(script).start_upload(API, BLOB.digest, mount_from=BASE) is None
    assert script.lines == [f"{START}?mount={DIGEST}&from=base%2Falpine"]


def test_the_session_of_a_failed_mount_is_used() -> None:
    script = Script({START: opened()})

    assert client_of(script).start_upload(API, BLOB.digest, mount_from=BASE)
    assert len(script.log) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_refused_mount_is_followed_by_a_plain_start(status: int) -> None:
    script = Script({START: [httpx.Response(status), opened()]})

    assert client_of(script).start_upload(API, BLOB.digest, mount_from=BASE)
    assert script.lines[-1] == START


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_mount_that_cannot_be_now_is_not_followed_by_another_request(status: int) -> None:
    script = Script({START: httpx.Response(status)})

    with pytest.raises(TemporaryError):
        client_of(script).start_upload(API, BLOB.digest, mount_from=BASE)
    assert len(script.log) == 1


@pytest.mark.parametrize("status", [201, 204])
def test_a_closed_upload_is_done(status: int) -> None:
    script = Script({PUT: httpx.Response(status)})

    finish(script)

    assert len(script.log) == 1


@pytest.mark.parametrize("status", [200, 202, 401, 500, 503, 504])
def test_an_upload_in_doubt_is_looked_up(status: int) -> None:
    script = Script({PUT: httpx.Response(status), HEAD: PRESENT})

    finish(script)

    assert [item.method for item in script.log if item.method != "GET"] == ["PUT", "HEAD"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200), TemporaryError),
        (httpx.Response(401), TemporaryError),
        (refusal(404, "BLOB_UPLOAD_UNKNOWN"), TemporaryError),
        (httpx.Response(404), TemporaryError),
        (refusal(400, "DIGEST_INVALID"), TemporaryError),
        (httpx.Response(416), TemporaryError),
        (refusal(404, "NAME_UNKNOWN"), PermanentError),
        (refusal(403, "DENIED"), Denied),
        (httpx.Response(413), TooLarge),
        (httpx.Response(503), Unavailable),
        (httpx.Response(201, headers={"Docker-Content-Digest": Digest.of(b"other")}), Corrupt),
    ],
)
def test_an_upload_that_failed_says_why(answer: Answer, expected: type[ReplicatorError]) -> None:
    with pytest.raises(expected) as caught:
        finish(Script({PUT: answer}))
    assert type(caught.value) is expected


def test_a_lost_answer_to_all_bytes_is_looked_up() -> None:
    def lose(request: httpx.Request) -> httpx.Response:
        request.read()
        raise httpx.ReadError("reset")

    script = Script({PUT: lose, HEAD: PRESENT})
    finish(script)
    assert [item.method for item in script.log] == ["PUT", "HEAD"]

    for head in (httpx.Response(404), httpx.Response(503)):
        with pytest.raises(TemporaryError):
            finish(Script({PUT: lose, HEAD: head}))


def test_an_upload_that_breaks_off_is_no_outage() -> None:
    def lose(request: httpx.Request) -> httpx.Response:
        request.read()
        raise httpx.WriteError("reset")

    with pytest.raises(TemporaryError) as caught:
        finish(Script({PUT: lose, HEAD: httpx.Response(404)}))

    assert not isinstance(caught.value, Unavailable)


def test_a_failing_source_comes_through_as_it_is() -> None:
    def failing() -> Iterator[bytes]:
        yield CONTENT[:50]
        raise Unavailable("the source is away", registry="us")

    script = Script({PUT: httpx.Response(201), HEAD: PRESENT})

    with pytest.raises(Unavailable, match="the source is away") as caught:
        client_of(script).finish_upload(UPLOAD, BLOB, failing())
    assert caught.value.registry == "us"
    assert script.log == []


@pytest.mark.parametrize("chunks", [[CONTENT[:99]], [CONTENT, b"x"], []])
def test_another_number_of_bytes_is_never_sent_whole(chunks: list[bytes]) -> None:
    script = Script({PUT: httpx.Response(201)})

    with pytest.raises(Corrupt, match="100 bytes came"):
        client_of(script).finish_upload(UPLOAD, BLOB, chunks)
    assert script.log == []


@pytest.mark.parametrize("answer", [httpx.Response(204), httpx.Response(404), httpx.ConnectError("refused")])
def test_giving_up_never_fails(answer: Answer) -> None:
    script = Script({f"DELETE {SESSION}": answer})

    client_of(script).cancel_upload(UPLOAD)

    assert script.lines == [f"DELETE {SESSION}?_state=abc"]

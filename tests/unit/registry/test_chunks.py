from dataclasses import replace

import httpx
import pytest

from replicator.errors import (
    Denied,
    PermanentError,
    ReplicatorError,
    TemporaryError,
    TooLarge,
    Unavailable,
    Unsupported,
)
from replicator.registry import Upload
from tests.unit.registry.scripted import API, HOST, Answer, Script, blob, client_of, refusal

CONTENT = b"0123456789" * 10
BLOB = blob(CONTENT)
SESSION = "/v2/payments/api/blobs/uploads/u1"
FIRST = Upload(API, BLOB.digest, f"https://{HOST}{SESSION}?_state=0")
SECOND = replace(FIRST, location=f"https://{HOST}{SESSION}?_state=1", offset=40)
PATCH, GET, PUT = f"PATCH {SESSION}", f"GET {SESSION}", f"PUT {SESSION}"


def took(last: int | None, state: str = "1", status: int = 202) -> httpx.Response:
    headers = {"Location": f"{SESSION}?_state={state}"}
    if last is not None:
        headers["Range"] = f"0-{last}"
    return httpx.Response(status, headers=headers)


def send(script: Script, upload: Upload = FIRST) -> Upload:
    return client_of(script).send_chunk(upload, [CONTENT[:30], CONTENT[30:40]])


@pytest.mark.parametrize("answer", [took(39), took(None), took(39, status=201)])
def test_a_chunk_moves_the_upload_on(answer: httpx.Response) -> None:
    script = Script({PATCH: answer})

    assert send(script) == SECOND
    assert script.log[0].headers["content-range"] == "0-39"
    assert script.log[0].headers["content-length"] == "40"
    assert script.log[0].read() == CONTENT[:40]


def test_the_next_chunk_follows() -> None:
    script = Script({PATCH: took(79, "2")})

    assert send(script, SECOND).offset == 80
    assert script.log[0].headers["content-range"] == "40-79"


@pytest.mark.parametrize(
    ("answer", "upload", "expected"),
    [
        (httpx.Response(405), FIRST, Unsupported),
        (httpx.Response(501), FIRST, Unsupported),
        (httpx.Response(404), FIRST, Unsupported),
        (took(39), SECOND, Unsupported),
        (httpx.Response(413), FIRST, TooLarge),
        (httpx.Response(416), FIRST, TooLarge),
        (httpx.Response(413), SECOND, PermanentError),
        (httpx.Response(416), SECOND, TemporaryError),
        (refusal(404, "BLOB_UPLOAD_UNKNOWN"), SECOND, TemporaryError),
        (refusal(404, "BLOB_UPLOAD_INVALID"), FIRST, TemporaryError),
        (refusal(404, "NAME_UNKNOWN"), FIRST, PermanentError),
        (refusal(403, "DENIED"), FIRST, Denied),
        (httpx.Response(503), SECOND, Unavailable),
    ],
)
def test_a_chunk_that_is_refused_says_why(
    answer: Answer, upload: Upload, expected: type[ReplicatorError]
) -> None:
    with pytest.raises(expected) as caught:
        send(Script({PATCH: answer}), upload)
    assert type(caught.value) is expected


def test_a_chunk_that_broke_off_is_not_sent_again_unasked() -> None:
    def lose(request: httpx.Request) -> httpx.Response:
        request.read()
        raise httpx.WriteError("reset")

    script = Script({PATCH: lose})

    with pytest.raises(TemporaryError) as caught:
        send(script)
    assert not isinstance(caught.value, Unavailable)
    assert len(script.log) == 1


def test_a_login_that_ran_out_between_chunks_is_renewed_once() -> None:
    script = Script({PATCH: [httpx.Response(401), took(39)]})

    assert send(script).offset == 40

    with pytest.raises(TemporaryError, match="login"):
        send(Script({PATCH: httpx.Response(401)}))


@pytest.mark.parametrize("found", ["0-59", "bytes=0-59", "bytes 0-59"])
def test_an_upload_stands_where_the_registry_says(found: str) -> None:
    headers = {"Range": found, "Location": f"{SESSION}?_state=2"}
    script = Script({GET: httpx.Response(204, headers=headers)})

    stands = client_of(script).look_up_upload(SECOND)

    assert stands == replace(SECOND, offset=60, location=f"https://{HOST}{SESSION}?_state=2")


def test_the_last_location_stays_good_where_none_is_named() -> None:
    script = Script({GET: httpx.Response(204, headers={"Range": "bytes=0-59"})})

    assert client_of(script).look_up_upload(SECOND) == replace(SECOND, offset=60)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(204, headers={"Range": "0-0"}),
        httpx.Response(204, headers={"Range": "0--1"}),
        httpx.Response(204, headers={"Range": "5-9"}),
        httpx.Response(204),
        httpx.Response(404),
        httpx.Response(403),
        httpx.Response(405),
        refusal(404, "BLOB_UPLOAD_UNKNOWN"),
        refusal(400, "BLOB_UPLOAD_INVALID"),
        httpx.Response(204, headers={"Range": "0-59", "Location": "https://elsewhere.example.net/u1"}),
    ],
)
def test_what_cannot_be_gone_on_with_is_over(answer: httpx.Response) -> None:
    assert client_of(Script({GET: answer})).look_up_upload(SECOND) is None


@pytest.mark.parametrize("answer", [httpx.Response(503), httpx.Response(429), httpx.ConnectError("refused")])
def test_a_registry_that_is_away_may_have_it_still(answer: Answer) -> None:
    with pytest.raises(TemporaryError):
        client_of(Script({GET: answer})).look_up_upload(SECOND)


def test_the_last_part_closes_the_upload() -> None:
    script = Script({PUT: httpx.Response(201)})

    client_of(script).finish_upload(SECOND, BLOB, [CONTENT[40:]])

    assert script.log[0].headers["content-range"] == "40-99"
    assert script.log[0].headers["content-length"] == "60"


def test_an_upload_that_lacks_nothing_is_closed_without_a_body() -> None:
    script = Script({PUT: httpx.Response(201)})

    client_of(script).finish_upload(replace(SECOND, offset=100), BLOB, [])

    assert script.log[0].headers["content-length"] == "0"
    assert "content-range" not in script.log[0].headers


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(400, "DIGEST_INVALID"), Unsupported),
        (httpx.Response(416), Unsupported),
        (httpx.Response(413), PermanentError),
        (refusal(404, "BLOB_UPLOAD_UNKNOWN"), TemporaryError),
    ],
)
def test_parts_that_do_not_make_up_the_blob_are_told_apart(
    answer: httpx.Response, expected: type[ReplicatorError]
) -> None:
    with pytest.raises(expected) as caught:
        client_of(Script({PUT: answer})).finish_upload(SECOND, BLOB, [CONTENT[40:]])
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("5242880", 5242880), ("", 0), ("many", 0), ("-1", 0), ("9" * 40, 10**18 - 1)]
)
def test_the_least_chunk_is_a_number_or_nothing(text: str, expected: int) -> None:
    headers = {"Location": SESSION, "OCI-Chunk-Min-Length": text}
    script = Script({"POST /v2/payments/api/blobs/uploads/": httpx.Response(202, headers=headers)})

    upload = client_of(script).start_upload(API, BLOB.digest)

    assert upload
    assert upload.chunk_min_bytes == expected


def test_a_location_shows_in_no_log() -> None:
    assert "_state" not in repr(FIRST)

import hashlib
from collections.abc import Iterable

import httpx
import pytest

from replicator.errors import Corrupt, Denied, PermanentError, TemporaryError, Unavailable
from replicator.oci import Descriptor, Digest
from tests.unit.registry.scripted import API, Answer, Pieces, Script, blob, client_of, registry

CONTENT = b"0123456789" * 10
BLOB = blob(CONTENT)
PATH = f"/v2/payments/api/blobs/{BLOB.digest}"
LOST = httpx.ReadError("reset")


def whole(*pieces: bytes | Exception, status: int = 200, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=Pieces(*pieces))


def part(start: int, *pieces: bytes | Exception, total: str = "100") -> httpx.Response:
    return whole(*pieces, status=206, Content_Range=f"bytes {start}-99/{total}")


def read(*answers: Answer, descriptor: Descriptor = BLOB) -> tuple[list[bytes], Script]:
    script = Script({f"GET /v2/payments/api/blobs/{descriptor.digest}": list(answers)})
    with client_of(script).open_blob(API, descriptor) as chunks:
        return list(chunks), script


def handed_out(*answers: Answer, error: type[Exception]) -> bytes:
    """What a taker gets before the error: never the whole blob."""
    taken = bytearray()

    def take(chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            taken.extend(chunk)

    script = Script({f"GET {PATH}": list(answers)})
    with (
        client_of(script).open_blob(API, BLOB) as chunks,
        pytest.raises(error, match="reading payments/api@sha"),
    ):
        take(chunks)
    return bytes(taken)


def test_a_blob_is_handed_out_as_it_comes() -> None:
    chunks, _ = read(whole(CONTENT[:30], CONTENT[30:60], CONTENT[60:], Content_Length="100"))

    assert chunks == [CONTENT[:30], CONTENT[30:60], CONTENT[60:]]


def test_an_empty_blob_has_no_pieces() -> None:
    assert read(whole(), descriptor=blob(b""))[0] == []


def test_a_sha512_blob_is_checked_by_sha512() -> None:
    digest = Digest(f"sha512:{hashlib.sha512(CONTENT).hexdigest()}")

    assert b"".join(read(whole(CONTENT), descriptor=Descriptor("", digest, 100))[0]) == CONTENT


def test_the_last_piece_of_a_corrupt_blob_is_never_handed_out() -> None:
    assert handed_out(whole(CONTENT[:50], b"x" * 50), error=Corrupt) == CONTENT[:50]
    assert handed_out(whole(b"x" * 100), error=Corrupt) == b""


def test_a_blob_that_is_too_long_is_corrupt() -> None:
    assert handed_out(whole(CONTENT, b"more"), error=Corrupt) == b""


def test_an_announced_length_that_is_wrong_is_corrupt_at_once() -> None:
    with pytest.raises(Corrupt, match="101 bytes long, expected 100"):
        read(whole(CONTENT, Content_Length="101"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(404), Corrupt),
        (httpx.Response(403), Denied),
        (httpx.Response(503), Unavailable),
        (httpx.Response(206), PermanentError),
    ],
)
def test_a_blob_that_is_not_offered_fails_on_opening(
    answer: httpx.Response, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        read(answer)


def test_a_broken_blob_is_taken_up_where_it_ended() -> None:
    chunks, script = read(
        whole(CONTENT[:40], LOST), part(40, CONTENT[40:70], LOST), part(70, CONTENT[70:], total="*")
    )

    assert b"".join(chunks) == CONTENT
    assert [item.headers.get("range") for item in script.log] == [None, "bytes=40-", "bytes=70-"]


def test_a_blob_that_ends_early_in_good_order_is_taken_up_too() -> None:
    assert b"".join(read(whole(CONTENT[:40]), part(40, CONTENT[40:]))[0]) == CONTENT


def test_what_comes_again_is_passed_over() -> None:
    chunks, _ = read(
        whole(CONTENT[:45], LOST), whole(CONTENT[:20], CONTENT[20:45], CONTENT[45:50], CONTENT[50:])
    )

    assert b"".join(chunks) == CONTENT
    assert b"".join(read(whole(CONTENT[:45], LOST), whole(CONTENT))[0]) == CONTENT


@pytest.mark.parametrize(
    "answer", [part(41, CONTENT[41:]), part(40, CONTENT[40:], total="101"), whole(CONTENT[40:], status=206)]
)
def test_another_part_than_the_one_asked_for_is_not_taken(answer: httpx.Response) -> None:
    assert handed_out(whole(CONTENT[:20], CONTENT[20:40], LOST), answer, error=TemporaryError) == CONTENT[:20]


def test_a_blob_of_which_there_is_no_more_is_corrupt() -> None:
    assert (
        handed_out(whole(CONTENT[:20], CONTENT[20:40], LOST), part(40, LOST), error=Corrupt) == CONTENT[:20]
    )


def test_a_blob_that_breaks_off_again_and_again_is_tried_again_but_is_no_outage() -> None:
    answers = [
        whole(CONTENT[:1], LOST),
        *(part(start, CONTENT[start : start + 1], LOST) for start in range(1, 20)),
    ]

    with pytest.raises(TemporaryError) as caught:
        b"".join(read(*answers)[0])

    assert not isinstance(caught.value, Unavailable)


def test_a_break_after_the_last_byte_does_not_matter() -> None:
    chunks, script = read(whole(CONTENT, LOST))

    assert b"".join(chunks) == CONTENT
    assert len(script.log) == 1


def test_an_encoded_blob_is_not_decoded() -> None:
    assert b"".join(read(whole(CONTENT, Content_Encoding="gzip"))[0]) == CONTENT


def test_a_signed_url_that_expired_is_asked_for_anew() -> None:
    first = httpx.Response(307, headers={"Location": "https://storage.example.net/1"})
    second = httpx.Response(307, headers={"Location": "https://storage.example.net/2"})
    script = Script(
        {
            f"GET {PATH}": [first, second],
            "GET storage.example.net/1": [whole(CONTENT[:40], LOST), httpx.Response(403)],
            "GET storage.example.net/2": part(40, CONTENT[40:]),
        }
    )

    with client_of(script).open_blob(API, BLOB) as chunks:
        assert b"".join(chunks) == CONTENT
    assert script.log[-1].headers["range"] == "bytes=40-"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, headers={"Content-Length": "100"}), True),
        (httpx.Response(200), True),
        (httpx.Response(200, headers={"Content-Length": "99"}), False),
        (httpx.Response(404), False),
    ],
)
def test_a_blob_is_there_at_its_size_or_not(answer: httpx.Response, expected: bool) -> None:
    assert client_of(Script({f"HEAD {PATH}": answer})).has_blob(API, BLOB) is expected


def test_a_redirected_head_counts() -> None:
    script = Script(
        {
            f"HEAD {PATH}": httpx.Response(307, headers={"Location": "https://storage.example.net/x"}),
            "HEAD storage.example.net/x": httpx.Response(200, headers={"Content-Length": "100"}),
        }
    )

    assert client_of(script, registry()).has_blob(API, BLOB)


def test_a_refused_head_is_no_absence() -> None:
    with pytest.raises(Denied):
        client_of(Script({f"HEAD {PATH}": httpx.Response(403)})).has_blob(API, BLOB)


def test_missing_blobs_are_those_that_are_absent_or_of_another_size() -> None:
    there, short, absent = blob(b"there"), blob(b"short"), blob(b"absent")
    foreign = Descriptor(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        Digest.of(b"windows"),
        7,
        urls=("https://mcr.example.com/windows",),
    )
    script = Script(
        {
            f"HEAD /v2/payments/api/blobs/{there.digest}": httpx.Response(
                200, headers={"Content-Length": "5"}
            ),
            f"HEAD /v2/payments/api/blobs/{short.digest}": httpx.Response(
                200, headers={"Content-Length": "4"}
            ),
        }
    )

    assert client_of(script).missing_blobs(API, [there, foreign, short, absent, there]) == [short, absent]
    assert len(script.log) == 3


def test_a_refusal_is_no_missing_blob() -> None:
    with pytest.raises(Denied):
        client_of(Script({f"HEAD {PATH}": httpx.Response(403)})).missing_blobs(API, [BLOB])

import ssl
import time
from email.utils import formatdate

import pytest

from replicator.errors import (
    Denied,
    PermanentError,
    RateLimited,
    ReplicatorError,
    TemporaryError,
    TooLarge,
    Unavailable,
    Unsupported,
    Untrusted,
)
from replicator.oci import Digest
from replicator.registry.addresses import URL, Origin
from replicator.registry.connections import Unreachable
from replicator.registry.failures import Answer, Topic, broken, clean, failure, retry_after
from replicator.registry.heads import Headers, Malformed, Unsendable
from replicator.registry.incoming import Lost
from replicator.registry.transport import Busy

MISSING = Digest.of(b"missing")
TOPIC = Topic("reading", "eu", "payments/api", "v1")


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, Headers(fields.items()), body, URL(Origin("https", "registry.example.com"), "/v2/"))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b"", PermanentError),
        (401, b"", Denied),
        (403, b'{"errors": [{"code": "DENIED"}]}', Denied),
        (404, b"", PermanentError),
        (405, b"", Unsupported),
        (400, b'{"errors": [{"code": "unsupported"}]}', Unsupported),
        (408, b"", Unavailable),
        (412, b"", PermanentError),
        (413, b"", TooLarge),
        (416, b"", TemporaryError),
        (429, b"", RateLimited),
        (500, b"", TemporaryError),
        (501, b"", Unsupported),
        (502, b"<html>", Unavailable),
        (503, b"", Unavailable),
        (504, b"", Unavailable),
        (507, b"", TemporaryError),
        (522, b"", Unavailable),
        (307, b"", PermanentError),
        (400, b'{"errors": [{"code": "DIGEST_INVALID"}]}', TemporaryError),
        (404, b'{"errors": [{"code": "BLOB_UPLOAD_UNKNOWN"}]}', TemporaryError),
        (404, b'{"errors": "none", "and": [', PermanentError),
        (404, b'{"errors": ["odd", 3]}', PermanentError),
        (404, b"[1]", PermanentError),
    ],
)
def test_a_status_and_its_codes_decide(status: int, body: bytes, expected: type[ReplicatorError]) -> None:
    error = failure(answer(status, body), TOPIC)

    assert type(error) is expected
    assert str(error).startswith(f"reading payments/api:v1 at eu: answered {status}")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("86400", 3600.0),
        ("9" * 5000, 3600.0),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("\u00b2", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 1.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_the_wait_that_is_asked_for_is_kept_in_bounds(said: str, expected: float | None) -> None:
    assert retry_after({"retry-after": said}) == expected


def test_a_wait_may_be_a_date() -> None:
    wait_s = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})

    assert wait_s == pytest.approx(100, abs=3)


def test_who_is_rate_limited_waits_five_seconds_unless_told() -> None:
    error, told = failure(answer(429), TOPIC), failure(answer(429, Retry_After="30"), TOPIC)

    assert isinstance(error, RateLimited)
    assert (error.wait_s, error.registry) == (5, "eu")
    assert isinstance(told, RateLimited)
    assert told.wait_s == 30


def test_an_outage_may_say_when_it_ends() -> None:
    error = failure(answer(503, Retry_After="9"), TOPIC)

    assert isinstance(error, Unavailable)
    assert (error.retry_after, error.registry) == (9, "eu")


def test_a_registrys_words_are_quoted_without_secrets_and_controls() -> None:
    words = (
        "no\\u0000\\u001b[31m access\\n https://s3.example.com/blob?X-Amz-Signature=abc with Bearer eyJhbGci"
    )
    body = f'{{"errors": [{{"code": "DENIED", "message": "{words}"}}]}}'.encode()

    message = str(failure(answer(403, body), TOPIC))

    assert "DENIED" in message
    assert "abc" not in message
    assert "eyJ" not in message
    assert message.isprintable()


def test_words_are_left_out_when_asked() -> None:
    body = b'{"errors": [{"code": "DENIED", "message": "the password is sesame"}]}'

    assert "sesame" not in str(failure(answer(403, body), TOPIC, quote=False))


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        (f'"{MISSING}"', {MISSING}),
        (f'{{"digest": "{MISSING}"}}', {MISSING}),
        ('{"digest": "sha256:short"}', set()),
        ('{"name": "team/api"}', set()),
        ("[1]", set()),
        ("null", set()),
    ],
)
def test_details_may_name_what_is_missing(detail: str, expected: set[str]) -> None:
    body = f'{{"errors": [{{"code": "MANIFEST_BLOB_UNKNOWN", "detail": {detail}}}]}}'

    assert answer(400, body.encode()).digests == expected


def test_long_words_are_cut() -> None:
    assert len(clean("long " * 100_000)) <= 200


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (ConnectionRefusedError("refused"), Unavailable),
        (TimeoutError("slow"), Unavailable),
        (Lost("gone"), Unavailable),
        (Malformed("odd"), Unavailable),
        (Busy(), TemporaryError),
        (Unsendable("ours"), PermanentError),
    ],
)
def test_a_broken_connection_is_judged_by_its_exception(
    exc: Exception, expected: type[ReplicatorError]
) -> None:
    assert type(broken(exc, TOPIC)) is expected


def test_a_bad_certificate_is_permanent_and_another_tls_failure_is_not() -> None:
    bad, other = Unreachable("tls"), Unreachable("tls")
    bad.__cause__ = ssl.SSLCertVerificationError("untrusted")
    other.__cause__ = ssl.SSLError("handshake failure")

    assert type(broken(bad, TOPIC)) is Untrusted
    assert issubclass(Untrusted, PermanentError)
    assert type(broken(other, TOPIC)) is Unavailable

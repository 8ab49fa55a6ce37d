"""The scripted registry behind httpx: the log and the faults that other tests lean on."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.fakes import images
from tests.fakes.registry import FakeRegistry

PATH = "/v2/a/b/manifests/v1"


@pytest.fixture
def client(fake_registry: FakeRegistry) -> Iterator[httpx.Client]:
    images.push(fake_registry, "a/b", "v1", images.image())
    fake_registry.log.clear()
    with httpx.Client(transport=fake_registry.transport(), base_url="https://registry.test") as over_httpx:
        yield over_httpx


def test_answers_are_those_of_the_registry(fake_registry: FakeRegistry, client: httpx.Client) -> None:
    answer = client.get(PATH)

    assert answer.content == images.read_back(fake_registry, "a/b", "v1").raw
    assert answer.headers["content-length"] == str(len(answer.content))
    assert client.head(PATH).headers["content-length"] == str(len(answer.content))


def test_a_streamed_body_arrives_and_is_counted(fake_registry: FakeRegistry, client: httpx.Client) -> None:
    answer = client.post("/v2/a/b/blobs/uploads/")
    client.patch(answer.headers["location"], content=iter([b"12345", b"67"]))

    entry = fake_registry.requests("PATCH")[0]
    assert (entry.status, entry.body_length) == (202, 7)
    assert entry.query.keys() == {"_state"}


def test_a_body_that_breaks_off_reaches_the_client_that_sent_it(client: httpx.Client) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"12345"
        raise RuntimeError("the source broke off")

    location = client.post("/v2/a/b/blobs/uploads/").headers["location"]
    with pytest.raises(RuntimeError, match="the source broke off"):
        client.patch(location, content=breaking())


def test_the_nth_request_fails_and_the_next_ones_too(
    fake_registry: FakeRegistry, client: httpx.Client
) -> None:
    fake_registry.fail(
        "GET", r"/manifests/v\d$", nth=2, times=2, status=429, headers={"Retry-After": "3"}, body=b"slow"
    )

    answers = [client.get(PATH) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
    assert (answers[1].headers["retry-after"], answers[1].content) == ("3", b"slow")
    assert [entry.status for entry in fake_registry.log] == [200, 429, 429, 200]


def test_the_query_may_choose_what_fails(fake_registry: FakeRegistry, client: httpx.Client) -> None:
    fake_registry.fail("POST", r"mount=", status=405)

    assert client.post("/v2/a/b/blobs/uploads/?mount=sha256:00&from=c").status_code == 405
    assert client.post("/v2/a/b/blobs/uploads/").status_code == 202


def test_a_cut_body_is_an_error_of_httpx(fake_registry: FakeRegistry, client: httpx.Client) -> None:
    fake_registry.fail("GET", "manifests", cut_body_at=10)

    with client.stream("GET", PATH) as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()
    assert answer.status_code == 200


def test_a_reset_comes_before_the_effect_or_after_it(
    fake_registry: FakeRegistry, client: httpx.Client
) -> None:
    fake_registry.fail("DELETE", "manifests", reset=True)
    fake_registry.fail("DELETE", "manifests", reset=True, after=True)

    with pytest.raises(httpx.ReadError):
        client.delete(PATH)
    before = images.head(fake_registry, "a/b", "v1")
    with pytest.raises(httpx.ReadError):
        client.delete(PATH)

    assert before is not None
    assert images.head(fake_registry, "a/b", "v1") is None
    assert [entry.status for entry in fake_registry.requests("DELETE")] == [0, 0]


def test_real_answers_may_be_changed(fake_registry: FakeRegistry, client: httpx.Client) -> None:
    fake_registry.fail("GET", "manifests", headers={"Docker-Content-Digest": "sha256:lie"})
    fake_registry.fail("GET", "manifests", body=b"other bytes")

    lying, changed = client.get(PATH), client.get(PATH)

    assert (lying.status_code, lying.headers["docker-content-digest"]) == (200, "sha256:lie")
    assert (changed.status_code, changed.content) == (200, b"other bytes")


def test_an_answer_may_be_late(fake_registry: FakeRegistry, client: httpx.Client) -> None:
    fake_registry.fail("GET", "manifests", delay=0.05)
    start = time.monotonic()

    assert client.get(PATH).status_code == 200
    assert time.monotonic() - start >= 0.05


def test_a_registry_may_be_down_and_come_back(fake_registry: FakeRegistry, client: httpx.Client) -> None:
    fake_registry.is_down = True
    with pytest.raises(httpx.ConnectError):
        client.get(PATH)

    fake_registry.heal()

    assert client.get(PATH).status_code == 200


def test_threads_share_a_script(fake_registry: FakeRegistry, client: httpx.Client) -> None:
    fake_registry.fail("GET", "manifests", times=5, status=503)
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(client.get(PATH).status_code)) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (statuses.count(503), statuses.count(200)) == (5, 15)

"""Our registry behind real sockets: framing, lost clients, faults, and a well-known client that is not ours."""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from replicator.demo.features import Features
from replicator.demo.logins import BasicLogin, TokenLogin
from replicator.demo.server import RunningRegistry, serve
from replicator.oci import Digest
from tests import judges
from tests.fakes import images
from tests.fakes.raw import RawClient
from tests.fakes.registry import FakeRegistry
from tests.integration.processes import free_port, wait_until

USERS = {"writer": "w-secret"}


@pytest.fixture
def fake() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def running(fake: FakeRegistry) -> Iterator[RunningRegistry]:
    with serve(fake) as server:
        yield server


def speak(running: RunningRegistry, text: bytes, timeout_s: float = 5.0) -> bytes:
    """All that the server says to these bytes before it closes the connection."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=timeout_s) as connection:
        connection.sendall(text)
        said = b""
        while piece := connection.recv(65536):
            said += piece
        return said


def test_requests_may_follow_each_other_on_a_connection(running: RunningRegistry) -> None:
    request = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"

    said = speak(running, request * 2 + b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert said.count(b"HTTP/1.1 200 ") == 3
    assert said.count(b"Connection: close") == 1


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(running: RunningRegistry) -> None:
    head = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
        connection.sendall(head + b"Connection: close\r\n\r\n")

        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"

        connection.sendall(b"x")
        assert connection.recv(1000).startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize(
    "request_text",
    [
        b"nonsense\r\n\r\n",
        b"BREW /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_nonsense_is_answered_and_harms_nobody(
    running: RunningRegistry, request_text: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with suppress(ConnectionError):
        speak(running, request_text)

    assert httpx.get(f"{running.url}/v2/").status_code == 200
    assert capfd.readouterr().err == ""


def test_what_a_lost_client_sent_is_kept(
    fake: FakeRegistry, running: RunningRegistry, capfd: pytest.CaptureFixture[str]
) -> None:
    content = images.layer_bytes("lost", 400_000)
    with RawClient(running.url) as raw:
        location = raw.call("POST", "/v2/a/blobs/uploads/").headers["location"]
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            connection.sendall(head.encode() + content[:250_000])
        wait_until(lambda: fake.requests("PATCH"))

        status = raw.call("GET", location)
        assert status.headers["range"] == "0-249999"
        url = f"{status.headers['location']}&digest={Digest.of(content)}"
        ended = raw.call(
            "PUT", url, headers={"Content-Range": "250000-399999"}, body=iter([content[250_000:]])
        )

    assert ended.status == 201
    assert capfd.readouterr().err == ""


def test_an_early_refusal_reaches_a_client_that_is_still_sending() -> None:
    with serve(FakeRegistry(login=BasicLogin(USERS))) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        connection.request("PUT", "/v2/a/manifests/v1", b"x" * 3_000_000)
        answer = connection.getresponse()

        assert answer.status == 401
        assert answer.getheader("Connection") == "close"
        connection.close()


def test_a_short_unread_body_does_not_cost_the_connection() -> None:
    with (
        serve(FakeRegistry(login=BasicLogin(USERS))) as running,
        httpx.Client(base_url=running.url) as client,
    ):
        refused = client.put("/v2/a/manifests/v1", content=b"x" * 1000)

        assert (refused.status_code, refused.headers.get("connection")) == (401, None)
        assert client.get("/v2/", auth=("writer", "w-secret")).status_code == 200


def test_faults_work_over_sockets(fake: FakeRegistry, running: RunningRegistry) -> None:
    images.push(fake, "a/b", "v1", images.image())
    fake.fail("GET", "/manifests/", nth=2, status=503, headers={"Retry-After": "7"})
    fake.fail("HEAD", "/manifests/", reset=True)
    fake.fail("GET", "/tags/list", cut_body_at=5)
    with httpx.Client(base_url=running.url) as client:
        path = "/v2/a/b/manifests/v1"

        assert [client.get(path).status_code for _ in range(3)] == [200, 503, 200]
        with pytest.raises(httpx.TransportError):
            client.head(path)
        assert client.head(path).status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/v2/a/b/tags/list")

    assert [entry.status for entry in fake.requests("GET", "manifests")] == [200, 503, 200]


def test_a_closed_server_cuts_its_clients_and_may_start_again_on_its_port(fake: FakeRegistry) -> None:
    images.push(fake, "a/b", "v1", images.image())
    port = free_port()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        with serve(fake, port=port):
            assert client.get("/v2/").status_code == 200
        with pytest.raises(httpx.TransportError):
            client.get("/v2/")
        with serve(fake, port=port):
            assert client.get("/v2/a/b/manifests/v1").status_code == 200


def test_small_answers_do_not_wait_for_acknowledgements(running: RunningRegistry) -> None:
    with RawClient(running.url) as raw:
        raw.call("GET", "/v2/")
        start = time.monotonic()
        for _ in range(20):
            raw.call("GET", "/v2/")

    # Nagle's algorithm against delayed acknowledgements would cost 40 ms each.
    assert time.monotonic() - start < 0.4


def skopeo_copy(*arguments: str) -> None:
    # Without --preserve-digests skopeo compresses layers that look uncompressed, and so changes the manifest.
    command = [str(judges.need("skopeo")), "copy", "--all", "--preserve-digests", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr


def write_layout(directory: Path, image: images.Image) -> None:
    """An OCI image layout with the image as its only one, tagged v1."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for digest, content in {**image.all_blobs, image.digest: image.raw}.items():
        (blobs / digest.hex).write_bytes(content)
    for child in image.children:
        (blobs / child.digest.hex).write_bytes(child.raw)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    named = image.descriptor(annotations={"org.opencontainers.image.ref.name": "v1"})
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))


@pytest.mark.parametrize(
    "login", [None, BasicLogin(USERS), TokenLogin(USERS)], ids=["open", "basic", "token"]
)
def test_skopeo_pushes_and_pulls(tmp_path: Path, login: BasicLogin | TokenLogin | None) -> None:
    pushed = images.multi_arch("skopeo", size_bytes=2_000_000)
    write_layout(tmp_path / "layout", pushed)
    fake = FakeRegistry(Features(absolute_locations=login is None), login=login)
    with serve(fake) as running:
        place = f"docker://127.0.0.1:{running.port}/team/app:v1"
        writer = ("--dest-creds", "writer:w-secret") if login else ()
        skopeo_copy("--dest-tls-verify=false", *writer, f"oci:{tmp_path}/layout:v1", place)
        reader = ("--src-creds", "writer:w-secret") if login else ()
        skopeo_copy("--src-tls-verify=false", *reader, place, f"dir:{tmp_path}/pulled")

    assert fake.storage.open_uploads == 0
    assert Digest.of((tmp_path / "pulled" / "manifest.json").read_bytes()) == pushed.digest
    for digest, content in pushed.all_blobs.items():
        assert (tmp_path / "pulled" / digest.hex).read_bytes() == content

"""The notifications of our own registry, held against those of docker-registry."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from replicator.demo.features import Features
from replicator.demo.logins import BasicLogin
from replicator.demo.notifications import Endpoint
from replicator.demo.registry import Registry
from replicator.demo.server import serve
from tests.fakes import images
from tests.integration.processes import DockerRegistry, free_port, wait_until

SECRET = {"Authorization": "Bearer s3cret"}


class Inbox:
    """A webhook endpoint that keeps what it is sent, and answers with the statuses it is given, then 202."""

    def __init__(self, port: int = 0) -> None:
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.statuses: list[int] = []
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = inbox.statuses.pop(0) if inbox.statuses else 202
                if status < 400:
                    inbox.events += body["events"]
                inbox.headers.append(dict(self.headers))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/eu"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    receiving = Inbox()
    yield receiving
    receiving.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as closing:
        yield closing


@pytest.fixture(params=["own", "docker-registry"])
def url(request: pytest.FixtureRequest, tmp_path: Path, inbox: Inbox, stack: ExitStack) -> str:
    if request.param == "docker-registry":
        return stack.enter_context(DockerRegistry(tmp_path, notify=[(inbox.url, SECRET)])).url
    registry = Registry(Features(tag_delete=False), notify=[Endpoint(inbox.url, SECRET)])
    stack.callback(registry.close)
    return stack.enter_context(serve(registry)).url


def told(inbox: Inbox, count: int) -> list[tuple[str, dict[str, Any]]]:
    wait_until(lambda: len(inbox.events) >= count, what=f"{count} events")
    return [(event["action"], event["target"]) for event in inbox.events]


def test_pushes_are_told_alike(url: str, inbox: Inbox) -> None:
    pushed = images.multi_arch()

    images.push(url, "a/b", "v1", pushed)

    def target(image: images.Image, **extra: str) -> dict[str, object]:
        size = len(image.raw)
        return {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": size,
            "length": size,
            "repository": "a/b",
            "url": f"{url}/v2/a/b/manifests/{image.digest}",
            **extra,
        }

    children = [("push", target(child)) for child in pushed.children]
    assert told(inbox, 3) == [*children, ("push", target(pushed, tag="v1"))]


def test_deletes_are_told_alike(url: str, inbox: Inbox) -> None:
    pushed = images.image()
    for tag in ("v1", "v2"):
        images.push(url, "a/b", tag, pushed)

    images.delete(url, "a/b", pushed.digest)

    first, *others = told(inbox, 5)[2:]
    assert first == ("delete", {"digest": pushed.digest, "repository": "a/b"})
    assert sorted(target["tag"] for _, target in others) == ["v1", "v2"]
    assert all(target.keys() == {"repository", "tag"} for _, target in others)
    assert len({event["request"]["id"] for event in inbox.events[2:]}) == 1


def test_an_event_is_dressed_alike(url: str, inbox: Inbox) -> None:
    images.push(url, "a/b", "v1", images.image())

    told(inbox, 1)

    assert inbox.headers[0]["Content-Type"] == "application/vnd.docker.distribution.events.v1+json"
    assert inbox.headers[0]["Authorization"] == SECRET["Authorization"]
    event = inbox.events[0]
    assert event.keys() == {"id", "timestamp", "action", "target", "request", "actor", "source"}
    assert event["request"].keys() == {"id", "addr", "host", "method", "useragent"}
    assert event["timestamp"].endswith("Z")
    assert event["actor"] == {}


def test_an_event_is_repeated_until_it_is_taken_and_the_next_one_waits(url: str, inbox: Inbox) -> None:
    inbox.statuses = [503, 404]

    for tag in ("v1", "v2"):
        images.push(url, "a/b", tag, images.image())

    assert [target["tag"] for _, target in told(inbox, 2)] == ["v1", "v2"]
    assert len(inbox.headers) == 4


def test_an_endpoint_that_was_away_gets_everything_in_order(stack: ExitStack) -> None:
    port = free_port()
    registry = Registry(notify=[Endpoint(f"http://127.0.0.1:{port}/")])
    stack.callback(registry.close)
    for number in range(5):
        images.push(registry, "a/b", f"v{number}", images.image())

    inbox = Inbox(port)
    stack.callback(inbox.close)

    assert [target["tag"] for _, target in told(inbox, 5)] == ["v0", "v1", "v2", "v3", "v4"]


def test_an_event_names_who_pushed(inbox: Inbox, stack: ExitStack) -> None:
    registry = Registry(login=BasicLogin({"ci": "secret"}), notify=[Endpoint(inbox.url)])
    stack.callback(registry.close)
    running = stack.enter_context(serve(registry))

    images.push(running.url.replace("//", "//ci:secret@"), "a/b", "v1", images.image())

    told(inbox, 1)
    assert inbox.events[0]["actor"] == {"name": "ci"}


def test_a_deleted_tag_is_told_as_a_tag(inbox: Inbox, stack: ExitStack) -> None:
    registry = Registry(notify=[Endpoint(inbox.url)])
    stack.callback(registry.close)
    images.push(registry, "a/b", "v1", images.image())

    images.delete(registry, "a/b", "v1")

    assert told(inbox, 2)[1] == ("delete", {"repository": "a/b", "tag": "v1"})


def test_events_may_come_before_their_tag(inbox: Inbox, stack: ExitStack) -> None:
    registry = Registry(Features(early_events_s=0.3), notify=[Endpoint(inbox.url)])
    stack.callback(registry.close)
    pusher = threading.Thread(target=images.push, args=(registry, "a/b", "v1", images.image()))
    pusher.start()

    told(inbox, 1)
    early = images.head(registry, "a/b", "v1")
    pusher.join()

    assert early is None
    assert images.head(registry, "a/b", "v1") is not None

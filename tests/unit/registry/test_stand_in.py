from collections.abc import Iterator

import httpx
import pytest

from replicator.registry.addresses import URL, Origin
from replicator.registry.heads import Unsendable
from replicator.registry.incoming import Lost
from replicator.registry.stand_in import StandIn
from replicator.registry.transport import Busy, Request
from tests.unit.registry.scripted import Pieces

THERE = URL(Origin("http", "registry.example.com", 5000), "/v2/?a=%2F")


def failing(exc: Exception) -> StandIn:
    def answer(_: httpx.Request) -> httpx.Response:
        raise exc

    return StandIn(httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.ConnectError("refused"), OSError),
        (httpx.ProxyError("no"), OSError),
        (httpx.ReadTimeout("slow"), TimeoutError),
        (httpx.ConnectTimeout("slow"), TimeoutError),
        (httpx.ReadError("reset"), Lost),
        (httpx.WriteError("reset"), Lost),
        (httpx.RemoteProtocolError("disconnected"), Lost),
        (httpx.PoolTimeout("busy"), Busy),
        (httpx.LocalProtocolError("ours"), Unsendable),
        (httpx.InvalidURL("ours"), Unsendable),
    ],
)
def test_its_exceptions_are_those_of_connections(raised: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected) as caught:
        failing(raised).send(Request("GET", THERE, {}))

    assert type(caught.value) is expected
    assert caught.value.__cause__ is raised


def test_a_body_that_breaks_off_is_lost() -> None:
    stand_in = StandIn(
        httpx.MockTransport(lambda _: httpx.Response(200, stream=Pieces(b"a", httpx.ReadError("reset"))))
    )
    body = stand_in.send(Request("GET", THERE, {})).body

    assert next(body) == b"a"
    with pytest.raises(Lost):
        next(body)


def test_a_request_arrives_as_it_was_meant() -> None:
    seen: list[tuple[str, str, str, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, str(request.url), request.headers["X-Some"], request.read()))
        return httpx.Response(201, headers=[("Link", "a"), ("Link", "b")])

    def content() -> Iterator[bytes]:
        yield b"one "
        yield b"body"

    response = StandIn(httpx.MockTransport(answer)).send(
        Request("PUT", THERE, {"X-Some": "thing", "Content-Length": "8"}, content())
    )

    assert seen == [("PUT", "http://registry.example.com:5000/v2/?a=%2F", "thing", b"one body")]
    assert response.status == 201
    assert response.headers.get_list("link") == ["a", "b"]

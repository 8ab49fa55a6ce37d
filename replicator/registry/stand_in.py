"""httpx transports in the place of our connections: for tests, and for registries that live in this process."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from replicator.registry.heads import Headers, Unsendable
from replicator.registry.incoming import Lost
from replicator.registry.transport import Busy, Request, Response


class StandIn:
    """A transport over one of httpx's."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: Request) -> Response:
        """The answer, its body unread. Raises as `Transport` says."""
        with _translated():
            response = self._transport.handle_request(
                httpx.Request(
                    request.method, str(request.url), headers=dict(request.headers), content=request.content
                )
            )
        headers = Headers(response.headers.multi_items())
        return Response(response.status_code, headers, _body(response), response.close)

    def close(self) -> None:
        """Closes the transport."""
        self._transport.close()


def _body(response: httpx.Response) -> Iterator[bytes]:
    # Raw: never decompressed.
    if not isinstance(response.stream, httpx.SyncByteStream):
        raise TypeError("not a synchronous body")
    with _translated():
        yield from response.stream


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as exc:
        raise Unsendable(type(exc).__name__) from exc
    except httpx.PoolTimeout as exc:
        raise Busy from exc
    except httpx.TimeoutException as exc:
        raise TimeoutError(str(exc)) from exc
    except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as exc:
        raise Lost(str(exc)) from exc
    except httpx.TransportError as exc:
        raise OSError(str(exc)) from exc

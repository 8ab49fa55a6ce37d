"""What a registry packs into its answers stays packed, and what it points to is not fetched: S9, S19."""

import gzip
import json
import tracemalloc
from collections.abc import Callable
from contextlib import closing, suppress

import pytest

from replicator.errors import PermanentError, ReplicatorError
from replicator.oci import OCI_MANIFEST
from replicator.registry import RegistryClient
from tests.fakes.wire import Wire, answer
from tests.security.strangers import client_at
from tests.unit.registry.scripted import API, MANIFEST, V1, blob, registry

ELSEWHERE = {
    "S9": "tests/conformance/test_b_blob_reads.py::test_b17_a_foreign_layer_is_neither_fetched_nor_uploaded"
}

MIB = 1024 * 1024
BOMB = gzip.compress(bytes(200 * MIB))
PACKED = {"Content-Encoding": "gzip", "Content-Length": str(len(BOMB)), "Content-Type": OCI_MANIFEST}


def read(client: RegistryClient) -> int:
    with client.open_blob(API, blob(bytes(MIB))) as pieces:
        return sum(map(len, pieces))


CALLS: dict[str, Callable[[RegistryClient], object]] = {
    "manifest": lambda client: client.get_manifest(API, V1),
    "head": lambda client: client.head_manifest(API, V1),
    "tags": lambda client: client.tags(API),
    "catalogue": lambda client: list(client.repositories()),
    "referrers": lambda client: client.referrers(API, MANIFEST.digest),
    "blob": read,
    "write": lambda client: client.put_manifest(API, V1, MANIFEST),
    "upload": lambda client: client.start_upload(API, MANIFEST.digest),
    "root": lambda client: client.ping(),
}


@pytest.mark.parametrize("status", [200, 401, 404, 500])
@pytest.mark.parametrize("call", CALLS)
def test_s19_a_bomb_is_never_unpacked(call: str, status: int) -> None:
    with Wire(answer(status, PACKED, BOMB), stays=True) as wire, closing(client_at(wire.url)) as client:
        tracemalloc.start()
        with suppress(ReplicatorError):
            CALLS[call](client)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 8 * MIB
    assert all("accept-encoding: identity" in head.lower() for head in wire.heads)


def test_s19_a_token_servers_bomb_is_never_unpacked() -> None:
    def said(head: str) -> bytes:
        if head.startswith("GET /token"):
            return answer(200, PACKED, BOMB)
        where = head.lower().partition("host: ")[2].partition("\r\n")[0]
        challenge = f'Bearer realm="http://{where}/token",service="s"'
        return answer(401, {"WWW-Authenticate": challenge, "Content-Length": "0"})

    with Wire(said, stays=True) as wire, closing(client_at(wire.url)) as client:
        tracemalloc.start()
        with pytest.raises(ReplicatorError, match="token"):
            client.head_manifest(API, V1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 8 * MIB
    assert any(head.startswith("GET /token") for head in wire.heads)


@pytest.mark.parametrize(("kind", "call"), [("tags", "tags"), ("repositories", "catalogue")])
def test_s19_a_listing_without_end_is_left_before_it_fills_the_memory(kind: str, call: str) -> None:
    count = 0

    def more(_head: str) -> bytes:
        nonlocal count
        names = [f"v{number}" for number in range(count, count + 100_000)]
        count += len(names)
        body = json.dumps({kind: names}).encode()
        link = f'</v2/more?n={count}>; rel="next"' if count % 200_000 else "none"
        return answer(200, {"Content-Length": str(len(body)), "Link": link}, body)

    with (
        Wire(more, stays=True) as wire,
        closing(RegistryClient(registry(url=wire.url))) as client,
        pytest.raises(PermanentError, match="more than 1000000 names"),
    ):
        CALLS[call](client)

    assert count == 1_100_000

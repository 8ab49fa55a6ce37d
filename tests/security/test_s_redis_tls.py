"""Redis over TLS: all roles and Celery verify whom they talk to."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import trustme

from replicator.broker import Bell, make_app
from replicator.errors import LedgerUnavailable
from replicator.ledger import Ledger
from replicator.ledger.connect import answering, connect_async
from tests.chaos.roles import Fleet
from tests.integration.processes import RedisServer, free_port

pytestmark = pytest.mark.integration

PASSWORD = "over/TLS @ last"


class TLSRedis(RedisServer):
    """A Redis that speaks TLS alone, with a certificate for `127.0.0.1` by a CA of the test's own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        ca = trustme.CA()
        self.ca = directory / "ca.pem"
        ca.cert_pem.write_to_path(str(self.ca))
        issued = ca.issue_cert("127.0.0.1")
        certificate, key = directory / "cert.pem", directory / "key.pem"
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))
        self.tls_port = free_port()
        settings = {
            "tls-port": str(self.tls_port),
            "tls-cert-file": str(certificate),
            "tls-key-file": str(key),
            "tls-ca-cert-file": str(self.ca),
            "tls-auth-clients": "no",
            "requirepass": PASSWORD,
        }
        super().__init__(directory, settings=settings)

    def at(self, host: str, database: int = 0) -> str:
        """Its URL by that name."""
        return f"rediss://:{quote(PASSWORD, safe='')}@{host}:{self.tls_port}/{database}"

    def client(self) -> redis.Redis:
        """A client on the socket, for the test."""
        return redis.Redis(unix_socket_path=self.url.removeprefix("unix://"), password=PASSWORD)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TLSRedis]:
    with TLSRedis(tmp_path / "redis") as running:
        yield running


def test_s14_redis_is_reached_over_tls(server: TLSRedis, tmp_path: Path) -> None:
    (tmp_path / "fleet").mkdir()

    with Fleet(tmp_path / "fleet", f"{server.at('127.0.0.1')}?ssl_ca_certs={server.ca}") as fleet:
        image = fleet.push("v1")

        fleet.await_copy("v1", image)


@pytest.mark.parametrize("kind", ["unknown", "misnamed"])
def test_s14_a_redis_that_nobody_vouches_for_is_refused(server: TLSRedis, kind: str) -> None:
    known = f"?ssl_ca_certs={server.ca}"
    # kombu shares connections between apps of one process, whatever they say of TLS, but not between databases.
    url = server.at("127.0.0.1", 1) if kind == "unknown" else server.at("localhost", 2) + known

    with pytest.raises(LedgerUnavailable, match="certificate verify failed"):
        Ledger.connect(url).ping()
    with pytest.raises(LedgerUnavailable):
        asyncio.run(_recorded(url))
    with pytest.raises(LedgerUnavailable):
        Bell(make_app(url)).ring("us", [["job"]])

    Bell(make_app(server.at("127.0.0.1") + known)).ring("us", [["job"]])
    with server.client() as client:
        assert client.llen("dst.us") == 1
        assert list(client.info("keyspace")) == ["db0"]


async def _recorded(url: str) -> None:
    client = connect_async(url)
    try:
        with answering():
            await client.xadd("replicator:inbox", {"registry": "eu"})
    finally:
        await client.aclose()

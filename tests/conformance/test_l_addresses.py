"""TLS, proxies and addresses (protocol cases L): whose certificates count, where requests go, and through what."""

import http.client
import re
import ssl
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from pydantic import SecretStr

from replicator.demo.server import serve
from replicator.errors import PermanentError, Unavailable
from replicator.jobs import DENIED_ATTEMPTS
from replicator.ledger import State
from replicator.oci import Repository
from replicator.registry import connect
from replicator.rules import Credential, Registry, RegistryType
from replicator.rules.registries import TLS
from tests.fakes.images import image, is_whole
from tests.fakes.peer import Peer, Play, Talk
from tests.fakes.registry import FakeRegistry
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, a_rule
from tests.unit.registry import scripted
from tests.unit.registry.scripted import Script, blob, client_of

NOT_OURS = {
    "L6": "Rules name no mirrors: each registry is asked at its own URL, so that there is nothing to say with `ns=`.",
}

CONTENT = b"a blob that lies elsewhere"
BLOB = blob(CONTENT)
NO_FILES = TLS()
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FOUND = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(CONTENT), CONTENT)


@dataclass(frozen=True)
class Authority:
    """Somebody who signs certificates, known by a file."""

    ca: trustme.CA
    path: Path

    def server(self, host: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(host).configure_cert(context)
        return context

    def client(self, directory: Path) -> TLS:
        """TLS with a client's certificate from here, and trust in what comes from here."""
        own = self.ca.issue_cert("replicator.example")
        own.private_key_pem.write_to_path(directory / "key.pem")
        own.cert_chain_pems[0].write_to_path(directory / "cert.pem")
        return TLS(str(self.path), str(directory / "cert.pem"), str(directory / "key.pem"))


@pytest.fixture
def authorities(tmp_path: Path) -> list[Authority]:
    made = []
    for name in ("ours", "theirs"):
        ca = trustme.CA()
        ca.cert_pem.write_to_path(tmp_path / f"{name}.pem")
        made.append(Authority(ca, tmp_path / f"{name}.pem"))
    return made


def described(url: str, *, tls: TLS = NO_FILES, proxy: str | None = None) -> Registry:
    return Registry("eu", RegistryType.DISTRIBUTION, url, tls=tls, proxy=proxy)


def ping(registry: Registry) -> None:
    with closing(connect(registry)) as client:
        client.ping()


def read(registry: Registry) -> bytes:
    with closing(connect(registry)) as client, client.open_blob(scripted.API, BLOB) as pieces:
        return b"".join(pieces)


def saying(*answers: bytes, heads: list[bytes] | None = None) -> Play:
    """Gives each request of a connection the next answer, and notes what was asked."""

    def play(talk: Talk) -> None:
        for answer in answers:
            head = talk.head()
            if not head:
                return
            if heads is not None:
                heads.append(head)
            talk.say(answer)
        talk.wait_for_end()

    return play


def sent_on_to(url: str) -> bytes:
    return f"HTTP/1.1 307 There\r\nLocation: {url}/there\r\nContent-Length: 0\r\n\r\n".encode()


def test_l1_an_authority_is_trusted_for_its_own_registry_alone(
    authorities: list[Authority], stack: ExitStack
) -> None:
    ours, theirs = authorities
    server = stack.enter_context(serve(FakeRegistry(), tls=ours.server()))

    ping(described(server.url, tls=TLS(ca_file=str(ours.path))))
    for elsewhere in (TLS(), TLS(ca_file=str(theirs.path))):
        with pytest.raises(PermanentError, match="certificate"):
            ping(described(server.url, tls=elsewhere))


def test_l1_a_client_certificate_is_shown_to_its_own_registry_alone(
    authorities: list[Authority], stack: ExitStack, tmp_path: Path
) -> None:
    ours = authorities[0]
    shown: list[bool] = []

    def noting(answer: bytes) -> Play:
        def play(talk: Talk) -> None:
            talk.head()
            shown.append(talk.has_certificate)
            talk.say(answer)
            talk.wait_for_end()

        return play

    asking = ours.server()
    ours.ca.configure_trust(asking)
    asking.verify_mode = ssl.CERT_OPTIONAL
    storage = stack.enter_context(Peer(noting(FOUND), tls=asking))
    peer = stack.enter_context(Peer(noting(sent_on_to(storage.url)), tls=asking))

    assert read(described(peer.url, tls=ours.client(tmp_path))) == CONTENT
    assert shown == [True, False]


@pytest.mark.parametrize("host", ["127.0.0.1", "another.example"], ids=["unknown signer", "another name"])
def test_l2_a_certificate_that_proves_nothing_ends_it_and_nothing_is_said_in_the_clear(
    authorities: list[Authority], stack: ExitStack, host: str
) -> None:
    heads: list[bytes] = []
    peer = stack.enter_context(Peer(saying(HELLO, heads=heads), tls=authorities[0].server(host)))
    trusted = TLS() if host == "127.0.0.1" else TLS(ca_file=str(authorities[0].path))

    with pytest.raises(PermanentError, match="certificate"):
        ping(described(peer.url, tls=trusted))

    assert heads == []
    assert peer.connections == 1


def test_l2_a_server_without_tls_is_not_spoken_to_without_it(stack: ExitStack) -> None:
    received: list[bytes] = []

    def play(talk: Talk) -> None:
        received.append(talk.body(5))
        talk.say(HELLO)

    peer = stack.enter_context(Peer(play))

    with pytest.raises(Unavailable):
        ping(described(peer.url.replace("http:", "https:")))

    assert [each[:2] for each in received] == [b"\x16\x03"]


def test_l3_a_host_that_is_redirected_to_may_have_another_authority_of_the_file(
    authorities: list[Authority], stack: ExitStack, tmp_path: Path
) -> None:
    ours, theirs = authorities
    storage = stack.enter_context(Peer(saying(FOUND), tls=theirs.server()))
    registry = stack.enter_context(Peer(saying(sent_on_to(storage.url)), tls=ours.server()))
    both = tmp_path / "both.pem"
    both.write_bytes(ours.path.read_bytes() + theirs.path.read_bytes())

    assert read(described(registry.url, tls=TLS(ca_file=str(both)))) == CONTENT
    with pytest.raises(PermanentError, match="certificate"):
        read(described(registry.url, tls=TLS(ca_file=str(ours.path))))


@pytest.mark.parametrize("name", ["docker.io", "index.docker.io", "registry-1.docker.io"])
def test_l4_docker_hub_is_one_registry_by_each_of_its_names(name: str) -> None:
    path = "/v2/library/alpine/manifests/v1"
    challenge = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"'
    script = Script(
        {
            "GET registry-1.docker.io/v2/": httpx.Response(401, headers={"WWW-Authenticate": challenge}),
            "GET auth.docker.io/token": httpx.Response(200, json={"token": "t"}),
            f"HEAD registry-1.docker.io{path}": httpx.Response(404),
        }
    )
    credential = Credential("somebody", SecretStr("sesame"))
    hub = Registry("hub", RegistryType.DOCKERHUB, f"https://{name}", credential=credential)

    client_of(script, hub).head_manifest(Repository("library/alpine"), scripted.V1)

    hosts = [request.url.host for request in script.log]
    assert hosts == ["registry-1.docker.io", "auth.docker.io", "registry-1.docker.io"]
    assert script.log[1].headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("prefix", ["", "/some/path"])
def test_l5_an_address_literal_a_port_and_a_path_before_v2_are_kept(
    host: str, prefix: str, stack: ExitStack
) -> None:
    heads: list[bytes] = []
    peer = stack.enter_context(Peer(saying(HELLO, heads=heads), host=host))

    ping(described(f"{peer.url}{prefix}"))

    line, authority, *_ = heads[0].decode().split("\r\n")
    assert line == f"GET {prefix}/v2/ HTTP/1.1"
    assert authority == f"Host: {urlsplit(peer.url).netloc}"


def fetched(url: str) -> bytes:
    """The answer to a GET, as it can be passed on."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.netloc)) as connection:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        body = answer.read()
    fields = "".join(f"{name}: {value}\r\n" for name, value in answer.getheaders())
    return f"HTTP/1.1 {answer.status} {answer.reason}\r\n{fields}\r\n".encode() + body


@pytest.fixture
def proxy(stack: ExitStack) -> Callable[[], tuple[Peer, list[str]]]:
    """Starts a proxy for plain requests and tunnels, and notes the first lines and the passwords that it gets."""

    def start() -> tuple[Peer, list[str]]:
        seen: list[str] = []

        def play(talk: Talk) -> None:
            while head := talk.head().decode():
                line = head.split("\r\n")[0]
                seen.append(f"{line} {''.join(re.findall('Proxy-Authorization: (.*)', head))}".rstrip())
                if line.startswith("CONNECT"):
                    host, _, port = line.split()[1].rpartition(":")
                    talk.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    talk.pass_on_to((host, int(port)))
                    return
                talk.say(fetched(line.split()[1]))

        return stack.enter_context(Peer(play)), seen

    return start


Proxy = Callable[[], tuple[Peer, list[str]]]


def test_l7_a_proxy_is_told_whole_urls_also_of_hosts_that_are_redirected_to(
    proxy: Proxy, stack: ExitStack
) -> None:
    heads: list[bytes] = []
    storage = stack.enter_context(Peer(saying(FOUND, heads=heads)))
    registry = stack.enter_context(Peer(saying(sent_on_to(storage.url), heads=heads)))
    between, seen = proxy()

    found = read(described(registry.url, proxy=between.url.replace("//", "//me:pw@")))

    assert found == CONTENT
    path = f"/v2/{scripted.API}/blobs/{BLOB.digest}"
    assert seen == [
        f"GET {registry.url}{path} HTTP/1.1 Basic bWU6cHc=",
        f"GET {storage.url}/there HTTP/1.1 Basic bWU6cHc=",
    ]
    assert len(heads) == 2


def test_l7_what_is_for_an_https_registry_passes_the_proxy_through_a_tunnel(
    proxy: Proxy, authorities: list[Authority], stack: ExitStack
) -> None:
    heads: list[bytes] = []
    ours = authorities[0]
    storage = stack.enter_context(Peer(saying(FOUND, heads=heads), tls=ours.server()))
    registry = stack.enter_context(Peer(saying(sent_on_to(storage.url), heads=heads), tls=ours.server()))
    between, seen = proxy()

    found = read(
        described(registry.url, proxy=between.url.replace("//", "//me:pw@"), tls=TLS(ca_file=str(ours.path)))
    )

    assert found == CONTENT
    assert seen == [
        f"CONNECT {urlsplit(each.url).netloc} HTTP/1.1 Basic bWU6cHc=" for each in (registry, storage)
    ]
    assert not any(b"Proxy-Authorization" in head for head in heads)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Who are you?\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 Fine\r\n\r\nand here is more",
        b"what?\r\n\r\n",
        b"",
    ],
)
def test_l7_a_proxy_that_makes_no_tunnel_is_an_outage(answer: bytes, stack: ExitStack) -> None:
    def play(talk: Talk) -> None:
        talk.head()
        talk.say(answer)

    between = stack.enter_context(Peer(play))

    with pytest.raises(Unavailable):
        ping(described("https://registry.example.com", proxy=between.url))


def test_l7_the_environments_proxy_is_not_used(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each registry says which way its requests go (docs/registries.md); a worker serves many.
    heads: list[bytes] = []
    between = stack.enter_context(Peer(saying(HELLO, heads=heads)))
    peer = stack.enter_context(Peer(saying(HELLO)))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, between.url)

    ping(described(peer.url))

    assert heads == []


def test_l8_a_push_that_a_proxy_cache_refuses_is_parked_with_its_reason(make_world: MakeWorld) -> None:
    world = make_world(a_rule(), kinds={"us": RegistryType.HARBOR})
    world.push("eu", "v1", image([b"one"]))
    refusal = b'{"errors": [{"code": "DENIED", "message": "can not push artifact to a proxy project"}]}'
    world["us"].fail("POST", "/blobs/uploads/", times=100, status=403, body=refusal)

    view = world.run(world.job())
    for _ in range(DENIED_ATTEMPTS - 1):
        view = world.hurried(world.job())

    assert (view.state, view.attempts) == (State.PARKED, DENIED_ATTEMPTS)
    assert "can not push artifact to a proxy project" in (view.reason or "")


def test_l9_a_proxy_cache_that_lags_behind_its_upstream_is_read_again_and_no_delete(
    make_world: MakeWorld,
) -> None:
    world = make_world(replace(a_rule(), deletion=True), kinds={"eu": RegistryType.HARBOR})
    first, second = image([b"one"]), image([b"two"])
    world.push("eu", "v1", first)
    world.run(world.job())
    world.push("eu", "v1", second)
    world["eu"].fail("GET", "/manifests/v1", times=1, status=404)
    world["eu"].fail("HEAD", "/manifests/v1", times=1, status=404)

    world.tell(world.job())
    world.settle()

    assert is_whole(world["us"], API, "v1", second)
    assert not [entry for entry in world["us"].log if entry.method == "DELETE"]

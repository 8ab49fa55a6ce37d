"""The registry client over real sockets: against our own registry and docker-registry, open and with a login."""

import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from typing import ClassVar

import pytest
import trustme
from pydantic import SecretStr

from replicator.demo.logins import TokenLogin
from replicator.demo.server import serve
from replicator.errors import (
    Corrupt,
    Denied,
    MissingContent,
    PermanentError,
    TemporaryError,
    Unavailable,
    Unsupported,
)
from replicator.oci import (
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Manifest,
    Repository,
    Tag,
    parse_manifest,
)
from replicator.registry import RegistryClient, connect
from replicator.rules.registries import TLS, Credential, Registry, RegistryType
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.integration.processes import PASSWORD, USER, DockerRegistry

CREDENTIAL = Credential(USER, SecretStr(PASSWORD))
LAYER = images.layer_bytes("a layer", 700_000)
V1 = Tag("v1")
ABSENT = Digest.of(b"nobody has this manifest")


def registry(url: str, *, credential: Credential | None = None, tls: TLS | None = None) -> Registry:
    return Registry("eu", RegistryType.DISTRIBUTION, url, credential=credential, tls=tls or TLS())


@pytest.fixture(
    scope="module", params=["own", "own with tokens", "docker-registry", "docker-registry with passwords"]
)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with ExitStack() as stack:
        match request.param:
            case "own":
                yield registry(stack.enter_context(serve(FakeRegistry())).url)
            case "own with tokens":
                login = TokenLogin({USER: PASSWORD})
                url = stack.enter_context(serve(FakeRegistry(login=login))).url
                yield registry(url, credential=CREDENTIAL)
            case "docker-registry":
                directory = tmp_path_factory.mktemp("registry")
                yield registry(stack.enter_context(DockerRegistry(directory)).url)
            case _:
                directory = tmp_path_factory.mktemp("registry")
                server = stack.enter_context(DockerRegistry(directory, htpasswd=True))
                yield registry(server.url, credential=CREDENTIAL)


@pytest.fixture
def client(place: Registry) -> Iterator[RegistryClient]:
    client = connect(place)
    yield client
    client.close()


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> Repository:
    name = request.node.originalname.removeprefix("test_").replace("_", "-")
    return Repository(f"checks/{name}")


def blob(content: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", Digest.of(content), len(content))


def upload(client: RegistryClient, repository: Repository, content: bytes) -> Descriptor:
    descriptor = blob(content)
    started = client.start_upload(repository, descriptor.digest)
    assert started
    chunks = (content[start : start + 65536] for start in range(0, len(content), 65536))
    client.finish_upload(started, descriptor, chunks)
    return descriptor


def push(client: RegistryClient, repository: Repository, reference: Tag, image: images.Image) -> Manifest:
    for content in image.blobs.values():
        upload(client, repository, content)
    manifest = parse_manifest(image.raw, image.media_type)
    client.put_manifest(repository, reference, manifest)
    return manifest


def test_an_image_that_is_pushed_reads_back(client: RegistryClient, repository: Repository) -> None:
    manifest = push(client, repository, V1, images.image([LAYER]))

    head = client.head_manifest(repository, V1)

    assert head
    assert (head.digest, head.media_type) == (manifest.digest, OCI_MANIFEST)
    assert client.get_manifest(repository, V1) == manifest
    assert client.get_manifest(repository, manifest.digest) == manifest


def test_a_blob_reads_back(client: RegistryClient, repository: Repository) -> None:
    descriptor = upload(client, repository, LAYER)

    with client.open_blob(repository, descriptor) as chunks:
        found = list(chunks)

    assert b"".join(found) == LAYER
    assert max(map(len, found)) <= 1024 * 1024


def test_an_empty_blob_is_a_blob(client: RegistryClient, repository: Repository) -> None:
    descriptor = upload(client, repository, b"")

    with client.open_blob(repository, descriptor) as chunks:
        assert b"".join(chunks) == b""


def test_what_was_never_pushed_is_absent(client: RegistryClient, repository: Repository) -> None:
    assert client.head_manifest(repository, V1) is None
    assert client.get_manifest(repository, V1) is None
    assert client.tags(repository) is None
    assert not client.has_blob(repository, blob(b"never pushed"))
    assert client.delete_manifest(repository, Digest.of(b"never pushed")) is False


def test_a_blob_is_mounted_from_another_repository(client: RegistryClient, repository: Repository) -> None:
    there = Repository(f"{repository}/there")
    descriptor = upload(client, there, b"to be mounted")

    assert client.start_upload(repository, descriptor.digest, mount_from=there) is None
    assert client.has_blob(repository, descriptor)


def test_a_mount_of_nothing_opens_an_upload(client: RegistryClient, repository: Repository) -> None:
    descriptor = blob(b"not there to be mounted")

    started = client.start_upload(repository, descriptor.digest, mount_from=Repository(f"{repository}/there"))

    assert started
    client.finish_upload(started, descriptor, [b"not there ", b"to be mounted"])
    assert client.has_blob(repository, descriptor)


def test_a_failing_source_leaves_no_blob(client: RegistryClient, repository: Repository) -> None:
    descriptor = blob(LAYER)

    def failing() -> Iterator[bytes]:
        yield LAYER[:100_000]
        raise Corrupt("the source is corrupt")

    started = client.start_upload(repository, descriptor.digest)
    assert started
    with pytest.raises(Corrupt, match="the source is corrupt"):
        client.finish_upload(started, descriptor, failing())

    assert not client.has_blob(repository, descriptor)
    client.cancel_upload(started)


def test_a_manifest_without_its_blobs_is_refused(client: RegistryClient, repository: Repository) -> None:
    image = images.image([b"missing"])

    with pytest.raises(MissingContent, match="BLOB_UNKNOWN"):
        client.put_manifest(repository, V1, parse_manifest(image.raw, image.media_type))


def test_tags_are_listed(client: RegistryClient, repository: Repository) -> None:
    for name in ("v1", "v2", "V3"):
        push(client, repository, Tag(name), images.image([name.encode()]))

    assert set(client.tags(repository) or ()) == {"v1", "v2", "V3"}


def test_a_listing_tells_every_tag(client: RegistryClient, repository: Repository) -> None:
    assert client.listing(repository) is None
    push(client, repository, V1, images.image([b"listed"]))

    assert client.listing(repository) == {V1: None}


def test_repositories_are_listed_page_by_page(client: RegistryClient, repository: Repository) -> None:
    expected = [Repository(f"{repository}/r{number:04}") for number in range(1005)]
    image = images.image([])
    manifest = parse_manifest(image.raw, image.media_type)
    for content in image.blobs.values():
        upload(client, repository, content)
    for name in expected:
        for digest in image.blobs:
            assert client.start_upload(name, digest, mount_from=repository) is None
        client.put_manifest(name, V1, manifest)

    found = list(client.repositories())

    assert [name for name in found if name.startswith(f"{repository}/")] == expected
    assert next(client.repositories(last=expected[-2])) == expected[-1]


def test_a_digest_is_told_and_may_be_unchanged(client: RegistryClient, repository: Repository) -> None:
    first = push(client, repository, V1, images.image([b"first"]))

    assert client.digest_of(repository, V1) == first.digest
    assert client.digest_of(repository, V1, known=first.digest) == first.digest
    assert client.digest_of(repository, first.digest, known=first.digest) == first.digest
    assert client.digest_of(repository, ABSENT, known=ABSENT) is None

    second = push(client, repository, V1, images.image([b"second"]))

    assert client.digest_of(repository, V1, known=first.digest) == second.digest
    assert client.digest_of(repository, Tag("v2"), known=first.digest) is None


def test_an_unchanged_tag_is_answered_304(place: Registry, repository: Repository) -> None:
    seen: list[tuple[str, int]] = []
    client = connect(place, observe=lambda _, method, status, __: seen.append((method, status)))
    manifest = push(client, repository, V1, images.image([b"unchanged"]))

    client.digest_of(repository, V1, known=manifest.digest)

    assert seen[-1] == ("HEAD", 304)
    client.close()


def test_missing_blobs_are_told(client: RegistryClient, repository: Repository) -> None:
    there, absent = upload(client, repository, b"there"), blob(b"nobody has this")

    assert client.missing_blobs(repository, [there, absent]) == [absent]


def test_a_deleted_manifest_is_gone(client: RegistryClient, repository: Repository) -> None:
    manifest = push(client, repository, V1, images.image([b"to be deleted"]))

    assert client.delete_manifest(repository, manifest.digest) is True
    assert client.head_manifest(repository, V1) is None
    assert client.delete_manifest(repository, manifest.digest) is False


def test_a_tag_is_deleted_or_the_registry_is_known_not_to(
    client: RegistryClient, repository: Repository
) -> None:
    manifest = push(client, repository, V1, images.image([b"to be untagged"]))

    try:
        assert client.delete_manifest(repository, V1) is True
    except Unsupported:
        assert client.head_manifest(repository, V1)
    else:
        assert client.head_manifest(repository, V1) is None
    assert client.head_manifest(repository, manifest.digest)


def test_referrers_are_listed_or_the_api_is_known_to_be_absent(
    client: RegistryClient, repository: Repository
) -> None:
    subject = images.image([b"the subject"])
    manifest = push(client, repository, V1, subject)
    sbom = images.referrer(subject)
    push(client, repository, Tag("sbom"), sbom)

    found = client.referrers(repository, manifest.digest)

    assert found is None or [item.digest for item in found] == [sbom.digest]


def test_a_ping_is_answered(client: RegistryClient) -> None:
    client.ping()


def test_many_threads_share_one_client(client: RegistryClient, repository: Repository) -> None:
    contents = [images.layer_bytes(f"layer {number}", 100_000) for number in range(12)]

    def round_trip(content: bytes) -> bytes:
        descriptor = upload(client, repository, content)
        with client.open_blob(repository, descriptor) as chunks:
            return b"".join(chunks)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(round_trip, contents)) == contents


def test_a_wrong_password_is_denied(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(DockerRegistry(tmp_path, htpasswd=True))
    client = connect(registry(server.url, credential=Credential(USER, SecretStr("wrong"))))

    with pytest.raises(Denied) as caught:
        client.ping()

    assert "wrong" not in str(caught.value)
    client.close()


def test_a_dead_registry_is_unavailable(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(DockerRegistry(tmp_path))
    client = connect(registry(server.url))
    client.ping()

    server.kill()

    with pytest.raises(Unavailable) as caught:
        client.head_manifest(Repository("a"), V1)
    assert caught.value.registry == "eu"
    server.start()
    assert client.head_manifest(Repository("a"), V1) is None
    client.close()


def test_a_dropped_blob_is_resumed(stack: ExitStack) -> None:
    fake = FakeRegistry()
    client = connect(registry(stack.enter_context(serve(fake)).url))
    descriptor = upload(client, Repository("a"), LAYER)
    fake.fail("GET", "/blobs/", cut_body_at=200_000)

    with client.open_blob(Repository("a"), descriptor) as chunks:
        assert b"".join(chunks) == LAYER

    first, second = fake.requests("GET", "/blobs/")
    assert "range" not in {name.lower() for name in first.headers}
    assert second.headers.get("range", "").startswith("bytes=")
    client.close()


def test_a_lost_answer_to_an_upload_is_looked_up(stack: ExitStack) -> None:
    fake = FakeRegistry()
    client = connect(registry(stack.enter_context(serve(fake)).url))
    fake.fail("PUT", "/blobs/uploads/", reset=True, after=True)

    descriptor = upload(client, Repository("a"), LAYER)

    assert client.has_blob(Repository("a"), descriptor)
    assert len(fake.requests("PUT", "/blobs/")) == 1
    client.close()


class Counting(BaseHTTPRequestHandler):
    """Answers every request the same, and counts connections."""

    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        type(self).connections += 1
        super().setup()

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(404 if self.command in {"HEAD", "DELETE"} else 202)
        self.send_header("Location", "/v2/a/blobs/uploads/1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_DELETE = do_POST = do_PUT = answer  # noqa: N815 - the names that the base class calls

    def log_message(self, *_: object) -> None:
        pass


def test_one_connection_serves_many_requests() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    client = connect(registry(f"http://127.0.0.1:{server.server_port}"))

    for _ in range(5):
        client.head_manifest(Repository("a"), V1)
        client.delete_manifest(Repository("a"), V1)
        started = client.start_upload(Repository("a"), blob(LAYER).digest)
        assert started
        with pytest.raises(TemporaryError):
            client.finish_upload(started, blob(LAYER), [LAYER])

    client.close()
    server.shutdown()
    server.server_close()
    assert Counting.connections == 1


class Gathering(Counting):
    """Answers a request when sixteen are under way, each on a connection of its own."""

    gate = Barrier(16, timeout=20)
    peers: ClassVar[set[object]] = set()

    def answer(self) -> None:
        self.peers.add(self.client_address)
        self.gate.wait()
        super().answer()

    do_HEAD = answer  # noqa: N815 - the name that the base class calls


def test_sixteen_threads_do_not_wait_for_each_other() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gathering)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    client = connect(registry(f"http://127.0.0.1:{server.server_port}"))

    def ask(number: int) -> Digest | None:
        return client.digest_of(Repository("a"), Tag(f"v{number}"))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(48))) == [None] * 48

    client.close()
    server.shutdown()
    server.server_close()
    assert len(Gathering.peers) == 16


def server_tls(authority: trustme.CA, host: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("host", ["127.0.0.1", "another.example"])
def test_a_certificate_that_is_not_trusted_is_a_permanent_error(
    authority: trustme.CA, stack: ExitStack, host: str
) -> None:
    server = stack.enter_context(serve(FakeRegistry(), tls=server_tls(authority, host)))
    client = connect(registry(server.url))

    with pytest.raises(PermanentError, match="certificate"):
        client.ping()
    client.close()


def test_a_private_authority_is_trusted_for_its_registry(
    authority: trustme.CA, stack: ExitStack, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = stack.enter_context(serve(FakeRegistry(), tls=server_tls(authority)))
    client = connect(registry(server.url, tls=TLS(ca_file=str(tmp_path / "ca.pem"))))

    manifest = push(client, Repository("a"), V1, images.image([LAYER]))

    assert client.get_manifest(Repository("a"), V1) == manifest
    client.close()


def test_verification_can_be_switched_off(authority: trustme.CA, stack: ExitStack) -> None:
    server = stack.enter_context(serve(FakeRegistry(), tls=server_tls(authority)))
    client = connect(registry(server.url, tls=TLS(verify=False)))

    client.ping()
    client.close()


def test_a_client_certificate_is_shown(authority: trustme.CA, stack: ExitStack, tmp_path: Path) -> None:
    context = server_tls(authority)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    server = stack.enter_context(serve(FakeRegistry(), tls=context))
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = authority.issue_cert("replicator.example")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = TLS(str(tmp_path / "ca.pem"), str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))

    shown = connect(registry(server.url, tls=tls))
    shown.ping()
    shown.close()

    hidden = connect(registry(server.url, tls=TLS(ca_file=tls.ca_file)))
    with pytest.raises(Unavailable):
        hidden.ping()
    hidden.close()

"""Reading blobs (protocol cases B): redirected, broken off, resumed, too long, too short, encoded, foreign, strange."""

import gzip
import hashlib
import itertools
import json
from collections.abc import Iterable
from contextlib import ExitStack

import httpx
import pytest

from replicator.demo.server import serve
from replicator.errors import Corrupt, PermanentError, ReplicatorError, TemporaryError
from replicator.ledger import Ledger, State
from replicator.oci import OCI_MANIFEST, Descriptor, Digest, Repository, parse_manifest
from replicator.registry import connect
from replicator.rules import Registry, RegistryType
from tests.conformance.bridge import Bridge
from tests.fakes.images import (
    EMPTY,
    OCI_LAYER,
    Image,
    artifact,
    image,
    is_whole,
    layer_bytes,
    push,
    push_blob,
    push_manifest,
)
from tests.fakes.registry import Entry, FakeRegistry
from tests.fakes.wire import Wire, answer, chunk
from tests.integration.processes import DockerRegistry
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, a_rule
from tests.unit.registry import scripted
from tests.unit.registry.scripted import Script, blob, client_of

NOT_OURS = {
    "B22": "Inline data is a few bytes of a blob that has to be uploaded all the same, and after its first copy costs "
    "no read in any case: the destination mounts it.",
}

CONTENT = layer_bytes("a blob", 300_000)
BLOB = blob(CONTENT)
PATH = f"/v2/payments/api/blobs/{BLOB.digest}"
HALF = 150_000
FOREIGN_TYPE = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def redirect(location: str) -> httpx.Response:
    return httpx.Response(307, headers={"Location": location})


def read(script: Script, described: Registry | None = None) -> bytes:
    with client_of(script, described).open_blob(scripted.API, BLOB) as chunks:
        return b"".join(chunks)


def taken(wire: Wire, descriptor: Descriptor = BLOB) -> bytes:
    """The blob as a reader gets it from those bytes on the wire."""
    client = connect(Registry("eu", RegistryType.DISTRIBUTION, wire.url))
    try:
        with client.open_blob(scripted.API, descriptor) as chunks:
            return b"".join(chunks)
    finally:
        client.close()


def handed_out(wire: Wire, error: type[ReplicatorError]) -> int:
    """How many bytes a taker gets before the error."""
    count = 0

    def take(chunks: Iterable[bytes]) -> None:
        nonlocal count
        for piece in chunks:
            count += len(piece)

    client = connect(Registry("eu", RegistryType.DISTRIBUTION, wire.url))
    with pytest.raises(error), client.open_blob(scripted.API, BLOB) as chunks:
        take(chunks)
    client.close()
    return count


def with_layers(*layers: dict[str, object]) -> Image:
    """An image of such layers; none of their bytes come with it."""
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest.of(EMPTY), "size": 2}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [*layers]}
    return Image(json.dumps(document).encode(), OCI_MANIFEST, {Digest.of(EMPTY): EMPTY})


def range_of(entry: Entry) -> str | None:
    return {name.lower(): value for name, value in entry.headers.items()}.get("range")


def layer(content: bytes, media_type: str = OCI_LAYER, **more: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(Digest.of(content)), "size": len(content), **more}


def test_b2_a_redirect_into_the_clear_is_refused() -> None:
    script = Script(
        {
            f"GET {PATH}": redirect("http://storage.example.net/x"),
            "GET storage.example.net/x": httpx.Response(200, content=CONTENT),
        }
    )

    with pytest.raises(PermanentError, match="redirected from https to http"):
        read(script)
    assert len(script.log) == 1


def test_b2_a_registry_that_is_in_the_clear_may_stay_so() -> None:
    script = Script(
        {
            f"GET {PATH}": redirect("http://storage.example.net/x"),
            "GET storage.example.net/x": httpx.Response(200, content=CONTENT),
        }
    )

    assert read(script, scripted.registry(url=f"http://{scripted.HOST}")) == CONTENT


def test_b4_a_long_chain_of_redirects_is_an_error() -> None:
    chain = {f"GET /hop/{number}": redirect(f"/hop/{number + 1}") for number in range(11)}
    script = Script({f"GET {PATH}": redirect("/hop/0"), **chain, "GET /hop/11": httpx.Response(200)})

    with pytest.raises(PermanentError, match="redirected more than"):
        read(script)
    assert len(script.log) < 11


def test_b4_a_circle_of_redirects_is_an_error() -> None:
    script = Script({f"GET {PATH}": redirect(PATH)})

    with pytest.raises(PermanentError, match="redirected more than"):
        read(script)


@pytest.mark.parametrize("status", [400, 403])
def test_b5_an_expired_link_is_asked_for_anew_at_the_registry(status: int) -> None:
    first = httpx.Response(200, stream=scripted.Pieces(CONTENT[:HALF], httpx.ReadError("reset")))
    rest = httpx.Response(
        206, headers={"Content-Range": f"bytes {HALF}-{len(CONTENT) - 1}/*"}, content=CONTENT[HALF:]
    )
    script = Script(
        {
            f"GET {PATH}": [
                redirect("https://storage.example.net/1"),
                redirect("https://storage.example.net/2"),
            ],
            "GET storage.example.net/1": [first, httpx.Response(status)],
            "GET storage.example.net/2": rest,
        }
    )

    assert read(script) == CONTENT
    assert [request.headers.get("range") for request in script.log] == [None] * 2 + [f"bytes={HALF}-"] * 2


def test_b7_a_body_that_ends_early_is_taken_up_and_arrives_whole(ledger: Ledger, stack: ExitStack) -> None:
    source, destination = FakeRegistry(), FakeRegistry()
    pushed = image([CONTENT])
    push(source, API, "v1", pushed)
    source.fail("GET", str(BLOB.digest), cut_body_at=HALF)
    urls = [stack.enter_context(serve(each)).url for each in (source, destination)]

    with Bridge(ledger, *urls) as bridge:
        assert bridge.run().outcome == "copied"

    assert is_whole(destination, API, "v1", pushed)
    assert [range_of(entry) for entry in source.requests("GET", str(BLOB.digest))] == [
        None,
        f"bytes={HALF}-",
    ]


def test_b7_a_body_that_always_ends_early_is_never_committed(ledger: Ledger, stack: ExitStack) -> None:
    source, destination = FakeRegistry(), FakeRegistry()
    push(source, API, "v1", image([CONTENT]))
    source.fail("GET", str(BLOB.digest), times=float("inf"), cut_body_at=1000)
    urls = [stack.enter_context(serve(each)).url for each in (source, destination)]

    with Bridge(ledger, *urls) as bridge:
        view = bridge.run()

    assert view.outcome is None
    assert not destination.storage.blob(Repository(API), BLOB.digest)
    assert destination.requests("PUT", "/manifests/") == []


def test_b7_a_real_registry_serves_the_rest(docker_registry: DockerRegistry) -> None:
    push_blob(docker_registry.url, API, CONTENT)
    client = connect(Registry("eu", RegistryType.DISTRIBUTION, docker_registry.url))
    called = httpx.get(
        f"{docker_registry.url}/v2/{API}/blobs/{BLOB.digest}", headers={"Range": f"bytes={HALF}-"}
    )

    # What the reader relies on: a part, and said to be which.
    assert called.status_code == 206
    assert called.headers["content-range"] == f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT)}"
    with client.open_blob(Repository(API), BLOB) as chunks:
        assert b"".join(chunks) == CONTENT
    client.close()


def test_b8_a_chunked_body_that_is_short_but_ends_well_is_noticed() -> None:
    short = answer(200, {"Transfer-Encoding": "chunked"}, chunk(CONTENT[:HALF]) + chunk(b""))
    no_more = answer(206, {"Content-Range": f"bytes {HALF}-{HALF}/*", "Content-Length": "0"})
    with Wire(short, no_more) as wire:
        assert handed_out(wire, Corrupt) < HALF

    assert [f"Range: bytes={HALF}-".lower() in head.lower() for head in wire.heads] == [False, True]


def test_b8_a_chunked_body_that_breaks_off_is_taken_up() -> None:
    torn = b"ffff\r\n" + CONTENT[HALF : HALF + 1000]
    broken = answer(200, {"Transfer-Encoding": "chunked"}, chunk(CONTENT[:HALF]) + torn)

    def rest(head: str) -> bytes:
        start = int(head.lower().partition("range: bytes=")[2].partition("-")[0])
        return part(start, CONTENT[start:])

    with Wire(broken, rest) as wire:
        assert taken(wire) == CONTENT

    assert wire.connections == 2


def test_b9_another_length_than_the_descriptors_is_an_error_before_anything_is_uploaded(
    make_world: MakeWorld,
) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", image([CONTENT]))
    world["eu"].fail("GET", str(BLOB.digest), times=float("inf"), body=CONTENT + b"!")

    view = world.run(world.job())

    assert "is 300001 bytes long, expected 300000" in (view.reason or "")
    assert all(entry.body_length == 0 for entry in world["us"].requests("PUT", str(BLOB.digest)))


def test_b10_an_endless_body_is_left_after_its_size() -> None:
    endless = itertools.chain([answer(200)], itertools.repeat(b"x" * 65536))
    with Wire(endless) as wire:
        assert handed_out(wire, Corrupt) <= len(CONTENT)

    # What the sockets' buffers hold beyond that was never read.
    assert wire.sent_bytes < 16 * 1024 * 1024


def broken() -> bytes:
    return answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT[:HALF])


def part(start: int, content: bytes, *, total: str = "300000") -> bytes:
    span = f"bytes {start}-{start + len(content) - 1}/{total}"
    return answer(206, {"Content-Range": span, "Content-Length": str(len(content))}, content)


@pytest.mark.parametrize("total", ["300000", "*"])
def test_b11_the_rest_is_joined_to_what_came(total: str) -> None:
    with Wire(broken(), part(HALF, CONTENT[HALF:], total=total)) as wire:
        assert taken(wire) == CONTENT

    assert f"range: bytes={HALF}-\r\n" in wire.heads[1].lower()


def test_b12_a_whole_body_in_place_of_the_rest_is_passed_over_and_not_appended() -> None:
    with Wire(broken(), answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT)) as wire:
        assert taken(wire) == CONTENT


@pytest.mark.parametrize("start", [0, HALF - 1, HALF + 1])
def test_b13_another_part_is_not_taken(start: int) -> None:
    with Wire(broken(), part(start, CONTENT[start:])) as wire:
        assert handed_out(wire, TemporaryError) < HALF


def test_b13_a_part_of_another_whole_is_not_taken() -> None:
    with Wire(broken(), part(HALF, CONTENT[HALF:], total="300001")) as wire:
        assert handed_out(wire, TemporaryError) < HALF


def test_b14_who_has_it_all_asks_for_no_rest() -> None:
    """Where a blob broke off after its last byte, the range behind it is 416 everywhere, and is never asked for."""
    lost = answer(200, {"Transfer-Encoding": "chunked"}, chunk(CONTENT))
    with Wire(lost, answer(416, {"Content-Range": f"bytes */{len(CONTENT)}", "Content-Length": "0"})) as wire:
        assert taken(wire) == CONTENT

    assert wire.connections == 1


@pytest.mark.parametrize(
    ("total", "error"), [(str(HALF), Corrupt), (str(len(CONTENT)), TemporaryError), ("", TemporaryError)]
)
def test_b14_who_has_too_little_learns_from_the_answer_that_there_is_no_more(
    total: str, error: type[ReplicatorError]
) -> None:
    headers = {"Content-Length": "0"} | ({"Content-Range": f"bytes */{total}"} if total else {})
    with Wire(broken(), answer(416, headers)) as wire:
        assert handed_out(wire, error) < HALF


def test_b15_a_blob_is_asked_for_as_it_is_and_never_decoded() -> None:
    packed = gzip.compress(CONTENT)
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(packed))}
    with Wire(answer(200, headers, packed)) as wire:
        assert taken(wire, blob(packed)) == packed

    [head] = wire.heads
    assert [line for line in head.lower().split("\r\n") if line.startswith("accept-encoding")] == [
        "accept-encoding: identity"
    ]


def test_b15_a_blob_that_a_proxy_packed_is_not_taken_for_the_blob() -> None:
    packed = gzip.compress(CONTENT)
    with Wire(
        answer(200, {"Content-Encoding": "gzip", "Transfer-Encoding": "chunked"}, chunk(packed))
    ) as wire:
        assert handed_out(wire, ReplicatorError) < len(CONTENT)


@pytest.mark.parametrize("pushed", [image([b""]), artifact(payload=b"")], ids=["layer", "artifact"])
def test_b16_blobs_of_nothing_and_of_two_braces_are_copied(
    make_world: MakeWorld, ledger: Ledger, docker_registry: DockerRegistry, stack: ExitStack, pushed: Image
) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", pushed)
    assert world.run(world.job()).outcome == "copied"
    assert is_whole(world["us"], API, "v1", pushed)

    source = stack.enter_context(serve(world["eu"])).url
    with Bridge(ledger, source, docker_registry.url) as bridge:
        assert bridge.run().outcome == "copied"
    assert is_whole(docker_registry.url, API, "v1", pushed)


FOREIGN = layer(b"windows", FOREIGN_TYPE, urls=["https://storage.example.net/windows"])


def test_b17_a_foreign_layer_is_neither_fetched_nor_uploaded(
    ledger: Ledger, docker_registry: DockerRegistry, stack: ExitStack
) -> None:
    """To bring foreign layers along is not offered: their licences say where they may be fetched from."""
    source = FakeRegistry()
    pushed = with_layers(layer(CONTENT), FOREIGN)
    push_blob(source, API, CONTENT)
    push(source, API, "v1", pushed)

    with Bridge(ledger, stack.enter_context(serve(source)).url, docker_registry.url) as bridge:
        assert bridge.run().outcome == "copied"
        found = bridge.clients["us"].get_manifest(Repository(API), pushed.digest)

    assert found
    assert found.raw == pushed.raw
    assert source.requests(path_regex=str(FOREIGN["digest"])) == []
    assert "blobs/" + str(FOREIGN["digest"]) not in docker_registry.log.read_text()


def test_b18_a_layer_that_is_only_called_nondistributable_is_uploaded(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    pushed = with_layers(layer(CONTENT, kind))
    push_blob(world["eu"], API, CONTENT)
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"

    assert is_whole(world["us"], API, "v1", pushed)


def test_b19_a_blob_that_the_source_lost_is_told_and_blocks_no_other_tag(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    world.push("eu", "v1", image([CONTENT]))
    whole = image([b"whole"])
    world.push("eu", "v2", whole)
    with world["eu"].storage.lock:
        world["eu"].storage.remove_blob(Repository(API), BLOB.digest)

    world.run(world.job())
    view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert "the registry does not have this blob, though a manifest names it" in (view.reason or "")
    assert world.run(world.job("v2")).outcome == "copied"
    assert world.digest("us", "v2") == whole.digest
    assert world.digest("us", "v1") is None


def test_b20_a_sha512_blob_is_hashed_and_uploaded_as_such(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    digest = Digest.of(CONTENT, "sha512")
    pushed = with_layers({"mediaType": OCI_LAYER, "digest": str(digest), "size": len(CONTENT)})
    push_blob(world["eu"], API, CONTENT, digest=digest)
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"

    assert is_whole(world["us"], API, "v1", pushed)
    opened = [entry.query for entry in world["us"].requests("POST") if str(digest) in entry.query.values()]
    assert [query["digest-algorithm"] for query in opened] == ["sha512"]


def test_b20_a_sha512_blob_that_is_not_what_it_says_is_corrupt() -> None:
    descriptor = Descriptor("", Digest(f"sha512:{hashlib.sha512(b'other').hexdigest()}"), len(CONTENT))
    with Wire(answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT)) as wire, pytest.raises(Corrupt):
        taken(wire, descriptor)


@pytest.mark.parametrize(
    "digest",
    [
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        f"sha256:{'A' * 64}",
        f"sha256:{'a' * 63}",
        f"sha512:{'a' * 64}",
        f"sha256:{'a' * 64}/../../../_catalog",
        f"sha256:{'a' * 64}\n",
        "../../../_catalog",
        "",
    ],
)
def test_b21_a_strange_digest_never_becomes_part_of_a_url(make_world: MakeWorld, digest: str) -> None:
    world = make_world(a_rule())
    pushed = with_layers({"mediaType": OCI_LAYER, "digest": digest, "size": 5})
    world.push("eu", "v1", image())
    world["eu"].fail(
        "GET",
        "/manifests/v1",
        times=float("inf"),
        status=200,
        headers={"Content-Type": OCI_MANIFEST},
        body=pushed.raw,
    )

    view = world.run(world.job())

    assert "is malformed" in (view.reason or "")
    assert set(world.asked("eu")) == {"GET manifests/v1"}
    assert world.asked("us") == []
    with pytest.raises(Corrupt):
        parse_manifest(pushed.raw, OCI_MANIFEST)


def test_a_large_blob_comes_over_a_bad_line_as_long_as_it_comes_on(ledger: Ledger, stack: ExitStack) -> None:
    source, destination = FakeRegistry(), FakeRegistry()
    content = layer_bytes("large", 12 * 1024 * 1024)
    pushed = image([content])
    push(source, API, "v1", pushed)
    source.fail("GET", str(Digest.of(content)), times=float("inf"), cut_body_at=1_100_000)
    urls = [stack.enter_context(serve(each)).url for each in (source, destination)]

    with Bridge(ledger, *urls) as bridge:
        assert bridge.run().outcome == "copied"

    assert is_whole(destination, API, "v1", pushed)
    assert len(source.requests("GET", str(Digest.of(content)))) == 12


def test_a_layer_that_one_manifest_names_twice_is_read_once(make_world: MakeWorld) -> None:
    world = make_world(a_rule())
    pushed = image([CONTENT, CONTENT])
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"

    assert len(world["eu"].requests("GET", str(BLOB.digest))) == 1
    assert is_whole(world["us"], API, "v1", pushed)


def test_a_layer_whose_size_the_manifest_has_wrong_is_no_copy(make_world: MakeWorld) -> None:
    """Registries don't compare: a client that pulls would refuse what we passed on."""
    world = make_world(a_rule())
    pushed = with_layers(layer(CONTENT) | {"size": len(CONTENT) - 1})
    push_blob(world["eu"], API, CONTENT)
    for content in pushed.blobs.values():
        push_blob(world["eu"], API, content)
    push_manifest(world["eu"], API, "v1", pushed)

    view = world.run(world.job())

    assert "expected 299999" in (view.reason or "")
    assert world.digest("us") is None

"""Uploading blobs (protocol cases D): places, chunks, broken sessions, limits, refusals."""

import re
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from replicator.demo.server import serve
from replicator.errors import PermanentError
from replicator.jobs import DENIED_ATTEMPTS
from replicator.ledger import Habit, JobView, Ledger, Place, State
from replicator.oci import Digest, Repository
from replicator.registry import Upload, connect
from replicator.rules import Registry, RegistryType, Signatures
from tests.conformance.bridge import Bridge
from tests.fakes.images import image, is_whole, layer_bytes
from tests.fakes.registry import Entry, FakeRegistry
from tests.integration.processes import DockerRegistry, Nginx
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import ALL, API, World, a_rule
from tests.unit.registry import scripted
from tests.unit.registry.scripted import HOST, Script, blob, client_of

NOT_OURS = {
    "D24": "No blob is sent in the POST itself: that POST asks for a mount already, which saves bytes and not only a "
    "request, and CNCF Distribution and its descendants ignore such a body.",
    "D25": "No blob is sent in the POST itself (see D24), so that no answer to it can be mistaken.",
}

MIB = 1024 * 1024
UNSIGNED = replace(a_rule(filters=ALL), signatures=Signatures.IGNORE)
LAYER = layer_bytes("a layer", 3 * MIB)
IMAGE = image([LAYER])
BIG = layer_bytes("a big layer", 16 * MIB)
BIG_IMAGE = image([BIG])
CONTENT = b"0123456789" * 10
BLOB = blob(CONTENT)
SESSION = "/v2/payments/api/blobs/uploads/u"
START = "POST /v2/payments/api/blobs/uploads/"
DIGEST = f"digest=sha256%3A{BLOB.digest.hex}"
FOREVER = float("inf")


def uploaded(location: str) -> Script:
    """Upload a blob whose session is there; what was asked."""
    answer = httpx.Response(202, headers={"Location": location})
    script = Script({START: answer, f"PUT {SESSION}": httpx.Response(201)})
    client = client_of(script)
    upload = client.start_upload(scripted.API, BLOB.digest)
    assert upload
    client.finish_upload(upload, BLOB, [CONTENT])
    return script


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world(UNSIGNED)
    made.push("eu", "v1", IMAGE)
    return made


def in_chunks(world: World, limit_bytes: int = MIB) -> None:
    """The fleet believes that `us` takes no larger requests."""
    world.ledger.fleet.uploads.learn("us", Habit(body_limit_bytes=limit_bytes))


def parts(world: World, content: bytes = LAYER) -> list[Entry]:
    """The requests that brought parts of a large blob to `us`, the closing ones included."""
    digest = Digest.of(content)
    return [
        entry
        for entry in world["us"].log
        if entry.method == "PATCH" or (entry.method == "PUT" and entry.query.get("digest") == digest)
    ]


def methods(world: World, content: bytes = LAYER) -> list[str]:
    return [entry.method for entry in parts(world, content)]


# Where the bytes go


@pytest.mark.parametrize("start", ["", "/v2/payments/api/blobs/uploads/"])
def test_d1_a_relative_place_keeps_its_query(start: str) -> None:
    script = uploaded(f"{start}u?_state=a%2Bc%3D")

    assert script.lines[-1] == f"PUT {SESSION}?_state=a%2Bc%3D&{DIGEST}"
    assert script.log[-1].url.host == HOST


def test_d2_a_place_at_the_registry_itself_is_used_as_it_is() -> None:
    assert uploaded(f"https://{HOST}{SESSION}?_state=abc").lines[-1] == f"PUT {SESSION}?_state=abc&{DIGEST}"


def test_d2_a_place_elsewhere_gets_neither_bytes_nor_credentials() -> None:
    answer = httpx.Response(202, headers={"Location": "https://elsewhere.example.net/u"})
    script = Script({START: answer})

    with pytest.raises(PermanentError, match="not where this registry is configured"):
        client_of(script).start_upload(scripted.API, BLOB.digest)
    assert {request.url.host for request in script.log} == {HOST}


def test_d4_a_default_port_is_none() -> None:
    assert uploaded(f"https://{HOST}:443{SESSION}").lines[-1] == f"PUT {SESSION}?{DIGEST}"


def test_d4_a_place_in_the_clear_is_refused() -> None:
    answer = httpx.Response(202, headers={"Location": f"http://{HOST}{SESSION}"})

    with pytest.raises(PermanentError, match="does not pass on the scheme"):
        client_of(Script({START: answer})).start_upload(scripted.API, BLOB.digest)


def test_d5_a_digest_is_named_once_and_a_fragment_dropped() -> None:
    script = uploaded(f"{SESSION}?digest=sha256:0&_state=a#part")

    assert script.lines[-1] == f"PUT {SESSION}?_state=a&{DIGEST}"


def test_d6_an_upload_without_a_place_is_begun_again(world: World) -> None:
    world["us"].fail("POST", "/uploads/", status=202)

    assert world.run(world.job()).state is State.PENDING
    assert world.hurried(world.job()).outcome == "copied"


# How it ends


@pytest.mark.parametrize(("status", "looks"), [(201, 0), (204, 0), (200, 1), (202, 1)])
def test_d8_a_closed_upload_is_done_and_a_vague_answer_looked_up(
    world: World, status: int, looks: int
) -> None:
    world["us"].fail("PUT", "/uploads/", times=FOREVER, status=status, after=True)

    assert world.run(world.job()).outcome == "copied"

    assert len(world["us"].requests("HEAD", "/blobs/")) == looks * len(IMAGE.blobs)


def test_d11_an_answer_that_was_lost_is_looked_up_before_anything_is_sent_again(world: World) -> None:
    world["us"].fail("PUT", f"/uploads/.*{Digest.of(LAYER).hex}", reset=True, after=True)

    assert world.run(world.job()).outcome == "copied"

    assert methods(world) == ["PUT"]
    assert len(world["us"].requests("HEAD", f"/blobs/{Digest.of(LAYER)}")) == 1


# In chunks


def test_d12_every_chunk_goes_where_the_last_answer_said(world: World) -> None:
    in_chunks(world)

    assert world.run(world.job()).outcome == "copied"

    assert [entry.query["_state"].rpartition(".")[2] for entry in parts(world)] == [
        "0",
        f"{MIB}",
        f"{2 * MIB}",
    ]
    assert is_whole(world["us"], API, "v1", IMAGE)


def test_d12_a_real_registry_takes_chunks(
    ledger: Ledger, docker_registry: DockerRegistry, make_world: MakeWorld
) -> None:
    world = make_world(UNSIGNED)
    world.push("eu", "v1", IMAGE)
    in_chunks(world)

    with serve(world["eu"]) as eu, Bridge(ledger, eu.url, docker_registry.url, rule=UNSIGNED) as bridge:
        assert bridge.run().outcome == "copied"

    assert is_whole(docker_registry.url, API, "v1", IMAGE)
    assert docker_registry.log.read_text().count('"PATCH ') == 2


def test_d13_a_chunk_says_its_first_and_last_byte_without_a_unit(world: World) -> None:
    in_chunks(world)

    world.run(world.job())

    ranges = [entry.headers["content-range"] for entry in parts(world)]
    assert ranges == [f"{start}-{start + MIB - 1}" for start in range(0, 3 * MIB, MIB)]
    assert all(re.fullmatch(r"[0-9]+-[0-9]+", text) for text in ranges)
    assert {entry.headers["content-length"] for entry in parts(world)} == {f"{MIB}"}


def test_d23_the_last_chunk_comes_with_the_closing_request(world: World) -> None:
    in_chunks(world)

    world.run(world.job())

    assert methods(world) == ["PATCH", "PATCH", "PUT"]
    assert parts(world)[-1].headers["content-range"] == f"{2 * MIB}-{3 * MIB - 1}"


def test_d23_a_closing_request_without_a_body_says_so() -> None:
    script = Script({f"PUT {SESSION}": httpx.Response(201)})
    upload = Upload(scripted.API, BLOB.digest, f"https://{HOST}{SESSION}", offset=len(CONTENT))

    client_of(script).finish_upload(upload, BLOB, [])

    assert script.log[0].headers["content-length"] == "0"


def test_d12_a_chunk_that_broke_off_goes_on_from_what_arrived(world: World) -> None:
    in_chunks(world)
    world["us"].fail("PATCH", "", nth=2, reset=True, after=True)

    assert world.run(world.job()).outcome == "copied"

    assert [entry.body_length for entry in parts(world)] == [MIB, MIB, MIB]
    assert is_whole(world["us"], API, "v1", IMAGE)


# Sessions that broke off


def stood(world: World, content: bytes, sent: int) -> str:
    """An earlier worker began to send the blob to `us`, and died when so much had arrived; the id of its session."""
    digest = Digest.of(content)
    client = world.tools().client("us")
    upload = client.start_upload(Repository(API), digest)
    assert upload
    if sent:
        upload = client.send_chunk(upload, [content[:sent]])
    world.ledger.fleet.uploads.keep("us", Repository(API), digest, Place(upload.location, sent))
    world.forget_requests()
    return upload.location.partition("?")[0].rpartition("/")[2]


@pytest.fixture
def big(make_world: MakeWorld) -> World:
    made = make_world(UNSIGNED)
    made.push("eu", "v1", BIG_IMAGE)
    return made


def test_d14_an_upload_goes_on_from_the_registrys_own_offset(big: World) -> None:
    session = stood(big, BIG, 10 * MIB)
    big.ledger.fleet.uploads.keep(
        "us",
        Repository(API),
        Digest.of(BIG),
        replace(kept(big), offset=3 * MIB),  # its last words were older
    )

    assert work(big).outcome == "copied"

    assert sum(entry.body_length for entry in parts(big, BIG)) == 6 * MIB
    assert all(session in entry.path for entry in parts(big, BIG))
    reads = big["eu"].requests("GET", f"/blobs/{Digest.of(BIG)}")
    assert [entry.headers["range"] for entry in reads] == [f"bytes={10 * MIB}-"]
    assert is_whole(big["us"], API, "v1", BIG_IMAGE)
    assert big.ledger.fleet.uploads.kept("us", Repository(API), Digest.of(BIG)) is None


def kept(world: World) -> Place:
    place = world.ledger.fleet.uploads.kept("us", Repository(API), Digest.of(BIG))
    assert place
    return place


def work(world: World) -> JobView:
    world.tell(world.job())
    return world.shown(world.work(world.job()))


def test_d14_an_upload_that_lacks_nothing_is_only_closed(big: World) -> None:
    stood(big, BIG, len(BIG))

    assert work(big).outcome == "copied"

    assert [entry.body_length for entry in parts(big, BIG)] == [0]
    assert not big["eu"].requests("GET", f"/blobs/{Digest.of(BIG)}")


def test_d14_a_session_with_nothing_or_one_byte_in_it_is_begun_again(big: World) -> None:
    session = stood(big, BIG, 0)

    assert work(big).outcome == "copied"

    assert sum(entry.body_length for entry in parts(big, BIG)) == len(BIG)
    assert not any(session in entry.path for entry in parts(big, BIG))


def test_d14_a_session_that_holds_other_bytes_is_given_up_and_the_blob_sent_anew(big: World) -> None:
    session = stood(big, layer_bytes("something else", 10 * MIB) + BIG[10 * MIB :], 10 * MIB)
    place = big.redis.keys("replicator:upload:*")[0]
    big.redis.rename(place, f"replicator:upload:us|{API}|{Digest.of(BIG)}")

    assert work(big).outcome == "copied"

    assert is_whole(big["us"], API, "v1", BIG_IMAGE)
    assert big["us"].storage.open_uploads == 0
    assert any(session not in entry.path for entry in parts(big, BIG))
    assert not big.ledger.fleet.uploads.habit("us").is_whole_only


@pytest.mark.parametrize("code", ["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"])
def test_d16_a_session_that_is_over_is_begun_again(big: World, code: str) -> None:
    stood(big, BIG, 10 * MIB)
    body = f'{{"errors":[{{"code":"{code}"}}]}}'.encode()
    big["us"].fail("GET", "/uploads/", status=404, body=body)

    assert work(big).outcome == "copied"

    assert sum(entry.body_length for entry in parts(big, BIG)) == len(BIG)
    assert is_whole(big["us"], API, "v1", BIG_IMAGE)


def test_d16_a_real_registry_goes_on_after_a_restart_and_forgets_what_it_deleted(
    ledger: Ledger, docker_registry: DockerRegistry
) -> None:
    client = connect(Registry("us", RegistryType.DISTRIBUTION, docker_registry.url))
    upload = client.start_upload(Repository(API), Digest.of(LAYER))
    assert upload
    upload = client.send_chunk(upload, [LAYER[:MIB]])
    docker_registry.kill()
    docker_registry.start()

    stands = client.look_up_upload(upload)
    assert stands
    assert stands.offset == MIB

    client.cancel_upload(stands)
    assert client.look_up_upload(stands) is None
    client.close()


# What registries want


@pytest.mark.parametrize("least", ["1099511627776", "many", "-5"])
def test_d18_an_absurd_least_chunk_is_not_held_in_memory(world: World, least: str) -> None:
    world["us"].fail("POST", "/uploads/", times=FOREVER, headers={"OCI-Chunk-Min-Length": least})
    in_chunks(world)

    assert world.run(world.job()).outcome == "copied"

    assert methods(world) == (["PUT"] if least.startswith("1") else ["PATCH", "PATCH", "PUT"])


def test_d18_a_least_chunk_is_honoured(world: World) -> None:
    world["us"].fail("POST", "/uploads/", times=FOREVER, headers={"OCI-Chunk-Min-Length": f"{2 * MIB}"})
    in_chunks(world)

    world.run(world.job())

    assert [entry.body_length for entry in parts(world)] == [2 * MIB, MIB]


def again(world: World) -> list[str]:
    """How another large blob is sent."""
    other = layer_bytes("another", 3 * MIB)
    world.push("eu", "v2", image([other]))
    assert world.run(world.job("v2")).outcome == "copied"
    return methods(world, other)


@pytest.mark.parametrize("status", [404, 405, 501])
def test_d20_who_takes_no_chunks_gets_blobs_whole_and_is_remembered(world: World, status: int) -> None:
    in_chunks(world)
    world["us"].fail("PATCH", "", times=FOREVER, status=status)

    assert world.run(world.job()).outcome == "copied"

    assert methods(world) == ["PATCH", "PUT"]
    assert again(world) == ["PUT"]


def test_d21_who_does_not_put_chunks_together_gets_blobs_whole_and_is_remembered(world: World) -> None:
    in_chunks(world)
    body = b'{"errors":[{"code":"DIGEST_INVALID"}]}'
    world["us"].fail("PUT", f"/uploads/.*{Digest.of(LAYER).hex}", status=400, body=body)

    assert world.run(world.job()).outcome == "copied"

    assert methods(world) == ["PATCH", "PATCH", "PUT", "PUT"]
    assert again(world) == ["PUT"]


def test_d21_an_answer_that_shows_it_is_believed_at_once(world: World) -> None:
    in_chunks(world)
    world["us"].fail("PATCH", "", nth=2, status=202, headers={"Range": f"0-{MIB - 1}"})

    assert world.run(world.job()).outcome == "copied"

    assert methods(world) == ["PATCH", "PATCH", "PUT"]
    assert parts(world)[-1].body_length == len(LAYER)


def test_d22_a_request_that_is_too_large_is_cut_up_and_that_is_remembered(world: World) -> None:
    world["us"].fail("PUT", f"/uploads/.*{Digest.of(LAYER).hex}", status=413)

    assert world.run(world.job()).outcome == "copied"

    assert methods(world) == ["PUT", "PATCH", "PATCH", "PUT"]
    assert again(world) == ["PATCH", "PATCH", "PUT"]


def test_d22_a_connection_that_is_closed_on_large_requests_gets_smaller_ones_next_time(big: World) -> None:
    big["us"].fail("PUT", f"/uploads/.*{Digest.of(BIG).hex}", reset=True)

    assert big.run(big.job()).state is State.PENDING
    big.forget_requests()
    assert big.hurried(big.job()).outcome == "copied"

    assert methods(big, BIG) == ["PATCH"] * 3 + ["PUT"]


def test_d27_a_proxys_limit_is_found_and_kept_below(
    ledger: Ledger, docker_registry: DockerRegistry, make_world: MakeWorld, stack: ExitStack, tmp_path: Path
) -> None:
    world = make_world(UNSIGNED)
    world.push("eu", "v1", IMAGE)
    nginx = stack.enter_context(Nginx(tmp_path / "nginx", docker_registry.port))

    with serve(world["eu"]) as eu, Bridge(ledger, eu.url, nginx.url, rule=UNSIGNED) as bridge:
        assert bridge.run().outcome == "copied"

    assert is_whole(docker_registry.url, API, "v1", IMAGE)
    assert ledger.fleet.uploads.habit("us") == Habit(body_limit_bytes=MIB)


def test_d27_where_nothing_passes_the_reason_says_what_to_do(world: World) -> None:
    for method in ("PUT", "PATCH"):
        world["us"].fail(method, "/uploads/", times=FOREVER, status=413)

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert view.reason
    assert "client_max_body_size" in view.reason
    assert world["us"].storage.open_uploads == 0


def test_d27_a_blob_that_is_too_large_itself_is_not_cut_smaller_and_smaller(world: World) -> None:
    in_chunks(world)
    world["us"].fail("PATCH", "", nth=2, times=FOREVER, status=413)

    assert world.run(world.job()).state is State.PARKED

    assert methods(world) == ["PATCH", "PATCH"]


# What goes wrong


@pytest.mark.parametrize("answer", [204, 404, 405, 500])
def test_d26_an_upload_that_nobody_goes_on_with_is_given_up(world: World, answer: int) -> None:
    world["us"].fail("PUT", "/uploads/", times=FOREVER, status=403)
    world["us"].fail("DELETE", "/uploads/", times=FOREVER, status=answer, after=True)

    world.run(world.job())

    assert world["us"].requests("DELETE", "/uploads/")
    assert world["us"].storage.open_uploads == 0


def test_d26_an_upload_that_somebody_may_go_on_with_is_kept(big: World) -> None:
    big["us"].fail("PUT", f"/uploads/.*{Digest.of(BIG).hex}", reset=True)

    big.run(big.job())

    assert not big["us"].requests("DELETE", "/uploads/")
    assert kept(big).offset == 0


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_d28_a_quota_parks_the_job_soon_and_no_other(world: World, method: str) -> None:
    world.push("eu", "v1", IMAGE, repository="team/web")
    body = b'{"errors":[{"code":"DENIED","message":"quota exceeded"}]}'
    world["us"].fail(method, f"/v2/{API}/blobs/uploads/", times=FOREVER, status=403, body=body)

    view = world.run(world.job())
    tries = 1
    while view.state is State.PENDING:
        tries += 1
        view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert view.reason
    assert "quota exceeded" in view.reason
    assert tries == DENIED_ATTEMPTS
    assert not world["us"].requests("PATCH")
    assert world.run(world.job(repository="team/web")).outcome == "copied"


def test_d29_a_login_that_ran_out_while_bytes_were_sent_costs_one_more_upload(world: World) -> None:
    world["us"].fail("PUT", f"/uploads/.*{Digest.of(LAYER).hex}", status=401)

    assert world.run(world.job()).state is State.PENDING
    assert world["us"].requests("HEAD", f"/blobs/{Digest.of(LAYER)}")
    assert world.hurried(world.job()).outcome == "copied"

    assert methods(world) == ["PUT", "PUT"]


@pytest.mark.parametrize("status", [401, 403, 413])
def test_d30_an_answer_that_comes_early_ends_the_sending(
    ledger: Ledger, make_world: MakeWorld, status: int
) -> None:
    world = make_world(UNSIGNED)
    world.push("eu", "v1", BIG_IMAGE)
    us = FakeRegistry()
    us.fail("PUT", f"/uploads/.*{Digest.of(BIG).hex}", times=FOREVER, status=status)
    us.fail("PATCH", "", times=FOREVER, status=status)
    began = time.monotonic()

    with (
        serve(world["eu"]) as eu,
        serve(us) as there,
        Bridge(ledger, eu.url, there.url, rule=UNSIGNED) as bridge,
    ):
        assert bridge.run().outcome is None

    assert time.monotonic() - began < 10

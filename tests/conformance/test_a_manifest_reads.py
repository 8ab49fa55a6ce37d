"""Reading manifests (protocol cases A): byte for byte, by their type, pinned while tags move, absent by a 404 alone."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest

from replicator.demo.features import Features
from replicator.demo.server import serve
from replicator.errors import Corrupt, PermanentError, ReplicatorError
from replicator.ledger import Ledger, State
from replicator.oci import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MANIFEST_LIMIT_BYTES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Digest,
    Repository,
    Tag,
)
from replicator.registry import ManifestHead, connect
from replicator.rules import Registry, RegistryType, Signatures
from tests.conformance.bridge import Bridge
from tests.fakes.images import Image, docker_image, image, index, is_whole, multi_arch, push
from tests.fakes.registry import FakeRegistry
from tests.fakes.wire import Wire, answer
from tests.integration.processes import DockerRegistry
from tests.integration.transfer.conftest import MakeWorld
from tests.integration.transfer.world import API, World, a_rule, once
from tests.unit.registry.scripted import API as PAYMENTS
from tests.unit.registry.scripted import MANIFEST, RAW, V1, Script, client_of, refusal

PATH = "/v2/payments/api/manifests/v1"
FOR_EVER = float("inf")
RULE = replace(a_rule(), signatures=Signatures.IGNORE)
OLD, NEW = image([b"old"]), image([b"new"])
GOOD = {
    "Content-Type": OCI_MANIFEST,
    "Docker-Content-Digest": MANIFEST.digest,
    "Content-Length": str(len(RAW)),
}


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world(RULE)


def showing(pushed: Image, **headers: str) -> dict[str, Any]:
    """The fault that makes a registry show this, whatever it holds."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"status": 200, "headers": {"Content-Type": pushed.media_type} | named, "body": pushed.raw}


def at(url: str) -> Registry:
    return Registry("eu", RegistryType.DISTRIBUTION, url)


def untyped(pushed: Image) -> Image:
    """The same without `mediaType`, which the image spec lets out."""
    document = {key: value for key, value in pushed.document.items() if key != "mediaType"}
    return replace(pushed, raw=json.dumps(document).encode())


def large(size_bytes: int) -> Image:
    """An image whose manifest has so many bytes, by its annotations."""
    small = image(annotations={"note": ""})
    return image(annotations={"note": "x" * (size_bytes - len(small.raw))})


@pytest.mark.parametrize("pushed", [image(), docker_image(), multi_arch(), index([image()])])
def test_a1_a_manifest_arrives_byte_for_byte_at_a_real_registry(
    ledger: Ledger, docker_registry: DockerRegistry, stack: ExitStack, pushed: Image
) -> None:
    source = FakeRegistry()
    push(source, API, "v1", pushed)
    assert json.dumps(pushed.document).encode() != pushed.raw  # odd spaces, and a newline at the end

    with Bridge(ledger, stack.enter_context(serve(source)).url, docker_registry.url) as bridge:
        assert bridge.run().outcome == "copied"

    assert is_whole(docker_registry.url, API, "v1", pushed)


@pytest.mark.parametrize("pushed", [docker_image(), multi_arch(media_type=DOCKER_LIST)])
def test_a2_a_docker_manifest_stays_one(world: World, pushed: Image) -> None:
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"

    sent = [entry.headers["content-type"] for entry in world["us"].requests("PUT", "/manifests/")]
    assert set(sent) == {pushed.media_type, *(child.media_type for child in pushed.children)}
    assert set(sent) <= {DOCKER_MANIFEST, DOCKER_LIST}
    assert is_whole(world["us"], API, "v1", pushed)


@pytest.mark.parametrize("pushed", [image(), untyped(image())], ids=["typed", "untyped"])
def test_a3_parameters_of_a_content_type_are_passed_over(world: World, pushed: Image) -> None:
    world.push("eu", "v1", pushed)
    shown = f"{OCI_MANIFEST}; charset=utf-8"
    world["eu"].fail("*", "/manifests/", times=FOR_EVER, headers={"Content-Type": shown})

    assert world.run(world.job()).outcome == "copied"

    [written] = world["us"].requests("PUT", "/manifests/")
    assert written.headers["content-type"] == OCI_MANIFEST


@pytest.mark.parametrize("sent", [OCI_INDEX, DOCKER_MANIFEST, f"{DOCKER_LIST}; charset=utf-8"])
def test_a4_a_manifest_that_is_sent_as_another_type_is_rejected(world: World, sent: str) -> None:
    world.push("eu", "v1", image())
    world["eu"].fail("GET", "/manifests/v1", times=FOR_EVER, headers={"Content-Type": sent})

    world.run(world.job())
    view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert f"says it is '{OCI_MANIFEST}' but was sent as" in (view.reason or "")
    assert world["us"].storage.shelves == {}


@pytest.mark.parametrize("pushed", [image(), docker_image(), multi_arch()])
def test_a5_without_a_type_of_its_own_a_manifest_is_what_it_is_sent_as(world: World, pushed: Image) -> None:
    bare = untyped(pushed)
    world.push("eu", "v1", bare)

    assert world.run(world.job()).outcome == "copied"

    assert is_whole(world["us"], API, "v1", bare)
    assert world["us"].requests("PUT", "/manifests/v1")[0].headers["content-type"] == pushed.media_type


def test_a6_another_manifest_than_its_digest_says_is_never_passed_on(world: World) -> None:
    top = index([OLD])
    world.push("eu", "v1", top)
    world["eu"].fail("GET", f"/manifests/{OLD.digest}", times=FOR_EVER, **showing(NEW))

    world.run(world.job())
    view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert f"hash to {NEW.digest}, expected {OLD.digest}" in (view.reason or "")
    assert world["us"].storage.shelves == {}


def test_a6_a_tag_whose_bytes_are_not_what_its_header_says_is_never_passed_on(world: World) -> None:
    world.push("eu", "v1", OLD)
    shown = showing(OLD, Docker_Content_Digest=NEW.digest)
    world["eu"].fail("GET", "/manifests/v1", times=FOR_EVER, **shown)

    world.run(world.job())

    assert world.hurried(world.job()).state is State.PARKED
    assert world["us"].storage.shelves == {}


@pytest.mark.parametrize("missing", ["Docker-Content-Digest", "Content-Length", "Content-Type"])
def test_a8_a_head_that_says_too_little_is_followed_by_a_get(missing: str) -> None:
    said = {name: value for name, value in GOOD.items() if name != missing}
    script = Script(
        {
            f"HEAD {PATH}": httpx.Response(200, headers=said),
            f"GET {PATH}": httpx.Response(200, headers=GOOD, content=RAW),
        }
    )

    assert client_of(script).head_manifest(PAYMENTS, V1) == ManifestHead(
        MANIFEST.digest, OCI_MANIFEST, len(RAW)
    )
    assert client_of(script).digest_of(PAYMENTS, V1) == MANIFEST.digest


def test_a8_a_destination_without_digests_is_neither_empty_nor_equal(make_world: MakeWorld) -> None:
    world = make_world(RULE, features={"us": Features(digest_header=False)})
    world.push("eu", "v1", OLD)
    world.run(world.job())

    assert world.run(world.job()).outcome == "unchanged"
    assert world.writes("us") == []

    world.push("eu", "v1", NEW)
    assert world.run(world.job()).outcome == "copied"
    assert world.digest("us") == NEW.digest


@pytest.mark.parametrize("said", [{}, {"Docker-Content-Digest": "nonsense"}, {"Content-Type": "text/html"}])
def test_a9_a_bare_head_on_the_wire_is_followed_by_a_get(said: dict[str, str]) -> None:
    with Wire(answer(200, said), answer(200, GOOD, RAW)) as wire:
        client = connect(at(wire.url))
        found = client.head_manifest(PAYMENTS, V1)
        client.close()

    assert found == ManifestHead(MANIFEST.digest, OCI_MANIFEST, len(RAW))
    assert [head.split()[0] for head in wire.heads] == ["HEAD", "GET"]


def test_a10_every_read_names_the_four_types_in_one_header() -> None:
    with Wire(answer(200, {"Content-Length": "0"}), answer(200, GOOD, RAW), answer(404)) as wire:
        client = connect(at(wire.url))
        client.head_manifest(PAYMENTS, V1)
        client.digest_of(PAYMENTS, V1, known=MANIFEST.digest)
        client.close()

    for head in wire.heads:
        accepted = [line for line in head.split("\r\n") if line.lower().startswith("accept:")]
        assert [line.partition(": ")[2] for line in accepted] == [", ".join(MANIFEST_TYPES)]
    assert {OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST} == set(MANIFEST_TYPES)


def test_a10_a_tag_with_two_variants_reads_as_the_index(docker_registry: DockerRegistry) -> None:
    """Distribution converts a list for who does not name it: HEAD and GET must not see different digests."""
    pushed = multi_arch(media_type=DOCKER_LIST)
    push(docker_registry.url, API, "v1", pushed)
    client = connect(at(docker_registry.url))

    head = client.head_manifest(Repository(API), V1)
    found = client.get_manifest(Repository(API), V1)

    client.close()
    assert head
    assert found
    assert head.digest == found.digest == pushed.digest


def test_a12_a_304_is_equality_without_a_body(docker_registry: DockerRegistry) -> None:
    push(docker_registry.url, API, "v1", OLD)
    seen: list[tuple[str, int]] = []
    client = connect(
        at(docker_registry.url), observe=lambda _, method, status, __: seen.append((method, status))
    )

    assert client.digest_of(Repository(API), V1, known=OLD.digest) == OLD.digest
    push(docker_registry.url, API, "v1", NEW)
    assert client.digest_of(Repository(API), V1, known=OLD.digest) == NEW.digest

    client.close()
    assert seen == [("HEAD", 304), ("HEAD", 200)]


def test_a12_a_304_about_something_else_is_no_equality() -> None:
    said = {"Docker-Content-Digest": NEW.digest}
    client = client_of(Script({f"HEAD {PATH}": httpx.Response(304, headers=said)}))

    with pytest.raises(Corrupt):
        client.digest_of(PAYMENTS, V1, known=OLD.digest)


@pytest.mark.parametrize("moment", ["/manifests/v1", f"/manifests/{OLD.digest}", "/blobs/"])
def test_a14_a_tag_that_moves_while_it_is_copied_brings_no_mixture(world: World, moment: str) -> None:
    first, second = index([OLD]), index([NEW])
    world.push("eu", "v1", first)
    once(world["eu"], "GET", moment, lambda: world.push("eu", "v1", second))

    view = world.run(world.job())

    # What was begun was read by its digests to its end, and then the tag was read again.
    assert (view.outcome, view.digest) == ("copied", second.digest)
    assert world.asked("eu")[-1] == "HEAD manifests/v1"
    assert world.tags_written("us") == [OLD.digest, "v1", NEW.digest, "v1"]
    for pushed in (first, second):
        assert is_whole(world["us"], API, pushed.digest, pushed)


def age(world: World, seconds: float) -> None:
    """Make the last event so many seconds old."""
    world.redis.hset(f"replicator:job:{world.job().id}", "hinted_at", str(world.ledger.view.now() - seconds))


def test_a15_an_event_of_older_content_never_brings_it_over_the_newer(world: World) -> None:
    """The row's other half is not ours: that D1 be copied by its digest although no tag holds it any more.

    A job brings in line what the source's tag holds when it runs. What an event says it held before nobody can pull by
    the tag at the source either; a rule that takes what has no tag gets it by the event of its digest.
    """
    world.push("eu", "v1", OLD)
    world.push("eu", "v1", NEW)
    assert world.run(world.job(), digest=NEW.digest).digest == NEW.digest

    # The older event is late, but fresh enough that the source may only lag behind it.
    world.tell(world.job(), digest=OLD.digest)
    age(world, 2.8)
    world.forget_requests()
    world.work(world.job())

    assert len(world.asked("eu")) > 1
    assert world.writes("us") == []
    assert world.digest("us") == NEW.digest


def test_a15_events_in_the_wrong_order_end_at_what_the_tag_holds(world: World) -> None:
    world.push("eu", "v1", OLD)
    world.push("eu", "v1", NEW)

    for digest in (NEW.digest, OLD.digest, NEW.digest, OLD.digest):
        world.tell(world.job(), digest=digest)
        age(world, 2.8)
        world.work(world.job())

    assert is_whole(world["us"], API, "v1", NEW)
    assert world.tags_written("us") == ["v1"]


@pytest.mark.parametrize("size_bytes", [5 * 1024 * 1024, MANIFEST_LIMIT_BYTES])
def test_a17_a_large_manifest_is_copied(make_world: MakeWorld, size_bytes: int) -> None:
    roomy = Features(manifest_limit_bytes=MANIFEST_LIMIT_BYTES)
    world = make_world(RULE, features={"eu": roomy, "us": roomy})
    pushed = large(size_bytes)
    assert len(pushed.raw) == size_bytes
    world.push("eu", "v1", pushed)

    assert world.run(world.job()).outcome == "copied"
    assert world.digest("us") == pushed.digest


def test_a17_a_manifest_over_the_limit_is_told(make_world: MakeWorld) -> None:
    world = make_world(RULE, features={"eu": Features(manifest_limit_bytes=2 * MANIFEST_LIMIT_BYTES)})
    world.push("eu", "v1", large(MANIFEST_LIMIT_BYTES + 1))

    view = world.run(world.job())

    assert view.state is State.PARKED
    assert f"larger than {MANIFEST_LIMIT_BYTES} bytes" in (view.reason or "")
    assert world.asked("us") == []


def endless() -> Iterator[bytes]:
    yield answer(200, {"Content-Type": OCI_MANIFEST})
    while True:
        yield b" " * 65536


def test_a17_an_endless_manifest_is_left_at_the_limit() -> None:
    with Wire(endless()) as wire:
        client = connect(at(wire.url))
        with pytest.raises(PermanentError, match="larger than"):
            client.get_manifest(PAYMENTS, V1)
        client.close()

    assert wire.sent_bytes < MANIFEST_LIMIT_BYTES + 16 * 1024 * 1024


@pytest.mark.parametrize(
    "said",
    [
        refusal(404, "MANIFEST_UNKNOWN"),
        refusal(404, "NAME_UNKNOWN"),
        refusal(404, "UNKNOWN", "not found"),
        refusal(404, "UNAUTHORIZED"),
        httpx.Response(404),
        httpx.Response(404, content=b"<html>404</html>", headers={"Content-Type": "text/html"}),
        httpx.Response(404, content=b'{"errors": "none"}'),
    ],
)
def test_a18_a_404_is_absence_whatever_it_says_beside(said: httpx.Response) -> None:
    client = client_of(Script({f"HEAD {PATH}": said, f"GET {PATH}": said}))

    assert client.head_manifest(PAYMENTS, V1) is None
    assert client.get_manifest(PAYMENTS, V1) is None
    assert client.digest_of(PAYMENTS, V1) is None


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
def test_a18_a_code_without_the_status_is_no_absence(status: int) -> None:
    said = refusal(status, "MANIFEST_UNKNOWN")
    client = client_of(Script({f"HEAD {PATH}": said, f"GET {PATH}": said}))

    for read in (client.head_manifest, client.get_manifest, client.digest_of):
        with pytest.raises(ReplicatorError):
            read(PAYMENTS, V1)


def test_a18_a_real_registry_that_never_heard_of_it_does_not_have_it(docker_registry: DockerRegistry) -> None:
    client = connect(at(docker_registry.url))

    assert client.get_manifest(Repository("never/heard/of"), V1) is None
    assert client.head_manifest(Repository("never/heard/of"), OLD.digest) is None
    client.close()


@pytest.mark.parametrize(
    "fault",
    [
        *({"status": status} for status in (400, 401, 403, 405, 412, 429, 500, 502, 503, 504)),
        {"reset": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("override", [True, False])
def test_a19_a_destination_that_does_not_say_what_it_holds_is_never_written_to(
    make_world: MakeWorld, fault: dict[str, Any], override: bool
) -> None:
    world = make_world(replace(RULE, override=override))
    world.push("eu", "v1", NEW)
    world.push("us", "v1", OLD)
    # Where a HEAD is not offered, a GET tells.
    world["us"].fail("HEAD", "/manifests/", times=FOR_EVER, **fault)
    world["us"].fail("GET", "/manifests/", times=FOR_EVER, **fault)

    view = world.run(world.job())

    assert view.outcome in {None, "failed"}
    assert world.writes("us") == []
    assert world.digest("us") == OLD.digest


def test_a19_a_destination_that_answers_too_late_is_never_taken_for_empty() -> None:
    client = client_of(Script({f"HEAD {PATH}": httpx.ReadTimeout("too late")}))

    with pytest.raises(ReplicatorError, match="no answer"):
        client.head_manifest(PAYMENTS, V1)


@pytest.mark.parametrize("override", [True, False])
@pytest.mark.parametrize("others", [[], ["v2"]], ids=["no repository", "another tag"])
def test_a20_a_403_for_what_the_list_of_tags_does_not_have_is_no_obstacle(
    make_world: MakeWorld, override: bool, others: list[str]
) -> None:
    """Not to be configured: the list tells the one case from the other, and where it is refused too, nobody pushes."""
    world = make_world(replace(RULE, override=override))
    world.push("eu", "v1", NEW)
    for tag in others:
        world.push("us", tag, OLD)
    world["us"].fail("HEAD", "/manifests/v1", status=403)

    assert world.run(world.job()).outcome == "copied"

    assert is_whole(world["us"], API, "v1", NEW)


def test_a20_where_the_list_is_refused_as_well_nothing_is_pushed(world: World) -> None:
    world.push("eu", "v1", NEW)
    world["us"].fail("*", "(/manifests/v1|/tags/list)", times=FOR_EVER, status=403)

    view = world.run(world.job())

    assert "looking at team/api:v1 at us: answered 403" in (view.reason or "")
    assert world.writes("us") == []


def test_a20_a_source_that_refuses_is_never_taken_for_empty(world: World) -> None:
    world.obey(replace(RULE, deletion=True))
    world.push("eu", "v1", NEW)
    world.run(world.job())
    world.delete("eu", "v1")
    world["eu"].fail("*", "/manifests/", times=FOR_EVER, status=403)

    world.run(world.job(), action="delete")

    assert world.digest("us") == NEW.digest


def warnings(caplog: pytest.LogCaptureFixture) -> list[object]:
    return [record.__dict__["warning"] for record in caplog.records if "warning" in record.__dict__]


def test_a21_a_warning_is_logged_once_and_changes_nothing(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(RULE)
    world.push("eu", "v1", multi_arch())
    said = '299 - "this registry closes \\"soon\\"", 299 - "renew your token"'
    for name in ("eu", "us"):
        world[name].fail("*", "", times=FOR_EVER, headers={"Warning": said})

    with caplog.at_level(logging.WARNING):
        assert world.run(world.job()).outcome == "copied"

    assert (
        sorted(map(str, warnings(caplog))) == ["renew your token"] * 2 + ['this registry closes "soon"'] * 2
    )
    assert {record.__dict__["registry"] for record in caplog.records} == {"eu", "us"}


@pytest.mark.parametrize(
    "said",
    [
        '199 - "another code"',
        '299 proxy.example "another agent"',
        "299 - no quotes",
        '299 - ""',
        '299 - "never ended',
        "299 - " + '"' * 9999,
    ],
)
def test_a21_what_is_no_warning_of_the_registry_is_not_logged(
    caplog: pytest.LogCaptureFixture, said: str
) -> None:
    client_of(Script({f"HEAD {PATH}": httpx.Response(404, headers={"Warning": said})})).head_manifest(
        PAYMENTS, V1
    )

    assert warnings(caplog) == []


def test_a21_a_registry_cannot_fill_the_log_with_warnings(caplog: pytest.LogCaptureFixture) -> None:
    numbers = iter(range(9999))
    client = client_of(
        Script(
            {
                f"HEAD {PATH}": lambda _: httpx.Response(
                    404, headers={"Warning": f'299 - "{next(numbers)} {"x" * 3000}"'}
                )
            }
        )
    )

    for _ in range(500):
        client.head_manifest(PAYMENTS, V1)

    assert 0 < len(warnings(caplog)) <= 100
    assert max(len(str(text)) for text in warnings(caplog)) <= 200


def test_threads_that_read_one_tag_all_get_the_same_bytes(docker_registry: DockerRegistry) -> None:
    push(docker_registry.url, API, "v1", OLD)
    client = connect(at(docker_registry.url))
    found: list[bytes] = []

    def read() -> None:
        manifest = client.get_manifest(Repository(API), Tag("v1"))
        found.append(manifest.raw if manifest else b"")

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    client.close()
    assert found == [OLD.raw] * 16


def test_a_manifest_that_is_always_cut_short_is_given_up_and_stops_nobody_else(world: World) -> None:
    """The registry answers, so it is not away: what is cut may be this one manifest, on its disk or in a proxy."""
    world.push("eu", "v1", OLD)
    world.push("eu", "v2", NEW)
    world["eu"].fail("GET", "/manifests/v1", times=FOR_EVER, cut_body_at=10)

    view = world.run(world.job(), action=None)
    assert world.run(world.job("v2")).outcome == "copied"
    while view.state is State.PENDING:
        view = world.hurried(world.job())

    assert view.state is State.PARKED
    assert world["us"].requests("*", "/manifests/v1") == []


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'"v1"', b"\xff\xfe", b'{"schemaVersion": 2'])
def test_a_good_answer_without_a_manifest_is_no_absence(world: World, raw: bytes) -> None:
    """A proxy's empty 200 must not look as if the tag was gone: with `deletion: true` that would delete."""
    world.obey(replace(RULE, deletion=True))
    world.push("eu", "v1", OLD)
    world.run(world.job())
    world["eu"].fail(
        "GET", "/manifests/", times=FOR_EVER, status=200, headers={"Content-Type": OCI_MANIFEST}, body=raw
    )

    world.run(world.job(), action="delete")

    assert world.digest("us") == OLD.digest


def test_a_manifest_by_a_digest_of_another_algorithm_is_checked_by_that() -> None:
    digest = Digest.of(OLD.raw, "sha512")
    other = httpx.Response(200, headers={"Content-Type": OCI_MANIFEST}, content=NEW.raw)

    with pytest.raises(Corrupt):
        client_of(Script({f"GET /v2/payments/api/manifests/{digest}": other})).get_manifest(PAYMENTS, digest)

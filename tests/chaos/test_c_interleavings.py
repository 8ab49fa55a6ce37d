"""Copies that something comes between at each of their requests: pushes, deletes, deaths, a garbage collector.

Real registries, a real ledger; the sluices before the registries say when what happens.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from replicator.demo.logins import TokenLogin
from replicator.demo.server import serve
from replicator.ledger import REPAIR, Ledger
from replicator.oci import Digest, Repository, Tag
from replicator.rules import Credential, Signatures
from replicator.transfer import reading
from replicator.transfer.proof import Prover
from tests.chaos.line import BEFORE_AND_AFTER, Line, Mortal, deleting, pushing, small, tries
from tests.conformance.bridge import EVERYTHING, Bridge
from tests.fakes import images
from tests.fakes.images import Image, image, layer_bytes, multi_arch
from tests.fakes.raw import Answer, RawClient
from tests.fakes.registry import FakeRegistry
from tests.fakes.strait import Strait
from tests.integration.processes import PASSWORD, USER, RedisServer

pytestmark = pytest.mark.integration

ELSEWHERE = {
    "C3": "tests/e2e/test_damaged_source.py::test_a_damaged_blob_goes_nowhere_and_comes_back_from_another_region",
    "C5": "tests/unit/registry/test_pace.py::test_one_byte_a_second_is_given_up_within_a_minute",
    "C12": "tests/conformance/test_f_indexes.py::test_f12_a_child_that_the_source_lacks_fails_the_copy_and_is_named",
    "C17": "tests/conformance/test_e_manifest_writes.py"
    "::test_e20_a_manifest_of_schema_1_is_set_aside_with_the_reason_and_stops_nothing_else",
    "C18": "tests/e2e/test_signatures.py::test_a_signature_is_there_before_the_tag",
}

CREDENTIAL = Credential(USER, SecretStr(PASSWORD))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    directory = tmp_path_factory.mktemp("line")
    with RedisServer(directory / "redis", appendfsync="no") as redis, Line(directory, redis) as made:
        yield made


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis", appendfsync="no") as server:
        yield server


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events lose their freshness soon: most of these contradict the source on purpose."""
    monkeypatch.setattr(reading, "FRESH_PUSH_S", 0.1)
    monkeypatch.setattr(reading, "FRESH_DELETE_S", 0.05)


@BEFORE_AND_AFTER
def test_c1_a_tag_that_moves_at_any_request_of_its_copy_ends_as_the_newer(line: Line, after: bool) -> None:
    for number, repository in tries("moved", after=after):
        job, old, new = line.job(repository), small(f"{repository} old"), multi_arch(f"{repository} new")
        line.push("eu", repository, "v1", old)
        moved = line.at_request(number, pushing(line, repository, new), after=after)

        line.tell(job, digest=old.digest)
        line.work(job)
        if moved.is_over:
            line.tell(job, digest=new.digest)
        line.settle()

        assert line.is_whole(repository, new if moved.is_over else old)
        assert line.shown(job).outcome in {"copied", "unchanged"}
        line.forget()
        if not moved.is_over:
            return


@BEFORE_AND_AFTER
def test_c1_a_move_whose_event_is_lost_is_seen_until_the_last_look_at_the_source(
    line: Line, after: bool
) -> None:
    for number, repository in tries("unheard", after=after):
        job, old, new = line.job(repository), small(f"{repository} old"), small(f"{repository} new")
        line.push("eu", repository, "v1", old)
        moved = line.at_request(number, pushing(line, repository, new), after=after)

        line.tell(job, action=None)
        line.work(job)
        line.settle()

        last = line.sluices["eu"].passed()[-1]
        line.forget()
        if not moved.is_over or (after and not line.is_whole(repository, new)):
            assert last == "HEAD manifests/v1", "nothing but the answer to the last look may be too late"
            return
        assert line.is_whole(repository, new)


@BEFORE_AND_AFTER
def test_c2_a_tag_that_is_deleted_at_any_request_of_its_copy_ends_absent(line: Line, after: bool) -> None:
    for number, repository in tries("deleted", after=after):
        job, pushed = line.job(repository), small(repository)
        line.push("eu", repository, "v1", pushed)
        deleted = line.at_request(number, deleting(line, repository, pushed), after=after)

        line.tell(job, digest=pushed.digest)
        line.work(job)
        if deleted.is_over:
            line.tell(job, "delete", pushed.digest)
        line.settle()

        assert line.digest("us", repository) == (None if deleted.is_over else pushed.digest)
        assert line.shown(job).outcome in {"deleted", "unchanged", "copied"}
        line.forget()
        if not deleted.is_over:
            return


@BEFORE_AND_AFTER
def test_c2_a_tag_that_is_deleted_and_pushed_again_during_its_copy_is_there(line: Line, after: bool) -> None:
    for number, repository in tries("again", after=after):
        job, pushed = line.job(repository), small(repository)
        line.push("eu", repository, "v1", pushed)
        delete, push = deleting(line, repository, pushed), pushing(line, repository, pushed)
        deleted = line.at_request(number, delete, after=after)
        again = line.at_request(number + 2, push, after=after)

        line.tell(job, digest=pushed.digest)
        line.work(job)
        if deleted.is_over and not again.is_over:
            push(None)
        # The delete's event is late: what it says is no longer so.
        line.tell(job, digest=pushed.digest)
        line.tell(job, "delete", pushed.digest)
        line.settle()

        assert line.is_whole(repository, pushed)
        line.forget()
        if not deleted.is_over:
            return


@pytest.mark.parametrize("times", [1, 100], ids=["once", "always"])
def test_c4_a_body_that_ends_early_and_never_said_its_length_is_not_taken_for_the_blob(
    line: Line, times: int
) -> None:
    repository = f"cut/{times}"
    job, layer = line.job(repository), layer_bytes(repository, 100_000)
    pushed = image([layer])
    line.push("eu", repository, "v1", pushed)
    cut = Answer(200, {"content-type": "application/octet-stream", "connection": "close"}, layer[:50_000])
    line.sluices["eu"].at("GET", f"/blobs/{Digest.of(layer)}", lambda _: cut, times=times)

    line.tell(job, digest=pushed.digest)
    line.work(job)

    line.forget()
    if times > 1:
        assert line.digest("us", repository) is None
        with RawClient(line.registries["us"].url) as client:
            assert client.call("HEAD", f"/v2/{repository}/blobs/{Digest.of(layer)}").status == 404
    line.settle()
    assert line.is_whole(repository, pushed)


DEATHS = 50


def test_c13_a_worker_that_dies_right_after_it_wrote_the_tag_has_nothing_written_again(line: Line) -> None:
    for number in range(DEATHS):
        repository = f"died/{number}"
        job, pushed = line.job(repository), small(repository)
        line.push("eu", repository, "v1", pushed)
        line.tell(job, digest=pushed.digest)
        written = line.sluices["us"].hold("PUT", "/manifests/v1$", after=True)

        mortal = Mortal(line, job)
        written.await_it()
        mortal.kill()
        written.let_go()

        assert line.is_whole(repository, pushed)
        line.forget()
        line.expire(job)
        line.settle()
        view = line.shown(job)
        assert (view.outcome, view.digest) == ("unchanged", pushed.digest)
        assert line.writes() == []
        record = line.ledger.fleet.copied("us", job.repository, job.reference)
        assert record
        assert (record.digest, record.intent) == (pushed.digest, pushed.digest)


@pytest.mark.parametrize("cached", [False, True], ids=["without a cache", "with a cache"])
def test_c6_blobs_that_a_garbage_collector_takes_before_the_manifest_comes(
    tmp_path: Path, redis_server: RedisServer, cached: bool
) -> None:
    repository, base = "collected", layer_bytes("base")
    first, second = (image([base, layer_bytes(name)]) for name in ("first", "second"))
    with Line(tmp_path, redis_server, cached=cached) as line:
        job = line.job(repository)
        line.push("eu", repository, "v1", first)
        line.tell(job, digest=first.digest)
        line.work(job)
        line.delete("us", repository, first.digest)  # by a person: nothing there needs the base now
        line.push("eu", repository, "v1", second)
        line.sluices["us"].at("PUT", "/manifests/v1$", lambda _: line.registries["us"].collect())

        line.tell(job, digest=second.digest)
        line.work(job)
        line.settle()

        assert line.shown(job).outcome == "copied"
        if cached:
            # The registry vouches for what it no longer has, and takes the manifest: only who reads it all can tell.
            assert damage(line, repository, second) == set(second.blobs)
            line.tell(job, REPAIR)
            line.settle()
        assert damage(line, repository, second) == set()
        assert line.is_whole(repository, second)


LIFE_S = 1.0
SIZE_BYTES = 3 * 1024 * 1024
LINK_BYTES_PER_S = 1.25 * 1024 * 1024


@pytest.mark.parametrize("slow", ["eu", "us"])
def test_c7_tokens_that_expire_while_a_blob_is_on_its_way_cost_no_byte_twice(
    redis_server: RedisServer, slow: str
) -> None:
    pushed = image([layer_bytes("one", SIZE_BYTES), layer_bytes("two", SIZE_BYTES)])
    logins = {name: TokenLogin({USER: PASSWORD}, ttl_s=LIFE_S) for name in ("eu", "us")}
    fakes = {name: FakeRegistry() for name in logins}
    images.push(fakes["eu"], "team/api", "v1", pushed)
    with ExitStack() as stack:
        urls = {}
        for name, fake in fakes.items():
            fake.log.clear()
            fake.login = logins[name]
            port = int(stack.enter_context(serve(fake)).url.rpartition(":")[2])
            rate = LINK_BYTES_PER_S if name == slow else 0.0
            urls[name] = stack.enter_context(Strait(port, down_per_s=rate, up_per_s=rate)).url
        ledger = Ledger.connect(redis_server.url)
        stack.callback(ledger.close)
        rule = replace(EVERYTHING, signatures=Signatures.IGNORE)
        bridge = stack.enter_context(Bridge(ledger, urls["eu"], urls["us"], rule=rule, credential=CREDENTIAL))

        began = time.monotonic()
        view = bridge.run()

        assert time.monotonic() - began > 4 * LIFE_S
        assert (view.outcome, view.attempts) == ("copied", 1)
    sent = [
        entry.body_length
        for entry in fakes["us"].requests()
        if entry.method in {"PUT", "PATCH"} and "/blobs/" in entry.path
    ]
    assert sum(sent) == sum(map(len, pushed.blobs.values()))
    reads = [entry for entry in fakes["eu"].requests("GET", "/blobs/") if entry.status == 200]
    assert len(reads) == len(pushed.blobs)
    assert len(logins[slow].token_requests) > 1, "no token expired"
    fakes["us"].login = None
    assert images.is_whole(fakes["us"], "team/api", "v1", pushed)


def damage(line: Line, repository: str, pushed: Image) -> set[Digest | None]:
    """What `verify --deep` finds wrong."""
    prover = Prover(line.tools.client("us"), Repository(repository), None, deep=True)
    return {defect.digest for defect in prover.prove(Tag("v1"), pushed.digest).defects}

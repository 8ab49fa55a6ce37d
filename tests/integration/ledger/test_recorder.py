"""The way into the inbox: one wait for the disk for many, and each hears of its own entry."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import redis

from replicator.errors import LedgerUnavailable
from replicator.ledger import Recorder, connect, connect_async
from replicator.ledger.recorder import BATCH, BATCH_BYTES
from tests.integration.ledger.conftest import Server

pytestmark = pytest.mark.integration

Given = TypeVar("Given")
INBOX = "replicator:inbox"


def recording(server: Server, act: Callable[[Recorder], Awaitable[Given]]) -> Given:
    """What `act` makes of a recorder."""

    async def once() -> Given:
        client = connect_async(server.url)
        try:
            return await act(Recorder(client))
        finally:
            await client.aclose()

    return asyncio.run(once())


def put(recorder: Recorder, body: bytes) -> Awaitable[str]:
    return recorder.record(registry="eu", content_type="", body=body, trace=None)


def bodies_by_id(server: Server) -> dict[str, str]:
    return {entry: fields["body"] for entry, fields in connect(server.url).xrange(INBOX)}


def reads_of(client: redis.Redis) -> int:
    """How often the server found something to read on its connections so far."""
    return int(client.info("stats")["total_reads_processed"])


def test_what_comes_together_goes_out_together(server: Server) -> None:
    client = connect(server.url)
    before = reads_of(client)

    ids = recording(server, lambda recorder: asyncio.gather(*(put(recorder, b"%d" % n) for n in range(200))))

    assert reads_of(client) - before < 20
    assert bodies_by_id(server) == {entry: str(number) for number, entry in enumerate(ids)}


def test_more_than_one_pipeline_takes_is_all_there(server: Server) -> None:
    number = BATCH * 2 + 1

    ids = recording(server, lambda recorder: asyncio.gather(*(put(recorder, b"x") for _ in range(number))))

    assert list(bodies_by_id(server)) == ids


def test_large_ones_go_out_apart(server: Server) -> None:
    body = b"x" * (BATCH_BYTES * 2 // 3)

    ids = recording(server, lambda recorder: asyncio.gather(*(put(recorder, body) for _ in range(3))))

    assert [len(found) for found in bodies_by_id(server).values()] == [len(body)] * 3
    assert list(bodies_by_id(server)) == ids


def test_who_gave_up_before_its_turn_leaves_no_entry(server: Server) -> None:
    async def give_up(recorder: Recorder) -> str:
        first = asyncio.ensure_future(put(recorder, b"first"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it is on its way
        late = asyncio.ensure_future(put(recorder, b"late"))
        await asyncio.sleep(0)
        late.cancel()
        return await first

    entry = recording(server, give_up)

    assert bodies_by_id(server) == {entry: "first"}


def test_who_gave_up_on_the_way_keeps_nobody_from_an_answer(server: Server) -> None:
    async def give_up(recorder: Recorder) -> list[str]:
        early, other = (asyncio.ensure_future(put(recorder, body)) for body in (b"early", b"other"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # both are on their way
        early.cancel()
        return [await other, await put(recorder, b"next")]

    ids = recording(server, give_up)

    found = bodies_by_id(server)
    assert [found[entry] for entry in ids] == ["other", "next"]


def test_a_redis_that_is_full_refuses_everyone_and_takes_the_next(server: Server) -> None:
    client = connect(server.url)

    async def fill(recorder: Recorder) -> list[str | BaseException]:
        client.config_set("maxmemory", 1)
        try:
            refused = await asyncio.gather(*(put(recorder, b"no") for _ in range(3)), return_exceptions=True)
        finally:
            client.config_set("maxmemory", 0)
        return [*refused, await put(recorder, b"yes")]

    *refused, taken = recording(server, fill)

    assert [type(answer) for answer in refused] == [LedgerUnavailable] * 3
    assert bodies_by_id(server) == {taken: "yes"}


def test_a_redis_that_is_away_refuses_everyone_who_waits(server: Server) -> None:
    async def lose(recorder: Recorder) -> list[str | BaseException]:
        await put(recorder, b"before")
        server.kill()
        try:
            return await asyncio.gather(*(put(recorder, b"no") for _ in range(3)), return_exceptions=True)
        finally:
            server.start()

    assert [type(answer) for answer in recording(server, lose)] == [LedgerUnavailable] * 3


@pytest.mark.parametrize("state", ["full", "away", "silent"])
def test_a_body_that_was_refused_is_not_kept_until_garbage_is_collected(server: Server, state: str) -> None:
    body = b"x" * 1000

    async def refused(recorder: Recorder) -> None:
        await put(recorder, b"before")
        break_redis(server, state)
        with contextlib.suppress(LedgerUnavailable, TimeoutError):
            async with asyncio.timeout(0.5):
                await put(recorder, body)
        for _ in range(40):
            if sys.getrefcount(body) == before:
                return
            await asyncio.sleep(0.1)  # the recorder gives up later than who asked

    before = sys.getrefcount(body)
    gc.disable()
    try:
        recording(server, refused)
        assert sys.getrefcount(body) == before
    finally:
        gc.enable()
        mend_redis(server, state)


def break_redis(server: Server, state: str) -> None:
    if state == "full":
        connect(server.url).config_set("maxmemory", 1)
    elif state == "away":
        server.kill()
    else:
        connect(server.url).client_pause(1500)  # longer than the recorder waits; it ends by itself


def mend_redis(server: Server, state: str) -> None:
    if state == "full":
        connect(server.url).config_set("maxmemory", 0)
    elif state == "away":
        server.start()

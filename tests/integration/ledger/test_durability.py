"""What the ledger survives: forgotten scripts, a killed server, an emptied one."""

import asyncio
import threading

import pytest

from replicator.errors import LedgerUnavailable
from replicator.jobs import Outcome
from replicator.ledger import Finish, Ledger, Recorder, connect, connect_async
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import claimed, job, notify, read_one, wanted

pytestmark = pytest.mark.integration


def test_forgotten_scripts_are_loaded_again(server: Server, ledger: Ledger) -> None:
    redis = connect(server.url)
    ledger.submit([wanted(job())])

    redis.script_flush()
    claim = claimed(ledger, job())
    redis.script_flush()

    assert ledger.finish(claim, Outcome.COPIED) is Finish.DONE


def test_an_emptied_server_is_an_empty_ledger(server: Server, ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    inbox = ledger.inbox("a")
    inbox.read(block_s=0.01)
    claim = claimed(ledger, job())

    connect(server.url).flushall()

    assert ledger.finish(claim, Outcome.COPIED) is Finish.LOST
    assert ledger.moved_on(claim)
    notify(server.url)
    assert read_one(inbox)


def test_a_killed_server_loses_nothing_that_it_took(server: Server, ledger: Ledger) -> None:
    taken: list[str] = []
    wrote = threading.Event()

    def press() -> None:
        for at in range(100_000):
            try:
                taken.append(notify(server.url, str(at).encode()))
                ledger.submit([wanted(job(f"v{at}"))])
            except LedgerUnavailable:
                return
            if at == 50:
                wrote.set()

    writer = threading.Thread(target=press)
    writer.start()
    assert wrote.wait(60)
    server.kill()
    writer.join()
    server.start()

    inbox = ledger.inbox("a")
    inbox.read(block_s=0.01)
    assert {item.id for item in inbox.read(count=100_000)} >= set(taken)
    # The last one's job may not have been taken any more.
    assert all(ledger.job(job(f"v{at}").id) for at in range(len(taken) - 1))


def test_a_claim_survives_a_killed_server(server: Server, ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job(), "lock")

    server.kill()
    with pytest.raises(LedgerUnavailable):
        ledger.renew(claim)
    server.start()

    assert ledger.renew(claim)
    assert ledger.finish(claim, Outcome.COPIED) is Finish.DONE


def test_a_server_that_may_not_write_is_an_outage(server: Server, ledger: Ledger) -> None:
    redis = connect(server.url)
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(LedgerUnavailable):
            ledger.submit([wanted(job())])
        with pytest.raises(LedgerUnavailable):
            notify(server.url)
    finally:
        redis.config_set("maxmemory", 0)


def test_a_receiver_notices_no_restart(server: Server) -> None:
    async def twice() -> None:
        client = connect_async(server.url)
        await Recorder(client).record(registry="eu", content_type="", body=b"one", trace=None)
        server.kill()
        server.start()
        await Recorder(client).record(registry="eu", content_type="", body=b"two", trace=None)
        await client.aclose()

    asyncio.run(twice())

    assert connect(server.url).xlen("replicator:inbox") == 2

"""The receiver killed, frozen out, poisoned, flooded and held up: what it said 202 to is there, and others get in."""

import asyncio
import contextlib
import http.client
import itertools
import json
import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.notifying import Sender
from replicator.intake import take_in
from replicator.ledger import Ledger
from replicator.rulefiles import RuleBook
from tests.fakes import images
from tests.integration.processes import DockerRegistry, RedisServer, wait_until
from tests.integration.receiver import (
    AUTHORIZED,
    HEAD,
    SECRET,
    ReceiverProcess,
    raw_request,
    receiver_and_redis,
    recorded,
)
from tests.unit.events.bodies import envelope, event, target

pytestmark = pytest.mark.integration

ELSEWHERE = {"R4": "tests/integration/transfer/test_intake.py::test_a_notification_twice_is_one_job"}
PUSHES_A_SECOND = 50
SENDERS = 10
TEN_YEARS = ("2016-11-26T04:15:27Z", "2036-11-26T04:15:27Z")
ABSURD = ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2026-13-45T99:99:99Z", "soon", "")


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[tuple[ReceiverProcess, RedisServer]]:
    """A receiver and a Redis that a test may harm."""
    with receiver_and_redis(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ReceiverProcess, RedisServer]]:
    with receiver_and_redis(tmp_path_factory.mktemp("steady")) as running:
        yield running


@pytest.fixture
def site(steady: tuple[ReceiverProcess, RedisServer]) -> tuple[ReceiverProcess, RedisServer]:
    """A receiver and a Redis that outlive the test; there is nothing in them."""
    with contextlib.closing(steady[1].client()) as client:
        client.flushall()
    return steady


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as closing:
        yield closing


@dataclass
class Registries:
    """Senders that behave as Distribution does: one notification at a time, posted until somebody takes it."""

    receiver: ReceiverProcess
    accepted: dict[str, bytes] = field(default_factory=dict)
    """What was said 202 to: the id that was told, and the body."""
    answers: list[tuple[int, float]] = field(default_factory=list)
    """Status and seconds of each answer."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Registries":
        self._threads = [threading.Thread(target=self._send, args=(name,)) for name in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, name: int) -> None:
        for number in itertools.count():
            body = envelope(event(id=f"{name}-{number}"))
            while not self._stop.is_set() and not self._post(body):
                time.sleep(0.05)
            if self._stop.wait(SENDERS / PUSHES_A_SECOND):
                return

    def _post(self, body: bytes) -> bool:
        started = time.monotonic()
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer = self.receiver.post(body)
            self.answers.append((answer.status, time.monotonic() - started))
            if answer.status == 202:
                self.accepted[answer.json()["id"]] = body
                return True
        return False


def is_all_there(registries: Registries, server: RedisServer) -> bool:
    """Every notification that was said 202 to is in the inbox, word for word."""
    found = recorded(server)
    return all(found.get(entry) == body for entry, body in registries.accepted.items())


@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.chaos)])
def test_r1_whatever_a_killed_receiver_said_202_to_is_there(
    frail: tuple[ReceiverProcess, RedisServer], kills: int
) -> None:
    receiver, server = frail
    chance = random.Random(kills)

    with Registries(receiver) as registries:
        for _ in range(kills):
            before = len(registries.accepted)
            wait_until(lambda before=before: len(registries.accepted) > before, 30)
            time.sleep(chance.uniform(0, 0.4))
            receiver.kill()
            receiver.start()
        before = len(registries.accepted)
        wait_until(lambda: len(registries.accepted) > before + SENDERS, 30)

    assert is_all_there(registries, server)


def test_r2_a_frozen_redis_is_told_in_time_to_everyone_and_nothing_is_lost(
    frail: tuple[ReceiverProcess, RedisServer],
) -> None:
    receiver, server = frail
    with Registries(receiver) as registries:
        wait_until(lambda: len(registries.accepted) > SENDERS)
        server.suspend()
        time.sleep(4)
        server.resume()
        before = len(registries.accepted)
        wait_until(lambda: len(registries.accepted) > before + SENDERS)

    refused_s = [seconds for status, seconds in registries.answers if status == 503]
    assert len(refused_s) >= SENDERS
    assert statistics.median(refused_s) < 1
    assert max(seconds for _, seconds in registries.answers) < 2
    assert is_all_there(registries, server)


def taken_in(receiver: ReceiverProcess, ledger: Ledger, until_length: int) -> None:
    """Afterwards as many notifications came in, and each is in the ledger or among the dead letters."""
    rules = RuleBook(receiver.rules, {}).current
    inbox = ledger.inbox("router")
    inbox.read(block_s=0.01)
    count = 0

    def is_done() -> bool:
        nonlocal count
        for notification in inbox.read(block_s=0.05):
            count += 1
            take_in(notification, rules=rules, ledger=ledger, inbox=inbox)
        return count >= until_length

    wait_until(is_done, 20)


def test_r7_poison_wedges_no_real_registry_and_what_comes_after_it_arrives(
    site: tuple[ReceiverProcess, RedisServer], tmp_path: Path, stack: ExitStack
) -> None:
    receiver, server = site
    ledger = Ledger.connect(server.url)
    stack.callback(ledger.close)
    # Whatever this registry says at its second endpoint is poison there: it is declared to be another product.
    endpoints = [(f"{receiver.url}/webhooks/{name}", AUTHORIZED) for name in ("eu", "mistyped")]
    registry = stack.enter_context(DockerRegistry(tmp_path / "registry", notify=endpoints))
    junk = (
        b"",
        b"\x00" * 70_000,
        b"[" * 5000,
        b'{"events": [{"action": 7}]}',
        b'{"events": "x"}',
        b"\xff" * 9,
    )

    for number in range(5):
        images.push(registry.url, "team/app", f"v{number}", images.image([b"%d" % number]))
        for body in junk:
            assert receiver.post(body).status == 202

    taken_in(receiver, ledger, until_length=5 * (2 + len(junk)))
    wait_until(lambda: len(ledger.view.jobs()) == 5)
    assert {str(job.reference) for job in ledger.view.jobs()} == {f"v{number}" for number in range(5)}
    letters = [letter.registry for letter in ledger.view.dead_letters()]
    assert (letters.count("mistyped"), letters.count("eu")) == (5, 5 * len(junk))


def test_r8_a_flood_of_wrong_secrets_holds_up_no_registry(
    site: tuple[ReceiverProcess, RedisServer],
) -> None:
    receiver, server = site

    async def both() -> tuple[Sender, Sender]:
        good = Sender(receiver.port, "eu", SECRET, connections=8)
        bad = Sender(receiver.port, "eu", "wrong", connections=32)
        await asyncio.gather(good.send(30, 3), bad.send(500, 3))
        return good, bad

    good, bad = asyncio.run(both())

    assert set(bad.tally.statuses) == {401}
    assert set(good.tally.statuses) == {202}
    assert good.tally.took_ms(0.5) < 300
    told = {json.loads(answer)["id"] for answer in good.tally.answers}
    assert set(recorded(server)) == told
    assert receiver.log.read_text().count("not authenticated") < 10


def test_r8_a_wrong_secret_is_answered_shortly_before_its_body_comes(
    site: tuple[ReceiverProcess, RedisServer],
) -> None:
    receiver, _ = site
    head = HEAD.replace(SECRET.encode(), b"wrong") + b"Connection: close\r\nContent-Length: 4000000\r\n\r\n"

    answer, seconds = raw_request(receiver, head, 5)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert len(answer) < 600
    assert seconds < 1


def test_r9_five_hundred_slow_senders_hold_up_no_registry(
    site: tuple[ReceiverProcess, RedisServer], stack: ExitStack
) -> None:
    receiver, _ = site
    for number in range(500):
        slow = stack.enter_context(socket.create_connection(("127.0.0.1", receiver.port), timeout=10))
        slow.sendall((b"P", HEAD, HEAD + b"Content-Length: 100\r\n\r\n{")[number % 3])

    assert receiver.median_post_s(30) < 0.3


def test_r10_no_clock_of_a_sender_changes_lag_or_order(
    site: tuple[ReceiverProcess, RedisServer], stack: ExitStack
) -> None:
    receiver, server = site
    ledger = Ledger.connect(server.url)
    stack.callback(ledger.close)
    began = ledger.view.now()
    said = (TEN_YEARS[1], *ABSURD, TEN_YEARS[0])

    for number, timestamp in enumerate(said):
        body = envelope(event(id=str(number), timestamp=timestamp, target=target(tag=f"v{number}")))
        assert receiver.post(body).status == 202
        time.sleep(0.002)  # ids of the inbox are of milliseconds
    taken_in(receiver, ledger, until_length=len(said))

    jobs = sorted(ledger.view.jobs(), key=lambda job: job.since)
    assert [str(job.reference) for job in jobs] == [f"v{number}" for number in range(len(said))]
    assert all(began - 1 <= job.since <= ledger.view.now() for job in jobs)
    lane = ledger.view.lanes([("prod", "us")])["prod", "us"]
    assert lane.oldest_since == jobs[0].since

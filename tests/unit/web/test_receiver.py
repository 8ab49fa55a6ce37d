"""The receiver: authenticates first, caps while reading, records, and only then says 202."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from replicator.ledger import SweepKind
from replicator.resync import Request, Scope
from replicator.rules import TriggerType
from replicator.telemetry import JSONFormatter, is_traceparent, new_traceparent, render_metrics
from replicator.web.receiver import Bounds
from tests.fakes.web import OLD_SECRET, RULES, SECRET, FixedRules, MemoryInbox, Site, ToldLedger, bearer


@pytest.fixture
def site() -> Site:
    return Site()


def test_an_authentic_notification_is_recorded_as_it_came(site: Site) -> None:
    body = b'\x00\xff not even {"JSON"'

    answer = site.post("/webhooks/eu", headers={**bearer(SECRET), "Content-Type": "text/x"}, body=body)

    assert (answer.status_code, answer.json()) == (202, {"id": "1-0"})
    (entry,) = site.inbox.entries
    assert (entry["registry"], entry["content_type"], entry["body"]) == ("eu", "text/x", body)
    assert is_traceparent(str(entry["trace"]))


def test_an_empty_body_is_recorded_too(site: Site) -> None:
    assert site.post("/webhooks/eu", body=b"").status_code == 202
    assert site.inbox.entries[0]["body"] == b""


def test_any_secret_opens_and_may_be_in_the_path(site: Site) -> None:
    assert site.post(f"/webhooks/eu/{SECRET}", headers={}).status_code == 202
    assert site.post("/webhooks/eu/a%2Fb", headers={}).status_code == 401
    assert site.post("/webhooks/eu", headers={"Authorization": OLD_SECRET}).status_code == 202


def test_the_senders_trace_is_taken_if_it_is_valid(site: Site) -> None:
    sent = new_traceparent()
    site.post("/webhooks/eu", headers={**bearer(SECRET), "traceparent": sent})
    site.post("/webhooks/eu", headers={**bearer(SECRET), "traceparent": "00-nonsense"})

    taken, made = [str(entry["trace"]) for entry in site.inbox.entries]
    assert taken == sent
    assert is_traceparent(made)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/webhooks/nobody", bearer(SECRET), 404),
        ("/webhooks/", bearer(SECRET), 404),
        ("/webhooks/eu", {}, 401),
        ("/webhooks/eu", bearer("wrong"), 401),
        ("/webhooks/eu/wrong", {}, 401),
        ("/webhooks/us", bearer(SECRET), 401),
        ("/webhooks/eu", {**bearer(SECRET), "Content-Encoding": "gzip"}, 415),
        ("/webhooks/eu", {**bearer(SECRET), "Content-Length": "4194305"}, 413),
        ("/webhooks/eu", {**bearer(SECRET), "Content-Length": "2", "Transfer-Encoding": "chunked"}, 400),
    ],
)
def test_a_refusal_comes_before_the_body_is_read(
    site: Site, path: str, headers: dict[str, str], status: int
) -> None:
    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(b"!")
        yield b"{}"

    answer = site.post(path, headers=headers, body=body())

    assert answer.status_code == status
    assert answer.json()["error"]
    assert not read
    assert not site.inbox.entries


def test_an_unauthenticated_sender_is_told_how(site: Site) -> None:
    assert site.post("/webhooks/eu", headers={}).headers["www-authenticate"].startswith("Bearer")


def test_an_anonymous_registry_needs_no_secret(site: Site) -> None:
    assert site.post("/webhooks/open", headers={}).status_code == 202


def test_notifications_are_posted(site: Site) -> None:
    answer = site.ask("GET", "/webhooks/eu", headers=bearer(SECRET))

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_identity_is_no_encoding(site: Site) -> None:
    headers = {**bearer(SECRET), "Content-Encoding": "identity"}

    assert site.post("/webhooks/eu", headers=headers).status_code == 202


def test_a_notification_too_large_has_the_rules_of_its_events_compared_once() -> None:
    (prod, *_) = RULES.rules
    by_hand = replace(prod, name="by-hand", trigger=TriggerType.MANUAL)
    rules = replace(RULES, rules=(*RULES.rules, replace(prod, name="gone", deletion=True), by_hand))
    site = Site(bounds=Bounds(size_bytes=100), rules=FixedRules(current=rules))

    for _ in range(3):
        site.post("/webhooks/eu", body=b"x" * 101)
    site.post("/webhooks/open", body=b"x" * 101)

    assert {kind for kind, _ in site.ledger.sweeps.asked} == {SweepKind.RESYNC}
    assert [Request.from_json(request) for _, request in site.ledger.sweeps.asked] == [
        Request(Scope(rule="prod"), repairs=True),
        Request(Scope(rule="gone"), prune=True, repairs=True),
    ]


def test_a_lost_ledger_keeps_no_sender_from_its_answer() -> None:
    site = Site(bounds=Bounds(size_bytes=100), ledger=ToldLedger(away=True))

    assert site.post("/webhooks/eu", body=b"x" * 101).status_code == 413


def test_a_body_at_the_limit_is_taken_and_one_beyond_it_is_not() -> None:
    site = Site(bounds=Bounds(size_bytes=100))

    async def chunked(size: int) -> AsyncIterator[bytes]:
        for _ in range(size):
            yield b"x"

    before = rejected("eu")
    assert site.post("/webhooks/eu", body=b"x" * 100).status_code == 202
    assert site.post("/webhooks/eu", body=chunked(100)).status_code == 202
    assert site.post("/webhooks/eu", body=b"x" * 101).status_code == 413
    assert site.post("/webhooks/eu", body=chunked(101)).status_code == 413
    assert len(site.inbox.entries) == 2
    assert rejected("eu") == before + 2


def test_an_endless_body_is_left_at_the_limit() -> None:
    site = Site(bounds=Bounds(size_bytes=1000))
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b"x" * 100

    assert site.post("/webhooks/eu", body=endless()).status_code == 413
    assert sent <= 1100


def test_a_slow_body_is_cut() -> None:
    site = Site(bounds=Bounds(timeout_s=0.1))

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    started = time.monotonic()
    answer = site.post("/webhooks/eu", body=slow())

    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"
    assert time.monotonic() - started < 5
    assert not site.inbox.entries


@pytest.mark.parametrize("inbox", [MemoryInbox(away=True), MemoryInbox(delay_s=30)])
def test_what_cannot_be_recorded_is_told_to_come_back(inbox: MemoryInbox) -> None:
    site = Site(inbox=inbox)

    started = time.monotonic()
    answer = site.post("/webhooks/eu")

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert time.monotonic() - started < 5  # far less than such an inbox takes
    assert not inbox.entries


def test_bodies_that_are_too_much_together_are_told_to_come_back() -> None:
    site = Site(bounds=Bounds(size_bytes=100, together_bytes=150), inbox=MemoryInbox(delay_s=0.2))

    async def at_once() -> list[int]:
        transport = httpx.ASGITransport(site.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://replicator") as client:

            async def post(size_bytes: int) -> int:
                headers = bearer(SECRET)
                return (
                    await client.post("/webhooks/eu", headers=headers, content=b"x" * size_bytes)
                ).status_code

            first = await asyncio.gather(post(100), post(100), post(50), post(1), post(0))
            return [*first, *await asyncio.gather(post(100), post(50))]

    assert asyncio.run(at_once()) == [202, 503, 202, 503, 202, 202, 202]


def test_room_for_one_there_always_is() -> None:
    site = Site(bounds=Bounds(size_bytes=100, together_bytes=10))

    assert site.post("/webhooks/eu", body=b"x" * 100).status_code == 202


def test_a_refused_client_that_waits_to_send_is_hung_up(site: Site) -> None:
    answer = site.post("/webhooks/eu", headers={"Expect": "100-continue"})

    assert (answer.status_code, answer.headers["connection"]) == (401, "close")


def test_no_secret_reaches_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="replicator")
    site.post(f"/webhooks/eu/{SECRET}", headers={})
    site.post('/webhooks/eu/a"b c/my-canary', headers={})
    site.post("/webhooks/eu?token=query-canary", headers=bearer("header-canary"))
    site.post("/behind-a-proxy//Webhooks/eu/lost-canary", headers={})

    shown = "\n".join(JSONFormatter().format(record) for record in caplog.records)
    assert "/webhooks/eu/***" in shown
    assert "canary" not in shown


def test_every_request_has_one_access_line(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="replicator")
    site.post("/webhooks/eu")

    (line,) = [record for record in caplog.records if record.message == "request"]
    assert (line.method, line.path, line.status) == ("POST", "/webhooks/eu", 202)


def rejected(registry: str) -> float:
    wanted = f'replicator_events_total{{action="unknown",registry="{registry}",result="rejected"}} '
    lines = [line for line in render_metrics().decode().splitlines() if line.startswith(wanted)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


class BrokenInbox(MemoryInbox):
    async def record(self, **entry: object) -> str:
        raise RuntimeError("a bug")


def test_a_bug_is_a_500_without_detail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    answer = Site(inbox=BrokenInbox()).post("/webhooks/eu")

    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert "request failed" in caplog.messages


def test_a_sender_that_leaves_has_sent_nothing(site: Site) -> None:
    received = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = [(b"authorization", f"Bearer {SECRET}".encode())]

    async def receive() -> dict[str, object]:
        return received.pop(0)

    async def send(_message: object) -> None:
        pass

    asyncio.run(
        site.app(
            {"type": "http", "method": "POST", "path": "/webhooks/eu", "headers": headers}, receive, send
        )
    )

    assert not received
    assert not site.inbox.entries

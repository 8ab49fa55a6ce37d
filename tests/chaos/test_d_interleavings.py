"""Deletes that meet pushes in every order, and notifications that come when what they tell is no longer so."""

import json
from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import Any

import pytest

from replicator.intake import take_in
from replicator.transfer import reading
from tests.chaos.line import BEFORE_AND_AFTER, Line, pushing, small, tries
from tests.integration.ledger.kit import notify
from tests.integration.processes import RedisServer, wait_until
from tests.integration.test_own_notifications import Inbox

pytestmark = pytest.mark.integration

EVENTS = ("digest", "tag", "push")
"""What Distribution 2.8 tells of a delete by digest, twice, and of a push after it."""


@pytest.fixture(scope="module")
def inbox() -> Iterator[Inbox]:
    receiving = Inbox()
    yield receiving
    receiving.close()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, inbox: Inbox) -> Iterator[Line]:
    directory = tmp_path_factory.mktemp("line")
    with (
        RedisServer(directory / "redis", appendfsync="no") as redis,
        Line(directory, redis, notify=[(inbox.url, {})]) as made,
    ):
        yield made


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events lose their freshness soon: most of these contradict the source on purpose."""
    monkeypatch.setattr(reading, "FRESH_PUSH_S", 0.1)
    monkeypatch.setattr(reading, "FRESH_DELETE_S", 0.05)


class Told:
    """What the source's registry told of one repository, to be delivered when a test wants it."""

    def __init__(self, line: Line, inbox: Inbox, repository: str) -> None:
        self._line = line
        self._inbox = inbox
        self._repository = repository
        self._seen = 0

    def more(self, count: int) -> list[dict[str, Any]]:
        """The next `count` events."""
        wait_until(lambda: len(self._all()) >= self._seen + count, what="the registry's events")
        found = self._all()[self._seen : self._seen + count]
        self._seen += count
        return found

    def deliver(self, events: Iterable[dict[str, Any]]) -> None:
        """They arrive, each in a notification of its own, and are routed."""
        line = self._line
        router = line.ledger.inbox("router")
        router.read(block_s=0.01)
        for event in events:
            notify(line.redis.url, json.dumps({"events": [event]}).encode())
            for notification in router.read(block_s=1):
                take_in(notification, rules=line.tools.rules(), ledger=line.ledger, inbox=router)

    def _all(self) -> list[dict[str, Any]]:
        return [
            event
            for event in [*self._inbox.events]
            if event["target"]["repository"] == self._repository and event["action"] in {"push", "delete"}
        ]


@pytest.mark.parametrize("again", ["same", "other"])
@pytest.mark.parametrize("order", list(permutations(EVENTS)), ids="-".join)
def test_d3_a_delete_event_that_comes_after_a_new_push_deletes_nothing(
    line: Line, inbox: Inbox, order: tuple[str, ...], again: str
) -> None:
    repository = f"stale/{'-'.join(order)}/{again}"
    first = small(f"{repository} first")
    second = first if again == "same" else small(f"{repository} second")
    told, job = Told(line, inbox, repository), line.job(repository)
    line.push("eu", repository, "v1", first)
    pushed = told.more(1)
    told.deliver(pushed)
    line.settle()
    assert line.is_whole(repository, first)

    line.delete("eu", repository, first.digest)
    line.push("eu", repository, "v1", second)
    events = dict(zip(EVENTS, told.more(len(EVENTS)), strict=True))
    for name in order:
        told.deliver([events[name]])
        line.work(job)
    # And long after all of them, each comes once more.
    line.settle()
    told.deliver([*pushed, *events.values()])
    line.settle()

    assert line.is_whole(repository, second)
    assert [text for text in line.writes() if text.startswith("DELETE")] == []
    line.forget()


@BEFORE_AND_AFTER
@pytest.mark.parametrize("again", ["same", "other"])
def test_d3_a_push_at_any_request_of_a_delete_is_there_in_the_end(
    line: Line, again: str, after: bool
) -> None:
    for number, repository in tries(f"reborn/{again}", after=after):
        job, first, second = line.job(repository), small(f"{repository} 1"), small(f"{repository} 2")
        second = first if again == "same" else second
        line.push("eu", repository, "v1", first)
        line.tell(job, digest=first.digest)
        line.work(job)
        line.delete("eu", repository, first.digest)
        line.forget()
        pushed = line.at_request(number, pushing(line, repository, second), after=after)

        line.tell(job, "delete", first.digest)
        line.settle()
        if pushed.is_over:
            line.tell(job, digest=second.digest)
            line.settle()

        line.forget()
        if not pushed.is_over:
            assert line.digest("us", repository) is None
            return
        assert line.is_whole(repository, second)

"""Whose place is given to whom, and how long each may take."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from replicator.web.connections import PROGRESS_BYTES, Crowd

PATIENCE_S = 0.15


@dataclass(eq=False)
class Peer:
    """A connection that only knows how much it has not read, and whether it was cut."""

    name: str
    unread: int = 0
    is_cut: bool = False

    def unread_bytes(self) -> int:
        return self.unread

    def cut(self) -> None:
        self.is_cut = True


def crowd_of(
    act: Callable[[Crowd, list[Peer]], Awaitable[None]], *, limit: int = 100, number: int = 4
) -> str:
    """The names of those that were cut in the end."""
    peers = [Peer(name) for name in "abcdefgh"[:number]]

    async def live() -> None:
        await act(Crowd(limit=limit, patience_s=PATIENCE_S), peers)

    asyncio.run(live())
    return "".join(peer.name for peer in peers if peer.is_cut)


async def until(condition: Callable[[], bool], step: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            step()
            await asyncio.sleep(PATIENCE_S / 15)


def test_who_is_expected_too_long_is_cut_and_who_is_served_is_not() -> None:
    async def act(crowd: Crowd, peers: list[Peer]) -> None:
        served, new, *late = peers
        for peer in peers:
            crowd.expect(peer)
        crowd.serve(served)
        await until(lambda: all(peer.is_cut for peer in late), lambda: crowd.expect(new))

    assert crowd_of(act) == "cd"


def test_who_rests_too_long_is_cut() -> None:
    async def act(crowd: Crowd, peers: list[Peer]) -> None:
        crowd.expect(peers[0])
        crowd.rest(peers[0])
        crowd.expect(peers[1])
        crowd.rest(peers[1])
        crowd.leave(peers[1])
        await asyncio.sleep(PATIENCE_S * 1.5)

    assert crowd_of(act) == "a"


def test_a_slow_reader_stays_while_it_reads() -> None:
    async def act(crowd: Crowd, peers: list[Peer]) -> None:
        reading, dripping, *still = peers
        for peer in peers:
            peer.unread = 10_000 * PROGRESS_BYTES
            crowd.expect(peer)
            crowd.rest(peer)

        def read() -> None:
            reading.unread -= PROGRESS_BYTES
            dripping.unread -= 1

        await until(lambda: dripping.is_cut and all(peer.is_cut for peer in still), read)

    assert crowd_of(act) == "bcd"


def test_room_is_made_by_those_that_are_expected_longest() -> None:
    async def act(crowd: Crowd, peers: list[Peer]) -> None:
        crowd.expect(peers[0])
        crowd.rest(peers[0])
        for peer in peers[1:]:
            crowd.expect(peer)
            crowd.make_room(peer)

    assert crowd_of(act, limit=2) == "bc"


def test_room_is_made_by_those_that_rest_rather_than_by_the_newcomer() -> None:
    async def act(crowd: Crowd, peers: list[Peer]) -> None:
        for peer in peers[:3]:
            crowd.expect(peer)
            crowd.rest(peer)
        crowd.expect(peers[3])
        crowd.make_room(peers[3])

    assert crowd_of(act, limit=2) == "ab"


def test_who_is_served_makes_no_room() -> None:
    async def act(crowd: Crowd, peers: list[Peer]) -> None:
        for peer in peers[:3]:
            crowd.expect(peer)
            crowd.serve(peer)
        crowd.expect(peers[3])
        crowd.make_room(peers[3])

    assert crowd_of(act, limit=2) == ""


def test_the_log_says_how_many_were_cut_and_why(caplog: pytest.LogCaptureFixture) -> None:
    async def act(crowd: Crowd, peers: list[Peer]) -> None:
        for peer in peers:
            crowd.expect(peer)
        crowd.rest(peers[0])
        peers[1].unread = 5
        crowd.rest(peers[1])
        await asyncio.sleep(PATIENCE_S * 1.5)

    with caplog.at_level(logging.INFO):
        crowd_of(act)

    told = [vars(record) for record in caplog.records if record.getMessage() == "connections cut"]
    assert sum(line.get("incomplete", 0) for line in told) == 2
    assert (sum(line.get("idle", 0) for line in told), sum(line.get("unread", 0) for line in told)) == (1, 1)


def test_an_empty_crowd_looks_at_nobody_and_begins_again() -> None:
    async def act(crowd: Crowd, peers: list[Peer]) -> None:
        crowd.expect(peers[0])
        crowd.leave(peers[0])
        await asyncio.sleep(PATIENCE_S)
        crowd.expect(peers[1])
        await asyncio.sleep(PATIENCE_S * 1.5)

    assert crowd_of(act) == "b"

"""What a registry bears holds for everybody together: requests at once, requests and bytes in a second, pauses."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from replicator.errors import LedgerUnavailable, NotYet
from replicator.ledger import Budget, Ledger, connect
from replicator.ledger.budgets import LOOK_EVERY_S
from replicator.ledger.slots import CROSSED_PATIENCE_S
from replicator.limits import WINDOW, Quota
from replicator.rules import Limits
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import eventually

pytestmark = pytest.mark.integration

MIB = 1024 * 1024
LEASE_S = 0.9

Make = Callable[..., Budget]


@pytest.fixture
def budget(server: Server) -> Iterator[Make]:
    """Makes budgets as several processes would: each with a connection of its own."""
    with ExitStack() as stack:

        def make(name: str = "eu", *, lease_s: float = LEASE_S, **limits: int) -> Budget:
            redis = connect(server.url)
            stack.callback(redis.close)
            return Budget(redis, name, Limits(**limits), lease_s=lease_s)

        yield make


def in_threads(work: Callable[[], object], count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work) for _ in range(count)]:
            future.result()


def refuse(budget: Budget, wait_s: float) -> None:
    """A request is answered 429."""
    passage = budget.enter()
    passage.answered(429, wait_s, None)
    passage.end()


def aged() -> None:
    """Wait until nobody goes by what it knew before."""
    time.sleep(LOOK_EVERY_S * 1.2)


def test_a_registry_without_limits_costs_a_question_now_and_then(server: Server, budget: Make) -> None:
    redis, free = connect(server.url), budget()
    free.enter().end()
    before = redis.info("stats")["total_commands_processed"]
    began = time.monotonic()

    for _ in range(2000):
        passage = free.enter()
        passage.answered(200, None, None)
        free.carry(MIB)
        passage.end()

    asked = redis.info("stats")["total_commands_processed"] - before
    assert asked <= 3 + (time.monotonic() - began) / LOOK_EVERY_S


def test_requests_at_once_are_bounded_over_all_and_none_is_left_out(budget: Make) -> None:
    budgets = [budget(concurrency=3) for _ in range(4)]
    lock, running, seen = threading.Lock(), 0, []

    def work() -> None:
        nonlocal running
        with lock:
            mine = budgets[len(seen) % len(budgets)]
            seen.append(0)
            number = len(seen) - 1
        for _ in range(5):
            passage = mine.enter()
            with lock:
                running += 1
                seen[number] = max(seen[number], running)
            time.sleep(0.005)
            with lock:
                running -= 1
            passage.end()

    in_threads(work, 12)

    assert len(seen) == 12
    assert 1 < max(seen) <= 3


def test_who_comes_first_is_served_first(budget: Make) -> None:
    holder, line = budget(concurrency=1), []
    held = holder.enter()

    def wait(number: int) -> None:
        passage = budget(concurrency=1).enter()
        line.append(number)
        passage.end()

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    held.end()
    for thread in threads:
        thread.join()

    assert line == [0, 1, 2, 3]


def test_a_long_request_keeps_its_slot(budget: Make) -> None:
    held, other = budget(concurrency=1).enter(), []

    waiting = threading.Thread(target=lambda: other.append(budget(concurrency=1).enter()))
    waiting.start()
    time.sleep(2 * LEASE_S)
    assert other == []

    held.end()
    waiting.join()
    other[0].end()


def test_a_request_within_another_to_the_same_registry_needs_no_slot(budget: Make) -> None:
    alone = budget(concurrency=1)
    outer = alone.enter()

    inner = alone.enter()

    inner.end()
    outer.end()
    outer.end()
    alone.enter().end()


def test_of_two_that_hold_what_the_other_wants_one_gives_way(budget: Make) -> None:
    eu, us = budget("eu", concurrency=1), budget("us", concurrency=1)
    both, ends = threading.Barrier(2), []

    def cross(mine: Budget, others: Budget) -> None:
        held = mine.enter()
        both.wait()
        try:
            others.enter().end()
            ends.append("served")
        except NotYet:
            ends.append("gave way")
        finally:
            held.end()

    threads = [threading.Thread(target=cross, args=pair) for pair in ((eu, us), (us, eu))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ends == ["gave way", "served"]


def test_who_holds_one_place_waits_for_another_as_long_as_anybody(budget: Make) -> None:
    eu, us, got = budget("eu", concurrency=2), budget("us", concurrency=1), []
    busy = us.enter()

    def copy() -> None:
        reading = eu.enter()
        us.enter().end()
        reading.end()
        got.append(True)

    threads = [threading.Thread(target=copy) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(CROSSED_PATIENCE_S + 0.5)
    assert got == []
    busy.end()
    for thread in threads:
        thread.join()

    assert got == [True, True]


def test_a_rate_holds_over_all(budget: Make) -> None:
    budgets = [budget(requests_per_second=50) for _ in range(4)]
    lock, sent, end = threading.Lock(), 0, time.monotonic() + 2

    def send() -> None:
        nonlocal sent
        with lock:
            mine = budgets.pop()
        while time.monotonic() < end:
            mine.enter().end()
            with lock:
                sent += 1

    in_threads(send, 4)

    # A portion is five requests, and each of the four may have one left or be one late.
    assert 60 <= sent <= 100 + 5 * 5 + 4


def test_a_bandwidth_holds_over_all(budget: Make) -> None:
    budgets = [budget(bandwidth=8 * MIB) for _ in range(4)]
    lock, carried, end = threading.Lock(), 0, time.monotonic() + 2

    def carry() -> None:
        nonlocal carried
        with lock:
            mine = budgets.pop()
        while time.monotonic() < end:
            mine.carry(64 * 1024)
            with lock:
                carried += 64 * 1024

    in_threads(carry, 4)

    assert 8 * MIB <= carried <= 16 * MIB + 6 * MIB


def test_more_than_half_a_minute_of_requests_is_not_waited_for(server: Server, budget: Make) -> None:
    slow = budget(requests_per_second=1)
    slow.enter().end()
    redis = connect(server.url)
    redis.set("replicator:spent:requests|eu", time.time() + 40)

    with pytest.raises(NotYet, match="more than 30 s of requests wait already, at 1 a second") as caught:
        slow.enter()

    assert caught.value.retry_after
    assert 30 < caught.value.retry_after < 41


def test_everybody_waits_when_one_is_asked_to(budget: Make) -> None:
    asked, other, elsewhere = budget(), budget(), budget("us")
    other.enter().end()

    refuse(asked, 0.7)

    with pytest.raises(NotYet, match="eu: asked everybody to wait"):
        asked.enter()
    aged()
    with pytest.raises(NotYet) as caught:
        other.enter()
    assert caught.value.retry_after
    assert caught.value.retry_after <= 0.7
    elsewhere.enter().end()
    time.sleep(0.7)
    asked.enter().end()
    other.enter().end()


def test_who_waits_for_a_slot_is_told_of_a_pause(budget: Make) -> None:
    one, other, said = budget(concurrency=1), budget(concurrency=1), []
    held = one.enter()

    def wait() -> None:
        with pytest.raises(NotYet, match="asked everybody to wait"):
            other.enter()
        said.append(True)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.05)
    held.answered(429, 2.0, None)
    waiting.join()
    held.end()

    assert said


def test_many_refusals_at_once_halve_the_window_once(ledger: Ledger, budget: Make) -> None:
    passages = [budget().enter() for _ in range(10)]

    in_threads(lambda: passages.pop().answered(429, 1.0, None), 10)

    assert ledger.budgets.windows({"eu": Limits(), "us": Limits()}) == {"eu": WINDOW // 2}
    assert ledger.availability.standing(["eu"]).paused_for_s == pytest.approx(1, abs=0.5)


def test_a_refusal_of_what_was_sent_after_the_cut_halves_again(ledger: Ledger, budget: Make) -> None:
    mine = budget(concurrency=8)
    refuse(mine, 0.05)
    assert ledger.budgets.windows({"eu": Limits(concurrency=8)}) == {"eu": 4}
    time.sleep(0.3)

    refuse(mine, 0.05)

    assert ledger.budgets.windows({"eu": Limits(concurrency=8)}) == {"eu": 2}


def test_a_window_bounds_requests_and_recovers(server: Server, ledger: Ledger, budget: Make) -> None:
    mine = budget(concurrency=2)
    refuse(mine, 0.05)
    time.sleep(0.3)
    held, got = budget(concurrency=2).enter(), []
    waiting = threading.Thread(target=lambda: got.append(budget(concurrency=2).enter()))
    waiting.start()
    time.sleep(0.3)
    assert got == []

    connect(server.url).hset("replicator:window:eu", "since", 1.0)
    eventually(lambda: got)
    waiting.join()

    assert ledger.budgets.windows({"eu": Limits(concurrency=2)}) == {"eu": 2}
    held.end()
    got[0].end()


def test_what_has_recovered_is_forgotten(server: Server, budget: Make) -> None:
    refuse(budget(concurrency=4), 1.0)

    assert 2 <= connect(server.url).ttl("replicator:window:eu") <= 5


def test_an_outage_that_says_how_long_is_waited_for_but_not_for_an_hour(ledger: Ledger, budget: Make) -> None:
    mine = budget()
    mine.enter().answered(503, None, None)
    assert ledger.availability.standing(["eu"]).paused_for_s == 0

    mine.enter().answered(503, 3600.0, None)

    assert ledger.availability.standing(["eu"]).paused_for_s == pytest.approx(20, abs=1)
    assert ledger.budgets.windows({"eu": Limits()}) == {}


def test_a_quota_that_runs_out_is_known_to_all_until_it_does_not(ledger: Ledger, budget: Make) -> None:
    passage = budget().enter()

    passage.answered(200, None, Quota(100, 3, 21600))
    assert ledger.availability.standing(["eu"]).scarce_for_s == pytest.approx(3672, abs=1)
    assert ledger.availability.standing(["us"]).scarce_for_s == 0

    passage.answered(200, None, Quota(100, 60, 21600))
    assert ledger.availability.standing(["eu"]).scarce_for_s == 0


def test_without_redis_nothing_passes() -> None:
    away = Budget(connect("unix:///nowhere/redis.sock"), "eu", Limits())

    with pytest.raises(LedgerUnavailable):
        away.enter()
    away.answered(429, 0.0, 5.0, None)


def test_nothing_of_a_request_is_written_to_the_disk(server: Server, budget: Make) -> None:
    redis = connect(server.url)
    before = redis.info("persistence")["aof_current_size"]
    mine = budget(concurrency=2, requests_per_second=1000, bandwidth=100 * MIB)

    for _ in range(20):
        passage = mine.enter()
        mine.carry(MIB)
        passage.end()

    assert redis.info("persistence")["aof_current_size"] == before

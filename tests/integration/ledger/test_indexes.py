"""Whatever happens in whatever order, the indexes say what the jobs themselves say.

Random histories of every verb, with hasty workers whose leases run out now and then; after each step the indexes are
compared with a scan of all jobs.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.jobs import Job, Outcome
from replicator.ledger import Claim, Ledger, PauseKind, connect
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import job, rings, wanted

pytestmark = pytest.mark.integration

# Few jobs, so that much happens to each: two rules that write one tag, and one of another destination.
JOBS = [job(rule="a"), job(rule="b"), job(rule="a", destination="ap")]
CAP = 2
HELD = 1e11
Hands = dict[str, Claim]
Verb = Callable[[Ledger, Job, Hands], object]


def _with_claim(act: Callable[[Ledger, Claim], object]) -> Verb:
    """The verb on the newest claim of the job, which may have been lost since."""

    def verb(ledger: Ledger, this: Job, hands: Hands) -> object:
        return act(ledger, hands[this.id]) if this.id in hands else None

    return verb


def _claim(ledger: Ledger, this: Job, hands: Hands) -> None:
    # Both rules write one tag at a destination, so they share its lock.
    claim = ledger.claim(this.id, [f"{this.destination}|{this.reference}"])
    if isinstance(claim, Claim):
        hands[this.id] = claim


VERBS: dict[str, Verb] = {
    "submit": lambda ledger, this, _: ledger.submit([wanted(this, time.time())]),
    "submit later": lambda ledger, this, _: ledger.submit([wanted(this, 50.0, delay_s=0.1)]),
    "submit low": lambda ledger, this, _: ledger.submit(
        [replace(wanted(this, time.time()), is_urgent=False)]
    ),
    "pause rule": lambda ledger, this, _: ledger.pauses.pause(PauseKind.RULE, this.rule),
    "resume rule": lambda ledger, this, _: ledger.pauses.resume(PauseKind.RULE, this.rule),
    "pause destination": lambda ledger, this, _: ledger.pauses.pause(PauseKind.DESTINATION, this.destination),
    "resume destination": lambda ledger, this, _: ledger.pauses.resume(
        PauseKind.DESTINATION, this.destination
    ),
    "dispatch": lambda ledger, this, _: rings(ledger, this.destination, CAP),
    "claim": _claim,
    "renew": _with_claim(lambda ledger, claim: ledger.renew(claim)),
    "finish": _with_claim(lambda ledger, claim: ledger.finish(claim, Outcome.COPIED)),
    "retry": _with_claim(lambda ledger, claim: ledger.retry(claim, 0.05, error="503")),
    "park": _with_claim(lambda ledger, claim: ledger.park(claim, "why")),
    "block": _with_claim(lambda ledger, claim: ledger.block(claim, "why")),
    "release": _with_claim(lambda ledger, claim: ledger.release(claim)),
    "reopen": lambda ledger, this, _: ledger.reopen(this.id),
    "approve": lambda ledger, this, _: ledger.approve(this.id),
    "drop": lambda ledger, this, _: ledger.drop(this.id),
    "time passes": lambda *_: time.sleep(0.06),
}
# Histories without submissions and claims are short.
MOST = ["submit", "claim", *VERBS]
STEPS = st.lists(st.tuples(st.sampled_from(MOST), st.sampled_from(JOBS)), min_size=10, max_size=80)


@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_indexes_say_what_a_scan_of_all_jobs_says(server: Server, steps: list[tuple[str, Job]]) -> None:
    client = connect(server.url)
    client.flushall()
    ledger = Ledger(client, lease_s=0.05, redispatch_s=0.04)
    hands: Hands = {}

    for name, this in steps:
        VERBS[name](ledger, this, hands)
        check(client, ledger)


def check(client: redis.Redis, ledger: Ledger) -> None:
    jobs = {key.rpartition(":")[2]: client.hgetall(key) for key in client.keys("replicator:job:*")}
    lanes = {(this.rule, this.destination) for this in JOBS}

    for rule, place in lanes:
        here = {
            name: found
            for name, found in jobs.items()
            if (found["rule"], found["destination"]) == (rule, place)
        }
        assert scores(client, f"since:{rule}|{place}") == {
            name: float(found["since"]) for name, found in here.items()
        }
        for state in ("parked", "blocked"):
            halted = {name for name, found in here.items() if found.get("state") == state}
            assert set(scores(client, f"{state}:{rule}|{place}")) == halted
    for place in ("us", "ap"):
        check_destination(
            client, place, {name: it for name, it in jobs.items() if it["destination"] == place}
        )
    check_gauges(ledger, jobs, lanes)


def check_destination(client: redis.Redis, place: str, jobs: dict[str, dict[str, str]]) -> None:
    urgent, low = scores(client, f"due:{place}"), scores(client, f"low:{place}")
    due, inflight = urgent | low, scores(client, f"inflight:{place}")
    paused = client.hkeys("replicator:paused")
    now = time.time()

    assert set(low) == {name for name, found in jobs.items() if "state" not in found and "low" in found}
    assert not set(low) & set(urgent)
    # Only a pause holds a job back.
    assert all(f"rule|{jobs[name]['rule']}" in paused for name, at in due.items() if at >= HELD)
    # Every pending job comes due some day; a halted one does not by itself.
    assert set(due) == {name for name, found in jobs.items() if "state" not in found}
    assert set(inflight) <= set(due)
    # Nobody is rung for while rung for or leased, nor before the back-off ends.
    assert all(due[name] >= until for name, until in inflight.items())
    for name, found in jobs.items():
        # Of a lease that has ended nothing is left to wait for: a resume makes such a job due as old as its wish.
        lease_until = float(found.get("lease_until", 0))
        assert lease_until <= now or due[name] >= lease_until
        not_before = float(found.get("not_before", 0))
        assert not_before <= now or due.get(name, HELD) >= not_before
        assert ("token" in found) == ("lease_until" in found)
        assert int(found.get("attempts", 0)) >= 0


def check_gauges(ledger: Ledger, jobs: dict[str, dict[str, str]], lanes: set[tuple[str, str]]) -> None:
    for (rule, place), lane in ledger.view.lanes(lanes).items():
        here = [found for found in jobs.values() if (found["rule"], found["destination"]) == (rule, place)]
        states = [found.get("state", "pending") for found in here]
        assert (lane.pending, lane.failed, lane.blocked) == tuple(
            states.count(state) for state in ("pending", "parked", "blocked")
        )
        assert lane.oldest_since == min((float(found["since"]) for found in here), default=None)


def scores(client: redis.Redis, name: str) -> dict[str, float]:
    return {
        str(member): float(score)
        for member, score in client.zrange(f"replicator:{name}", 0, -1, withscores=True)
    }

"""Whatever happened before, by schedulers of this release and of those that knew no turns, every pending job is rung
for in its time.
"""

import time
from typing import Any

import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.jobs import Job
from replicator.ledger import Ledger, PauseKind, State, connect
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import eventually, job, rings
from tests.integration.ledger.test_indexes import HELD, VERBS, Hands

RULES = ("a", "b", "c")
JOBS = [job(tag, rule=rule) for rule in RULES for tag in ("v1", "v2")]
# What an earlier release does otherwise. (Its other verbs write the queues as ours do.)
BEFORE = ("ring as before", "resume as before", "make urgent as before")
MOST = ["submit", "submit low", "dispatch", "claim", "time passes", *BEFORE, *VERBS]
STEPS = st.lists(st.tuples(st.sampled_from(MOST), st.sampled_from(JOBS)), min_size=20, max_size=80)


@given(steps=STEPS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_pending_job_is_rung_for(server: Server, steps: list[tuple[str, Job]]) -> None:
    client = connect(server.url)
    client.flushall()
    ledger = Ledger(client, lease_s=0.05, redispatch_s=0.04)
    hands: Hands = {}
    for name, this in steps:
        if name in BEFORE:
            _as_before(client, name, this)
        else:
            VERBS[name](ledger, this, hands)

    for rule in RULES:
        ledger.pauses.resume(PauseKind.RULE, rule)
    ledger.pauses.resume(PauseKind.DESTINATION, "us")
    time.sleep(0.06)
    missing = {view.id for view in ledger.view.each(state=State.PENDING)}

    def none_is_missing() -> bool:
        for rung in rings(ledger, "us", 2):
            missing.discard(rung)
            ledger.drop(rung)
        return not missing

    eventually(none_is_missing)
    client.close()


def _as_before(client: redis.Redis, name: str, this: Job) -> None:
    now = time.time()
    if name == "ring as before":
        rung: list[Any] = client.zrangebyscore("replicator:due:us", "-inf", now, start=0, num=1)
        for job_id in rung:
            client.zadd("replicator:due:us", {job_id: now + 0.04})
            client.zadd("replicator:inflight:us", {job_id: now + 0.04})
    elif name == "resume as before":
        client.hdel("replicator:paused", f"rule|{this.rule}")
        for queue in ("replicator:due:us", "replicator:low:us"):
            for each in JOBS:
                if each.rule == this.rule and (client.zscore(queue, each.id) or 0) >= HELD:
                    client.zadd(queue, {each.id: 100.0})
    elif (at := client.zscore("replicator:low:us", this.id)) is not None:
        client.hdel(f"replicator:job:{this.id}", "low")
        client.zrem("replicator:low:us", this.id)
        client.zadd("replicator:due:us", {this.id: at})

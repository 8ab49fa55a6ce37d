"""Rules take turns at a destination, urgent ones among themselves and low ones among themselves; nobody is missed."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from replicator.jobs import Job
from replicator.ledger import Ledger, PauseKind, connect
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import claimed, job, rings, wanted

pytestmark = pytest.mark.integration

both_classes = pytest.mark.parametrize("is_urgent", [True, False])


def submit(ledger: Ledger, rule: str, number: int, *, is_urgent: bool = True, a_repository: int = 1) -> None:
    """So many jobs of the rule, that many of each repository."""
    now = ledger.view.now()
    ledger.submit(
        [
            replace(
                wanted(
                    job(f"v{at % a_repository}", rule=rule, repository=f"{rule}/{at // a_repository:05d}"),
                    now,
                ),
                is_urgent=is_urgent,
            )
            for at in range(number)
        ]
    )


def served(ledger: Ledger, times: int, *, most: int = 1) -> list[str]:
    """The rules of the jobs that are rung for where one doorbell is out at once, and every job ends at once."""
    rules: list[str] = []
    for _ in range(times):
        for bell in ledger.dispatch("us", 1, most=most):
            rules += [found.rule for found in ledger.jobs(bell) if found]
            ledger.drop_all(bell)
    return rules


@both_classes
def test_rules_take_turns(ledger: Ledger, is_urgent: bool) -> None:
    submit(ledger, "a", 20, is_urgent=is_urgent)
    submit(ledger, "b", 3, is_urgent=is_urgent)

    assert served(ledger, 9) == ["a", "b", "a", "b", "a", "b", "a", "a", "a"]


@both_classes
def test_a_rule_that_comes_anew_is_next_and_one_after_another(ledger: Ledger, is_urgent: bool) -> None:
    submit(ledger, "noisy", 200, is_urgent=is_urgent)
    served(ledger, 20)

    submit(ledger, "b", 1, is_urgent=is_urgent)
    submit(ledger, "c", 1, is_urgent=is_urgent)

    assert sorted(served(ledger, 2)) == ["b", "c"]


@both_classes
def test_many_jobs_of_a_rule_leave_a_place_free_for_another(ledger: Ledger, is_urgent: bool) -> None:
    submit(ledger, "noisy", 3000, is_urgent=is_urgent)
    assert len(rings(ledger, "us", 3)) == 2
    assert rings(ledger, "us", 3) == []

    push = job(rule="quiet")
    ledger.submit([wanted(push)])

    assert rings(ledger, "us", 3) == [push.id]


def test_the_share_of_a_rule_is_counted_in_jobs(ledger: Ledger) -> None:
    submit(ledger, "a", 400, a_repository=20)
    submit(ledger, "b", 200)

    counts = Counter(served(ledger, 120, most=20))

    assert counts["a"] == pytest.approx(counts["b"], abs=25)


def test_rules_that_come_and_go_starve_nobody(ledger: Ledger) -> None:
    submit(ledger, "patient", 50)
    rules = ["other"]
    for at in range(60):
        if rules[-1] != "patient":
            submit(ledger, f"other{at}", 1)
        rules += served(ledger, 1)

    assert rules.count("patient") >= 10


def test_of_one_rule_the_longest_due_goes_first(ledger: Ledger) -> None:
    submit(ledger, "a", 2500)
    expected = [job("v0", rule="a", repository=f"a/{at:05d}").id for at in range(2500)]
    rung: list[str] = []
    while len(rung) < 2500:
        one = rings(ledger, "us", 500)
        ledger.drop_all(one)
        rung += one

    assert rung == expected


def test_rules_that_rest_are_passed_over(ledger: Ledger) -> None:
    for rule in ("a", "b", "c"):
        submit(ledger, rule, 3)
    assert served(ledger, 3) == ["a", "b", "c"]

    ledger.pauses.pause(PauseKind.RULE, "a")

    assert served(ledger, 4) == ["b", "c", "b", "c"]
    ledger.pauses.resume(PauseKind.RULE, "a")
    assert served(ledger, 2) == ["a", "a"]


def test_jobs_that_came_due_in_one_moment_are_all_rung_for(server: Server, ledger: Ledger) -> None:
    submit(ledger, "a", 5000)
    redis = connect(server.url)
    moment = ledger.view.now() - 5
    redis.zadd("replicator:due:us", dict.fromkeys(redis.zrange("replicator:due:us", 0, -1), moment))

    rung = [job_id for _ in range(5) for job_id in rings(ledger, "us", 6000)]

    assert len(set(rung)) == len(rung) == 5000


def test_a_job_that_an_earlier_release_made_due_in_the_past_is_found(server: Server, ledger: Ledger) -> None:
    submit(ledger, "a", 3)
    served(ledger, 1)
    resumed = job(rule="b")
    ledger.submit([wanted(resumed, delay_s=3600)])

    connect(server.url).zadd("replicator:due:us", {resumed.id: ledger.view.now() - 3600})

    assert served(ledger, 3) == ["b", "a", "a"]


def test_a_job_behind_others_that_nobody_saw_come_due_is_found_in_its_time(
    server: Server, ledger: Ledger
) -> None:
    submit(ledger, "a", 4)
    redis = connect(server.url)
    served(ledger, 1)
    missed = job(rule="b")
    ledger.submit([wanted(missed, delay_s=3600)])
    last = redis.zrange("replicator:due:us", 2, 2, withscores=True)[0][1]

    redis.zadd("replicator:due:us", {missed.id: last + 1e-5})

    assert served(ledger, 4) == ["a", "a", "a", "b"]


def test_what_an_earlier_release_rang_for_is_not_rung_for_again(server: Server, ledger: Ledger) -> None:
    submit(ledger, "a", 3)
    redis = connect(server.url)
    assert served(ledger, 1) == ["a"]
    (first, second) = redis.zrange("replicator:due:us", 0, -1)

    soon = time.time() + 3600
    redis.zadd("replicator:due:us", {first: soon})
    redis.zadd("replicator:inflight:us", {first: soon})

    assert rings(ledger, "us", 5) == [second]


def test_what_was_dropped_is_rung_for_by_nobody(ledger: Ledger) -> None:
    submit(ledger, "a", 5)
    served(ledger, 1)
    ledger.drop_all([job("v0", rule="a", repository=f"a/{at:05d}").id for at in range(1, 5)])

    assert rings(ledger, "us", 5) == []
    submit(ledger, "b", 1)
    assert served(ledger, 2) == ["b"]


def test_a_clock_that_was_set_back_hides_no_job(server: Server, ledger: Ledger) -> None:
    submit(ledger, "a", 1)
    served(ledger, 1)
    connect(server.url).hset("replicator:round:due:us", "seen", str(time.time() + 3600))

    submit(ledger, "a", 1)

    assert served(ledger, 1) == ["a"]


def test_a_low_job_that_an_event_made_urgent_takes_part_at_once(ledger: Ledger) -> None:
    submit(ledger, "noisy", 50)
    submit(ledger, "b", 1, is_urgent=False)
    served(ledger, 5)
    submit(ledger, "b", 1)

    assert served(ledger, 1) == ["b"]
    assert served(ledger, 100) == ["noisy"] * 45


def test_a_lost_line_is_made_anew(server: Server, ledger: Ledger) -> None:
    submit(ledger, "a", 3)
    served(ledger, 1)
    redis = connect(server.url)
    redis.delete("replicator:turns:due:us", "replicator:line:due:a|us")

    assert served(ledger, 3) == ["a", "a"]


def came_back(ledger: Ledger, this: Job, *, times: int = 1) -> None:
    """It was tried so often while a registry was away, and is due again."""
    for _ in range(times):
        ledger.retry(claimed(ledger, this), 0.0, error="no answer", charge=False)


def test_a_job_that_was_tried_during_an_outage_keeps_its_age(ledger: Ledger) -> None:
    now = ledger.view.now()
    oldest, later, last = (job(tag) for tag in ("v1", "v2", "v3"))
    ledger.submit([wanted(oldest, now - 600), wanted(later, now - 300), wanted(last, now - 10)])
    came_back(ledger, oldest)
    came_back(ledger, later)

    assert rings(ledger, "us", 3) == [oldest.id, later.id, last.id]


def test_a_job_that_fails_for_ever_during_outages_stands_in_nobodys_way(ledger: Ledger) -> None:
    now = ledger.view.now()
    bad, good = job("v1"), job("v2")
    ledger.submit([wanted(bad, now - 600), wanted(good, now - 300)])

    came_back(ledger, bad, times=7)

    assert rings(ledger, "us", 2) == [good.id, bad.id]


def test_a_job_that_was_charged_waits_behind_those_that_were_due_before(ledger: Ledger) -> None:
    now = ledger.view.now()
    charged, other = job("v1"), job("v2")
    ledger.submit([wanted(charged, now - 600), wanted(other, now - 300)])

    ledger.retry(claimed(ledger, charged), 0.0, error="500")

    assert rings(ledger, "us", 2) == [other.id, charged.id]

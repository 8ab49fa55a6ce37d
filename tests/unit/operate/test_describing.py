"""A job in words."""

from dataclasses import replace

import pytest

from replicator.ledger import JobView, Pause, PauseKind, State
from replicator.oci import Digest, Repository, Tag
from replicator.operate import Description, Desk, clock, describe, span
from replicator.rules import Destination, RuleSet
from replicator.transfer.deletion import ALL_ITS_TAGS, NOT_OURS, WITHIN_AN_HOUR
from replicator.transfer.provenance import CONFLICT
from replicator.transfer.sparse import NO_SPARSE
from tests.fakes.web import RULES, ToldLedger, a_rule, no_client

JOB = JobView(
    "id",
    "prod",
    "us",
    Repository("team/api"),
    Tag("v1"),
    State.PENDING,
    since=900.0,
    attempts=0,
    due_at=990.0,
)
BLOCKED = replace(JOB, state=State.BLOCKED, due_at=None)


def described(job: JobView, *pauses: Pause, rules: RuleSet = RULES) -> Description:
    ledger = ToldLedger()
    ledger.pauses.found = {(pause.kind, pause.name): pause for pause in pauses}
    return describe(Desk(ledger, lambda: rules, no_client), [job])[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("job", "sentence"),
    [
        (JOB, "waits for its turn"),
        (replace(JOB, is_urgent=False), "waits for its turn, which gives way to events"),
        (replace(JOB, reason="too early"), "waits for its next try: too early"),
        (
            replace(JOB, reason="answered 500", attempts=3),
            "waits for its next try, after 3 tries: answered 500",
        ),
        (replace(JOB, state=State.RUNNING, attempts=2), "a worker is at it, try 2"),
        (replace(JOB, state=State.PARKED, attempts=1, reason="denied"), "gave up after 1 try: denied"),
        (replace(BLOCKED, reason="foreign"), "waits for a person's approval: foreign"),
        (replace(JOB, state=State.DONE, outcome="skipped", reason="filtered"), "ended: skipped, filtered"),
        (replace(JOB, state=State.DONE, outcome="copied"), "ended: copied"),
    ],
)
def test_every_state_has_its_sentence(job: JobView, sentence: str) -> None:
    assert described(job).sentence == sentence


def test_a_paused_job_names_what_rests_and_has_no_next_try() -> None:
    rests = Pause(PauseKind.RULE, "prod", 1.0, ""), Pause(PauseKind.DESTINATION, "us", 2.0, "")
    other = Pause(PauseKind.DESTINATION, "prod", 3.0, "")

    found = described(replace(JOB, reason="busy"), *rests, other)

    assert found.sentence == "waits until rule prod and destination us is resumed: busy"
    assert found.next_try_s is None


@pytest.mark.parametrize(
    ("due_at", "next_try_s"), [(1012.0, 12.0), (990.0, 0.0), (None, None)], ids=["later", "now", "never"]
)
def test_the_next_try_counts_from_now(due_at: float | None, next_try_s: float | None) -> None:
    assert described(replace(JOB, due_at=due_at)).next_try_s == next_try_s


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            f"the destination holds sha256:1, {NOT_OURS}",
            "deletes us/team/api:v1 although replicator did not put",
        ),
        (f"sha256:1 {ALL_ITS_TAGS}, and v2 needs it", "with it every tag that the reason names"),
        (f"rule prod has deleted 100 {WITHIN_AN_HOUR}", "beyond the cap of its rule, this one alone"),
        (f"us {NO_SPARSE}, and the rule keeps", "changes nothing at us/team/api:v1: only the rule can say"),
        (CONFLICT, "writes what eu/team/api:v1 holds over the other rule's copy at us/team/api:v1"),
        ("something new", "goes on at us/team/api:v1 in spite of the reason"),
    ],
)
def test_it_is_said_what_approving_each_guard_would_do(reason: str, words: str) -> None:
    assert words in (described(replace(BLOCKED, reason=reason)).approving or "")


def test_only_a_blocked_job_can_be_approved() -> None:
    assert described(replace(JOB, reason=CONFLICT)).approving is None


def test_both_sides_are_named_in_full() -> None:
    moved = replace(a_rule("prod", "eu"), destinations=(Destination("us", "mirror", 1),))
    digest = Digest.of(b"x")

    found = described(replace(JOB, reference=digest), rules=replace(RULES, rules=(moved,)))

    assert (found.start, found.end) == (f"eu/team/api@{digest}", f"us/mirror/api@{digest}")


@pytest.mark.parametrize(
    "job", [replace(JOB, rule="gone"), replace(JOB, destination="gone")], ids=["rule", "destination"]
)
def test_what_no_rule_knows_any_more_is_a_question_mark(job: JobView) -> None:
    found = described(job)

    assert found.target is None
    assert found.end == f"{job.destination}/?:v1"
    assert found.start == ("?/team/api:v1" if job.rule == "gone" else "eu/team/api:v1")


def test_a_repository_that_does_not_fit_its_destination_has_no_name_there() -> None:
    short = replace(a_rule("prod", "eu"), destinations=(Destination("us", "mirror", 5),))

    assert described(JOB, rules=replace(RULES, rules=(short,))).target is None


@pytest.mark.parametrize(
    ("trace", "trace_id"), [(f"00-{'a' * 32}-{'b' * 16}-01", "a" * 32), ("odd", None), (None, None)]
)
def test_the_trace_id_is_that_of_the_traceparent(trace: str | None, trace_id: str | None) -> None:
    assert described(replace(JOB, trace=trace)).trace_id == trace_id


def test_a_moment_is_told_in_utc() -> None:
    assert clock(1764104706.9) == "2025-11-25 21:05:06 UTC"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (119, "119 s"),
        (125, "2 min"),
        (7100, "118 min"),
        (7300, "2 h"),
        (200_000, "2 days"),
    ],
)
def test_a_length_of_time_is_short(seconds: float, text: str) -> None:
    assert span(seconds) == text

"""Jobs: who gets one from an event, what becomes of one that failed, and how many may run at once."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from replicator.errors import (
    Corrupt,
    Denied,
    MissingContent,
    NotYet,
    PermanentError,
    RateLimited,
    ReplicatorError,
    TagImmutable,
    TemporaryError,
    Unavailable,
    Unsupported,
    Untrusted,
)
from replicator.events import Action, Event
from replicator.jobs import (
    ATTEMPTS_BEFORE_PARKING,
    AWAY_DELAY_CAP_S,
    DENIED_ATTEMPTS,
    RETRY_BASE_S,
    RETRY_CAP_S,
    Crew,
    Job,
    Park,
    Retry,
    after_failure,
    doorbells_at_once,
    is_answered,
    jobs_for,
    retry_delay_s,
)
from replicator.oci import Digest, Reference, Repository, Tag
from replicator.rules import Destination, Filter, FilterType, Rule, RuleSet, TriggerType

API = Repository("team/api")
DIGEST = Digest.of(b"content")
SIGNATURE = Tag(f"sha256-{DIGEST.hex}.sig")
NAME = Filter(FilterType.NAME, "team/**")
TAGS = Filter(FilterType.TAG, "v*")


def a_rule(name: str = "prod", source: str = "eu", *, filters: tuple[Filter, ...] = (NAME, TAGS)) -> Rule:
    return Rule(name, source, (Destination("us"), Destination("ap")), filters=filters)


def pushed(tag: str | None = "v1", *, repository: str = "team/api", registry: str = "eu") -> Event:
    named = Tag(tag) if tag else None
    return Event(registry, Action.PUSH, Repository(repository), named, digest=DIGEST)


def references(event: Event, *rules: Rule) -> list[Reference]:
    return [job.reference for job in jobs_for(event, RuleSet(rules=rules)) if job.destination == "us"]


# Keys

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True)
REPOSITORIES = st.from_regex(r"[a-z0-9]{1,5}(/[a-z0-9]{1,5}){0,2}", fullmatch=True).map(Repository)
REFERENCES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,9}", fullmatch=True).map(Tag) | st.binary().map(
    Digest.of
)
JOBS = st.builds(Job, NAMES, NAMES, REPOSITORIES, REFERENCES)


@given(JOBS)
def test_a_job_is_its_key(job: Job) -> None:
    again = Job.from_key(job.key)

    assert again == job
    assert type(again.reference) is type(job.reference)
    assert again.id == job.id


@given(JOBS, JOBS)
def test_two_jobs_never_share_an_id(one: Job, other: Job) -> None:
    assert (one.id == other.id) is (one == other)


def test_an_id_is_safe_in_urls_and_queues() -> None:
    assert Job("prod", "us", API, Tag("v1")).id.isalnum()


@pytest.mark.parametrize("key", ["", "a|b|c", "a|b|team/api|v1|x", "a|b|TEAM|v1", "a|b|team/api|.v1"])
def test_other_text_is_no_key(key: str) -> None:
    with pytest.raises(ValueError):
        Job.from_key(key)


# Events


def test_an_event_asks_for_one_job_at_each_destination() -> None:
    assert jobs_for(pushed(), RuleSet(rules=(a_rule(),))) == [
        Job("prod", "us", API, Tag("v1")),
        Job("prod", "ap", API, Tag("v1")),
    ]


def test_every_rule_that_takes_an_event_gets_its_job() -> None:
    jobs = jobs_for(pushed(), RuleSet(rules=(a_rule("one"), a_rule("two"))))

    assert [job.rule for job in jobs] == ["one", "one", "two", "two"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (pushed("v1"), [Tag("v1")]),
        (pushed("latest"), []),
        (pushed("v1", repository="other/api"), []),
        (pushed("v1", registry="us"), []),
        (pushed(SIGNATURE), [SIGNATURE]),
        (pushed(f"sha256-{DIGEST.hex}"), [Tag(f"sha256-{DIGEST.hex}")]),
        (pushed(f"sha512-{DIGEST.hex}"), [Tag(f"sha512-{DIGEST.hex}")]),
        (pushed(SIGNATURE, repository="other/api"), []),
        (pushed(None), [DIGEST]),
        (Event("eu", Action.DELETE, API), []),
        (Event("eu", Action.DELETE, API, Tag("v1")), [Tag("v1")]),
    ],
)
def test_a_rule_takes_what_its_filters_keep_and_what_may_belong_to_it(
    event: Event, expected: list[Reference]
) -> None:
    assert references(event, a_rule()) == expected


@pytest.mark.parametrize(
    "rule",
    [
        Rule("off", "eu", (Destination("us"),), enabled=False),
        Rule("later", "eu", (Destination("us"),), trigger=TriggerType.SCHEDULED),
        Rule("never", "eu", (Destination("us"),), trigger=TriggerType.MANUAL),
    ],
)
def test_a_rule_that_is_off_or_not_event_based_gets_no_job(rule: Rule) -> None:
    assert references(pushed(), rule) == []


def test_a_rule_without_filters_takes_everything() -> None:
    rule = a_rule(filters=())

    assert references(pushed("latest", repository="x"), rule) == [Tag("latest")]
    assert references(pushed(None), rule) == [DIGEST]


# Failures

JITTER = st.floats(0, 1, exclude_max=True)
ATTEMPTS = st.integers(1, 10_000)


@given(ATTEMPTS, JITTER)
def test_the_wait_grows_between_its_bounds(attempts: int, jitter: float) -> None:
    delay_s = retry_delay_s(attempts, jitter)

    assert RETRY_BASE_S / 2 <= delay_s <= RETRY_CAP_S * 1.5
    assert retry_delay_s(attempts + 1, jitter) >= delay_s


def test_the_wait_doubles() -> None:
    assert [retry_delay_s(attempts, 0.5) for attempts in (1, 2, 3, 4)] == [2, 4, 8, 16]


def test_the_tries_before_parking_take_about_an_hour() -> None:
    waits = [retry_delay_s(attempts, 0.5) for attempts in range(1, ATTEMPTS_BEFORE_PARKING)]

    assert 1800 <= sum(waits) <= 5400


PERMANENT = [PermanentError("x"), Unsupported("x"), TagImmutable("x"), ReplicatorError("x")]


@pytest.mark.parametrize("error", PERMANENT, ids=lambda error: type(error).__name__)
def test_what_a_retry_cannot_help_is_parked_at_once(error: ReplicatorError) -> None:
    assert after_failure(error, 1, 0.5) == Park()


@pytest.mark.parametrize("error", [Corrupt("x"), MissingContent("x")])
def test_content_that_is_not_right_is_fetched_once_more(error: ReplicatorError) -> None:
    assert after_failure(error, 1, 0.9) == Retry(RETRY_BASE_S, charge=True)
    assert after_failure(error, 2, 0.9) == Park()


def test_a_temporary_error_is_tried_again_until_the_tries_are_used_up() -> None:
    error = TemporaryError("x")

    assert after_failure(error, 1, 0.5) == Retry(2.0, charge=True)
    assert after_failure(error, ATTEMPTS_BEFORE_PARKING - 1, 0.5) == Retry(RETRY_CAP_S, charge=True)
    assert after_failure(error, ATTEMPTS_BEFORE_PARKING, 0.5) == Park()


def test_a_refusal_is_waited_for_half_a_minute() -> None:
    error = Denied("x")

    waits = [after_failure(error, attempts, 0.5) for attempts in range(1, DENIED_ATTEMPTS)]
    assert waits == [Retry(wait_s, charge=True) for wait_s in (2.0, 4.0, 8.0, 16.0)]
    assert after_failure(error, DENIED_ATTEMPTS, 0.5) == Park()


def test_the_other_side_may_say_when() -> None:
    assert after_failure(TemporaryError("x", retry_after=7.0), 3, 0.5) == Retry(7.0, charge=True)


def test_a_registry_that_is_not_trusted_is_waited_for_like_one_that_is_away() -> None:
    assert after_failure(Untrusted("x", registry="us"), 99, 0.5) == Retry(8.0, charge=False)


@given(ATTEMPTS, JITTER)
def test_a_registry_that_is_away_costs_no_try_and_is_asked_again_within_a_minute(
    attempts: int, jitter: float
) -> None:
    step = after_failure(Unavailable("x", registry="us"), attempts, jitter)

    assert isinstance(step, Retry)
    assert not step.charge
    assert 1 <= step.delay_s <= AWAY_DELAY_CAP_S


def test_an_away_registry_is_not_believed_for_longer_than_the_cap() -> None:
    patient = Unavailable("x", registry="us", retry_after=3600.0)
    brief = Unavailable("x", registry="us", retry_after=0.5)

    assert after_failure(patient, 1, 0.5) == Retry(AWAY_DELAY_CAP_S, charge=False)
    assert after_failure(brief, 1, 0.5) == Retry(0.5, charge=False)


@pytest.mark.parametrize(
    "error", [NotYet("x", retry_after=3.0), RateLimited("x", registry="us", retry_after=3.0)]
)
def test_to_wait_as_asked_costs_no_try(error: ReplicatorError) -> None:
    assert after_failure(error, ATTEMPTS_BEFORE_PARKING + 5, 0.5) == Retry(3.0, charge=False)


def test_what_came_too_early_may_be_looked_at_again_at_once() -> None:
    assert after_failure(NotYet("x"), 1, 0.5) == Retry(0.0, charge=False)


# Shares


NAMES = [f"d{number}" for number in range(12)]
crews_of = st.lists(
    st.builds(Crew, st.integers(1, 40), st.frozensets(st.sampled_from(NAMES))),
    max_size=4,
    unique_by=lambda crew: crew.destinations,
)
some_names = st.lists(st.sampled_from(NAMES), unique=True)


def shares(crews: list[Crew], destinations: list[str], limit: int | None = None) -> dict[str, int]:
    return {
        name: doorbells_at_once(name, crews=crews, destinations=destinations, limit=limit)
        for name in destinations
    }


@given(crews_of, some_names, st.none() | st.integers(1, 100))
def test_a_served_destination_always_has_a_place_and_never_more_than_its_limit(
    crews: list[Crew], destinations: list[str], limit: int | None
) -> None:
    for name, share in shares(crews, destinations, limit).items():
        assert (share >= 1) == any(crew.serves(name) for crew in crews)
        assert limit is None or share <= limit


@given(crews_of, some_names)
def test_the_shares_fit_into_the_slots(crews: list[Crew], destinations: list[str]) -> None:
    assume(all(crew.slots >= crew.load(destinations) for crew in crews))

    assert sum(shares(crews, destinations).values()) <= sum(crew.slots for crew in crews)


@given(st.integers(2, 40), some_names.filter(bool))
def test_one_destination_never_has_every_slot_of_those_who_serve_all(slots: int, names: list[str]) -> None:
    assert max(shares([Crew(slots)], names).values()) < slots


def test_a_share_comes_from_the_slots_that_serve_the_destination() -> None:
    crews = [Crew(12, frozenset({"us"})), Crew(2, frozenset({"ap", "sa"}))]

    assert shares(crews, ["us", "ap", "sa"]) == {"us": 12, "ap": 1, "sa": 1}
    assert shares([*crews, Crew(7)], ["us", "ap", "sa"]) == {"us": 14, "ap": 3, "sa": 3}
    assert shares(crews, ["us", "sa", "new"]) == {"us": 12, "sa": 2, "new": 0}


def test_with_fewer_slots_than_destinations_each_has_one() -> None:
    assert shares([Crew(2)], NAMES) == dict.fromkeys(NAMES, 1)


def test_what_has_left_the_rules_takes_one_slot_at_a_time() -> None:
    assert doorbells_at_once("gone", crews=[Crew(16)], destinations=["us"], limit=None) == 1


def test_a_limit_of_the_registry_counts() -> None:
    assert shares([Crew(16)], ["us", "ap"]) == {"us": 8, "ap": 8}
    assert shares([Crew(16)], ["us", "ap"], 3) == {"us": 3, "ap": 3}


def test_a_change_is_answered_where_some_rule_carries_it_on() -> None:
    back = Rule("back", "us", (Destination("eu"),), filters=(Filter(FilterType.TAG, "v*"),))
    rules = RuleSet(rules=(back,))
    there = Repository("team/api")

    assert is_answered(rules, "us", there, Tag("v1"))
    assert not is_answered(rules, "us", there, Tag("dev"))
    assert not is_answered(rules, "eu", there, Tag("v1"))
    assert not is_answered(RuleSet(rules=(replace(back, enabled=False),)), "us", there, Tag("v1"))

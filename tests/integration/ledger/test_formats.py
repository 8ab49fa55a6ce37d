"""Two releases on one ledger: what a later one wrote is left as it is, and to it where it means something new."""

import json
from collections.abc import Callable

import pytest
import redis

from replicator.jobs import Outcome
from replicator.ledger import Claim, Copied, Ledger, Refusal, connect
from replicator.oci import Repository, Tag
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import DIGEST, OTHER, claimed, job, rings, wanted

pytestmark = pytest.mark.integration

KEY = f"replicator:job:{job().id}"


@pytest.fixture
def client(server: Server) -> redis.Redis:
    return connect(server.url)


def test_a_job_says_in_which_format_it_is_written(ledger: Ledger, client: redis.Redis) -> None:
    ledger.submit([wanted(job())])

    assert client.hget(KEY, "format") == "1"


def test_a_job_of_an_early_release_says_none_and_is_done(ledger: Ledger, client: redis.Redis) -> None:
    ledger.submit([wanted(job())])
    client.hdel(KEY, "format")

    assert claimed(ledger, job())


def test_a_job_in_a_later_format_is_left_to_a_later_release(ledger: Ledger, client: redis.Redis) -> None:
    ledger.submit([wanted(job())])
    client.hset(KEY, "format", 2)
    assert rings(ledger, "us", 1) == [job().id]

    assert ledger.claim(job().id, ["tag"]) is Refusal.NEWER

    # Its place is free, nothing of it is locked, no attempt is counted; and soon somebody is asked again.
    assert client.keys("replicator:lock:*") == []
    assert client.hget(KEY, "attempts") is None
    due = ledger.next_due("us")
    assert due is not None
    assert 0 < due <= 5
    client.hset(KEY, "format", 1)
    assert claimed(ledger, job())


def test_a_parked_job_in_a_later_format_stays_parked(ledger: Ledger, client: redis.Redis) -> None:
    ledger.submit([wanted(job())])
    ledger.park(claimed(ledger, job()), "why")
    client.hset(KEY, "format", 2)

    assert ledger.claim(job().id) is Refusal.PARKED
    assert ledger.next_due("us") is None


@pytest.mark.parametrize(
    "end",
    [
        lambda ledger, claim: ledger.renew(claim),
        lambda ledger, claim: ledger.retry(claim, 0, error="503"),
        lambda ledger, claim: ledger.release(claim),
        lambda ledger, claim: ledger.park(claim, "why") and ledger.reopen(claim.id),
        lambda ledger, claim: ledger.block(claim, "why") and ledger.approve(claim.id),
        lambda ledger, claim: ledger.submit([wanted(job())]) or ledger.finish(claim, Outcome.COPIED),
    ],
    ids=["renew", "retry", "release", "reopen", "approve", "again"],
)
def test_fields_of_a_job_that_a_later_release_added_survive(
    ledger: Ledger, client: redis.Redis, end: Callable[[Ledger, Claim], object]
) -> None:
    ledger.submit([wanted(job())])
    client.hset(KEY, "mood", "hopeful")

    assert end(ledger, claimed(ledger, job()))

    assert client.hget(KEY, "mood") == "hopeful"


def test_fields_of_a_copys_record_that_a_later_release_added_survive(
    ledger: Ledger, client: redis.Redis
) -> None:
    api, place = Repository("team/api"), "replicator:copied:us|team/api"
    record = Copied("prod", "eu", api, Tag("v1"), intent=DIGEST, origins=("eu|team/api|v1",))
    ledger.fleet.intend("us", api, Tag("v1"), record)
    held = json.loads(str(client.hget(place, "v1")))
    client.hset(place, "v1", json.dumps({**held, "mood": "hopeful"}))

    ledger.fleet.intend("us", api, Tag("v1"), Copied("prod", "eu", api, Tag("v1"), intent=OTHER))
    ledger.fleet.confirm("us", api, [(Tag("v1"), OTHER)])

    assert json.loads(str(client.hget(place, "v1")))["mood"] == "hopeful"
    found = ledger.fleet.copied("us", api, Tag("v1"))
    assert found
    assert found.digest == OTHER

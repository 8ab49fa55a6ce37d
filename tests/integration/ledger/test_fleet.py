"""What the fleet knows: every fact comes back as it was told, and lasts as long as it should."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from replicator.jobs import Outcome
from replicator.ledger import Copied, Finish, Ledger, connect
from replicator.oci import Digest, Repository, Tag
from replicator.platforms import parse_platform
from tests.integration.ledger.conftest import Server
from tests.integration.ledger.kit import DIGEST, OTHER, claimed, job, located, wanted

pytestmark = pytest.mark.integration

THIRD = Digest.of(b"third")
HERE = Repository("mirror/api")
TAG = Tag("v1")


def copy(intent: Digest, **changes: object) -> Copied:
    known = {"rule": "prod", "source": "eu", "repository": Repository("team/api"), "reference": Tag("v1")}
    return Copied(**{**known, "intent": intent, "origins": ("eu", "localhost:5000")} | changes)  # type: ignore[arg-type]


def test_an_intention_is_known_before_it_is_verified(ledger: Ledger) -> None:
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST))

    found = ledger.fleet.copied("us", HERE, TAG)

    assert found
    assert found.at == pytest.approx(ledger.view.now(), abs=2)
    assert found == copy(DIGEST, at=found.at)


def test_repositories_that_were_copied_from_are_searched_for_once_a_minute(
    ledger: Ledger, server: Server
) -> None:
    for name in ("team/api", "team/web"):
        ledger.fleet.intend(
            "us", Repository(f"mirror/{name}"), TAG, copy(DIGEST, repository=Repository(name))
        )
        ledger.fleet.intend("ap", Repository(name), TAG, copy(DIGEST, repository=Repository(name)))
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST, source="ap", repository=Repository("other")))
    with connect(server.url) as client:
        searches = [client.info("commandstats").get("cmdstat_scan", {}).get("calls", 0)]

        found = [ledger.fleet.copied_from("eu", most=10) for _ in range(20)]

        searches.append(client.info("commandstats")["cmdstat_scan"]["calls"])
    assert set(found) == {frozenset({Repository("team/api"), Repository("team/web")})}
    assert searches[1] - searches[0] == 1


def test_no_more_repositories_that_were_copied_from_are_told_than_asked_for(ledger: Ledger) -> None:
    for name in ("team/api", "team/web", "team/db"):
        ledger.fleet.intend("us", Repository(name), TAG, copy(DIGEST, repository=Repository(name)))

    assert len(ledger.fleet.copied_from("eu", most=2)) == 2


def test_a_new_intention_keeps_what_was_verified(ledger: Ledger) -> None:
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST))
    ledger.fleet.confirm("us", HERE, [(TAG, DIGEST)])

    ledger.fleet.intend("us", HERE, TAG, copy(OTHER, origins=()))

    found = ledger.fleet.copied("us", HERE, TAG)
    assert found
    assert (found.digest, found.intent, found.origins) == (DIGEST, OTHER, ())


def test_a_confirmation_settles_digest_and_intention(ledger: Ledger) -> None:
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST))

    ledger.fleet.confirm("us", HERE, [(TAG, OTHER)])

    found = ledger.fleet.copied("us", HERE, TAG)
    assert found
    assert (found.digest, found.intent, found.rule) == (OTHER, OTHER, "prod")


def test_platforms_count_when_what_was_intended_for_them_is_there(ledger: Ledger) -> None:
    amd, arm = parse_platform("linux/amd64"), parse_platform("linux/arm/v7")
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST, platforms=(amd,)))
    ledger.fleet.confirm("us", HERE, [(TAG, DIGEST)])

    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST, platforms=(amd, arm), made_from=OTHER))
    intended = ledger.fleet.copied("us", HERE, TAG)
    ledger.fleet.confirm("us", HERE, [(TAG, DIGEST)])
    confirmed = ledger.fleet.copied("us", HERE, TAG)

    assert intended
    assert confirmed
    assert (intended.platforms, confirmed.platforms) == ((amd,), (amd, arm))
    assert confirmed.made_from == OTHER
    assert [confirmed.holds(digest) for digest in (DIGEST, OTHER, THIRD)] == [True, True, False]


def test_a_confirmation_alone_makes_nothing_ours(ledger: Ledger) -> None:
    ledger.fleet.confirm("us", HERE, [(TAG, DIGEST)])

    assert ledger.fleet.copied("us", HERE, TAG) is None


def test_all_copies_of_a_repository_are_listed(ledger: Ledger) -> None:
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST))
    ledger.fleet.intend("us", HERE, OTHER, copy(OTHER))
    ledger.fleet.intend("us", Repository("other"), TAG, copy(OTHER))

    found = ledger.fleet.copies("us", HERE)

    assert {reference: record.intent for reference, record in found.items()} == {TAG: DIGEST, OTHER: OTHER}
    assert isinstance(next(reference for reference in found if ":" in reference), Digest)
    assert ledger.fleet.copies("ap", HERE) == {}


def test_a_forgotten_copy_is_unknown(ledger: Ledger) -> None:
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST))

    ledger.fleet.forget("us", HERE, TAG)

    assert ledger.fleet.copied("us", HERE, TAG) is None


def test_a_record_of_a_later_release_is_read(server: Server, ledger: Ledger) -> None:
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST))
    redis = connect(server.url)
    key = f"replicator:copied:us|{HERE}"
    record = json.loads(str(redis.hget(key, TAG)))
    redis.hset(key, TAG, json.dumps(record | {"new": "field"}))

    assert ledger.fleet.copied("us", HERE, TAG)


def test_blobs_are_found_where_they_were_seen_last(ledger: Ledger) -> None:
    ledger.fleet.flights.land("us", Repository("old"), [DIGEST])
    ledger.fleet.flights.land("us", HERE, [DIGEST, OTHER])
    ledger.fleet.misremembered("us", OTHER)

    assert located(ledger, "us", [DIGEST, OTHER]) == {DIGEST: HERE}
    assert located(ledger, "ap", [DIGEST]) == {}
    assert located(ledger, "us", []) == {}


def test_the_latest_repositories_that_hold_a_blob_are_known(ledger: Ledger) -> None:
    for number in range(20):
        ledger.fleet.flights.land("us", Repository(f"app{number}"), [DIGEST])
    ledger.fleet.flights.land("us", Repository("app5"), [DIGEST])

    def best(name: str) -> str:
        return ledger.fleet.sightings("us", [DIGEST], best=Repository(name))[DIGEST].repository

    assert located(ledger, "us", [DIGEST]) == {DIGEST: "app5"}
    assert best("app19") == "app19"
    assert best("app6") == "app6"
    assert best("app3") == "app5"
    assert best("app") == "app5"


def test_how_long_ago_a_blob_was_seen_is_known_of_each_repository(ledger: Ledger) -> None:
    ledger.fleet.flights.land("us", HERE, [DIGEST])
    time.sleep(0.05)
    ledger.fleet.flights.land("us", Repository("later"), [DIGEST])

    assert ledger.fleet.sightings("us", [DIGEST])[DIGEST].age_s < 0.05
    assert 0.05 <= ledger.fleet.sightings("us", [DIGEST], best=HERE)[DIGEST].age_s < 5


def test_confirmed_manifests_are_found(ledger: Ledger) -> None:
    ledger.fleet.confirm("us", HERE, [(TAG, DIGEST)], manifests=[DIGEST, OTHER])

    assert located(ledger, "us", [DIGEST, OTHER]) == {DIGEST: HERE, OTHER: HERE}


def test_records_of_several_places_are_read_at_once(ledger: Ledger) -> None:
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST))

    absent, found = ledger.fleet.records([("eu", HERE, TAG), ("us", HERE, TAG)])

    assert absent is None
    assert found
    assert found.intent == DIGEST


def test_several_references_are_confirmed_at_once(ledger: Ledger) -> None:
    for reference in (TAG, OTHER):
        ledger.fleet.intend("us", HERE, reference, copy(DIGEST))

    ledger.fleet.confirm("us", HERE, [(TAG, DIGEST), (OTHER, OTHER)])

    records = ledger.fleet.copies("us", HERE)
    assert {name: record.digest for name, record in records.items()} == {TAG: DIGEST, OTHER: OTHER}


def test_the_latest_thousand_manifests_of_a_repository_that_lost_their_tags_are_known(
    server: Server, ledger: Ledger
) -> None:
    digests = [Digest.of(b"%d" % number) for number in range(1002)]
    for digest in digests:
        ledger.fleet.note_untagged("us", HERE, digest, "prod")

    assert ledger.fleet.untagged("us", HERE, ["prod"]).keys() == {*digests[2:]}
    assert connect(server.url).hlen(f"replicator:authors:us|{HERE}") == 1000


def test_a_moved_tag_is_confirmed_however_many_manifests_lost_theirs(server: Server, ledger: Ledger) -> None:
    # An earlier release kept all that were deleted.
    digests = [str(Digest.of(b"%d" % number)) for number in range(9001)]
    with connect(server.url) as client:
        client.zadd(f"replicator:untagged:us|{HERE}", dict.fromkeys(digests, 100.0))
        client.hset(f"replicator:authors:us|{HERE}", mapping=dict.fromkeys(digests, "prod"))
    ledger.fleet.intend("us", HERE, TAG, copy(DIGEST))
    ledger.fleet.confirm("us", HERE, [(TAG, DIGEST)])

    ledger.fleet.intend("us", HERE, TAG, copy(OTHER))
    ledger.fleet.confirm("us", HERE, [(TAG, OTHER)])

    found = ledger.fleet.untagged("us", HERE, ["prod"])
    assert DIGEST in found
    assert len(found) == 1000


def test_where_blobs_are_is_forgotten_after_a_week(server: Server, ledger: Ledger) -> None:
    ledger.fleet.flights.land("us", HERE, [DIGEST])

    assert 6 * 86400 < connect(server.url).ttl(f"replicator:blob:us|{DIGEST}") <= 7 * 86400


def test_a_capability_is_known_unknown_or_denied(ledger: Ledger) -> None:
    ledger.fleet.learn("us", "referrers", True)
    ledger.fleet.learn("us", "delete-tag", False)

    assert ledger.fleet.capability("us", "referrers") is True
    assert ledger.fleet.capability("us", "delete-tag") is False
    assert ledger.fleet.capability("us", "mount") is None


def test_an_announced_subject_is_expected_there_alone(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    ledger.fleet.expect_subjects("us", HERE, [DIGEST], job_id=job().id, ttl_s=60)

    assert ledger.fleet.subject_expected("us", HERE, DIGEST)
    assert not ledger.fleet.subject_expected("us", HERE, DIGEST, besides=job().id)
    assert not ledger.fleet.subject_expected("us", HERE, OTHER)
    assert not ledger.fleet.subject_expected("ap", HERE, DIGEST)


def test_a_subject_is_not_expected_of_a_job_that_waits_for_a_person(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job())
    ledger.fleet.expect_subjects("us", HERE, [DIGEST], job_id=claim.id, ttl_s=60)

    ledger.park(claim, "damaged")

    assert not ledger.fleet.subject_expected("us", HERE, DIGEST)


def test_a_subject_is_not_expected_of_a_job_that_is_gone(ledger: Ledger) -> None:
    ledger.fleet.expect_subjects("us", HERE, [DIGEST], job_id=job().id, ttl_s=60)

    assert not ledger.fleet.subject_expected("us", HERE, DIGEST)


def test_an_absence_is_noted_for_as_long_as_nothing_new_is_submitted(server: Server, ledger: Ledger) -> None:
    def noted() -> int:
        return sum(
            name.startswith("absent:") for name in connect(server.url).hkeys(f"replicator:job:{job().id}")
        )

    for _ in range(3):
        ledger.submit([wanted(job())])
        claim = claimed(ledger, job())
        assert ledger.fleet.gone_for(claim) == 0
        assert ledger.fleet.gone_for(claim, "v2") == 0
        time.sleep(0.02)
        assert 0.02 <= ledger.fleet.gone_for(claim) < 5
        assert noted() == 2
        ledger.park(claim, "damaged")


def test_an_absence_is_noted_anew_at_the_last_look(hasty: Ledger) -> None:
    hasty.submit([wanted(job())])
    claim = claimed(hasty, job())
    hasty.fleet.gone_for(claim)
    assert hasty.finish(replace(claim, is_doubted=True), Outcome.COPIED) is Finish.DONE
    time.sleep(0.05)

    assert hasty.fleet.gone_for(claimed(hasty, job())) == 0


def test_an_absence_of_a_job_that_is_gone_is_none(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job())
    ledger.fleet.gone_for(claim)
    ledger.finish(claim, Outcome.UNCHANGED)

    time.sleep(0.02)

    assert ledger.fleet.gone_for(claim) == 0


def test_deletions_stay_within_the_budget_of_the_hour(server: Server, ledger: Ledger) -> None:
    with ThreadPoolExecutor(4) as pool:
        spent = list(
            pool.map(
                lambda number: ledger.fleet.spend_deletion(["prod"], "us", f"m{number}", cap=3), range(12)
            )
        )

    assert spent.count(True) == 3
    assert ledger.fleet.spend_deletion(["prod"], "ap", "m", cap=3)
    assert not ledger.fleet.spend_deletion(["prod"], "ap", "other", cap=0)

    redis = connect(server.url)
    first = redis.zrange("replicator:deletions:prod|us", 0, 0)[0]
    redis.zadd("replicator:deletions:prod|us", {first: ledger.view.now() - 3601})
    assert ledger.fleet.spend_deletion(["prod"], "us", "next", cap=3)
    assert not ledger.fleet.spend_deletion(["prod"], "us", "last", cap=3)
    assert ledger.fleet.spend_deletion(["prod"], "us", "next", cap=3)  # the same deletion, tried again


def test_what_was_spent_under_a_former_name_is_spent(ledger: Ledger) -> None:
    fleet = ledger.fleet
    assert fleet.spend_deletion(["old"], "us", "one", cap=2)

    assert fleet.spend_deletion(["new", "old"], "us", "one", cap=1)  # the same deletion, tried again
    assert fleet.spend_deletion(["new", "old"], "us", "two", cap=2)
    assert not fleet.spend_deletion(["new", "old"], "us", "three", cap=2)
    assert fleet.spend_deletion(["new"], "us", "three", cap=2)


def test_a_deletion_is_logged_with_the_bytes_of_the_manifest(server: Server, ledger: Ledger) -> None:
    raw = b'{"schemaVersion": 2}\n\xff'

    ledger.fleet.log_deletion(
        "us", HERE, TAG, rule="prod", digest=DIGEST, manifest_raw=raw, media_type="application/json"
    )

    ((_, fields),) = connect(server.url).xrange("replicator:deleted")
    assert fields["manifest"].encode("utf-8", "surrogateescape") == raw
    assert (fields["repository"], fields["reference"], fields["digest"]) == (HERE, TAG, DIGEST)

"""Health, metrics and the API, through the front that every request passes."""

import asyncio
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

import httpx
import pytest

from replicator.jobs import Outcome
from replicator.ledger import DeadLetter, Decided, JobView, Lane, State, Swept
from replicator.oci import Digest, Repository, Tag
from replicator.rules import Clause, Count, Destination, Retention, Rule, Schedule, TagStatus, TriggerType
from replicator.web.app import AT_ONCE
from tests.fakes.web import RULES, SECRET, TOKEN, FixedRules, Site, ToldLedger, ToldSweeps, bearer

API = (
    "/api/v1/status",
    "/api/v1/rules",
    "/api/v1/jobs",
    "/api/v1/jobs/x",
    "/api/v1/failures",
    "/api/v1/deletions",
    "/api/v1/conflicts",
)


def a_job(name: str, state: State) -> JobView:
    return JobView(
        name, "prod", "us", Repository("team/api"), Tag("v1"), state, since=900.0, attempts=2, reason="denied"
    )


DONE = JobView(
    "done1",
    "prod",
    "us",
    Repository("team/api"),
    Tag("v1"),
    State.DONE,
    since=900.0,
    attempts=1,
    outcome=Outcome.COPIED,
    digest=Digest.of(b"x"),
    finished_at=901.0,
    trace="00-trace",
)
LETTER = DeadLetter("1-0", "eu", "text/x", b"body-canary", 11, "no JSON", 999.0, None)


@pytest.fixture
def site() -> Site:
    ledger = ToldLedger(
        told_lanes={("prod", "us"): Lane(3, 1, 2, 990.5)},
        sweeps=ToldSweeps({("prod", "us"): Swept(800.0, 7)}),
        told_jobs=[a_job("p1", State.PENDING), a_job("f1", State.PARKED), DONE],
        told_letters=[LETTER],
        down=frozenset({"us"}),
        waiting=4,
    )
    return Site(ledger=ledger)


# Health


def test_alive_is_alive_whatever_redis_does() -> None:
    assert Site(ledger=ToldLedger(away=True)).ask("GET", "/healthz").status_code == 200


def test_ready_means_that_redis_answers() -> None:
    assert Site().ask("GET", "/readyz").status_code == 200
    assert Site(ledger=ToldLedger(away=True)).ask("GET", "/readyz").status_code == 503


def test_a_broken_newer_revision_keeps_readiness_green() -> None:
    site = Site(rules=FixedRules(error="prod.yaml:1:1: bad"))

    assert site.ask("GET", "/readyz").status_code == 200


# Metrics


def samples(site: Site) -> dict[str, float]:
    text = site.ask("GET", "/metrics").text
    pairs = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in pairs}


def test_every_enabled_rule_has_its_gauges_at_every_destination(site: Site) -> None:
    found = samples(site)

    assert found['replicator_lag_seconds{destination="us",rule="prod",source="eu"}'] == 9.5
    assert found['replicator_lag_seconds{destination="open",rule="prod",source="eu"}'] == 0
    assert found['replicator_pending_jobs{destination="us",rule="prod"}'] == 3
    assert found['replicator_failed_jobs{destination="us",rule="prod"}'] == 1
    assert found['replicator_blocked_jobs{destination="us",rule="prod"}'] == 2
    assert found['replicator_blocked_jobs{destination="open",rule="prod"}'] == 0
    assert not [name for name in found if 'rule="off"' in name]


def test_breakers_and_the_rules_are_gauges(site: Site) -> None:
    found = samples(site)

    assert found['replicator_registry_available{registry="us"}'] == 0
    assert found['replicator_registry_available{registry="eu"}'] == 1
    assert found["replicator_rules_reload_failed"] == 0
    assert samples(Site(rules=FixedRules(error="bad")))["replicator_rules_reload_failed"] == 1


def test_how_many_requests_a_registry_gets_is_a_gauge_where_that_is_bounded() -> None:
    found = samples(Site(ledger=ToldLedger(told_windows={"us": 4})))

    assert found['replicator_registry_window{registry="us"}'] == 4
    assert 'replicator_registry_window{registry="eu"}' not in found


def test_what_a_comparison_found_is_a_gauge_once_there_was_one() -> None:
    found = samples(Site(ledger=ToldLedger(sweeps=ToldSweeps({("prod", "us"): Swept(at=1234.5, drift=7)}))))

    assert found['replicator_drift_references{destination="us",rule="prod"}'] == 7
    assert found['replicator_last_sweep_timestamp_seconds{destination="us",rule="prod"}'] == 1234.5
    assert not [name for name in found if name.startswith("replicator_drift") and "open" in name]


def test_a_scrape_without_redis_leaves_the_lag_out_and_stands() -> None:
    found = samples(Site(ledger=ToldLedger(away=True)))

    assert "replicator_rules_reload_failed" in found
    assert not [name for name in found if name.startswith("replicator_lag_seconds")]


# API


@pytest.mark.parametrize("path", API)
def test_the_api_wants_its_token(site: Site, path: str) -> None:
    for token in ("", "wrong", SECRET):
        answer = site.get(path, token)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json() == {"error": "a bearer token is needed"}


def test_status_shows_every_lane(site: Site) -> None:
    status = site.get("/api/v1/status").json()

    assert status["lanes"][0] == {
        "rule": "prod",
        "source": "eu",
        "destination": "us",
        "lag_seconds": 9.5,
        "pending": 3,
        "failed": 1,
        "blocked": 2,
        "drift": 7,
        "compared_at": 800.0,
    }
    assert (status["lanes"][1]["drift"], status["lanes"][1]["compared_at"]) == (None, None)
    assert [lane["destination"] for lane in status["lanes"]] == ["us", "open"]
    assert status["inbox"] == {"length": 4, "oldest_seconds": 2.0}
    assert status["rules"] == {"revision": "revision-1", "error": None}
    assert {"name": "us", "available": False} in status["registries"]


def test_rules_show_the_error_of_a_broken_revision_and_no_secret() -> None:
    answer = Site(rules=FixedRules(error="prod.yaml:1:1: bad", warnings=["odd"])).get("/api/v1/rules")

    rules = answer.json()
    assert (rules["revision"], rules["error"], rules["warnings"]) == (
        "revision-1",
        "prod.yaml:1:1: bad",
        ["odd"],
    )
    assert [rule["name"] for rule in rules["rules"]] == ["prod", "off"]
    assert rules["rules"][0]["filters"] == [{"type": "name", "value": "team/**", "decoration": "matches"}]
    assert [registry["webhook"] for registry in rules["registries"]] == ["secret", "anonymous", "none"]
    assert "canary" not in answer.text


def test_a_rule_is_shown_with_its_schedule_its_retention_and_its_former_names() -> None:
    clauses = (Clause(TagStatus.TAGGED, Count.IMAGES, 10, prefixes=("prod-",)),)
    scheduled = Rule(
        "nightly",
        "eu",
        (Destination("us", retention=Retention(clauses)), Destination("open")),
        trigger=TriggerType.SCHEDULED,
        schedule=Schedule("0 30 2 * * *", "Europe/Vienna", 300.0),
        was=("old", "older"),
    )
    rules = FixedRules(
        replace(RULES, rules=(scheduled, Rule("new", "eu", (Destination("us"),), backfill=True)))
    )

    shown, other = Site(rules=rules).get("/api/v1/rules").json()["rules"]

    assert (shown["trigger"], shown["was"], shown["backfill"]) == ("scheduled", ["old", "older"], False)
    assert shown["schedule"] == {"cron": "0 30 2 * * *", "timezone": "Europe/Vienna", "jitter_seconds": 300.0}
    assert [there["retention"] for there in shown["destinations"]] == [["keep last 10 with prefix prod-"], []]
    assert (other["schedule"], other["was"], other["backfill"]) == (None, [], True)


def test_what_is_open_under_a_former_name_counts_for_the_rule() -> None:
    renamed = Rule("new", "eu", (Destination("us"),), was=("old",))
    told = {("new", "us"): Lane(1, 0, 2, None), ("old", "us"): Lane(3, 1, 0, 993.0)}
    site = Site(rules=FixedRules(replace(RULES, rules=(renamed,))), ledger=ToldLedger(told_lanes=told))

    (lane,) = site.get("/api/v1/status").json()["lanes"]
    scrape = site.get("/metrics").text

    assert (lane["rule"], lane["pending"], lane["failed"], lane["blocked"]) == ("new", 4, 1, 2)
    assert lane["lag_seconds"] == 7
    assert 'replicator_pending_jobs{destination="us",rule="new"} 4.0' in scrape
    assert 'rule="old"' not in scrape


def test_jobs_are_listed_by_state(site: Site) -> None:
    assert [job["id"] for job in site.get("/api/v1/jobs?state=parked").json()["jobs"]] == ["f1"]
    assert len(site.get("/api/v1/jobs?limit=2").json()["jobs"]) == 2
    assert site.get("/api/v1/jobs?state=odd").status_code == 422
    assert site.get("/api/v1/jobs?limit=0").status_code == 422


def test_a_job_is_shown_whole(site: Site) -> None:
    job = site.get("/api/v1/jobs/done1").json()

    assert (job["repository"], job["reference"], job["state"]) == ("team/api", "v1", "done")
    assert (job["outcome"], job["digest"], job["trace"]) == ("copied", str(Digest.of(b"x")), "00-trace")
    assert site.get("/api/v1/jobs/unknown").status_code == 404


def test_failures_are_jobs_and_dead_letters(site: Site) -> None:
    answer = site.get("/api/v1/failures")

    assert [job["id"] for job in answer.json()["jobs"]] == ["f1"]
    assert answer.json()["dead_letters"][0]["reason"] == "no JSON"
    assert "body-canary" not in answer.text


def test_a_decided_conflict_shows_what_was_lost() -> None:
    chosen, lost = Digest.of(b"chosen"), Digest.of(b"lost")
    told = Decided("1-0", 0.001, "prod", "eu/team/api:v1", chosen, "us/team/api:v1", lost, "newest")

    answer = Site(ledger=ToldLedger(told_conflicts=[told])).get("/api/v1/conflicts").json()

    assert answer == {"conflicts": [asdict(told)]}


@pytest.mark.parametrize("path", [path for path in API if path != "/api/v1/rules"])
def test_the_api_says_so_when_redis_is_away(path: str) -> None:
    answer = Site(ledger=ToldLedger(away=True)).get(path)

    assert answer.status_code == 503
    assert "retry-after" in answer.headers


def test_the_openapi_document_names_every_route(site: Site) -> None:
    paths = site.ask("GET", "/api/openapi.json").json()["paths"]

    assert set(paths) >= {re.sub("/x$", "/{job_id}", path) for path in API}


# Front


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/api/v1/status", "/webhooks/eu", "/metrics"])
def test_every_answer_has_the_security_headers(site: Site, path: str) -> None:
    headers = site.ask("GET", path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]


def test_an_unknown_path_is_not_found(site: Site) -> None:
    answer = site.get("/nothing")

    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


class BrokenLedger(ToldLedger):
    def each(self, **_: object) -> Iterator[JobView]:
        raise RuntimeError(f"token {TOKEN}")


def test_a_bug_is_a_500_without_detail(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    answer = Site(ledger=BrokenLedger()).get("/api/v1/jobs")

    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
    assert "request failed" in caplog.messages


# Strangers


@dataclass
class FrozenLedger(ToldLedger):
    """One that answers nobody before it is let go."""

    thaw: threading.Event = field(default_factory=threading.Event)

    def ping(self) -> None:
        self.thaw.wait(20)


def test_scrapes_by_the_thousand_leave_room_for_notifications() -> None:
    ledger = FrozenLedger()
    site = Site(ledger=ledger)

    async def flooded() -> tuple[list[int], list[int]]:
        transport = httpx.ASGITransport(site.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://replicator") as client:
            scrapes = [asyncio.create_task(client.get("/metrics")) for _ in range(AT_ONCE + 10)]
            refused, _ = await asyncio.wait(scrapes, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            others = [
                await client.get("/healthz"),
                await client.post("/webhooks/eu", headers=bearer(SECRET), content=b"{}"),
            ]
            ledger.thaw.set()
            answers = await asyncio.gather(*scrapes)
            assert refused
            return [each.status_code for each in answers], [each.status_code for each in others]

    scraped, others = asyncio.run(flooded())

    assert (scraped.count(200), scraped.count(503)) == (AT_ONCE, 10)
    assert others == [200, 202]
    assert site.ask("GET", "/metrics").status_code == 200

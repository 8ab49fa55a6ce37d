"""What the API lets people do, who may, and what is written down of it."""

import logging
from collections.abc import Callable

import httpx
import pytest

from replicator.ledger import DeadLetter, Deletion, JobView, State
from replicator.oci import OCI_MANIFEST, Digest, Repository, Tag
from tests.fakes.web import READ_TOKEN, Site, ToldLedger

REASON = "the destination holds sha256:1, which we did not put there"
CALLS = {
    "/api/v1/jobs/{job_id}/retry": None,
    "/api/v1/jobs/{job_id}/approve": None,
    "/api/v1/jobs/{job_id}/drop": None,
    "/api/v1/failures/retry": {},
    "/api/v1/failures/letters/{letter_id}/retry": None,
    "/api/v1/failures/letters/{letter_id}/drop": None,
    "/api/v1/pause": {"rule": "prod"},
    "/api/v1/resume": {"rule": "prod"},
    "/api/v1/deletions/{deletion_id}/undelete": None,
}

COMPARISONS = ("/api/v1/plan", "/api/v1/resync", "/api/v1/promote")


def a_job(
    name: str, state: State, *, rule: str = "prod", repository: str = "team/api", **more: object
) -> JobView:
    reason = {State.PARKED: "denied", State.BLOCKED: REASON}.get(state)
    fields = {"since": 900.0, "attempts": 2, "reason": reason, "due_at": 1012.0, **more}
    return JobView(name, rule, "us", Repository(repository), Tag("v1"), state, **fields)  # type: ignore[arg-type]


@pytest.fixture
def site() -> Site:
    jobs = [
        a_job("waits", State.PENDING, trace=f"00-{'a' * 32}-{'b' * 16}-01"),
        a_job("runs", State.RUNNING),
        a_job("parked", State.PARKED),
        a_job("blocked", State.BLOCKED),
        a_job("other", State.PARKED, rule="gone", repository="other/api"),
        a_job("done", State.DONE, outcome="copied"),
    ]
    letters = [
        DeadLetter("1-0", "eu", "text/x", b"body", 4, "no JSON", 999.0, None),
        DeadLetter("2-0", "us", "text/x", b"cut", 11, "no JSON", 999.0, None, is_whole=False),
    ]
    deletion = Deletion(
        "3-0", 900.0, "us", Repository("team/api"), Tag("v1"), Digest.of(b"{}"), OCI_MANIFEST, b"{}", "prod"
    )
    return Site(ledger=ToldLedger(told_jobs=jobs, told_letters=letters, told_deletions=[deletion]))


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [vars(item) for item in caplog.records if item.message == "operator"]


# Who may


@pytest.mark.parametrize("path", CALLS)
def test_a_reading_token_changes_nothing(site: Site, path: str) -> None:
    answer = site.act(path, CALLS[path], token=READ_TOKEN)

    assert answer.status_code == 403
    assert answer.json() == {"error": "this token may only read: REPLICATOR_API_TOKEN may write"}
    assert site.act(path, CALLS[path], token="wrong").status_code == 401
    assert site.ledger.settled == []
    assert site.ledger.pauses.all() == []


def test_a_reading_token_reads(site: Site) -> None:
    for path in ("status", "rules", "jobs", "jobs/parked", "failures", "deletions"):
        assert site.get(f"/api/v1/{path}", READ_TOKEN).status_code == 200


def test_openapi_names_the_scope_and_every_error_of_each_route(site: Site) -> None:
    document = site.ask("GET", "/api/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["token"]

    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert "REPLICATOR_API_READ_TOKEN may only read" in scheme["description"]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            scope = "read" if method == "get" else "write"
            assert route["security"] == [{"token": [scope]}], path
            errors = {"401", "422", "503"} | ({"403", "409", "413"} if method == "post" else set())
            errors |= {"404"} if "{" in path else set()
            errors |= {"409"} if "/plans/" in path else set()
            (success,) = set(route["responses"]) - errors
            assert success == ("202" if path in COMPARISONS else "200"), path
            for status in errors:
                schema = route["responses"][status]["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
    posts = {path for path, methods in document["paths"].items() if "post" in methods}
    assert posts == {*CALLS, *COMPARISONS}


# Seeing


def test_a_job_is_told_in_words_with_its_next_try_and_trace(site: Site) -> None:
    job = site.get("/api/v1/jobs/waits").json()

    assert (job["source"], job["target"], job["next_try_s"]) == ("eu", "team/api", 12.0)
    assert job["trace_id"] == "a" * 32
    assert job["sentence"] == "waits for its turn"
    assert job["approving"] is None


def test_a_blocked_job_says_what_approving_it_would_do(site: Site) -> None:
    job = site.get("/api/v1/jobs/blocked").json()

    assert job["sentence"] == f"waits for a person's approval: {REASON}"
    assert job["approving"] == (
        "deletes us/team/api:v1 although replicator did not put there what it holds now"
    )
    assert job["next_try_s"] is None


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("rule=gone", ["other"]),
        ("source=eu&state=parked", ["parked"]),
        ("repository=other/**", ["other"]),
        ("destination=us&state=blocked", ["blocked"]),
        ("destination=open", []),
    ],
)
def test_jobs_are_chosen_by_rule_place_and_pattern(site: Site, query: str, ids: list[str]) -> None:
    answer = site.get(f"/api/v1/jobs?{query}")

    assert [job["id"] for job in answer.json()["jobs"]] == ids


@pytest.mark.parametrize("query", ["rule=prdo", "destination=uss", "source=uk", "state=odd", "repository=a["])
def test_a_mistyped_choice_is_an_error_and_never_nothing(site: Site, query: str) -> None:
    answer = site.get(f"/api/v1/jobs?{query}")

    assert answer.status_code == 422
    assert query.partition("=")[2] in answer.json()["error"]


def test_dead_letters_belong_to_a_source_alone(site: Site) -> None:
    def letters(query: str) -> list[str]:
        return [letter["id"] for letter in site.get(f"/api/v1/failures?{query}").json()["dead_letters"]]

    assert letters("") == ["1-0", "2-0"]
    assert letters("state=dead&source=eu") == ["1-0"]
    assert letters("state=parked") == letters("rule=prod") == []


# Doing


@pytest.mark.parametrize(
    ("path", "noted"),
    [
        ("jobs/parked/retry", ("retry", "parked")),
        ("jobs/waits/retry", ("retry", "waits")),
        ("jobs/waits/drop", ("drop", "waits")),
        ("jobs/blocked/approve", (f"approve {REASON}", "blocked")),
        ("failures/letters/1-0/retry", ("retry", "1-0")),
        ("failures/letters/2-0/drop", ("drop", "2-0")),
    ],
)
def test_what_is_done_is_said_and_logged(
    site: Site, caplog: pytest.LogCaptureFixture, path: str, noted: tuple[str, str]
) -> None:
    caplog.set_level(logging.INFO)

    answer = site.act(f"/api/v1/{path}")

    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["done"]) == (noted[1], True)
    assert site.ledger.settled == [noted]
    (line,) = lines(caplog)
    assert noted[1] in (line.get("job"), line.get("letter"))
    assert line["done"] is True


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("jobs/nothing/retry", 404, "no such job"),
        ("jobs/runs/drop", 409, "a worker is at it"),
        ("jobs/done/retry", 409, "it has ended"),
        ("jobs/parked/approve", 409, "only a blocked job can be approved, and it is parked"),
        ("failures/letters/9-0/drop", 404, "nothing of that id"),
        ("failures/letters/2-0/retry", 409, "too large to be kept whole"),
        ("deletions/9-0/undelete", 404, "nothing of that id"),
        ("deletions/3-0/undelete", 409, "no rule file describes the registry us"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_logged(
    site: Site, caplog: pytest.LogCaptureFixture, path: str, status: int, words: str
) -> None:
    caplog.set_level(logging.INFO)

    answer = site.act(f"/api/v1/{path}")

    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert site.ledger.settled == []
    (line,) = lines(caplog)
    assert line["done"] is False
    assert words in str(line["why_not"])


def test_an_approval_of_other_words_is_refused(site: Site) -> None:
    refused = site.act("/api/v1/jobs/blocked/approve", {"reason": "what I read"})

    assert refused.status_code == 409
    assert REASON in refused.json()["error"]
    assert site.act("/api/v1/jobs/blocked/approve", {"reason": REASON}).status_code == 200


def test_failures_are_retried_by_filter(site: Site) -> None:
    answer = site.act("/api/v1/failures/retry", {"rule": "prod"})

    assert [(one["id"], one["done"]) for one in answer.json()["settled"]] == [
        ("parked", True),
        ("blocked", True),
    ]
    assert site.act("/api/v1/failures/retry", {"rul": "prod"}).status_code == 422


def test_all_failures_are_retried_letters_included_and_each_says_what_came_of_it(site: Site) -> None:
    answer = site.act("/api/v1/failures/retry", {})

    assert {one["id"]: one["done"] for one in answer.json()["settled"]} == {
        "parked": True,
        "other": True,
        "blocked": True,
        "1-0": True,
        "2-0": False,
    }


# Pauses


def test_a_rule_is_paused_shown_and_resumed(site: Site) -> None:
    paused = site.act("/api/v1/pause", {"rule": "prod", "reason": "disk"}).json()

    assert paused["pauses"] == [{"kind": "rule", "name": "prod", "since": 990.0, "reason": "disk"}]
    status = site.get("/api/v1/status").json()
    assert status["pauses"] == paused["pauses"]
    assert "rule prod is resumed" in site.get("/api/v1/jobs/waits").json()["sentence"]
    assert site.act("/api/v1/resume", {"rule": "prod"}).json() == {"pauses": []}


@pytest.mark.parametrize(
    ("call", "status", "words"),
    [
        (lambda site: site.act("/api/v1/pause", {"rule": "prdo"}), 422, "there are: off, prod"),
        (lambda site: site.act("/api/v1/pause", {"destination": "eu"}), 422, "there are: open, us"),
        (lambda site: site.act("/api/v1/pause", {}), 422, "name a rule or a destination"),
        (
            lambda site: site.act("/api/v1/resume", {"rule": "prod", "destination": "us"}),
            422,
            "name a rule or",
        ),
        (lambda site: site.act("/api/v1/resume", {"rule": "prod"}), 409, "paused are: none"),
    ],
)
def test_a_pause_of_what_nobody_knows_is_refused(
    site: Site, call: Callable[[Site], httpx.Response], status: int, words: str
) -> None:
    answer = call(site)

    assert answer.status_code == status
    assert words in answer.json()["error"]

"""Who may do what over HTTP, and what a browser can be made to do: S1, S22, S23."""

import ast
import base64
import functools
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from replicator.ledger import DeadLetter, Deletion, JobView, State
from replicator.oci import OCI_MANIFEST, Digest, Repository, Tag
from replicator.telemetry import metrics
from tests.fakes.web import READ_TOKEN, SECRET, TOKEN, Site, ToldLedger, bearer

PRODUCT = Path(__file__).parents[2] / "replicator"
OPEN = {"/healthz", "/readyz", "/metrics", "/api/openapi.json"}
"""What answers without a token: probes, the scrape, and the description of the API, which is public anyway."""
BODIES = {
    "/api/v1/pause": {"rule": "prod"},
    "/api/v1/resume": {"rule": "prod"},
    "/api/v1/promote": {"source": "eu/team/api:v1", "destination": "us/team/api"},
    "/api/v1/jobs/{job_id}/retry": None,
    "/api/v1/jobs/{job_id}/drop": None,
    "/api/v1/failures/letters/{letter_id}/retry": None,
    "/api/v1/failures/letters/{letter_id}/drop": None,
}
STRANGERS: dict[str, dict[str, str]] = {
    "no token": {},
    "another token": bearer("wrong"),
    "a beginning of it": bearer(TOKEN[:-1]),
    "more than it": bearer(TOKEN + "x"),
    "a webhook secret": bearer(SECRET),
    "its password form": {"Authorization": "Basic " + base64.b64encode(f"x:{TOKEN}".encode()).decode()},
    "its bare form": {"Authorization": TOKEN},
    "a cookie": {"Cookie": f"token={TOKEN}; Authorization=Bearer {TOKEN}"},
    "another header": {"X-Authorization": f"Bearer {TOKEN}", "Token": TOKEN},
    "a proxy's word": {"X-Forwarded-User": "admin", "X-Forwarded-For": "127.0.0.1", "Via": "1.1 localhost"},
}


class KeptSite(Site):
    """One application for many questions: making it takes longer than an answer."""

    @functools.cached_property
    def app(self) -> ASGIApp:
        return super().app


@pytest.fixture
def site() -> Site:
    job = JobView("x", "prod", "us", Repository("team/api"), Tag("v1"), State.PARKED, since=900.0, attempts=2)
    letter = DeadLetter("x", "eu", "text/x", b"body", 4, "no JSON", 999.0, None)
    digest = Digest.of(b"{}")
    deletion = Deletion(
        "x", 900.0, "us", Repository("team/api"), Tag("v1"), digest, OCI_MANIFEST, b"{}", "prod"
    )
    return KeptSite(ledger=ToldLedger(told_jobs=[job], told_letters=[letter], told_deletions=[deletion]))


def routes(site: Site) -> Iterator[tuple[str, str, str]]:
    """Method, path and template of all that the OpenAPI document names."""
    for template, methods in site.ask("GET", "/api/openapi.json").json()["paths"].items():
        for method in methods:
            yield method.upper(), re.sub(r"\{[a-z_]+\}", "x", template), template


def ask(site: Site, method: str, path: str, template: str, headers: dict[str, str]) -> int:
    if method == "GET":
        return site.ask(method, path, headers=headers).status_code
    body = BODIES.get(template, {})
    content = {**headers, "Content-Type": "application/json"}
    raw = b"" if body is None else str(body).replace("'", '"').encode()
    return site.ask(method, path, headers=content, body=raw).status_code


# S22: the role matrix


def test_s22_every_route_is_described_or_known_to_be_open(site: Site) -> None:
    described = {path for _, path, _ in routes(site)}

    assert all(path.startswith("/api/v1/") for path in described)
    assert len(described) > 15
    for path in OPEN:
        assert site.ask("GET", path).status_code == 200
    for path in ("/", "/docs", "/redoc", "/openapi.json", "/api", "/api/v1", "/debug", "/.env", "/static/x"):
        assert site.ask("GET", path).status_code == 404, path


@pytest.mark.parametrize("who", STRANGERS)
def test_s22_a_stranger_may_do_nothing(site: Site, who: str) -> None:
    for method, path, template in routes(site):
        assert ask(site, method, path, template, STRANGERS[who]) == 401, (method, path)
        assert (
            ask(site, method, f"{path}?token={TOKEN}&access_token={TOKEN}", template, STRANGERS[who]) == 401
        )

    assert site.ledger.settled == []
    assert site.ledger.pauses.all() == []
    assert site.ledger.sweeps.asked == []


def test_s22_every_stranger_is_told_the_same(site: Site) -> None:
    answers = {
        (answer.content, answer.headers["www-authenticate"])
        for headers in STRANGERS.values()
        for path in ("/api/v1/jobs/x", "/api/v1/jobs/absent", "/api/v1/status")
        for answer in [site.ask("GET", path, headers=headers)]
    }

    assert answers == {(b'{"error":"a bearer token is needed"}', 'Bearer realm="replicator"')}


def test_s22_the_reading_token_reads_and_the_writing_token_does_both(site: Site) -> None:
    for method, path, template in routes(site):
        reads = ask(site, method, path, template, bearer(READ_TOKEN))
        assert (reads == 403) is (method != "GET"), path
        assert reads != 401
    assert site.ledger.settled == []
    assert site.ledger.sweeps.asked == []

    assert not {ask(site, *route, bearer(TOKEN)) for route in routes(site)} & {401, 403}
    assert site.ledger.settled
    assert site.ledger.sweeps.asked


def test_s22_every_change_leaves_a_line_that_names_it_and_no_token(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for method, path, template in routes(site):
        caplog.clear()
        ask(site, method, path, template, bearer(TOKEN))
        said = [item for item in caplog.records if item.message == "operator"]

        assert len(said) == (method != "GET"), path
        assert all(vars(item)["action"] for item in said)
        assert not any(TOKEN in str(vars(item)) for item in caplog.records)


# What a page of somebody else's can make a browser do: nothing, because no cookie and no address lets anybody in


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_s22_a_form_of_another_site_changes_nothing(site: Site, content_type: str) -> None:
    headers = {"Origin": "https://evil.example", "Cookie": f"token={TOKEN}", "Content-Type": content_type}

    answer = site.ask("POST", "/api/v1/pause", headers=headers, body=b'{"rule": "prod"}')

    assert answer.status_code in {401, 422}
    assert "set-cookie" not in answer.headers
    assert site.ledger.pauses.all() == []


def test_s22_no_other_site_is_allowed_to_ask_or_to_read(site: Site) -> None:
    asked = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for method, path, _ in routes(site):
        for answer in (
            site.ask("OPTIONS", path, headers=asked),
            site.ask(method, path, headers={**bearer(TOKEN), "Origin": "https://evil.example"}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control-")], path
            assert answer.headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert site.ask("OPTIONS", path, headers=asked).status_code == 405


# S1: how secrets are compared


def test_s1_no_secret_is_compared_in_a_way_that_tells_how_near_a_guess_was() -> None:
    texts = [path.read_text() for folder in ("web", "events") for path in (PRODUCT / folder).rglob("*.py")]
    compared = [
        ast.unparse(node)
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Compare)
        and re.search(r"secret|token|offer|\bexpected\b|password", ast.unparse(node))
    ]

    assert compared == []
    assert sum("hmac.compare_digest" in text for text in texts) == 1


# S23: what a scrape may tell


def test_s23_no_metric_has_a_label_that_a_pusher_chooses(site: Site) -> None:
    text = site.ask("GET", "/metrics").text
    names = set(re.findall(r'[{,]([a-z_]+)="', text))
    declared = {name for value in vars(metrics).values() for name in getattr(value, "_labelnames", ())}

    assert declared
    assert names | declared <= {
        *(
            "rule",
            "source",
            "destination",
            "registry",
            "outcome",
            "how",
            "method",
            "status",
            "action",
            "result",
        ),
        *("le", "version", "implementation", "major", "minor", "patchlevel", "generation", "pid"),
    }

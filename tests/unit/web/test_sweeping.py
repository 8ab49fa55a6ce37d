"""Comparisons through the API: what is asked for, who may, and what is told of them."""

import json
import math
from collections.abc import AsyncIterator

import pytest

from replicator.ledger import SweepKind, SweepState, SweepView
from replicator.resync import Request, Scope, written
from replicator.web.app import BODY_BYTES
from tests.fakes.web import READ_TOKEN, TOKEN, Site, ToldLedger, ToldSweeps

PLAN = "\n".join(written([], revision="r", ending=lambda: ([], [])))
PATHS = ("/api/v1/plan", "/api/v1/resync")


def a_sweep(kind: SweepKind, state: SweepState, **more: object) -> SweepView:
    return SweepView("x", kind, state, "{}", "API", 900.0, **more)  # type: ignore[arg-type]


TOLD = {
    "waits": a_sweep(SweepKind.PLAN, SweepState.WAITING),
    "done": a_sweep(
        SweepKind.RESYNC,
        SweepState.DONE,
        ended_at=950.0,
        result='{"submitted": 3, "troubles": ["us is away"]}',
    ),
    "plan": a_sweep(SweepKind.PLAN, SweepState.DONE, ended_at=950.0, result=PLAN),
    "failed": a_sweep(SweepKind.PLAN, SweepState.FAILED, ended_at=950.0, error="the plan is too long"),
}


@pytest.fixture
def site() -> Site:
    return Site(ledger=ToldLedger(sweeps=ToldSweeps(told=TOLD)))


def post(site: Site, path: str, body: object, token: str = TOKEN) -> tuple[int, dict[str, object]]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = site.ask("POST", path, headers=headers, body=json.dumps(body).encode())
    return answer.status_code, answer.json()


def get(site: Site, path: str, token: str = READ_TOKEN) -> tuple[int, dict[str, object]]:
    answer = site.ask("GET", f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json()


def wanted(site: Site) -> list[tuple[SweepKind, Request]]:
    return [(kind, Request.from_json(text)) for kind, text in site.ledger.sweeps.asked]


@pytest.mark.parametrize(("path", "kind"), [*zip(PATHS, (SweepKind.PLAN, SweepKind.RESYNC), strict=True)])
def test_a_comparison_is_asked_for(site: Site, path: str, kind: SweepKind) -> None:
    body = {"rule": "prod", "tag": "v*", "since": 5.0, "prune": True, "recheck": 0.5}

    assert post(site, path, body) == (202, {"id": "asked-1"})

    assert wanted(site) == [(kind, Request(Scope(rule="prod", tag="v*"), since=5.0, prune=True, recheck=0.5))]


def test_a_plan_is_carried_out_alone(site: Site) -> None:
    assert post(site, "/api/v1/resync", {"plan": "plan"})[0] == 202
    assert post(site, "/api/v1/resync", {"plan": "plan", "rule": "prod"})[0] == 422

    assert [request.plan for _, request in wanted(site)] == ["plan"]


@pytest.mark.parametrize(
    "body", [{"rule": "nobody"}, {"repository": "["}, {"recheck": 2}, {"since": math.nan}, {"unknown": 1}]
)
@pytest.mark.parametrize("path", PATHS)
def test_a_wish_that_makes_no_sense_is_refused_at_once(site: Site, path: str, body: object) -> None:
    status, answer = post(site, path, body)

    assert status == 422
    assert answer["error"]
    assert site.ledger.sweeps.asked == []


@pytest.mark.parametrize("path", PATHS)
def test_a_token_that_may_only_read_asks_for_nothing(site: Site, path: str) -> None:
    assert post(site, path, {}, token=READ_TOKEN)[0] == 403
    assert post(site, path, {}, token="wrong")[0] == 401


def test_what_became_of_a_comparison(site: Site) -> None:
    _, done = get(site, "sweeps/done")
    _, failed = get(site, "sweeps/failed")

    assert (done["state"], done["submitted"], done["troubles"]) == ("done", 3, ["us is away"])
    assert (failed["state"], failed["error"]) == ("failed", "the plan is too long")
    assert get(site, "sweeps/nobody")[0] == 404


def test_open_comparisons_are_listed(site: Site) -> None:
    _, listed = get(site, "sweeps")

    assert [sweep["state"] for sweep in listed["sweeps"]] == ["waiting"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "status"), [("plan", 200), ("waits", 409), ("failed", 409), ("done", 404)])
def test_a_plan_is_shown_when_it_is_done(site: Site, name: str, status: int) -> None:
    found, answer = get(site, f"plans/{name}")

    assert found == status
    assert status != 200 or answer["hash"]


def test_a_body_without_end_is_not_read_to_its_end(site: Site) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 10_000
            yield b" " * 10_000

    answer = site.ask("POST", "/api/v1/plan", headers={"Content-Type": "application/json"}, body=endless())

    assert answer.status_code == 413
    assert answer.json() == {"error": f"larger than {BODY_BYTES} bytes"}
    assert sent <= BODY_BYTES + 10_000

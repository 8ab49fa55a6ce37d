"""/api/v1: what people and scripts may ask. Every route wants the bearer token; no answer holds a secret."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from pydantic import SecretStr

from replicator.ledger import Ledger, State, lanes_of
from replicator.rulefiles import RuleBook
from replicator.web.answers import (
    DeadLetterAnswer,
    Failures,
    InboxStatus,
    JobAnswer,
    Jobs,
    LaneStatus,
    RegistryAnswer,
    RegistryStatus,
    RuleAnswer,
    RulesAnswer,
    RulesStatus,
    Status,
)
from replicator.web.authentication import holds_token
from replicator.web.metrics import lag_s

Limit = Annotated[int, Query(ge=1, le=1000, description="at most so many")]


def api_routes(*, rules: RuleBook, ledger: Ledger, token: SecretStr) -> APIRouter:
    """The API over `ledger` and `rules`, for holders of `token`."""

    routes = APIRouter(prefix="/api/v1", dependencies=[Depends(_holder_of(token))])
    # None of these is async: reading the ledger blocks, so it belongs in the thread pool.

    @routes.get("/status")
    def status() -> Status:
        """Lag, pending, failed and blocked jobs of every enabled rule at every destination."""
        return status_of(rules, ledger)

    @routes.get("/rules")
    def show_rules() -> RulesAnswer:
        """The rules in force, and the error of a broken newer revision."""
        return rules_of(rules)

    @routes.get("/jobs")
    def jobs(state: State | None = None, limit: Limit = 100) -> Jobs:
        """Open jobs, the oldest first; with `state=done` the latest ended ones."""
        return Jobs(jobs=[JobAnswer.of(job) for job in ledger.view.jobs(state=state, limit=limit)])

    @routes.get("/jobs/{job_id}")
    def job(job_id: str) -> JobAnswer:
        """One job, open or lately ended."""
        found = ledger.view.job_view(job_id)
        if found is None:
            raise HTTPException(404, "no such job")
        return JobAnswer.of(found)

    @routes.get("/failures")
    def failures(limit: Limit = 100) -> Failures:
        """Parked and blocked jobs, and notifications that could not be read."""
        return Failures(
            jobs=[JobAnswer.of(job) for job in ledger.view.failures(limit)],
            dead_letters=[DeadLetterAnswer.of(letter) for letter in ledger.view.dead_letters(limit)],
        )

    return routes


def _holder_of(token: SecretStr) -> Callable[[Request], None]:
    def authorize(request: Request) -> None:
        if not holds_token(token, request.headers.get("authorization", "")):
            challenge = {"WWW-Authenticate": 'Bearer realm="replicator"'}
            raise HTTPException(401, "a bearer token is needed", challenge)

    return authorize


def status_of(rules: RuleBook, ledger: Ledger) -> Status:
    """Where everything stands: also what `replicator status` prints."""
    current = rules.current
    lanes = lanes_of(ledger.view, current)
    now = ledger.view.now()
    inbox = ledger.inbox("status")
    gone = ledger.fleet.unreachable(current.registries)
    return Status(
        lanes=[
            LaneStatus(
                rule=rule.name,
                source=rule.source,
                destination=there.registry,
                lag_seconds=round(lag_s(lane, now), 3),
                pending=lane.pending,
                failed=lane.failed,
                blocked=lane.blocked,
            )
            for rule, there in current.lanes
            for lane in [lanes[rule.name, there.registry]]
        ],
        inbox=InboxStatus(length=inbox.length(), oldest_seconds=round(inbox.oldest_age_s(), 3)),
        rules=RulesStatus(revision=current.revision, error=rules.error),
        registries=[RegistryStatus(name=name, available=name not in gone) for name in current.registries],
    )


def rules_of(rules: RuleBook) -> RulesAnswer:
    """The rules in force."""
    current = rules.current
    return RulesAnswer(
        revision=current.revision,
        error=rules.error,
        loaded_at=rules.loaded_at,
        warnings=[str(problem) for problem in rules.warnings],
        registries=[RegistryAnswer.of(registry) for registry in current.registries.values()],
        rules=[RuleAnswer.of(rule) for rule in current.rules],
    )

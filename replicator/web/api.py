"""/api/v1: what people and scripts may see. Every route wants a bearer token; no answer holds a secret."""

from collections.abc import Iterable
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query

from replicator import operate
from replicator.ledger import JobView, Ledger, View, lanes_of
from replicator.operate import Desk, Filters
from replicator.rulefiles import RuleBook
from replicator.web.access import NOT_FOUND, READ_ERRORS, may
from replicator.web.answers import (
    ConflictAnswer,
    ConflictsAnswer,
    DeadLetterAnswer,
    DeletionAnswer,
    DeletionsAnswer,
    Failures,
    InboxStatus,
    JobAnswer,
    Jobs,
    LaneStatus,
    PauseAnswer,
    RegistryAnswer,
    RegistryStatus,
    RuleAnswer,
    RulesAnswer,
    RulesStatus,
    Status,
)
from replicator.web.authentication import Scope, Tokens
from replicator.web.metrics import lag_s

Limit = Annotated[int, Query(ge=1, le=1000, description="at most so many")]
Choice = Annotated[Filters, Depends()]


def api_routes(*, rules: RuleBook, desk: Desk, tokens: Tokens) -> APIRouter:
    """What may be seen of the ledger and the rules, by holders of any token."""
    routes = APIRouter(prefix="/api/v1", dependencies=[may(Scope.READ, tokens)], responses=READ_ERRORS)
    view = desk.ledger.view
    # None of these is async: reading the ledger blocks, so it belongs in the thread pool.

    @routes.get("/status")
    def status() -> Status:
        """Lag, pending, failed and blocked jobs of every enabled rule at every destination, and what is paused."""
        return status_of(rules, desk.ledger)

    @routes.get("/rules")
    def show_rules() -> RulesAnswer:
        """The rules in force, and the error of a broken newer revision."""
        return rules_of(rules)

    @routes.get("/jobs")
    def jobs(filters: Choice, limit: Limit = 100) -> Jobs:
        """Open jobs, the oldest first; with `state=done` the latest ended ones. `repository` is a pattern."""
        return Jobs(jobs=_told(desk, islice(operate.jobs(desk, filters), limit)))

    @routes.get("/jobs/{job_id}", responses=NOT_FOUND)
    def job(job_id: str) -> JobAnswer:
        """One job, open or lately ended."""
        return _told(desk, [job_of(view, job_id)])[0]

    @routes.get("/failures")
    def failures(filters: Choice, limit: Limit = 100) -> Failures:
        """Parked and blocked jobs, and notifications that could not be read (`state=dead`)."""
        letters = islice(operate.letters(desk, filters), limit)
        return Failures(
            jobs=_told(desk, islice(operate.failures(desk, filters), limit)),
            dead_letters=[DeadLetterAnswer.of(letter) for letter in letters],
        )

    @routes.get("/deletions")
    def deletions(limit: Limit = 100) -> DeletionsAnswer:
        """What was deleted at destinations and may be put back, the latest first."""
        return DeletionsAnswer(
            deletions=[DeletionAnswer.of(deletion) for deletion in islice(desk.ledger.deletions, limit)]
        )

    @routes.get("/conflicts")
    def conflicts(limit: Limit = 100) -> ConflictsAnswer:
        """Which of several pushes at once was chosen, and what it was written over, the latest first."""
        return ConflictsAnswer(
            conflicts=[ConflictAnswer.of(decided) for decided in islice(desk.ledger.conflicts, limit)]
        )

    return routes


def job_of(view: View, job_id: str) -> JobView:
    """The job, open or lately ended. Raises HTTPException if there is none."""
    found = view.job_view(job_id)
    if found is None:
        raise HTTPException(404, "no such job")
    return found


def _told(desk: Desk, jobs: Iterable[JobView]) -> list[JobAnswer]:
    return [JobAnswer.of(found) for found in operate.describe(desk, jobs)]


def status_of(rules: RuleBook, ledger: Ledger) -> Status:
    """Where everything stands: also what `replicator status` prints."""
    current = rules.current
    lanes = lanes_of(ledger.view, current)
    now = ledger.view.now()
    inbox = ledger.inbox("status")
    gone = ledger.availability.unreachable(current.registries)
    swept = ledger.sweeps.swept(lanes)
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
                drift=found.drift if found else None,
                compared_at=found.at if found else None,
            )
            for rule, there in current.lanes
            for lane, found in [(lanes[rule.name, there.registry], swept.get((rule.name, there.registry)))]
        ],
        pauses=[PauseAnswer.of(pause) for pause in ledger.pauses.all()],
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

"""/api/v1: comparisons. They take minutes, so that whoever asks gets an id, and the scheduler makes them."""

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field

from replicator.errors import ConfigError
from replicator.ledger import SweepKind, SweepState, SweepView
from replicator.operate import Desk
from replicator.resync import Document, Request, Scope
from replicator.web import authentication
from replicator.web.access import NOT_AS_THINGS_STAND, NOT_FOUND, READ_ERRORS, WRITE_ERRORS, may
from replicator.web.audit import audited
from replicator.web.authentication import Tokens


class Comparison(BaseModel):
    """What is to be compared; what is left out is not narrowed down. `repository` and `tag` are patterns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str | None = None
    destination: str | None = None
    source: str | None = None
    repository: str | None = None
    tag: str | None = None
    since: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="leave out images made before, seconds since the epoch",
    )
    prune: bool = Field(
        default=False, description="what only a destination has is to go, under the delete guards"
    )
    recheck: float = Field(default=1.0, ge=0, le=1, description="share of what the ledger knows that is read")

    @property
    def request(self) -> Request:
        """The same for the scheduler."""
        scope = Scope(self.rule, self.destination, self.source, self.repository, self.tag)
        return Request(scope, self.since, self.prune, self.recheck)


class Resync(Comparison):
    """What is to be brought in line: everything that differs, or exactly what a plan says."""

    everything: bool = Field(default=False, description="look below the tags that are right, too")
    plan: str | None = Field(
        default=None, description="the id of a plan to carry out; nothing else is given then"
    )

    @property
    def request(self) -> Request:
        """The same for the scheduler. Raises ConfigError for a plan with anything beside it."""
        if self.plan is not None and self.model_fields_set != {"plan"}:
            raise ConfigError("a plan names everything that is to be done: leave the rest out")
        found = super().request
        return Request(
            found.scope, found.since, found.prune, found.recheck, everything=self.everything, plan=self.plan
        )


class Asked(BaseModel):
    """A comparison that was asked for: GET /api/v1/sweeps/ID tells what became of it."""

    id: str


class SweepAnswer(BaseModel):
    """A comparison. A resync that is done says how many jobs it submitted; `troubles` could not be read, and deletes
    that are `held_back` are too many to be carried out unasked.
    """

    id: str
    kind: SweepKind
    state: SweepState
    by: str
    asked_at: float
    started_at: float | None
    ended_at: float | None
    error: str | None
    submitted: int | None
    troubles: list[str]
    held_back: list[str]


class Sweeps(BaseModel):
    """Comparisons that wait or run."""

    sweeps: list[SweepAnswer]


class _Outcome(BaseModel):
    submitted: int | None = None
    troubles: list[str] = []
    held_back: list[str] = []


def asking_routes(*, desk: Desk, tokens: Tokens) -> APIRouter:
    """Asking for comparisons, for holders of the token that may write."""
    scope = authentication.Scope.WRITE
    routes = APIRouter(prefix="/api/v1", dependencies=[may(scope, tokens)], responses=WRITE_ERRORS)

    @routes.post("/plan", status_code=202)
    def plan(wish: Comparison) -> Asked:
        """Have both sides compared: GET /api/v1/plans/ID gives the plan when it is done. Nothing is changed."""
        return _ask(desk, SweepKind.PLAN, wish.request)

    @routes.post("/resync", status_code=202)
    def resync(wish: Resync) -> Asked:
        """Have everything brought in line that differs, or a plan carried out if the world did not move since."""
        return _ask(desk, SweepKind.RESYNC, wish.request)

    return routes


def sweep_routes(*, desk: Desk, tokens: Tokens) -> APIRouter:
    """What became of comparisons, for holders of any token."""
    scope = authentication.Scope.READ
    routes = APIRouter(prefix="/api/v1", dependencies=[may(scope, tokens)], responses=READ_ERRORS)
    sweeps = desk.ledger.sweeps

    @routes.get("/sweeps")
    def open_sweeps() -> Sweeps:
        """Comparisons that wait or run, in the order in which they were asked for."""
        return Sweeps(sweeps=[_answer(view) for view in sweeps.open()])

    @routes.get("/sweeps/{sweep_id}", responses=NOT_FOUND)
    def sweep(sweep_id: str) -> SweepAnswer:
        """One comparison, until a week after its end."""
        return _answer(_found(sweeps.view(sweep_id)))

    @routes.get("/plans/{plan_id}", response_model=Document, responses={**NOT_FOUND, **NOT_AS_THINGS_STAND})
    def show_plan(plan_id: str) -> Response:
        """A plan that is done: what `replicator plan --json` prints."""
        view = _found(sweeps.view(plan_id))
        if view.kind is not SweepKind.PLAN:
            raise HTTPException(404, "there is nothing of that id")
        if view.result is None:
            raise HTTPException(409, view.error or "the plan is not done yet")
        # As it was written: it may have megabytes, and reading it would hold up everybody.
        return Response(view.result, media_type="application/json")

    return routes


def _ask(desk: Desk, kind: SweepKind, request: Request) -> Asked:
    with audited(f"ask for a {kind}", request=request.json):
        if request.plan is None:
            request.scope.lanes(desk.rules())  # what names nothing is told now
        return Asked(id=str(desk.ledger.sweeps.ask(kind, request.json, by="API")))


def _found(view: SweepView | None) -> SweepView:
    if view is None:
        raise HTTPException(404, "there is nothing of that id")
    return view


def _answer(view: SweepView) -> SweepAnswer:
    outcome = _Outcome.model_validate_json(view.result or "{}")
    return SweepAnswer(
        id=view.id,
        kind=view.kind,
        state=view.state,
        by=view.by,
        asked_at=view.asked_at,
        started_at=view.started_at,
        ended_at=view.ended_at,
        error=view.error,
        submitted=outcome.submitted,
        troubles=outcome.troubles,
        held_back=outcome.held_back,
    )

"""/api/v1: what people and scripts may do."""

from collections.abc import Iterable
from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, model_validator

from replicator import operate
from replicator.ledger import DeadLetter, Deletion, PauseKind
from replicator.operate import Desk, Filters, Item, Verb
from replicator.rules import Signatures
from replicator.transfer.promote import Order, digest_expected, resolve, submit
from replicator.web.access import NOT_FOUND, WRITE_ERRORS, may
from replicator.web.answers import (
    PauseAnswer,
    Pauses,
    PromotedAnswer,
    SettledAnswer,
    SettledAnswers,
    UndeletedAnswer,
)
from replicator.web.api import job_of
from replicator.web.audit import audited
from replicator.web.authentication import Scope, Tokens

T = TypeVar("T", DeadLetter, Deletion)


def _printable(text: str) -> str:
    # It is shown in terminals and log lines, long after it was said.
    if not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text


Line = Annotated[str, StringConstraints(max_length=500), AfterValidator(_printable)]


class _Wish(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Chosen(_Wish):
    """Which failures are meant; what is left out leaves everything in."""

    rule: str | None = None
    destination: str | None = None
    source: str | None = None
    repository: str | None = None
    state: str | None = None


class Approval(_Wish):
    """The reason that was read: another one is not approved by it. Without it, whatever the reason is now."""

    reason: str | None = None


class Subject(_Wish):
    """A rule or a destination."""

    rule: str | None = None
    destination: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Subject":
        if (self.rule is None) == (self.destination is None):
            raise ValueError("name a rule or a destination")
        return self

    @property
    def kind(self) -> PauseKind:
        """Which of both it is."""
        return PauseKind.DESTINATION if self.rule is None else PauseKind.RULE

    @property
    def name(self) -> str:
        """Its name."""
        return self.rule or self.destination or ""


class Rest(Subject):
    """What is to be paused, and why."""

    reason: Line = ""


class Wanted(_Wish):
    """A promotion: `source` is REGISTRY/REPOSITORY:TAG or @DIGEST, `destination` REGISTRY/REPOSITORY, with :TAG or not.

    `expect` is the digest that the source's tag must hold, `override` False keeps another digest at the destination.
    """

    source: str
    destination: str
    expect: str | None = None
    override: bool = True
    signatures: Signatures = Signatures.FOLLOW
    by: Line = "API"


class Force(_Wish):
    """Whether to write over what stands there now."""

    force: bool = False


def action_routes(*, desk: Desk, tokens: Tokens) -> APIRouter:
    """What may be changed in the ledger, by holders of the token that may write."""
    routes = APIRouter(prefix="/api/v1", dependencies=[may(Scope.WRITE, tokens)], responses=WRITE_ERRORS)
    _job_routes(routes, desk)
    _letter_routes(routes, desk)
    _pause_routes(routes, desk)

    @routes.post("/promote", status_code=202)
    def promote(wish: Wanted) -> PromotedAnswer:
        """Have one image copied by its digest, now and without a rule: GET /api/v1/jobs/ID tells what became of it."""
        with audited("promote", **wish.model_dump()):
            order = Order(
                wish.source,
                wish.destination,
                digest_expected(wish.expect),
                wish.override,
                wish.signatures,
                wish.by,
            )
            promotion = resolve(order, desk.rules(), desk.client)
            return PromotedAnswer(id=submit(desk.ledger, promotion), digest=promotion.digest)

    @routes.post("/failures/retry")
    def retry_failures(chosen: Chosen) -> SettledAnswers:
        """Make all parked and blocked jobs that are meant due now, and put dead letters back into the inbox."""
        filters = Filters(**chosen.model_dump())
        with audited("retry failures", **chosen.model_dump(exclude_none=True)):
            items: list[Item] = [*operate.failures(desk, filters), *operate.letters(desk, filters)]
            settled = operate.settle(desk.ledger, Verb.RETRY, items)
            return SettledAnswers(settled=[SettledAnswer.of(one) for one in settled])

    @routes.post("/deletions/{deletion_id}/undelete", responses=NOT_FOUND)
    def undelete(deletion_id: str, wish: Force | None = None) -> UndeletedAnswer:
        """Put a deleted manifest back under its reference, if its blobs are still there."""
        with audited("undelete", deletion=deletion_id):
            deletion = _only(it for it in desk.ledger.deletions.named(deletion_id) if it.id == deletion_id)
            done = operate.undelete(desk, deletion, force=wish is not None and wish.force)
            return UndeletedAnswer(written=list(done.written))

    return routes


def _job_routes(routes: APIRouter, desk: Desk) -> None:
    view = desk.ledger.view

    @routes.post("/jobs/{job_id}/retry", responses=NOT_FOUND)
    def retry(job_id: str) -> SettledAnswer:
        """Make an open job due now, its attempts forgotten."""
        with audited("retry", job=job_id):
            return _settled(desk, Verb.RETRY, job_of(view, job_id))

    @routes.post("/jobs/{job_id}/drop", responses=NOT_FOUND)
    def drop(job_id: str) -> SettledAnswer:
        """Remove an open job."""
        with audited("drop", job=job_id):
            return _settled(desk, Verb.DROP, job_of(view, job_id))

    @routes.post("/jobs/{job_id}/approve", responses=NOT_FOUND)
    def approve(job_id: str, approval: Approval | None = None) -> SettledAnswer:
        """Let a blocked job go on in spite of its reason, and make it due now."""
        with audited("approve", job=job_id):
            job = job_of(view, job_id)
            if approval and approval.reason not in (None, job.reason):
                raise HTTPException(409, f"its reason is another one now: {job.reason}")
            return _settled(desk, Verb.APPROVE, job)


def _letter_routes(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/failures/letters/{letter_id}/retry", responses=NOT_FOUND)
    def retry_letter(letter_id: str) -> SettledAnswer:
        """Put a dead letter back into the inbox."""
        with audited("retry letter", letter=letter_id):
            return _settled(desk, Verb.RETRY, _letter(desk, letter_id))

    @routes.post("/failures/letters/{letter_id}/drop", responses=NOT_FOUND)
    def drop_letter(letter_id: str) -> SettledAnswer:
        """Remove a dead letter."""
        with audited("drop letter", letter=letter_id):
            return _settled(desk, Verb.DROP, _letter(desk, letter_id))


def _pause_routes(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/pause")
    def pause(rest: Rest) -> Pauses:
        """Start no more jobs of a rule or a destination; what is paused afterwards."""
        with audited("pause", kind=rest.kind, subject=rest.name, reason=rest.reason):
            operate.pause(desk, rest.kind, rest.name, rest.reason)
            return _pauses(desk)

    @routes.post("/resume")
    def resume(subject: Subject) -> Pauses:
        """Make due at once what waited; what is paused afterwards."""
        with audited("resume", kind=subject.kind, subject=subject.name):
            operate.resume(desk, subject.kind, subject.name)
            return _pauses(desk)


def _settled(desk: Desk, verb: Verb, item: Item) -> SettledAnswer:
    (settled,) = operate.settle(desk.ledger, verb, [item])
    if not settled.is_done:
        raise HTTPException(409, settled.said)
    return SettledAnswer.of(settled)


def _letter(desk: Desk, letter_id: str) -> DeadLetter:
    return _only(it for it in desk.ledger.view.dead_letters_named(letter_id) if it.id == letter_id)


def _only(found: Iterable[T]) -> T:
    for one in found:
        return one
    raise HTTPException(404, "there is nothing of that id")


def _pauses(desk: Desk) -> Pauses:
    return Pauses(pauses=[PauseAnswer.of(pause) for pause in desk.ledger.pauses.all()])

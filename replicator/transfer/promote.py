"""Promotion: one content, named by its digest, put under a tag elsewhere because a person says so, without a rule.

An order is resolved once, written down as a job like any other, and seen through: whoever asked for it carries it out
where nobody else does, or waits for who holds it. A worker finishes it if its process dies.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from replicator.errors import ConfigError, PermanentError
from replicator.ledger import JobView, Ledger, Promoted, Promotion, State
from replicator.oci import Digest, Reference, Repository, Tag
from replicator.registry import RegistryClient
from replicator.rules import Destination, RuleSet, Signatures, destination_repository
from replicator.transfer.doorbell import bring_in_line
from replicator.transfer.moved import Moved
from replicator.transfer.tools import Tools

HEAD_START_S = 10.0
"""How long workers leave a new promotion to the process that asked for it and means to carry it out itself."""
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Order:
    """A promotion as a person words it.

    `start` is REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@DIGEST, `end` REGISTRY/REPOSITORY or
    REGISTRY/REPOSITORY:TAG; `expect` is the digest that the source's tag must hold.
    """

    start: str
    end: str
    expect: Digest | None = None
    override: bool = True
    signatures: Signatures = Signatures.FOLLOW
    by: str = ""


def digest_expected(text: str | None) -> Digest | None:
    """The digest that `--expect` names. Raises ConfigError if it is none."""
    try:
        return Digest(text) if text else None
    except ValueError as exc:
        raise ConfigError(f"--expect: {exc}") from exc


@dataclass(frozen=True, slots=True)
class _Place:
    registry: str
    repository: Repository
    reference: Reference | None


def resolve(order: Order, rules: RuleSet, client: Callable[[str], RegistryClient]) -> Promotion:
    """What the order stands for now: its source is looked at once.

    Raises ConfigError for an order that makes no sense, PermanentError if the source does not have it or has something
    else than is expected, and the source's errors.
    """
    start, end = (_place(text, rules.registries) for text in (order.start, order.end))
    if start.reference is None:
        raise ConfigError(f"{order.start}: say which tag or digest, as REGISTRY/REPOSITORY:TAG")
    tag = start.reference if isinstance(start.reference, Tag) else None
    landing = end.reference or tag
    if not isinstance(landing, Tag):
        raise ConfigError(f"{order.end}: say which tag it is to have there, as REGISTRY/REPOSITORY:TAG")
    if (start.registry, start.repository, start.reference) == (end.registry, end.repository, landing):
        raise ConfigError(f"{order.start}: source and destination are the same")
    _check_name(end, order.end, rules)
    if order.signatures is Signatures.REQUIRE:
        raise ConfigError(
            "signatures are required by rules; a promotion brings them along (follow) or not (ignore)"
        )
    return Promotion(
        source=start.registry,
        repository=start.repository,
        digest=_digest(order, start.repository, start.reference, client(start.registry)),
        destination=end.registry,
        target=end.repository,
        landing=landing,
        tag=tag,
        override=order.override,
        signatures=order.signatures,
        by=order.by,
    )


def submit(ledger: Ledger, promotion: Promotion, *, delay_s: float = 0.0) -> str:
    """Writes the promotion down as a job; the job's id. One to the same reference that still waits is replaced."""
    return ledger.promote(promotion, ledger.view.now(), delay_s=delay_s)


def see_through(promotion: Promotion, tools: Tools, *, moved: Moved, tell: Callable[[str], None]) -> Promoted:
    """Carry out a promotion that was submitted, or wait for whoever does; what became of it.

    `moved` counts what this process moves, `tell` is told why it has to wait. Raises PermanentError if it was not
    carried out, and says why.
    """
    is_due = True
    while True:
        if is_due:
            bring_in_line(promotion.job.id, tools, moved)
        done = outcome(tools.ledger, promotion)
        if done:
            return done
        view = tools.ledger.view.job_view(promotion.job.id)
        due_at = view.due_at if view else None
        is_due = due_at is not None and due_at <= tools.ledger.view.now()
        if view and view.state is State.PENDING and (why := _why_it_waits(view)):
            tell(why)
        time.sleep(_LOOK_S)


def _why_it_waits(view: JobView) -> str | None:
    return f"the destination {view.destination} is paused" if view.is_paused else view.reason


def outcome(ledger: Ledger, promotion: Promotion) -> Promoted | None:
    """What became of a promotion that was submitted; None while it is under way.

    Raises PermanentError if it was not carried out, and will not be unless a person does something.
    """
    # In this order: one that ends between the two questions is found by the second.
    standing = ledger.promotions.find(promotion.job.id)
    done = ledger.promotions.promoted(promotion.number)
    if done:
        return done
    view = ledger.view.job_view(promotion.job.id)
    if standing is None:
        raise PermanentError(f"{promotion.end} was not promoted: {_why(view)}")
    if standing.number != promotion.number:
        raise PermanentError(f"{promotion.end} was not promoted: a later promotion to it took its place")
    if view and view.state in (State.PARKED, State.BLOCKED):
        raise PermanentError(
            f"{promotion.end} was not promoted: {view.reason} (job {view.id} is {view.state})"
        )
    return None


def _why(view: JobView | None) -> str:
    if view and view.state is State.DONE and view.outcome != "copied":
        return view.reason or str(view.outcome)
    return "its job was dropped"


def _place(text: str, known: Iterable[str]) -> _Place:
    registry = next((name for name in known if text.startswith(f"{name}/")), None)
    if registry is None:
        names = ", ".join(sorted(known)) or "none"
        raise ConfigError(f"{text}: begins with no configured registry ({names})")
    name = text.removeprefix(f"{registry}/")
    repository, joint, reference = name.partition("@" if "@" in name else ":")
    try:
        return _Place(registry, Repository(repository), _reference(joint, reference))
    except ValueError as exc:
        raise ConfigError(f"{text}: {exc}") from exc


def _reference(joint: str, text: str) -> Reference | None:
    if joint == "@":
        return Digest(text)
    return Tag(text) if joint else None


def _check_name(end: _Place, text: str, rules: RuleSet) -> None:
    kind = rules.registries[end.registry].type
    try:
        destination_repository(Destination(end.registry), end.repository, kind)
    except ValueError as exc:
        raise ConfigError(f"{text}: {exc}") from exc


def _digest(order: Order, repository: Repository, reference: Reference, source: RegistryClient) -> Digest:
    head = source.head_manifest(repository, reference)
    if head is None:
        raise PermanentError(f"{order.start} is not there")
    if order.expect and head.digest != order.expect:
        raise PermanentError(f"{order.start} holds {head.digest}, expected {order.expect}: nothing was done")
    return head.digest

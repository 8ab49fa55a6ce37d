"""From differences, or from a plan that somebody read, to jobs in the ledger."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

from replicator.drift import Difference, Kind, Twins
from replicator.errors import ConfigError
from replicator.jobs import Job
from replicator.ledger import Ledger, Submission
from replicator.oci import Digest, Reference, Repository, Tag, named, parse_reference
from replicator.resync.document import Change
from replicator.resync.flow import Later, flow
from replicator.resync.scope import landing
from replicator.resync.survey import THREADS
from replicator.resync.tools import Tools
from replicator.rules import RuleSet
from replicator.telemetry import new_traceparent

BATCH = 100
"""Jobs are written down in portions, so that the first are done while later ones are still being found."""
MOVED_NAMED = 5
LATE_S = 3.0
"""An event that comes that late is not lost: it has the job done as its own."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that a comparison found to be needed; `is_absent` if the destination did not have the reference then,
    `was_lost` if an event should have told of it."""

    job: Job
    is_absent: bool = False
    was_lost: bool = False


def jobs_of(differences: Iterable[Difference], *, everything: bool = False) -> Iterator[Wanted]:
    """The jobs that bring these in line; with `everything`, one for each reference that the source has."""
    for item in differences:
        if item.kind in (Kind.ADD, Kind.UPDATE, Kind.DELETE) or (everything and item.wanted):
            yield Wanted(item.job, is_absent=item.kind is Kind.ADD)


def enqueue(jobs: Iterable[Wanted], ledger: Ledger, *, action: str | None = None) -> Iterator[list[Job]]:
    """Submit the jobs in portions, behind everything that is urgent; each portion is given when it is written down.

    What is absent was seen to be so since this began: `jobs` are found as they are asked for.
    """
    trace, began = new_traceparent(), ledger.view.now()
    for portion in _portions(jobs, BATCH):
        now = ledger.view.now()
        ledger.submit([_submission(item, now, began, action, trace) for item in portion])
        yield [item.job for item in portion]


def _submission(item: Wanted, now: float, began: float, action: str | None, trace: str) -> Submission:
    return Submission(
        item.job,
        now,
        action,
        trace=trace,
        delay_s=LATE_S if item.was_lost else 0.0,
        is_urgent=False,
        absent_at=began if item.is_absent else None,
        was_lost=item.was_lost,
    )


def jobs_of_plan(changes: Iterable[Change], tools: Tools) -> list[Wanted]:
    """The jobs that carry the plan out. Raises ConfigError if rules or registries are not what they were."""
    actions = [(change, _job(change, tools.rules)) for change in changes if change.is_action]
    steps: list[Later[str]] = [Later(partial(_moved, change, tools)) for change, _ in actions]
    moved = sorted(flow(steps, threads=THREADS))
    if moved:
        named = "; ".join(moved[:MOVED_NAMED])
        more = f"; and {len(moved) - MOVED_NAMED} more" if len(moved) > MOVED_NAMED else ""
        raise ConfigError(f"the world moved since the plan was made, so nothing was done: {named}{more}")
    return [Wanted(job) for _, job in actions]


def _job(change: Change, rules: RuleSet) -> Job:
    rule = rules.rule(change.rule)
    there = rule.destination(change.destination) if rule and rule.enabled else None
    try:
        repository, reference = Repository(change.repository), parse_reference(change.reference)
        twins = landing(repository, (rule, there), rules) if rule and there else None
    except ValueError as exc:
        raise ConfigError(f"{change.source}/{change.repository}, {change.reference}: {exc}") from exc
    if (
        twins is None
        or (twins.rule.source, twins.target) != (change.source, change.target)
        or not _is_wanted(twins, reference)
    ):
        raise ConfigError(
            f"the rules changed since the plan was made: {change.rule} does not bring {change.source}/"
            f"{named(change.repository, change.reference)} to {change.destination}/{change.target} any more"
        )
    return twins.job(reference)


def _is_wanted(twins: Twins, reference: Reference) -> bool:
    return twins.wants(reference) if isinstance(reference, Tag) else not twins.wants_untagged


def _moved(change: Change, tools: Tools) -> Iterator[str]:
    """A sentence if either side holds something else than the plan says."""
    reference = parse_reference(change.reference)
    for registry, repository, planned in (
        (change.source, change.repository, change.wanted),
        (change.destination, change.target, change.found),
    ):
        if planned is None and isinstance(reference, Digest):
            continue  # what lost its tag may be at the source all the same
        client = tools.client(registry)
        expected = Digest(planned) if planned else None
        read = partial(client.digest_of, Repository(repository), reference, known=expected)
        found = tools.patience.read(registry, read)
        if found != expected:
            name = f"{registry}/{named(repository, change.reference)}"
            yield f"{name} is {found or 'absent'}, in the plan {expected or 'absent'}"


def _portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while portion := list(islice(remaining, size)):
        yield portion

"""From what a person typed to the jobs and dead letters that are meant. What is mistyped is an error, never nothing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from replicator.errors import ConfigError
from replicator.ledger import DeadLetter, Deletion, JobView, Selection, State
from replicator.operate.desk import Desk

_NAMED = 5
DEAD = "dead"
"""The state by which dead letters are asked for."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is None leaves everything in. `repository` is a pattern, as in a rule, for the name at the source.

    `state` is that of a job, or `dead` for dead letters.
    """

    rule: str | None = None
    destination: str | None = None
    source: str | None = None
    repository: str | None = None
    state: str | None = None


def jobs(desk: Desk, filters: Filters) -> Iterator[JobView]:
    """The jobs that are meant: open ones by age, or ended ones with the state `done`. Raises ConfigError."""
    selection = _selection(desk, filters)
    return desk.ledger.view.each(state=_state(filters, *State), selection=selection)


def failures(desk: Desk, filters: Filters) -> Iterator[JobView]:
    """The jobs that wait for a person, of those that are meant. Raises ConfigError."""
    state = _state(filters, State.PARKED, State.BLOCKED, DEAD)
    selection = _selection(desk, filters)
    states = (state,) if state else () if filters.state else (State.PARKED, State.BLOCKED)
    return (job for one in states for job in desk.ledger.view.each(state=one, selection=selection))


def letters(desk: Desk, filters: Filters) -> Iterator[DeadLetter]:
    """The dead letters that are meant, without their bodies: many may be too much for our memory.

    They belong to a source, and to no rule, destination or repository.
    """
    if filters.state not in (None, DEAD) or filters.rule or filters.destination or filters.repository:
        return iter(())
    found = desk.ledger.view.each_dead_letter()
    return (replace(letter, body=b"") for letter in found if filters.source in (None, letter.registry))


def find(desk: Desk, prefix: str, *, with_letters: bool = False) -> JobView | DeadLetter:
    """The one job, or dead letter, whose id is `prefix` or begins so. Raises ConfigError if there is none, or more."""
    view = desk.ledger.view
    ids = view.ids(prefix)
    dead = view.dead_letters_named(prefix) if with_letters else []
    job = view.job_view(ids[0]) if ids else None
    _one(prefix, [*ids, *(letter.id for letter in dead)], "job or dead letter" if with_letters else "job")
    return job or dead[0]


def find_deletion(desk: Desk, prefix: str) -> Deletion:
    """The one deletion whose id is `prefix` or begins so. Raises ConfigError if there is none, or more."""
    found = desk.ledger.deletions.named(prefix)
    _one(prefix, [deletion.id for deletion in found], "deletion")
    return found[0]


def _one(prefix: str, ids: list[str], what: str) -> None:
    if not ids:
        raise ConfigError(f"{prefix}: no {what} has such an id")
    if len(ids) > 1:
        raise ConfigError(f"{prefix}: more than one id begins so: {', '.join(ids[:_NAMED])}")


def _selection(desk: Desk, filters: Filters) -> Selection:
    rules, lanes = desk.rules(), desk.ledger.view.lane_names()
    named = {name for rule in rules.rules for name in rule.names} | {rule for rule, _ in lanes}
    _known("rule", filters.rule, named)
    _known("destination", filters.destination, {*rules.destinations, *(there for _, there in lanes)})
    _known("source", filters.source, {rule.source for rule in rules.rules})
    # What a renamed rule left open under a former name is still the rule's.
    rule = rules.rule(filters.rule) if filters.rule else None
    wanted = set(rule.names) if rule else None if filters.rule is None else {filters.rule}
    if filters.source is not None:
        fed = {name for rule in rules.rules if rule.source == filters.source for name in rule.names}
        wanted = fed if wanted is None else wanted & fed
    try:
        return Selection(
            None if wanted is None else frozenset(wanted), filters.destination, filters.repository
        )
    except ValueError as exc:
        raise ConfigError(f"repository {filters.repository!r}: {exc}") from exc


def _state(filters: Filters, *allowed: str) -> State | None:
    _known("state", filters.state, allowed)
    return State(filters.state) if filters.state and filters.state != DEAD else None


def _known(what: str, name: str | None, known: Iterable[str]) -> None:
    if name is not None and name not in set(known):
        raise ConfigError(f"there is no {what} {name!r}; there are: {', '.join(sorted(known)) or 'none'}")

"""Jobs: which references an event or a resync asks to bring in line, when a failed one is tried again, how many run.

A job names a reference, never a content: it reads the source when it runs.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from replicator.errors import (
    Corrupt,
    Denied,
    MissingContent,
    NotYet,
    RateLimited,
    ReplicatorError,
    TemporaryError,
    Unavailable,
    Untrusted,
)
from replicator.events import Event
from replicator.oci import Digest, Reference, Repository, companion_subject, is_referrers_tag, parse_reference
from replicator.rules import Rule, RuleSet, TriggerType, takes_name, takes_tag

RETRY_BASE_S = 2.0
RETRY_CAP_S = 30.0
"""A registry that answers 500 for a while must be back in line within a minute of its recovery."""
ATTEMPTS_BEFORE_PARKING = 120
"""Tries spread over about an hour; then a person should look."""
SILENT_DEATHS_BEFORE_PARKING = 12
"""The same for a job whose workers die over it."""
RULE_GRACE_S = 120.0
"""How long work may wait for its rule or registry: processes do not all read a new revision in the same moment."""
DENIED_ATTEMPTS = 5
"""A credential that is wrong for half a minute, while it is being rotated, needs no person."""
AWAY_DELAY_S = 8.0
AWAY_DELAY_CAP_S = 20.0
"""The longest wait for a registry that is away: it must be back in line within a minute of its return."""


class Outcome(StrEnum):
    """How a job ended, or stopped for now (`blocked`, `failed`)."""

    COPIED = "copied"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    SKIPPED = "skipped"
    BLOCKED = "blocked"
    FAILED = "failed"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Job:
    """Make this reference of this (source) repository at this destination what the rule says it should be."""

    rule: str
    destination: str
    repository: Repository
    reference: Reference

    @property
    def key(self) -> str:
        """The job as text. None of its parts may hold a `|`."""
        return f"{self.rule}|{self.destination}|{self.repository}|{self.reference}"

    @property
    def id(self) -> str:
        """A short name for the key, safe in URLs and queues."""
        return hashlib.blake2b(self.key.encode(), digest_size=10).hexdigest()

    @classmethod
    def from_key(cls, key: str) -> Self:
        """The job that `key` was made from. Raises ValueError for other text."""
        rule, destination, repository, reference = key.split("|")
        return cls(rule, destination, Repository(repository), parse_reference(reference))


def jobs_for(event: Event, rules: RuleSet) -> list[Job]:
    """The jobs that an event asks for: every enabled event-based rule on its registry that takes its name and tag.

    Companion tags (signatures and the like) and manifests without a tag pass the tag filter, because they may belong
    to an artifact that the rule took: only the job can tell, from the registries.
    """
    return [
        Job(rule.name, there.registry, event.repository, reference)
        for rule in rules.rules
        if rule.enabled and rule.trigger is TriggerType.EVENT_BASED and rule.source == event.registry
        for reference in _references(event, rule)
        for there in rule.destinations
    ]


def _references(event: Event, rule: Rule) -> list[Reference]:
    reference = event.tag or event.digest
    return [reference] if reference and may_want(rule, event.repository, reference) else []


def may_want(rule: Rule, repository: Repository, reference: Reference) -> bool:
    """Whether the filters on names and tags let the reference through, or leave it to the job to tell."""
    return takes_name(rule, repository) and (
        isinstance(reference, Digest)
        or takes_tag(rule, reference)
        or companion_subject(reference) is not None
        or is_referrers_tag(reference)
    )


def is_answered(rules: RuleSet, registry: str, repository: Repository, reference: Reference) -> bool:
    """Whether some rule carries on a change of that reference, so that it is heard of."""
    return any(
        rule.enabled and rule.source == registry and may_want(rule, repository, reference)
        for rule in rules.rules
    )


def retry_delay_s(attempts: int, jitter: float) -> float:
    """Seconds to wait after the `attempts`-th failure; `jitter` in [0, 1) spreads it over 0.5 to 1.5 times."""
    return (0.5 + jitter) * min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(attempts - 1, 20))


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay_s` seconds; `charge` says whether the try counts towards parking."""

    delay_s: float
    charge: bool


@dataclass(frozen=True, slots=True)
class Park:
    """Stop until a person, or a new event, starts the job again."""


def after_failure(error: ReplicatorError, attempts: int, jitter: float) -> Retry | Park:
    """What becomes of a job whose `attempts`-th try ended in `error`.

    A registry that is away or busy, or whose certificate has expired, costs no attempt: its jobs wait for it, however
    long. Corrupt content is fetched once more, because a proxy may have hurt it on the way; and a destination that
    misses content is brought all of it once more, because the fleet's memory of what it holds may have been wrong.
    """
    if isinstance(error, NotYet | RateLimited):
        return Retry(error.retry_after or 0.0, charge=False)
    if isinstance(error, Unavailable | Untrusted):
        asked = error.retry_after if isinstance(error, Unavailable) else None
        return Retry(min(asked or (0.5 + jitter) * AWAY_DELAY_S, AWAY_DELAY_CAP_S), charge=False)
    if isinstance(error, TemporaryError) and attempts < ATTEMPTS_BEFORE_PARKING:
        return Retry(error.retry_after or retry_delay_s(attempts, jitter), charge=True)
    if isinstance(error, Denied) and attempts < DENIED_ATTEMPTS:
        return Retry(retry_delay_s(attempts, jitter), charge=True)
    if isinstance(error, Corrupt | MissingContent) and attempts < 2:
        return Retry(RETRY_BASE_S, charge=True)
    return Park()


@dataclass(frozen=True, slots=True)
class Crew:
    """The workers that serve the same destinations, and how many doorbells they answer at once.

    No names stand for all.
    """

    slots: int
    destinations: frozenset[str] = frozenset()

    def serves(self, destination: str) -> bool:
        """Whether it takes jobs of that destination."""
        return not self.destinations or destination in self.destinations

    def load(self, destinations: Iterable[str]) -> int:
        """How many of `destinations` share its slots."""
        return sum(self.serves(name) for name in destinations)


def doorbells_at_once(
    destination: str, *, crews: Iterable[Crew], destinations: Collection[str], limit: int | None
) -> int:
    """How many doorbells of one destination may be out at once; `destinations` are those of the rules.

    Of each crew that serves it, it has an equal share; 0 if there is none, because nobody would hear the bell. So the
    shares of all never add up to more than the slots, as long as every crew has as many slots as destinations; where
    it has fewer, each still gets one. As long as the crews have no destination in common, a destination that hangs
    cannot take the others' places. One alone leaves a slot free for the next that a rule brings, unless its crew
    would not serve that.
    """
    serving = [crew for crew in crews if crew.serves(destination)]
    if not serving:
        return 0
    if destination not in destinations:
        return 1  # its last jobs, which no rule wants
    share = max(1, sum(_share(crew, destinations) for crew in serving))
    return min(share, limit) if limit else share


def _share(crew: Crew, destinations: Collection[str]) -> int:
    load = crew.load(destinations)
    return crew.slots - 1 if load == 1 and not crew.destinations else crew.slots // load

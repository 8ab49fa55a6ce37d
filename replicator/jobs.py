"""Jobs: which references an event or a resync asks to bring in line, and when a failed one is tried again.

A job names a reference, never a content: it reads the source when it runs.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from replicator.events import Event
from replicator.oci import Reference, Repository, companion_subject, parse_reference
from replicator.rules import Rule, RuleSet, TriggerType, takes_name, takes_tag

RETRY_BASE_S = 2.0
RETRY_CAP_S = 900.0
ATTEMPTS_BEFORE_PARKING = 12
"""Twelve tries spread over about an hour; then a person should look."""


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
    if not takes_name(rule, event.repository):
        return []
    if event.tag is None:
        return [event.digest] if event.digest else []
    if takes_tag(rule, event.tag) or companion_subject(event.tag):
        return [event.tag]
    return []


def retry_delay_s(attempts: int, jitter: float) -> float:
    """Seconds to wait after the `attempts`-th failure; `jitter` in [0, 1) spreads it over 0.5 to 1.5 times."""
    return (0.5 + jitter) * min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(attempts - 1, 20))

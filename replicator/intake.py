"""From a notification in the inbox to jobs in the ledger: parse, match against the rules, write down, acknowledge.

What is authentic but makes no sense goes to the dead letters. Nothing is refused here: the sender has its answer.
"""

import logging
from collections.abc import Iterator

from replicator.events import Action, Event, MalformedEvent, parse
from replicator.jobs import RULE_GRACE_S, Job, jobs_for
from replicator.ledger import Inbox, Ledger, Notification, Submission
from replicator.oci import Digest
from replicator.rules import RuleSet, TriggerType, destination_repository, ring
from replicator.telemetry import EVENTS
from replicator.verdict import place

log = logging.getLogger(__name__)

UNTAGGED_DELAY_S = 1.0
"""Manifests without a tag are mostly the children of an index that is still being pushed: its tag goes first, and
brings them along, so that their own jobs find nothing left to do."""
CLOCK_TRUST_S = 3600.0
"""How far behind our receipt a sender's clock is believed. Its time is for display and lag, never for order."""


def take_in(notification: Notification, *, rules: RuleSet, ledger: Ledger, inbox: Inbox) -> int:
    """Afterwards the notification is out of the inbox, its jobs are in the ledger, or it is in the dead letters.

    Returns the number of jobs. Done twice, or by two routers at once, it still counts once.
    """
    registry = rules.registries.get(notification.registry)
    if registry is None:
        if ledger.view.now() - notification.received_at > RULE_GRACE_S:
            _bury(notification, "no rule file names this registry", inbox)
        return 0  # it comes again: the receiver may have read a newer revision of the rules than we
    try:
        parsed = parse(registry.type, registry.name, notification.content_type, notification.body)
    except MalformedEvent as exc:
        _bury(notification, str(exc), inbox)
        return 0
    ledger.suspects.meet(registry.name, parsed.senders)
    submissions = []
    for event in parsed.events:
        _hear(event, notification, rules, ledger)
        jobs = [*jobs_for(event, rules), *_jobs_of_copies(event, rules, ledger)]
        EVENTS.labels(registry.name, event.action, "accepted" if jobs else "unmatched").inc()
        submissions += [_submission(job, event, notification) for job in jobs]
    EVENTS.labels(registry.name, "other", "ignored").inc(parsed.ignored)
    if parsed.malformed:
        # Both the jobs and the letter: an event that makes no sense must not take its neighbours with it.
        ledger.submit(submissions)
        _bury(notification, "; ".join(parsed.malformed), inbox)
    else:
        ledger.route(notification.id, submissions)
    return len(submissions)


def _hear(event: Event, notification: Notification, rules: RuleSet, ledger: Ledger) -> None:
    """Note when a push was recorded that regions may have to be compared by, whose echo it be: the jobs can tell."""
    if event.action is not Action.PUSH or event.tag is None or event.digest is None:
        return
    if ring(rules, (event.registry, event.repository), event.tag):
        where = place(event.registry, event.repository, event.tag)
        ledger.fleet.holdings.hear(where, event.digest, notification.received_at)


def _bury(notification: Notification, reason: str, inbox: Inbox) -> None:
    EVENTS.labels(notification.registry, "unknown", "rejected").inc()
    log.warning("notification buried", extra={"registry": notification.registry, "why": reason[:500]})
    inbox.bury(notification, reason)


def _submission(job: Job, event: Event, notification: Notification) -> Submission:
    received = notification.received_at
    occurred = event.occurred_at
    trusted = occurred is not None and received - CLOCK_TRUST_S < occurred <= received
    return Submission(
        job,
        since=occurred if occurred is not None and trusted else received,
        action=event.action,
        digest=event.digest,
        trace=notification.trace,
        delay_s=UNTAGGED_DELAY_S if isinstance(job.reference, Digest) else 0.0,
    )


def _jobs_of_copies(event: Event, rules: RuleSet, ledger: Ledger) -> Iterator[Job]:
    """Jobs for what we copied and a delete event does not spell out.

    Harbor names one tag of a deleted artifact however many it had, Distribution none of a removed repository.
    """
    if event.action is not Action.DELETE or (event.tag is not None and event.digest is None):
        return
    for rule, there in rules.lanes:
        if rule.source != event.registry or rule.trigger is not TriggerType.EVENT_BASED:
            continue
        try:
            target = destination_repository(there, event.repository)
        except ValueError:
            continue
        for copied in ledger.fleet.copies(there.registry, target).values():
            is_meant = event.digest is None or copied.holds(event.digest)
            if is_meant and copied.rule in rule.names and copied.repository == event.repository:
                yield Job(rule.name, there.registry, event.repository, copied.reference)

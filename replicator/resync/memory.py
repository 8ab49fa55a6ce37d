"""What the ledger knows of a pair of twins, as `drift` wants it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from replicator.drift import Known, Past, Twins
from replicator.jobs import is_answered
from replicator.ledger import Copied, Ledger
from replicator.oci import Reference, Tag
from replicator.rules import RuleSet
from replicator.rules.links import is_strangers
from replicator.transfer.deletion import holds_a_delete
from replicator.transfer.retention import had_their_time


def memory(twins: Twins, ledger: Ledger, rules: RuleSet) -> Known:
    """Everything but the reasons of blocked jobs and the subjects, which depend on what the registries hold."""
    here = ledger.fleet.copies(twins.rule.source, twins.repository)
    there = ledger.fleet.copies(twins.destination, twins.target)
    return Known(
        here={tag: record.written for tag, record in _tags(here)},
        there={tag: _past(record, twins, rules) for tag, record in _tags(there)},
        answered=frozenset(
            tag for tag, _ in _tags(here) if is_answered(rules, twins.destination, twins.target, tag)
        ),
        expired=had_their_time(
            twins.rule, twins.there, twins.target, fleet=ledger.fleet, now=ledger.view.now()
        )
        if twins.there and twins.there.retention
        else {},
    )


def with_halted(
    known: Known, twins: Twins, tags: Iterable[Tag], *, present: Collection[Tag], ledger: Ledger
) -> Known:
    """`known`, and which of `tags` wait for a person's decision, be it under a former name of the rule.

    Those `present` at the source do not wait for one on a delete any more.
    """
    jobs = {replace(twins.job(tag), rule=name).id: tag for tag in tags for name in twins.rule.names}
    reasons = ledger.view.block_reasons(jobs)
    waiting = {
        jobs[job]: reason
        for job, reason in reasons.items()
        if not (jobs[job] in present and holds_a_delete(reason))
    }
    return replace(known, halted=waiting)


def _tags(records: Mapping[Reference, Copied]) -> list[tuple[Tag, Copied]]:
    return [(reference, record) for reference, record in records.items() if isinstance(reference, Tag)]


def _past(record: Copied, twins: Twins, rules: RuleSet) -> Past:
    writer, ours, end = (
        record.writer,
        (twins.rule.source, twins.repository),
        (twins.destination, twins.target),
    )
    return Past(
        record.written,
        is_ours=writer.rule in twins.rule.names and writer.start == ours,
        is_strangers=is_strangers(rules, writer, end=end, ours=ours),
    )

"""A job is for something lost as long as nothing but a sweep asked for it."""

from dataclasses import replace

from replicator.ledger import Ledger
from tests.integration.ledger.kit import claimed, job, wanted


def test_what_only_a_sweep_wants_was_lost(ledger: Ledger) -> None:
    ledger.submit([replace(wanted(job()), was_lost=True)])
    ledger.submit([replace(wanted(job()), was_lost=True)])

    claim = claimed(ledger, job())

    assert claim.was_lost
    ledger.retry(claim, 0.0, error="us answered 500")
    assert claimed(ledger, job()).was_lost


def test_what_an_event_told_before_was_not_lost(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    ledger.submit([replace(wanted(job()), was_lost=True)])

    assert not claimed(ledger, job()).was_lost


def test_what_an_event_tells_while_it_waits_was_only_late(ledger: Ledger) -> None:
    ledger.submit([replace(wanted(job()), was_lost=True)])
    ledger.submit([wanted(job())])

    assert not claimed(ledger, job()).was_lost

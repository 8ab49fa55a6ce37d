"""The wish to have a job done without trust stays with it until it was done, whatever comes in between."""

import pytest

from replicator.jobs import Outcome
from replicator.ledger import REPAIR, Finish, Ledger, Submission
from replicator.oci import Digest
from tests.integration.ledger.kit import DIGEST, OTHER, claimed, job, wanted

pytestmark = pytest.mark.integration

REPAIRING = Submission(job(), 100.0, REPAIR)


def ended(ledger: Ledger, *, digest: Digest = DIGEST) -> Finish:
    return ledger.finish(claimed(ledger, job()), Outcome.COPIED, digest=digest)


def test_a_claim_tells_of_a_repair_and_no_event_was_behind_it(ledger: Ledger) -> None:
    ledger.submit([REPAIRING])

    claim = claimed(ledger, job())

    assert (claim.is_repair, claim.action, claim.digest, claim.hinted_at) == (True, None, None, None)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["event-after", "event-before"])
def test_an_event_weakens_no_repair_and_is_heard_all_the_same(ledger: Ledger, order: tuple[int, int]) -> None:
    both = [REPAIRING, wanted(job(), digest=OTHER)]
    for which in order:
        ledger.submit([both[which]])

    claim = claimed(ledger, job())

    assert (claim.is_repair, claim.action, claim.digest) == (True, "push", OTHER)


def test_a_resync_weakens_no_repair(ledger: Ledger) -> None:
    ledger.submit([REPAIRING])
    ledger.submit([Submission(job(), 100.0)])

    assert claimed(ledger, job()).is_repair


def test_a_repair_survives_failures_and_parking(ledger: Ledger) -> None:
    ledger.submit([REPAIRING])
    ledger.retry(claimed(ledger, job()), 0, error="503")
    ledger.park(claimed(ledger, job()), "damaged")
    ledger.reopen(job().id)

    assert claimed(ledger, job()).is_repair


def test_a_repair_that_is_asked_for_during_a_run_comes_after_it(ledger: Ledger) -> None:
    ledger.submit([wanted(job())])
    claim = claimed(ledger, job())
    ledger.submit([REPAIRING])

    assert ledger.finish(claim, Outcome.UNCHANGED) is Finish.AGAIN

    assert claimed(ledger, job()).is_repair


def test_a_repair_is_done_once(ledger: Ledger) -> None:
    ledger.submit([REPAIRING])
    claim = claimed(ledger, job())
    ledger.submit([wanted(job())])

    assert ledger.finish(claim, Outcome.COPIED) is Finish.AGAIN
    assert not claimed(ledger, job()).is_repair


def test_a_job_that_comes_after_a_repair_is_none(ledger: Ledger) -> None:
    ledger.submit([REPAIRING])
    assert ended(ledger) is Finish.DONE
    ledger.submit([wanted(job())])

    assert not claimed(ledger, job()).is_repair

"""Who waits for a signature, for how long, and whom something that is attached wakes."""

import pytest

from replicator.ledger import Ledger
from replicator.oci import Repository
from tests.integration.ledger.kit import DIGEST, OTHER, job

pytestmark = pytest.mark.integration

HERE = Repository("mirror/api")


def test_a_wait_begins_once(ledger: Ledger) -> None:
    waiters = ledger.fleet.waiters

    assert waiters.wait(HERE, DIGEST, job()).waited_s == 0
    later = waiters.wait(HERE, DIGEST, job())

    assert 0 < later.waited_s < 2
    assert later.quiet_s == later.waited_s


def test_news_wakes_those_who_wait_for_this_manifest_here(ledger: Ledger) -> None:
    waiters, us = ledger.fleet.waiters, job().destination
    for reference in ("v1", "v2"):
        waiters.wait(HERE, DIGEST, job(reference))
    waiters.wait(HERE, OTHER, job("v3"))

    assert set(waiters.wake(us, HERE, DIGEST)) == {job("v1"), job("v2")}
    assert waiters.wake("elsewhere", HERE, DIGEST) == []
    patience = waiters.wait(HERE, DIGEST, job("v1"))
    assert patience.quiet_s < patience.waited_s


def test_who_left_is_not_woken(ledger: Ledger) -> None:
    waiters, us = ledger.fleet.waiters, job().destination
    waiters.wait(HERE, DIGEST, job())

    waiters.leave(HERE, DIGEST, job())

    assert waiters.wake(us, HERE, DIGEST) == []

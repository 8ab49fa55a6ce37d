"""The primary Redis is swapped for its replica by Sentinels, under all roles."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.asking import asking
from tests.chaos.roles import Fleet
from tests.chaos.sentinels import Service
from tests.integration.processes import wait_until

pytestmark = pytest.mark.integration

ANSWERS_WITHIN_S = 2.0
WORTH_OF_PULSES_S = 3.0
"""A scheduler counts once a second in Redis; by that count it knows that Redis went back."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path / "service") as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path, service: Service) -> Iterator[Fleet]:
    (tmp_path / "fleet").mkdir()
    with Fleet(tmp_path / "fleet", service.url) as running:
        yield running


def test_q11_all_roles_follow_to_another_primary_when_theirs_is_killed(
    service: Service, fleet: Fleet
) -> None:
    _swapped(service, fleet, service.primary().kill)


def test_q11_all_roles_follow_when_theirs_hangs_and_a_sentinel_with_it(
    service: Service, fleet: Fleet
) -> None:
    old = service.primary()

    def freeze() -> None:
        service.sentinels[0].suspend()
        old.suspend()

    _swapped(service, fleet, freeze)

    old.resume()
    service.await_replica()
    later = fleet.push("later")
    fleet.await_copy("later", later)


def test_q11_what_a_stale_replica_never_heard_of_is_made_up_for(service: Service, fleet: Fleet) -> None:
    before = fleet.push("before")
    fleet.await_copy("before", before)
    old, replica = service.primary(), service.replica()
    service.await_replica()
    fleet.roles["worker"].suspend()
    service.detach_replica()

    lost = fleet.push("lost")
    wait_until(lambda: fleet.api("jobs")["jobs"], what="the event was accepted, and became a job")
    with contextlib.closing(replica.client()) as client:
        assert client.zcard("replicator:due:us") == 0
    time.sleep(WORTH_OF_PULSES_S)
    old.kill()
    service.await_failover(old)
    fleet.roles["worker"].resume()

    fleet.await_copy("lost", lost, 60)
    assert "redis forgot what it was told" in fleet.roles["scheduler"].said


def _swapped(service: Service, fleet: Fleet, fault: Callable[[], None]) -> None:
    """What is pushed before, during and after a fault of the primary is copied, and senders are always answered."""
    before = fleet.push("before")
    fleet.await_copy("before", before)
    old = service.primary()
    service.await_replica()

    with asking(fleet) as answers:
        fault()
        during = fleet.push("during")
        service.await_failover(old)
        taken = len(answers.taken)
        wait_until(lambda: len(answers.taken) > taken, 15, what="the receiver takes notifications again")
    after = fleet.push("after")

    fleet.await_copy("after", after, 30)
    fleet.await_copy("during", during, 30)
    assert set(answers.statuses) == {202, 503}, answers.statuses
    assert answers.slowest_s < ANSWERS_WITHIN_S
    assert all(role.is_running for role in fleet.roles.values())

"""Q13 and C9 with many jobs: a noisy rule delays no other's push, and what waited for a destination drains by age."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from replicator.errors import Unavailable
from replicator.jobs import AWAY_DELAY_CAP_S, Job, Outcome, Retry, after_failure
from replicator.ledger import Claim, Ledger, Submission
from replicator.limits import eased
from replicator.oci import Repository, Tag
from replicator.runtime import embedded_socket
from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import RedisServer, wait_until

NOISE = 50_000
DELAY_S = 2.0
"""What a noisy rule may cost another's push."""
LANE = ("noisy", "us")
BEHIND = 10_000
OUTAGE_S = 8.0
RULES = """\
rules:
  - {name: noisy, source: eu, destinations: [us], filters: [{type: name, value: "noisy/**"}]}
  - {name: quiet, source: eu, destinations: [us], filters: [{type: name, value: "quiet/**"}]}
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("noise"), RULES, regions=("eu", "us")) as running:
        first = running.push("eu", "quiet/app", "first", images.image([b"first"]))
        running.await_copy("us", "quiet/app", "first", first)
        yield running


@pytest.mark.parametrize("is_urgent", [True, False], ids=["events", "resync"])
def test_q13_a_noisy_rule_does_not_delay_another_rules_push(live: World, is_urgent: bool) -> None:
    places = [(Repository(f"noisy/app{at // 10}"), Tag(f"v{at % 10}")) for at in range(NOISE)]
    jobs = [Job("noisy", "us", *place) for place in places]
    with _ledger(live) as ledger:
        now = ledger.view.now()
        ledger.submit([Submission(job, now, is_urgent=is_urgent) for job in jobs])
        waits = []
        for at in range(8):
            tag = f"{is_urgent}{at}"
            image = live.push("eu", "quiet/app", tag, images.image([tag.encode()]))
            waits.append(live.await_copy("us", "quiet/app", tag, image))
        left = ledger.view.lanes([LANE])[LANE].pending
        ledger.drop_all([job.id for job in jobs])

    assert left > 0, "the noise was over before the pushes"
    assert max(waits) < DELAY_S, waits


@contextlib.contextmanager
def _ledger(world: World) -> Iterator[Ledger]:
    """The ledger of the world's replicator."""
    made = Ledger.connect(f"unix://{embedded_socket(world.replicator.data)}")
    with contextlib.closing(made):
        yield made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of this test's own."""
    with RedisServer(tmp_path, binary="valkey-server", appendfsync="no") as server:
        made = Ledger.connect(server.url)
        yield made
        made.close()


def test_c9_ten_thousand_jobs_behind_a_destination_drain_in_order_of_age(ledger: Ledger) -> None:
    now = ledger.view.now()
    jobs = [Job("prod", "us", Repository(f"team/app{at // 10}"), Tag(f"v{at % 10}")) for at in range(BEHIND)]
    ledger.submit([Submission(job, now - BEHIND + at) for at, job in enumerate(jobs)])
    ages = {job.id: at for at, job in enumerate(jobs)}
    away, done = _Destination(is_away=True), _Destination(is_away=False)
    ends = time.monotonic() + OUTAGE_S
    while time.monotonic() < ends:
        _round(ledger, away)
    assert ledger.availability.unreachable(["us"]) == {"us"}
    assert len(away.met) < 100

    back = time.monotonic()
    wait_until(lambda: _round(ledger, done) is None, 120, poll_s=0.0, what="all is done")

    untried = [ages[job_id] for job_id in done.met if job_id not in away.met]
    assert untried == sorted(untried)
    assert set(done.met) == set(ages)
    # Whoever was tried meanwhile waits for its back-off, and goes first then.
    assert all(done.met[job_id] - back < AWAY_DELAY_CAP_S for job_id in away.met)
    assert {job.attempts for job in ledger.view.ended_after("0", 100)[0]} == {1}


@dataclass
class _Destination:
    """It does not answer, or everything at once."""

    is_away: bool
    met: dict[str, float] = field(default_factory=dict)
    """When each job was tried last."""


def _round(ledger: Ledger, destination: _Destination) -> int | None:
    """What dispatcher and workers do, but for the copying; how many jobs were tried, None if there are none left."""
    footing = ledger.availability.footing("us")
    bells, most = eased(footing.jobs, doorbells=3, most=25)
    rung = ledger.dispatch("us", bells, most=most) if footing.rest_s == 0 else []
    for claim in ledger.claim_all([(job_id, ()) for bell in rung for job_id in bell]) if rung else ():
        assert isinstance(claim, Claim)
        destination.met[claim.id] = time.monotonic()
        if destination.is_away:
            _found_away(ledger, claim)
        else:
            ledger.availability.mark_up("us")
            ledger.finish(claim, Outcome.COPIED)
    if not rung:
        time.sleep(0.02)
    lane = ("prod", "us")
    return sum(map(len, rung)) if rung or ledger.view.lanes([lane])[lane].pending else None


def _found_away(ledger: Ledger, claim: Claim) -> None:
    error = Unavailable("no answer", registry="us")
    ledger.availability.mark_down("us")
    step = after_failure(error, claim.attempts, 0.5)
    assert isinstance(step, Retry), "parked"
    ledger.retry(claim, step.delay_s, error=str(error), charge=step.charge)

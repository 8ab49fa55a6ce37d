"""A thousand events while everything dies, freezes and loses its network, from three seeds. `make chaos` does more.

In the third run source registries die too, with the notifications that they had not sent; there the product compares
by itself, and a resync has the last word. A failure names its seed: `python -m tests.chaos --seed N` with the options
of `plan` does the same again.
"""

from pathlib import Path

import pytest

from tests.chaos import canaries
from tests.chaos.nemesis import Mix
from tests.chaos.run import Plan, Report, chaos
from tests.chaos.world import API_TOKEN, Tuning
from tests.integration.processes import PASSWORD, USER

EVENTS, PER_S = 1000, 35.0
TALKATIVE = {"REPLICATOR_LOG_LEVEL": "debug", "OTEL_TRACES_EXPORTER": "console"}
"""Everything that the product can say is in its logs."""


def plan(seed: int) -> Plan:
    """Times are shorter than the defaults, so that freezes outlast leases."""
    mix = Mix(kills=26, freezes=8, links=6, within_s=EVENTS / PER_S, longest_s=7.0, kills_sources=seed == 3)
    settings = TALKATIVE if seed == 1 else {}
    return Plan(
        seed, EVENTS, PER_S, mix, Tuning(lease_s=5.0, redispatch_s=4.0, grace_s=1.0, settings=settings)
    )


@pytest.fixture(scope="module", params=(1, 2, 3))
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A run of its own for each seed, whose logs stay as long as pytest keeps them."""
    directory: Path = tmp_path_factory.mktemp(f"seed-{request.param}-")
    ended = chaos(directory, plan(request.param))
    for line in ended.lines():
        print(line)  # noqa: T201 - what a failed test shows, and -s
    return ended


def test_nothing_is_lost_and_nothing_is_wrong(report: Report) -> None:
    assert report.faults.total() >= 30
    assert report.verdict.tags > 300
    assert report.wrong == [], f"seed {report.plan.seed}"


def test_s12_no_secret_is_in_redis_or_in_its_files(report: Report) -> None:
    assert report.stored == []


def test_s13_no_secret_is_in_a_log_a_span_a_command_line_or_an_answer(report: Report) -> None:
    assert report.told == []


@pytest.mark.parametrize(
    "content",
    [
        f"Bearer {API_TOKEN}".encode(),
        f"http://{USER}:{PASSWORD}@registry".encode(),
        b"Basic dGVzdGVyOm9wZW4gc2VzYW1l",
    ],
    ids=["token", "url", "basic"],
)
def test_a_secret_would_be_found(content: bytes) -> None:
    assert canaries.leaks([("somewhere", content), ("nowhere", b"nothing")]) != []
    assert canaries.leaks([("nowhere", b"nothing")]) == []

"""Rules that begin by themselves: on a schedule, and with what was there before them."""

from collections.abc import Iterator

import pytest

from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import wait_until

RULES = """
rules:
  - name: often
    source: eu
    destinations: [us]
    trigger: {type: scheduled, cron: "*/2 * * * * *"}
    filters: [{type: name, value: "often/**"}]
    deletion: true
    delete_grace: 1s
  - name: by-hand
    source: eu
    destinations: [us]
    trigger: {type: manual}
    filters: [{type: name, value: "manual/**"}]
"""

BACKFILLED = """
  - name: backfilled
    source: eu
    destinations: [us]
    backfill: true
    filters: [{type: name, value: "before/**"}]
"""


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("schedules"), RULES, regions=("eu", "us")) as running:
        yield running


def test_a_scheduled_rule_copies_and_deletes_without_events(regions: World) -> None:
    one, two = images.image([b"stays"]), images.image([b"goes"])
    regions.push("eu", "often/app", "v1", one)
    regions.push("eu", "often/app", "v2", two)
    regions.await_copy("us", "often/app", "v1", one, within_s=20)
    regions.await_copy("us", "often/app", "v2", two, within_s=20)

    regions.delete("eu", "often/app", two)

    regions.await_absence("us", "often/app", "v2", within_s=25)
    assert regions.head("us", "often/app", "v1") == one.digest


def test_a_new_rule_brings_what_was_there_before_it(regions: World) -> None:
    image = images.multi_arch("before")
    regions.push("eu", "before/app", "v1", image)
    regions.replicator.settle()
    assert regions.head("us", "before/app", "v1") is None

    regions.replicator.write_rules("rules.yaml", RULES + BACKFILLED)

    regions.await_copy("us", "before/app", "v1", image, within_s=25)


def test_a_manual_rule_waits_for_a_command(regions: World) -> None:
    image = images.image([b"manual"])
    regions.push("eu", "manual/app", "v1", image)
    regions.replicator.settle()
    assert regions.head("us", "manual/app", "v1") is None

    done = regions.replicator.command("resync", "--rule", "by-hand", "--wait")

    assert done.status == 0, done
    assert regions.head("us", "manual/app", "v1") == image.digest


def test_what_a_comparison_found_shows_in_the_metrics(regions: World) -> None:
    def swept_at() -> float:
        return (
            regions.replicator.metric(
                "replicator_last_sweep_timestamp_seconds", rule="often", destination="us"
            )
            or 0.0
        )

    first = wait_until(swept_at, 20, what="a comparison was noted") and swept_at()

    wait_until(lambda: swept_at() > first, 20, what="the next one was")
    assert regions.replicator.metric("replicator_drift_references", rule="often", destination="us") == 0

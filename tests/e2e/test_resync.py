"""Plans and resyncs from the command line: exit statuses, exact plans, an interrupted wait, an empty Redis."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from replicator.runtime import redis_url
from replicator.settings import Settings
from tests.e2e.product import Done, run
from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import wait_until

RULES = """
rules:
  - {name: lines, source: eu, destinations: [us], trigger: {type: manual}}
"""


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two regions and a rule that does nothing by itself; each test has a repository of its own."""
    with World(tmp_path_factory.mktemp("resync"), RULES, regions=("eu", "us")) as running:
        yield running


def push(regions: World, repository: str, *tags: str) -> None:
    for tag in tags:
        regions.push("eu", repository, tag, images.image([f"{repository} {tag}".encode()]))


def about(regions: World, repository: str, *arguments: str) -> Done:
    command, *rest = arguments
    return regions.replicator.command(command, "--repository", repository, *rest)


def test_a_plan_tells_by_its_exit_status_whether_there_is_drift(regions: World) -> None:
    push(regions, "exit/app", "v1", "v2")

    before = about(regions, "exit/app", "plan")
    resync = about(regions, "exit/app", "resync", "--wait")
    after = about(regions, "exit/app", "plan")

    assert before.status == 2
    assert "+ eu/exit/app:v1 -> us/exit/app:v1 (" in before.out
    assert "lines: eu -> us: 2 to add, 0 in sync" in before.out
    assert resync.status == 0, resync
    assert "us: 2 copied; " in resync.out
    assert after.status == 0
    assert after.out == "lines: eu -> us: 2 in sync\n"
    assert about(regions, "exit/app", "resync").out == "nothing to do: no job was submitted\n"


def test_a_listing_that_fails_is_an_error_and_no_drift(regions: World, tmp_path: Path) -> None:
    push(regions, "away/app", "v1")
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "rules.yaml").write_text(
        f"registries:\n  eu: {{type: distribution, url: '{regions.url('eu')}'}}\n"
        "  nowhere: {type: distribution, url: 'http://127.0.0.1:9'}\n"
        "rules:\n  - {name: lines, source: eu, destinations: [nowhere], filters: [{type: name, value: away/app}]}\n"
    )

    environment = {"REPLICATOR_RULES": str(rules), "REPLICATOR_DATA": str(regions.replicator.data)}
    done = run("plan", environment=environment)

    assert done.status == 1
    assert "error: " in done.err
    assert "nowhere" in done.err
    assert "Traceback" not in done.err
    assert done.out == "lines: eu -> nowhere (incomplete): 0 in sync\n"
    for wait in ([], ["--wait"]):
        resync = run("resync", "--json", *wait, environment=environment)
        assert resync.status == 1
        assert "away/app at nowhere" in resync.json()["troubles"][0]


def test_a_plan_is_carried_out_exactly_or_not_at_all(regions: World, tmp_path: Path) -> None:
    push(regions, "exact/app", "v1", "v2")
    file = tmp_path / "plan.json"
    plan = about(regions, "exact/app", "plan", "--json")
    assert plan.json()["hash"] == about(regions, "exact/app", "plan", "--json").json()["hash"]
    file.write_text(plan.out)

    regions.push("eu", "exact/app", "v2", images.image([b"moved meanwhile"]))
    refused = regions.replicator.command("resync", "--plan", str(file), "--wait")
    assert refused.status == 1
    assert "the world moved since the plan was made, so nothing was done: eu/exact/app:v2 is" in refused.err
    assert regions.head("us", "exact/app", "v1") is None

    file.write_text(about(regions, "exact/app", "plan", "--json").out)
    push(regions, "exact/app", "v3")
    done = regions.replicator.command("resync", "--plan", str(file), "--wait")
    assert done.status == 0, done
    assert regions.tags("us", "exact/app") == {"v1", "v2"}

    absent = regions.replicator.command("resync", "--plan", str(tmp_path / "absent"))
    assert absent.err == f"error: {tmp_path / 'absent'}: cannot read it: No such file or directory\n"

    document = json.loads(file.read_text())
    document["changes"][0]["reference"] = "v9"
    file.write_text(json.dumps(document))
    assert regions.replicator.command("resync", "--plan", str(file)).status == 1


def test_ctrl_c_ends_the_waiting_and_not_the_work(regions: World) -> None:
    push(regions, "interrupted/app", "v1")
    assert regions.replicator.command("pause", "--destination", "us").status == 0
    environment = {
        **os.environ,
        "REPLICATOR_RULES": str(regions.replicator.rules),
        "REPLICATOR_DATA": str(regions.replicator.data),
    }
    command = [
        Path(sys.executable).with_name("replicator"),
        "resync",
        "--repository",
        "interrupted/app",
        "--wait",
    ]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: regions.replicator.jobs("interrupted/app"), 20, what="the job was submitted")

        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        regions.replicator.command("resume", "--destination", "us")

    assert process.returncode == 130
    assert "interrupted: the work goes on" in err
    wait_until(lambda: regions.head("us", "interrupted/app", "v1"), 20, what="it was done all the same")


def test_pruning_wants_a_yes(regions: World) -> None:
    done = about(regions, "none/app", "resync", "--prune")

    assert done.status == 1
    assert "--yes" in done.err


def test_an_empty_redis_and_a_dead_receiver_keep_no_resync_from_working(regions: World) -> None:
    push(regions, "empty/app", "v1")
    redis = Redis.from_url(redis_url(Settings.load(data=regions.replicator.data)))
    redis.flushall()
    redis.close()
    receiver = regions.replicator.child("receiver")
    os.kill(receiver, signal.SIGSTOP)
    try:
        done = about(regions, "empty/app", "resync", "--wait")
    finally:
        os.kill(receiver, signal.SIGCONT)

    assert done.status == 0, done
    assert regions.head("us", "empty/app", "v1")

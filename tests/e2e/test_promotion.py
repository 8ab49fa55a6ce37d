"""Promotion as a person does it: from stage to stage inside one registry, on to a second one, and nothing by accident.

The chain is the example of docs/promotion.md.
"""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.product import PROGRAM, Done, run
from tests.e2e.world import World, registries_yaml
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import DockerRegistry, RedisServer, wait_until

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Stages:
    """A registry `eu` with the stages of a product in it, a second one `us`, and a Redis. No worker runs."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.registries = {
            name: stack.enter_context(DockerRegistry(directory / name)) for name in ("eu", "us")
        }
        redis = stack.enter_context(RedisServer(directory / "redis", appendfsync="no"))
        rules = directory / "rules"
        rules.mkdir()
        (rules / "registries.yaml").write_text(registries_yaml(self.registries))
        self._environment = {"REPLICATOR_REDIS_URL": redis.url, "REPLICATOR_RULES": str(rules)}

    def promote(self, *arguments: str) -> Done:
        return run("promote", *arguments, environment=self._environment)

    def push(self, repository: str, tag: str, image: Image) -> None:
        images.push(self.registries["eu"].url, repository, tag, image)

    def sent(self, name: str, repository: str) -> list[str]:
        """The uploads of blobs that a registry saw in a repository, mounts left out."""
        log = self.registries[name].log.read_text()
        return re.findall(rf'"(?:PUT|PATCH) /v2/{repository}/blobs/uploads/[^"]*"', log)

    def is_signed(self, name: str, repository: str, image: Image) -> bool:
        url = self.registries[name].url
        signature = images.signature(image)
        return images.is_whole(url, repository, "v1", image) and images.is_whole(
            url, repository, images.signature_tag(image), signature
        )


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Stages]:
    with ExitStack() as stack:
        yield Stages(tmp_path, stack)


def test_a_signed_image_goes_from_dev_to_staging_to_production_and_to_another_region(stages: Stages) -> None:
    image = images.multi_arch("api")
    stages.push("dev/api", "v1", image)
    stages.push("dev/api", images.signature_tag(image), images.signature(image))

    for start, stage in (("dev", "staging"), ("staging", "production")):
        done = stages.promote(f"eu/{start}/api:v1", f"eu/{stage}/api", "--expect", image.digest, "--json")

        assert done.status == 0, done
        said = done.json()
        assert (said["digest"], said["previous"], said["outcome"]) == (image.digest, None, "copied")
        assert (said["bytes"], said["blobs"]["copied"], said["signatures"]) == (0, 0, 1)
        assert said["blobs"]["mounted"] == len({**image.all_blobs, **images.signature(image).blobs})
        assert stages.sent("eu", f"{stage}/api") == []
        assert stages.is_signed("eu", f"{stage}/api", image)

    abroad = stages.promote("eu/production/api:v1", "us/production/api", "--by", "ann")
    assert abroad.status == 0, abroad
    assert abroad.out.startswith(f"us/production/api:v1 is {image.digest}\n")
    assert stages.is_signed("us", "production/api", image)
    assert len(stages.sent("us", "production/api")) > 0

    again = stages.promote("eu/production/api:v1", "us/production/api")
    assert (again.status, again.out.splitlines()[0]) == (
        0,
        f"us/production/api:v1 was {image.digest} already",
    )

    history = stages.promote("--history", "--json").json()
    assert [(item["from"], item["to"]) for item in history[1:]] == [
        ("eu/production/api:v1", "us/production/api:v1"),
        ("eu/staging/api:v1", "eu/production/api:v1"),
        ("eu/dev/api:v1", "eu/staging/api:v1"),
    ]
    assert history[1]["by"] == "ann"
    table = stages.promote("--history").out.splitlines()
    assert table[0].split() == ["when", "by", "from", "to", "digest", "before"]
    assert len(table) == 1 + len(history)


def test_a_tag_that_moved_since_it_was_tested_is_refused(stages: Stages) -> None:
    tested, newer = images.image([b"tested"]), images.image([b"not tested"])
    stages.push("staging/api", "v1", tested)
    stages.push("production/api", "v1", images.image([b"in production"]))
    before = images.head(stages.registries["eu"].url, "production/api", "v1")
    stages.push("staging/api", "v1", newer)

    done = stages.promote("eu/staging/api:v1", "eu/production/api", "--expect", tested.digest)

    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"error: eu/staging/api:v1 holds {newer.digest}, expected {tested.digest}: nothing was done\n"
    )
    assert images.head(stages.registries["eu"].url, "production/api", "v1") == before
    assert stages.promote("--history").out == "nothing was promoted yet\n"


def test_a_promotion_back_is_a_rollback_and_no_override_keeps_what_is_there(stages: Stages) -> None:
    old, new = images.image([b"old"]), images.image([b"new"])
    stages.push("staging/api", "v1", old)
    stages.push("staging/api", "v2", new)
    for tag in ("v1", "v2"):
        assert stages.promote(f"eu/staging/api:{tag}", "eu/production/api:current").status == 0

    kept = stages.promote("eu/staging/api:v1", "eu/production/api:current", "--no-override")
    back = stages.promote(f"eu/staging/api@{old.digest}", "eu/production/api:current")

    assert kept.status == 1
    assert kept.err.splitlines()[-1].startswith("error: eu/production/api:current was not promoted: override")
    assert back.status == 0
    assert f"(before: {new.digest})" in back.out
    assert images.head(stages.registries["eu"].url, "production/api", "current") == old.digest


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["eu/a:v1"],
        ["eu/a:v1", "eu/b", "--expect", "latest"],
        ["eu/a:v1", "eu/b", "--signatures", "no"],
        ["nowhere/a:v1", "eu/b"],
        ["eu/a:v1", "eu/b"],
    ],
)
def test_what_cannot_be_promoted_is_one_clear_line(stages: Stages, arguments: list[str]) -> None:
    done = stages.promote(*arguments)

    assert (done.status, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("error: ")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_worker_finishes_what_a_command_began(world: World, end: signal.Signals) -> None:
    start, target = f"dev/{end.name.lower()}", f"staging/{end.name.lower()}"
    image = world.push("eu", start, "v1", images.image([images.layer_bytes(start)]))
    replicator = world.replicator
    us = world.registries["us"]
    us.suspend()
    try:
        command = subprocess.Popen(
            [PROGRAM, "promote", f"eu/{start}:v1", f"us/{target}"],
            env={"REPLICATOR_RULES": str(replicator.rules), "REPLICATOR_DATA": str(replicator.data)},
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: replicator.jobs(start, state="running"), what="the command is at work")
        command.send_signal(end)
        _, said = command.communicate(timeout=30)
    finally:
        us.resume()

    if end is signal.SIGINT:
        assert command.returncode == 130
        assert "stays in the ledger, and a worker carries it out" in said
        assert "Traceback" not in said
    world.await_copy("us", target, "v1", image, within_s=60.0)
    wait_until(lambda: replicator.outcomes(start, "v1", rule="promote"), what="the job has ended")

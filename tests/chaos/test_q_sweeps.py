"""A Redis that keeps nothing: what it was told is made up for as soon as it is back."""

from pathlib import Path

from tests.e2e.world import World
from tests.fakes import images
from tests.integration.processes import RedisServer, wait_until

RULES = """\
rules:
  - name: prod
    source: eu
    destinations: [us]
    deletion: true
    sweep_interval: "off"
"""


class ForgetfulRedis(RedisServer):
    """A Redis that writes nothing to the disk."""

    def _command(self) -> list[str]:
        given = super()._command()
        return [*given, "--appendonly", "no"]


def test_q10_a_redis_that_restarts_with_nothing_has_everything_compared(tmp_path: Path) -> None:
    with ForgetfulRedis(tmp_path / "redis", port=0) as server:
        settings = {"REPLICATOR_REDIS_URL": server.url}
        with World(tmp_path / "world", RULES, regions=("eu", "us"), environment=settings) as world:
            kept = world.push("eu", "team/app", "v1", images.image([b"kept"]))
            world.await_copy("us", "team/app", "v1", kept)
            assert world.replicator.command("pause", "--destination", "us").status == 0
            lost = world.push("eu", "team/app", "v2", images.image([b"lost"]))
            wait_until(lambda: world.replicator.jobs("team/app"), 20, what="the job is there")

            server.kill()
            server.start()

            world.await_copy("us", "team/app", "v2", lost, within_s=60)
            assert world.head("us", "team/app", "v1") == kept.digest
            assert "wanted yes: without it a restart of Redis loses" in world.replicator.said

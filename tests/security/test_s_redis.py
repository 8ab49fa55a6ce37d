"""The users of Redis that the documentation proposes: enough for each role, and no more."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.chaos.roles import ROLES, Fleet
from tests.fakes import images
from tests.integration.processes import RedisServer, wait_until

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
USERS = (*ROLES, "operator", "reader")
PASSWORD = "only-for-tests"


def acl_lines() -> str:
    """The lines that the page shows, with a password."""
    found = re.search(r"```acl\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return found[1].replace("PASSWORD", PASSWORD) + f"user judge on >{PASSWORD} allkeys allchannels +@all\n"


class GuardedRedis(RedisServer):
    """A Redis that only those users may use. `judge` may do all, for the test."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        file = directory / "users.acl"
        file.write_text(acl_lines())
        super().__init__(directory, port=0, settings={"aclfile": str(file)})

    def url_of(self, user: str) -> str:
        """Where that user finds it."""
        return f"redis://{user}:{PASSWORD}@127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A client that may do everything."""
        return redis.Redis.from_url(self.url_of("judge"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRedis]:
    with GuardedRedis(tmp_path_factory.mktemp("acl") / "redis") as running:
        yield running


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, server: GuardedRedis) -> Iterator[Fleet]:
    urls = {name: server.url_of(name) for name in (*ROLES, "operator")}
    with Fleet(tmp_path_factory.mktemp("fleet"), urls) as running:
        yield running


def test_s14_each_role_does_its_work_with_a_user_of_its_own(fleet: Fleet, server: GuardedRedis) -> None:
    image = fleet.push("v1")
    fleet.await_copy("v1", image)
    images.delete(fleet.registries["eu"].url, "app", image.digest)
    us = fleet.registries["us"].url
    wait_until(lambda: images.head(us, "app", "v1") is None, 20, what="the delete is carried out")
    _kill_a_child(fleet)
    later = fleet.push("v2")
    fleet.await_copy("v2", later)
    images.delete(us, "app", later.digest)

    for command in (["resync", "--wait"], ["status"], ["failures"], ["jobs", "--state", "done"]):
        done = fleet.command(*command)
        assert done.status == 0, done
    fleet.await_copy("v2", later)
    assert fleet.api("status")["inbox"]["length"] == 0
    with server.client() as judge:
        assert judge.acl_log() == []


def test_s14_a_reader_looks_and_changes_nothing(fleet: Fleet, server: GuardedRedis) -> None:
    url = {"REPLICATOR_REDIS_URL": server.url_of("reader")}

    for command in (["status"], ["failures"], ["jobs"], ["pause", "--destination", "us"]):
        done = fleet.command(*command, environment=url)
        assert done.status == (1 if command[0] == "pause" else 0), done

    with server.client() as judge:
        assert not judge.exists("replicator:paused")
        judge.acl_log_reset()


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "CONFIG SET maxmemory 1",
        "SHUTDOWN",
        "ACL LIST",
        "KEYS *",
        "CLIENT KILL TYPE normal",
        "MODULE LIST",
        "REPLICAOF NO ONE",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "EVAL return(1) 0",
        "SET other:key 1",
        "GET other:key",
        "SUBSCRIBE celery.pidbox",
        "PUBLISH /0.celery.pidbox stop",
        "LPUSH celery stop",
    ],
)
def test_s14_nobody_may_harm_others(server: GuardedRedis, user: str, command: str) -> None:
    assert is_refused(server, user, command)


@pytest.mark.parametrize("user", ["receiver", "operator", "reader"])
def test_s14_only_those_who_run_celery_reach_its_queues(server: GuardedRedis, user: str) -> None:
    assert is_refused(server, user, "LPUSH dst.us stop")
    assert is_refused(server, user, "LRANGE dst.us 0 -1")
    assert is_refused(server, user, "HGETALL unacked")
    assert not is_refused(server, "worker", "LLEN dst.us")


def test_s14_nobody_gets_in_without_a_login(server: GuardedRedis) -> None:
    with redis.Redis(port=server.port or 0) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.ping()


def test_s15_a_worker_listens_to_no_remote_control(fleet: Fleet, server: GuardedRedis) -> None:
    with server.client() as judge:
        wait_until(lambda: judge.exists("replicator:workers"), what="the worker beats")

        assert judge.pubsub_channels("*") == []
        assert judge.pubsub_numpat() == 0
        assert judge.publish("/0.celery.pidbox", b'{"method": "shutdown"}') == 0
    assert fleet.roles["worker"].is_running


def is_refused(server: GuardedRedis, user: str, command: str) -> bool:
    """Whether Redis does not let a user do that."""
    with redis.Redis.from_url(server.url_of(user)) as client:
        try:
            client.execute_command(*command.split())
        except redis.exceptions.NoPermissionError:
            return True
    return False


def _kill_a_child(fleet: Fleet) -> None:
    worker = fleet.roles["worker"].pid
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)

"""A Redis with a replica, and the Sentinels that make the replica the primary when the primary is gone."""

import contextlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests import judges
from tests.integration.processes import Process, RedisServer, free_port, wait_until

SERVICE = "main"
DOWN_AFTER_MS = 1000


class SentinelServer(Process):
    """One Sentinel that watches the primary on `port`; `quorum` of them say when it is gone."""

    def __init__(self, directory: Path, watched: int, quorum: int) -> None:
        super().__init__(directory)
        self._binary = judges.need("redis-server")
        self.port = free_port()
        # It writes down there what it learns.
        self._config = directory / "sentinel.conf"
        self._config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {watched} {quorum}\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {SERVICE} 6000\n"
        )

    def client(self) -> redis.Redis:
        """A client of its own, to be closed by the caller."""
        # Left alone, redis-py would ask one that hangs for half a minute.
        return redis.Redis(port=self.port, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))

    def _command(self) -> list[str]:
        return [str(self._binary), str(self._config), "--sentinel"]

    def _answers(self) -> bool:
        with contextlib.suppress(redis.ConnectionError), contextlib.closing(self.client()) as client:
            return bool(client.ping())
        return False


class Service:
    """Two servers and their Sentinels. `url` is what the product is told."""

    def __init__(self, directory: Path, *, sentinels: int = 3) -> None:
        # Left alone, a primary waits for five seconds whether more replicas come.
        at_once = {"repl-diskless-sync-delay": "0"}
        self.servers = [
            RedisServer(directory / f"redis-{number}", port=0, settings=at_once) for number in range(2)
        ]
        first = self.servers[0].port
        assert first
        quorum = sentinels // 2 + 1
        self.sentinels = [
            SentinelServer(directory / f"sentinel-{number}", first, quorum) for number in range(sentinels)
        ]
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{places}/{SERVICE}"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for server in self.servers:
                starting.enter_context(server)
            with contextlib.closing(self.servers[1].client()) as replica:
                replica.replicaof("127.0.0.1", str(self.servers[0].port))
            # A Sentinel looks for replicas when it starts, and then every ten seconds.
            wait_until(lambda: _is_followed(self.servers[0]), 30, what="the replica follows")
            for sentinel in self.sentinels:
                starting.enter_context(sentinel)
            wait_until(self._is_complete, 30, what="every Sentinel knows the replica and the others")
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def primary(self) -> RedisServer:
        """The server that most Sentinels name."""
        votes = [vote for vote in map(self._vote, self.sentinels) if vote]
        return max(self.servers, key=lambda server: votes.count(server.port or 0))

    def replica(self) -> RedisServer:
        """The other one."""
        primary = self.primary()
        return next(server for server in self.servers if server is not primary)

    def await_failover(self, old: RedisServer, within_s: float = 30.0) -> None:
        """Wait until another than `old` is the primary."""
        wait_until(lambda: self.primary() is not old, within_s, what="there is another primary", poll_s=0.1)

    def await_replica(self, within_s: float = 60.0) -> None:
        """Wait until the primary has a replica that holds all that it holds."""
        wait_until(lambda: _is_followed(self.primary()), within_s, what="the replica follows", poll_s=0.1)

    def detach_replica(self) -> None:
        """From now on the replica hears nothing of what the primary is told."""
        replica = self.replica()
        with contextlib.closing(self.primary().client()) as client:
            client.acl_setuser("default", enabled=True, nopass=True, commands=["-psync", "-sync"])
            client.client_kill_filter(_type="replica")
        with contextlib.closing(replica.client()) as client:
            wait_until(
                lambda: client.info("replication")["master_link_status"] == "down", what="it lost its primary"
            )

    def _vote(self, sentinel: SentinelServer) -> int:
        if not sentinel.is_running:
            return 0
        with contextlib.suppress(redis.RedisError), contextlib.closing(sentinel.client()) as client:
            found: Sequence[bytes] = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)
            return int(found[1])
        return 0

    def _is_complete(self) -> bool:
        others = len(self.sentinels) - 1
        for sentinel in self.sentinels:
            with contextlib.closing(sentinel.client()) as client:
                state = client.sentinel_master(SERVICE)
                if state["num-slaves"] < 1 or state["num-other-sentinels"] < others:
                    return False
        return True


def _is_followed(primary: RedisServer) -> bool:
    with contextlib.suppress(redis.RedisError), contextlib.closing(primary.client()) as client:
        told = client.info("replication")
        replica = told.get("slave0", {})
        return replica.get("state") == "online" and replica.get("offset") == told["master_repl_offset"]
    return False

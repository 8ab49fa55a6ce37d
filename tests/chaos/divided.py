"""Regions that send to each other, with a strait between each of them and a running `replicator up`.

People push in their own region, whether the straits are open or not; copies, and the notifications of the registries,
pass the straits. What was written in a region is counted by its registry's own access log.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier, Thread
from typing import Self

import redis

from replicator.oci import Digest
from tests.e2e.product import Replicator
from tests.e2e.world import SECRET, registries_yaml
from tests.fakes import images
from tests.fakes.images import Image
from tests.fakes.strait import Strait
from tests.integration.processes import DockerRegistry, free_port, wait_until


class Divided:
    """Registries, one a region, behind straits."""

    def __init__(self, directory: Path, rules: str, regions: Iterable[str]) -> None:
        port = free_port()
        self.replicator = Replicator(directory / "replicator", port=port)
        self.notices = {name: Strait(port) for name in regions}
        self.registries = {
            name: DockerRegistry(directory / name, notify=[(_webhook(name, strait), _LOGIN)])
            for name, strait in self.notices.items()
        }
        self.copies = {name: Strait(registry.port) for name, registry in self.registries.items()}
        self.replicator.write_rules("registries.yaml", registries_yaml(self.copies))
        self.replicator.write_rules("rules.yaml", rules)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for strait in (*self.notices.values(), *self.copies.values()):
                starting.enter_context(strait)
            starting.callback(self.replicator.close)
            for registry in self.registries.values():
                starting.enter_context(registry)
            self.replicator.start()
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def cut(self, region: str) -> None:
        """Nothing passes any more, in either direction."""
        for strait in (self.notices[region], self.copies[region]):
            strait.bar()

    def mend(self, region: str) -> None:
        """Everything passes again."""
        for strait in (self.notices[region], self.copies[region]):
            strait.heal()

    def push(self, pushes: Mapping[str, Iterable[tuple[str, Image]]]) -> float:
        """Push these images as `v1` of their repositories, all regions at once; the seconds that it took."""
        began = time.monotonic()
        together = Barrier(len(pushes))
        threads = [Thread(target=self._push, args=(*each, together)) for each in pushes.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.monotonic() - began

    def _push(self, region: str, pushed: Iterable[tuple[str, Image]], together: Barrier) -> None:
        together.wait()
        for repository, image in pushed:
            images.push(self.registries[region].url, repository, "v1", image)

    def held(self, repository: str, regions: Iterable[str]) -> set[Digest | None]:
        """What the regions hold there."""
        return {images.head(self.registries[name].url, repository, "v1") for name in regions}

    def puts(self, region: str) -> Counter[str]:
        """How often `v1` was written in a region, by repository, by whomever."""
        log = self.registries[region].log.read_text()
        return Counter(re.findall(r'"PUT /v2/(\S+)/manifests/v1 HTTP/1.1" 201', log))

    def settle(self, within_s: float) -> float:
        """Wait until nothing waits any more and no registry has anything left to tell; the seconds that it took."""

        def is_quiet() -> bool:
            before = [self.puts(name) for name in self.registries]
            self.replicator.settle(within_s)
            return before == [self.puts(name) for name in self.registries]

        return wait_until(is_quiet, within_s, what="nothing is written any more", poll_s=1.5)

    def redis(self) -> redis.Redis:
        """A client of the product's own Redis, to be closed by the caller."""
        return redis.Redis(unix_socket_path=str(self.replicator.data / "redis.sock"), decode_responses=True)


_LOGIN = {"Authorization": f"Bearer {SECRET}"}


def _webhook(name: str, strait: Strait) -> str:
    return f"{strait.url}/webhooks/{name}"

"""Two releases share one Redis while one is replaced by the other, in both directions."""

import itertools
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.releases import PREVIOUS, SINCE, EarlierRole, code_of
from tests.chaos.world import STOPS_WITHIN_S, ChaosWorld, Role, Tuning
from tests.fakes import images
from tests.fakes.images import Image
from tests.integration.processes import wait_until

pytestmark = pytest.mark.integration

RULES = """\
rules:
  - {{name: follow, source: eu, destinations: [us, ap], deletion: true, delete_grace: {grace_s}s}}
"""
TUNING = Tuning(grace_s=0.5, lease_s=6.0, redispatch_s=3.0, concurrency=2)
IN_LINE_WITHIN_S = 60.0
SCHEDULING = ("receiver", "scheduler-1", "scheduler-2")
WORKING = ("worker-1", "worker-2")


class Releases(ChaosWorld):
    """A world whose roles are of two releases: those of `earlier` run the code below `code`."""

    def __init__(self, directory: Path, code: Path, earlier: tuple[str, ...]) -> None:
        self._code = code
        self._earlier = earlier
        self._pushed: dict[str, Image | None] = {}
        self._numbers = itertools.count()
        super().__init__(directory, TUNING, rules=RULES)

    def _role(self, name: str, *arguments: str) -> Role:
        if name not in self._earlier:
            return super()._role(name, *arguments)
        return EarlierRole(self.directory / name, arguments, self.environment, code=self._code)

    def replace(self, name: str, stack: ExitStack) -> None:
        """Stop a role in good order, and start it in today's code."""
        self.resting.add(name)
        old = self.roles[name]
        old.stop(STOPS_WITHIN_S)
        new = Role(self.directory / f"{name}-new", old.arguments, self.environment)
        self.roles[name] = stack.enter_context(new)
        self.resting.discard(name)

    def change(self, count: int) -> None:
        """Push images, half of them to one tag, and delete a few."""
        for number in itertools.islice(self._numbers, count):
            tag = "hot" if number % 2 else f"v{number}"
            image = images.image([b"layer %d" % number])
            images.push(self.target("eu"), "team/api", tag, image)
            self._pushed[tag] = image
            if number % 10 == 8:
                images.delete(self.target("eu"), "team/api", image.digest)
                self._pushed[tag] = None

    def await_in_line(self) -> None:
        """Wait until every destination holds what the source does, every byte checked, and nothing waits."""
        wait_until(self._is_in_line, IN_LINE_WITHIN_S, what="everything is in line", poll_s=0.2)
        wait_until(self.is_settled, IN_LINE_WITHIN_S, what="nothing waits", poll_s=0.2)
        assert self.api("failures")["jobs"] == []

    def _is_in_line(self) -> bool:
        return all(
            images.is_whole(self.target(region), "team/api", tag, image)
            if image
            else images.head(self.target(region), "team/api", tag) is None
            for region in ("us", "ap")
            for tag, image in self._pushed.items()
        )


@pytest.fixture(scope="module", params=[PREVIOUS, SINCE], ids=["the-commit-before", "the-first"])
def code(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return code_of(request.param, tmp_path_factory.mktemp("code"))


@pytest.mark.parametrize("earlier", [SCHEDULING, WORKING], ids=["scheduler", "workers"])
def test_an_earlier_release_does_its_part_and_is_replaced_under_load(
    tmp_path: Path, code: Path, earlier: tuple[str, ...]
) -> None:
    with Releases(tmp_path / "world", code, earlier) as world, ExitStack() as stack:
        world.change(20)
        world.await_in_line()

        for name in earlier:
            world.change(5)
            world.replace(name, stack)
        world.change(5)

        world.await_in_line()

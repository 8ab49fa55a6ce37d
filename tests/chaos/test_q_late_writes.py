"""Writes that take effect after the worker that sent them is gone, or gave them up: never the last word."""

from collections.abc import Callable, Iterator

import pytest

from replicator.ledger import State
from tests.chaos.stepwise import Fate, Worker
from tests.fakes.images import image, is_whole
from tests.integration.transfer.conftest import MakeWorld, ledger, make_world, redis_url, shared_redis
from tests.integration.transfer.world import API, World, a_rule

__all__ = ["ledger", "make_world", "redis_url", "shared_redis"]

pytestmark = pytest.mark.integration

OLD, NEW = image([b"old"]), image([b"new"])


class Scene:
    """A tag that is about to be written with what the source is about to leave."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.late: list[Callable[[], object]] = []
        world.push("eu", "v1", OLD)
        world.tell(world.job(), digest=OLD.digest)
        self.writer = self.worker()
        while not self.writer.wants.startswith("PUT /v2/team/api/manifests/"):
            self.writer.step()

    def worker(self) -> Worker:
        world = self.world
        return Worker(
            world.job(),
            redis_url=world.redis_url,
            rules=world.rules,
            registries=world.registries,
            late=self.late,
        )

    def move_on(self) -> None:
        """The source moves, and a worker brings that over."""
        world = self.world
        world.push("eu", "v1", NEW)
        world.tell(world.job(), digest=NEW.digest)
        world.hurried(world.job())
        assert is_whole(world["us"], API, "v1", NEW)

    def land(self) -> None:
        """What was sent before takes effect: the old content is there again."""
        for effect in self.late:
            effect()
        assert self.world.digest("us") == OLD.digest

    def ends_in_line(self) -> bool:
        """Whether that is seen, and put right, a lease's time later."""
        pending = self.world.ledger.view.jobs(state=State.PENDING)
        assert all(
            view.due_at - self.world.ledger.view.now() <= self.world.ledger.lease_s
            for view in pending
            if view.due_at
        )
        self.world.settle()
        return is_whole(self.world["us"], API, "v1", NEW)


@pytest.fixture
def scene(make_world: MakeWorld) -> Iterator[Scene]:
    made = Scene(make_world(a_rule()))
    yield made
    made.writer.finish()
    made.writer.close()


def test_q7_a_write_of_a_worker_that_died_over_it_is_not_the_last(scene: Scene) -> None:
    scene.writer.step(Fate.DIE_SENDING)
    scene.world.expire(scene.world.job())
    scene.move_on()

    scene.land()

    assert scene.ends_in_line()


def test_q7_it_is_not_if_the_heir_of_that_worker_did_not_succeed_at_once(scene: Scene) -> None:
    scene.writer.step(Fate.DIE_SENDING)
    scene.world.expire(scene.world.job())
    scene.world["us"].fail("HEAD", "manifests/v1", status=500)
    assert scene.world.shown(scene.world.work(scene.world.job())).state is State.PENDING
    scene.move_on()

    scene.land()

    assert scene.ends_in_line()


def test_q7_it_is_not_if_the_source_moved_while_the_heir_was_at_work(scene: Scene) -> None:
    scene.writer.step(Fate.DIE_SENDING)
    scene.world.expire(scene.world.job())
    heir = scene.worker()
    heir.step()
    scene.world.tell(scene.world.job(), digest=OLD.digest)
    heir.finish()
    heir.close()
    scene.move_on()

    scene.land()

    assert scene.ends_in_line()


@pytest.mark.parametrize("trips", range(4))
def test_q7_it_is_not_if_the_heir_dies_when_it_is_done(scene: Scene, trips: int) -> None:
    scene.writer.step(Fate.DIE_SENDING)
    scene.world.expire(scene.world.job())
    scene.world.push("eu", "v1", NEW)
    heir = scene.worker()
    while not heir.is_done:
        if heir.wants == "HEAD /v2/team/api/manifests/v1" and is_whole(scene.world["us"], API, "v1", NEW):
            heir.fuse = trips
        heir.step()
    heir.close()

    scene.land()

    scene.world.expire(scene.world.job())
    assert scene.ends_in_line()


@pytest.mark.parametrize("fate", [Fate.STOP, Fate.DELAY])
def test_q7_a_write_that_was_given_up_is_not_the_last(scene: Scene, fate: Fate) -> None:
    scene.writer.step(fate)
    scene.writer.finish()
    scene.move_on()

    scene.land()

    assert scene.ends_in_line()


@pytest.mark.parametrize("trips", range(4))
@pytest.mark.parametrize("fate", [Fate.STOP, Fate.DELAY])
def test_q7_it_is_not_if_the_ledger_does_not_answer_either(scene: Scene, fate: Fate, trips: int) -> None:
    scene.writer.refused = trips
    scene.writer.step(fate)
    scene.writer.finish()
    scene.world.expire(scene.world.job())
    scene.move_on()

    scene.land()

    assert scene.ends_in_line()


@pytest.mark.parametrize("fate", [Fate.STOP, Fate.DELAY])
def test_q7_it_is_not_if_it_was_given_up_after_the_job_was_done_by_others(scene: Scene, fate: Fate) -> None:
    scene.world.expire(scene.world.job())
    scene.move_on()
    scene.world.settle()
    assert scene.world.ledger.job(scene.world.job().id) is None
    while scene.writer.wants.startswith("PUT"):
        scene.writer.step(fate)
    scene.writer.finish()

    scene.land()

    assert scene.ends_in_line()


def test_q7_a_write_that_a_proxy_gave_up_is_not_the_last(scene: Scene) -> None:
    scene.world["us"].fail("PUT", "manifests/v1", times=2, status=504)
    scene.writer.step(Fate.DELAY)
    scene.writer.step(Fate.DELAY)
    scene.writer.finish()
    scene.world["us"].heal()
    scene.world.end_outage("us")
    scene.move_on()

    scene.land()

    assert scene.ends_in_line()

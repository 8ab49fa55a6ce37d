"""What people do to the source registries, from a seed: the same operations in the same order every time.

Half of the pushes go to tags of their own, where nothing masks a loss; the other half move forty hot tags, back to
older images too. One in ten operations deletes, one in twenty pushes an index or an image with its signature, and some
are pushes into the repositories that two regions share. Every image is made from its name and goes under one tag only,
because a delete takes all tags of a digest.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import islice
from zlib import crc32

from tests.chaos.history import History, Place
from tests.chaos.world import ChaosWorld
from tests.fakes import images
from tests.fakes.images import Image
from tests.fakes.raw import RawClient

CLIENTS = 4
HOT_TAGS = 40
VARIANTS = 8
_A_REPOSITORY = 30
"""Tags of their own that one repository gets."""
_RETRY_S = 0.25
_GIVES_UP_AFTER_S = 120.0


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that somebody does. `image` is the name of the image that is pushed, or that is deleted."""

    kind: str
    region: str
    repository: str
    tag: str
    image: str

    @property
    def place(self) -> Place:
        """The tag that it is about."""
        return self.region, self.repository, self.tag


@dataclass
class _Plan:
    """Draws operations, and knows which tags there are by then."""

    rng: random.Random
    ring: int | None
    """How many tags of their own there are at most: older ones are deleted, and come again."""
    pushed: int = 0
    singles: list[Operation] = field(default_factory=list)
    hot: dict[str, Operation] = field(default_factory=dict)

    def draw(self) -> Operation:
        dice = self.rng.random()
        if self.ring is not None and len(self.singles) >= self.ring // 2 and dice < 0.35:
            return self._delete_single(0)
        if dice < 0.05 and self.hot:
            return self._delete_hot()
        if dice < 0.10 and len(self.singles) > 10:
            return self._delete_single(self.rng.randrange(len(self.singles)))
        if dice < 0.14:
            return self._shared()
        return self._single() if dice < 0.55 or (self.ring and dice < 0.67) else self._move()

    def _single(self) -> Operation:
        number = self.pushed % self.ring if self.ring else self.pushed
        self.pushed += 1
        kind = self.rng.choices(("push", "index", "signed", "large"), (84, 7, 7, 2))[0]
        name = f"{kind} {number}" if self.ring is None else f"push {number}"
        made = Operation(
            name.split(maxsplit=1)[0], "eu", f"production/app-{number // _A_REPOSITORY}", f"v{number}", name
        )
        self.singles.append(made)
        return made

    def _move(self) -> Operation:
        number = self.rng.randrange(HOT_TAGS)
        tag, variant = f"hot-{number}", self.rng.randrange(VARIANTS)
        kind = "index" if variant == 0 else "push"
        made = Operation("move", "eu", f"production/hot-{number % 4}", tag, f"{kind} {tag} {variant}")
        self.hot[tag] = made
        return made

    def _shared(self) -> Operation:
        region, number = self.rng.choice(("eu", "jp")), self.rng.randrange(20)
        tag, variant = f"both-{number}", self.rng.randrange(VARIANTS)
        return Operation("shared", region, "shared/app", tag, f"push {region} {tag} {variant}")

    def _delete_single(self, at: int) -> Operation:
        return _undone(self.singles.pop(at))

    def _delete_hot(self) -> Operation:
        return _undone(self.hot.pop(self.rng.choice([*self.hot])))


def _undone(made: Operation) -> Operation:
    return Operation("delete", made.region, made.repository, made.tag, made.image)


def endless(seed: int, *, ring: int | None = None) -> Iterator[Operation]:
    """Operations for ever. With `ring` they come back to the same tags and images, so that nothing grows."""
    plan = _Plan(random.Random(seed), ring)
    while True:
        yield plan.draw()


def operations(seed: int, count: int) -> list[Operation]:
    """The first `count` operations of a seed."""
    return [*islice(endless(seed), count)]


def image_of(name: str) -> Image:
    """The image of that name, its blobs partly shared with others."""
    kind = name.split(maxsplit=1)[0]
    if kind == "index":
        return images.multi_arch(name)
    size_bytes = 2_000_000 if kind == "large" else 2000
    return images.image(
        [b"a layer that all share", images.layer_bytes(name, size_bytes)], config=name.encode()
    )


class Load:
    """People at work: a few at once, each tag in one person's hands, so that its steps have an order.

    Who gets no answer tries again until the registry takes it.
    """

    def __init__(self, world: ChaosWorld, history: History, *, per_s: float) -> None:
        self._world = world
        self._history = history
        self._pause_s = 1 / per_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.done = 0
        self.broken: list[BaseException] = []

    def run(self, todo: Sequence[Operation]) -> None:
        """Do all of it. Raises what nobody expected."""
        began = time.monotonic()
        paced = [(began + number * self._pause_s, operation) for number, operation in enumerate(todo)]
        self._share(lambda client: (item for item in paced if _client_of(item[1]) == client))

    def run_for(self, seconds: float, todo: Iterable[Operation]) -> None:
        """Do as much of it as there is time for."""
        slots = int(seconds / self._pause_s)
        self.run([*islice(todo, slots)])

    def stop(self) -> None:
        """Everybody goes home after the operation at hand."""
        self._stop.set()

    def _share(self, parts: Callable[[int], Iterator[tuple[float, Operation]]]) -> None:
        people = [threading.Thread(target=self._work, args=(parts(client),)) for client in range(CLIENTS)]
        for person in people:
            person.start()
        for person in people:
            person.join()
        if self.broken:
            raise self.broken[0]

    def _work(self, part: Iterator[tuple[float, Operation]]) -> None:
        clients = {region: RawClient(self._world.target(region)) for region in ("eu", "jp")}
        try:
            for at, operation in part:
                if self._stop.wait(max(0.0, at - time.monotonic())):
                    return
                self._until_done(clients[operation.region], operation)
                with self._lock:
                    self.done += 1
        except BaseException as exc:
            self.broken.append(exc)
            raise
        finally:
            for client in clients.values():
                client.close()

    def _until_done(self, client: RawClient, operation: Operation) -> None:
        image, deadline = image_of(operation.image), time.monotonic() + _GIVES_UP_AFTER_S
        while not self._stop.is_set():
            try:
                self._do(client, operation, image)
            except (OSError, HTTPException, AssertionError):
                client.close()
                if time.monotonic() > deadline:
                    raise
                self._stop.wait(_RETRY_S)
            else:
                return

    def _do(self, client: RawClient, operation: Operation, image: Image) -> None:
        place = operation.place
        if operation.kind == "delete":
            with self._history.step("delete", place, None, takes=image.digest):
                answer = client.call("DELETE", f"/v2/{operation.repository}/manifests/{image.digest}")
                assert answer.status in {202, 404}, answer
            return
        self._push_below(client, operation.repository, image)
        with self._history.step(operation.kind, place, image.digest):
            images.push_manifest(client, operation.repository, operation.tag, image)
        if operation.kind == "signed":
            self._sign(client, operation, image)

    def _sign(self, client: RawClient, operation: Operation, image: Image) -> None:
        signature, tag = images.signature(image), images.signature_tag(image)
        self._push_below(client, operation.repository, signature)
        with self._history.step("signature", (operation.region, operation.repository, tag), signature.digest):
            images.push_manifest(client, operation.repository, tag, signature)

    @staticmethod
    def _push_below(client: RawClient, repository: str, image: Image) -> None:
        for child in image.children:
            images.push(client, repository, None, child)
        for digest, content in image.blobs.items():
            images.push_blob(client, repository, content, digest=digest)


def _client_of(operation: Operation) -> int:
    return crc32(f"{operation.repository}:{operation.tag}".encode()) % CLIENTS

"""Pushes as fast as a registry takes them, half of them moves of one tag: where an event outruns its own effect.

Distribution posts a push before it writes the tag, so whoever reads too early sees nothing, or the digest before.
`python -m tests.e2e.storm 10` makes ten storms and prints how each of them ended.
"""

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replicator.oci import Digest
from tests.e2e.world import World
from tests.fakes import images
from tests.fakes.images import Image
from tests.fakes.raw import RawClient
from tests.integration.processes import wait_until

PUSHES = 300
HOT = "hot"
DESTINATIONS = ("us", "ap")
IN_LINE_WITHIN_S = 90.0


@dataclass(frozen=True, slots=True)
class Storm:
    """How a storm went. `wrong` names each tag of each destination that did not end as the source's."""

    pushed_s: float
    in_line_s: float
    tags: int
    wrong: tuple[str, ...]


def storm(world: World, repository: str) -> Storm:
    """Push, wait until nothing waits any more, and compare every tag with the source, down to the last byte."""
    singles, moves = _storm_images(repository)
    everything = {**singles, HOT: moves[-1]}
    # The blobs, which all images share, are there before: then a push is one request.
    world.push("eu", repository, None, moves[0])
    started = time.monotonic()
    _push_all(world, repository, singles, moves)
    pushed_s = time.monotonic() - started
    # What is not in line by then is told below, tag by tag.
    with contextlib.suppress(AssertionError):
        wait_until(lambda: _in_line(world, repository, everything), IN_LINE_WITHIN_S, poll_s=0.25)
    in_line_s = time.monotonic() - started
    world.replicator.settle(IN_LINE_WITHIN_S)
    return Storm(pushed_s, in_line_s, len(everything), tuple(_wrong(world, repository, everything)))


def _storm_images(seed: str) -> tuple[dict[str, Image], list[Image]]:
    """One image for each tag that is pushed once, and those that the hot tag moves to."""
    made = [images.image(annotations={"number": f"{seed} {number}"}) for number in range(PUSHES)]
    half = PUSHES // 2
    return {f"v{number}": image for number, image in enumerate(made[:half])}, made[half:]


def _push_all(world: World, repository: str, singles: dict[str, Image], moves: Sequence[Image]) -> None:
    def push(pushes: Sequence[tuple[str, Image]]) -> None:
        with RawClient(world.url("eu")) as client:
            for tag, image in pushes:
                images.push_manifest(client, repository, tag, image)

    pushers = [
        threading.Thread(target=push, args=(pushes,))
        for pushes in (list(singles.items()), [(HOT, image) for image in moves])
    ]
    for pusher in pushers:
        pusher.start()
    for pusher in pushers:
        pusher.join()


def _in_line(world: World, repository: str, everything: dict[str, Image]) -> bool:
    return all(
        world.head(region, repository, tag) == image.digest
        for region in DESTINATIONS
        # The last ones first: so a look that comes too early ends soon.
        for tag, image in reversed(everything.items())
    )


def _wrong(world: World, repository: str, everything: dict[str, Image]) -> list[str]:
    found = []
    for region in ("eu", *DESTINATIONS):
        with RawClient(world.url(region)) as client:
            for tag, image in everything.items():
                digest = _digest(client, repository, tag)
                if digest != image.digest:
                    found.append(f"{region}/{repository}:{tag} is {digest} and not {image.digest}")
    return found


def _digest(client: RawClient, repository: str, tag: str) -> Digest | None:
    if images.head(client, repository, tag) is None:
        return None
    return images.read_back(client, repository, tag).digest


def main(count: int) -> int:
    """Make `count` storms one after another; 1 if any tag was wrong at the end of any of them."""
    rules = (Path(__file__).parent / "rules.yaml").read_text()
    failed = 0
    with tempfile.TemporaryDirectory() as directory, World(Path(directory), rules) as world:
        for number in range(1, count + 1):
            ended = storm(world, f"production/storm-{number}")
            failed += bool(ended.wrong)
            _say(
                f"storm {number}: {PUSHES} pushes in {ended.pushed_s:.1f} s, all in line after {ended.in_line_s:.1f} s,"
                f" {len(DESTINATIONS)} x {ended.tags} tags, {len(ended.wrong)} wrong"
            )
            for line in ended.wrong:
                _say(f"  {line}")
    return 1 if failed else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this is its output


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))

"""What must be true when all is over, judged from the registries, the history and Redis, never from the product's word.

in line     every tag of a destination has the digest that the source's tag has, and there are no others
possible    every tag of a source has a digest that its people's steps can have left there
whole       everything below each of these tags is read back and hashed
explained   no tag that nobody pushed, no delete that nobody asked for
at rest     no notification, job, lease, lock or doorbell is left, and nothing is set aside
"""

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from replicator.oci import Digest
from tests.chaos.history import History
from tests.chaos.world import DESTINATIONS, REGIONS, SOURCES, ChaosWorld
from tests.fakes import images
from tests.fakes.raw import RawClient

LANES = (("production", "eu", "us"), ("production", "eu", "ap"), ("shared", "eu", "jp"))
"""What is compared: names below this one, between these two."""
_READERS = 4

Tags = dict[tuple[str, str], Digest | None]
"""What each repository's tag holds; None if it is listed and its manifest is gone, or cannot be read."""


@dataclass
class Verdict:
    """What a check found wrong, a sentence each."""

    wrong: list[str] = field(default_factory=list)
    tags: int = 0
    """How many tags of destinations were read back."""
    uploads: int = 0
    """How many uploads were begun there, and neither ended nor called off."""

    def __bool__(self) -> bool:
        return not self.wrong


class Checker:
    """Reads a world and its history."""

    def __init__(self, world: ChaosWorld, history: History) -> None:
        self._world = world
        self._history = history

    def read(self, region: str) -> Tags:
        """What a region's tags hold, as the registry answers."""
        with RawClient(self._world.target(region)) as client:
            return {
                (repository, tag): images.head(client, repository, tag)
                for repository in _repositories(client)
                for tag in images.tags(client, repository)
            }

    def glance(self, region: str) -> Tags:
        """The same by the registry's own files, which is much faster, and proves less."""
        root = self._world.registries[region].storage / "docker/registry/v2/repositories"
        found: Tags = {}
        for link in root.glob("*/*/_manifests/tags/*/current/link"):
            with contextlib.suppress(OSError):
                repository = "/".join(link.relative_to(root).parts[:2])
                found[repository, link.parts[-3]] = Digest(link.read_text())
        return found

    def uploads(self) -> int:
        """How many uploads the destinations still hold the beginnings of."""
        roots = [
            self._world.registries[name].storage / "docker/registry/v2/repositories" for name in DESTINATIONS
        ]
        return sum(1 for root in roots for _ in root.glob("*/*/_uploads/*"))

    def sweeps(self) -> int:
        """How often the product compared both sides of a rule."""
        with contextlib.closing(self._world.redis.client()) as redis:
            return sum(1 for _ in redis.scan_iter("replicator:sweep:*", 1000))

    def repairs(self) -> int:
        """How often a worker said that it brought in line what no event told of."""
        return sum(log.read_text().count(" repaired=True") for log in self._world.logs())

    def is_in_line(self) -> bool:
        """Whether nothing differs, at a glance."""
        with contextlib.suppress(OSError, ValueError):
            return not differences({region: self.glance(region) for region in REGIONS})
        return False

    def differences(self) -> list[str]:
        """The tags that are not in line, a sentence each."""
        return differences({region: self.read(region) for region in REGIONS})

    def verdict(self) -> Verdict:
        """Everything that is wrong now."""
        held = {region: self.read(region) for region in REGIONS}
        found = Verdict(differences(held))
        found.wrong += self._impossible(held)
        for below, _, destination in LANES:
            self._read_back(destination, _below(held[destination], below), found)
        found.uploads = self.uploads()
        found.wrong += [*self._invented_deletions(), *self._leftovers(), *self._set_aside()]
        return found

    def _impossible(self, held: Mapping[str, Tags]) -> Iterator[str]:
        possible = self._history.possible()
        for region, below in (("eu", "production"), ("eu", "shared"), ("jp", "shared")):
            here = _below(held[region], below)
            stepped = {(repository, tag) for at, repository, tag in possible if at == region}
            for place in sorted(
                here.keys() | {place for place in stepped if place[0].startswith(f"{below}/")}
            ):
                others = SOURCES if below == "shared" else (region,)
                may = {digest for at in others for digest in possible.get((at, *place), {None})}
                if here.get(place) not in may:
                    yield f"{region}/{place[0]}:{place[1]} is {here.get(place)}, which nobody's steps can have left"

    def _read_back(self, region: str, tags: Tags, verdict: Verdict) -> None:
        pushed = self._history.pushed()
        held = sorted(tags.items())
        verdict.tags += len(held)
        with ThreadPoolExecutor(_READERS) as pool:
            parts = pool.map(
                lambda part: [*self._flaws(region, part, pushed)],
                (held[number::_READERS] for number in range(_READERS)),
            )
            verdict.wrong += [flaw for part in parts for flaw in part]

    def _flaws(
        self,
        region: str,
        held: list[tuple[tuple[str, str], Digest | None]],
        pushed: Mapping[tuple[str, str], set[Digest]],
    ) -> Iterator[str]:
        with RawClient(self._world.target(region)) as client:
            for (repository, tag), digest in held:
                if digest not in pushed.get((repository, tag), ()):
                    yield f"{region}/{repository}:{tag} holds {digest}, which nobody ever pushed to it"
                try:
                    images.read_back(client, repository, tag)
                except AssertionError as exc:
                    yield f"{region}/{repository}:{tag} is not whole: {exc}"

    def _invented_deletions(self) -> Iterator[str]:
        asked, pushed = self._history.deleted(), self._history.pushed()
        with contextlib.closing(self._world.redis.client()) as redis:
            for _, fields in redis.xrange("replicator:deleted"):
                entry = {name.decode(): value.decode(errors="replace") for name, value in fields.items()}
                place = (entry["repository"], entry["reference"])
                if place not in asked or entry["digest"] not in {place[1], *pushed.get(place, ())}:
                    where = f"{entry['destination']}/{place[0]}:{place[1]}"
                    yield f"{where} was deleted ({entry['digest']}), which nobody asked for"

    def _leftovers(self) -> Iterator[str]:
        with contextlib.closing(self._world.redis.client()) as redis:
            for pattern in ("job:*", "due:*", "low:*", "inflight:*", "since:*", "promotion:*"):
                for key in redis.scan_iter(f"replicator:{pattern}", 1000):
                    yield f"{key.decode()} is left in Redis"
            if left := redis.xlen("replicator:inbox"):
                yield f"{left} notifications are left in the inbox"
            if dead := redis.xlen("replicator:dead"):
                yield f"{dead} notifications are dead letters"

    def _set_aside(self) -> Iterator[str]:
        for job in self._world.api("failures")["jobs"]:
            place = f"{job['destination']}/{job['repository']}:{job['reference']}"
            yield f"the job of {place} is {job['state']}: {job.get('reason')}"


def differences(held: Mapping[str, Tags]) -> list[str]:
    """Where destinations are not in line with their sources, a sentence each."""
    found = []
    for below, source, destination in LANES:
        here, there = _below(held[source], below), _below(held[destination], below)
        found += [
            f"{destination}/{repository}:{tag} is {there.get((repository, tag))}"
            f" and not {here.get((repository, tag))} as at {source}"
            for repository, tag in sorted(here.keys() | there.keys())
            if here.get((repository, tag)) != there.get((repository, tag))
        ]
    return found


def _below(tags: Tags, name: str) -> Tags:
    return {place: digest for place, digest in tags.items() if place[0].startswith(f"{name}/")}


def _repositories(client: RawClient) -> list[str]:
    answer = client.call("GET", "/v2/_catalog?n=1000")
    assert answer.status == 200, answer
    return list(answer.json()["repositories"])

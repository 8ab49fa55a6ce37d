"""Comparisons in a world of fake registries."""

from collections.abc import Iterable

from replicator.drift import Difference, Kind
from replicator.resync import Request, Scope, Sweep, Tools, enqueue, jobs_of
from tests.integration.transfer.world import World


def tools_of(world: World) -> Tools:
    """What a comparison needs of the world."""
    return Tools(world.ledger, world.rules, world.tools().client)


def swept(
    world: World, request: Request | None = None, *, weighs: bool = False
) -> tuple[Sweep, list[Difference]]:
    """A comparison, and what it found, sorted by its names."""
    sweep = Sweep(tools_of(world), request or Request(), weighs=weighs)
    found = sorted(sweep.differences(), key=lambda item: (item.lane, item.source_name))
    return sweep, found


def kinds(world: World, request: Request | None = None) -> dict[str, Kind]:
    """What was found of each reference, by its name at the destination."""
    sweep, found = swept(world, request)
    assert not sweep.troubles
    return {item.destination_name: item.kind for item in found}


def resynced(world: World, request: Request | None = None) -> list[str]:
    """Enqueue everything that differs and work until nothing is pending; the jobs' references."""
    _, found = swept(world, request)
    request = request or Request()
    jobs = [
        job
        for portion in enqueue(jobs_of(found, everything=request.everything), world.ledger)
        for job in portion
    ]
    world.settle()
    return sorted(f"{job.destination}/{job.repository}:{job.reference}" for job in jobs)


def only(scope: Iterable[str] = (), **fields: str) -> Request:
    """A request narrowed down."""
    return Request(Scope(**fields))

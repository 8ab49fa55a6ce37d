"""Whether a source that lacks a whole repository has lost everything that it ever had.

A registry whose storage vanished answers for itself, and like one from which everything was deleted. What tells the two
apart is what else was copied from it: somebody who deletes one repository leaves the others.
"""

from replicator.errors import Denied
from replicator.oci import Repository
from replicator.transfer.route import Route

FEWEST, MOST = 3, 10
"""How many other repositories it takes to judge by, and how many are looked at."""
EMPTIED = "it may have lost its storage"
"""What the reasons of deletes have in common that are blocked by this."""


def has_lost_everything(route: Route) -> bool:
    """Whether no other repository that something was copied from has a tag left; False if there are too few to tell."""
    known = route.fleet.copied_from(route.source.name, most=MOST + 1)
    others = sorted(known - {route.repository})[:MOST]
    return len(others) >= FEWEST and not any(_has_tags(route, other) for other in others)


def _has_tags(route: Route, repository: Repository) -> bool:
    try:
        return bool(route.source.tags(repository))
    except Denied:
        return False  # so do some registries answer for what they do not have

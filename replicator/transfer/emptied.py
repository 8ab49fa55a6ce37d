"""Whether a source that lacks a whole repository has lost everything that it ever had.

A registry whose storage vanished answers for itself, and like one from which everything was deleted. What tells the two
apart is what else was copied from it: somebody who deletes one repository leaves the others.
"""

from replicator.oci import Repository
from replicator.transfer.route import Route

FEWEST, MOST = 3, 10
"""How many other repositories it takes to judge by, and how many are looked at."""
EMPTIED = "it may have lost its storage"
"""What the reasons of deletes have in common that are blocked by this."""


def has_lost_everything(route: Route) -> bool:
    """Whether no other repository that something was copied from has a tag left; False if there are too few to tell."""
    others: set[Repository] = set()
    for repository in route.fleet.copied_from(route.source.name):
        if repository != route.repository:
            others.add(repository)
        if len(others) == MOST:
            break
    return len(others) >= FEWEST and not any(route.source.tags(repository) for repository in others)

"""Indexes that name what a rule's platforms leave out: which destinations take them, and what becomes of the others.

A sparse index keeps its digest, and so its signatures. Whether a registry takes one is found out by the first that is
written there, and remembered for a day. Where it refuses, the index is rebuilt if the rule says so, or its job is
blocked.
"""

from collections.abc import Iterator

from replicator.jobs import Outcome
from replicator.oci import Digest, Tag
from replicator.platforms import Choice, Platforms, joined, rebuilt, ways
from replicator.transfer.result import Result
from replicator.transfer.route import Route
from replicator.verdict import Facts, lacks_platforms

SPARSE_INDEX = "sparse-index"
"""The name under which the fleet remembers whether a registry takes an index that names what is not there."""
NO_SPARSE = "takes no index that names images which are not there"
"""What the reason of such a block says of the destination."""


def held(route: Route, choice: Choice, found: Digest | None) -> Choice:
    """The form of the choice that the destination holds, if it holds one; else the choice as it is."""
    if route.rule.platforms_rewrite and found != choice.manifest.digest:
        made = rebuilt(choice)
        if made.manifest.digest == found:
            return made
    return choice


def forms(route: Route, choice: Choice) -> Iterator[Choice]:
    """The forms in which it may be written, the best first. None if the destination refuses all that the rule allows.

    A reference by digest cannot hold an index that has another.
    """
    takes_sparse = route.fleet.capability(route.destination.name, SPARSE_INDEX) is not False
    rewrite = route.rule.platforms_rewrite and isinstance(route.landing, Tag)
    return ways(choice, sparse=takes_sparse, rewrite=rewrite)


def note(route: Route, form: Choice, *, taken: bool) -> None:
    """Remember whether the destination took `form`, if that says something of it."""
    name = route.destination.name
    if form.left_out and route.fleet.capability(name, SPARSE_INDEX) is not taken:
        route.fleet.learn(name, SPARSE_INDEX, taken)


def platforms_of(route: Route, form: Choice, facts: Facts) -> Platforms:
    """For which platforms the destination will hold images of `form`, whoever brought them: none named if for all."""
    if facts.there and lacks_platforms(facts) and form.left_out:
        return joined(facts.there.platforms, route.rule.platforms)
    return route.rule.platforms if form.is_part else ()


def refused(route: Route, choice: Choice) -> Result:
    """The end of a job whose destination takes no form of the choice that the rule allows."""
    if route.rule.platforms_rewrite:
        return Result(Outcome.SKIPPED, choice.manifest.digest, "an index that is rebuilt needs a tag")
    platforms = ", ".join(map(str, route.rule.platforms))
    return Result(
        Outcome.BLOCKED,
        choice.manifest.digest,
        f"{route.job.destination} {NO_SPARSE}, and the rule keeps {platforms} alone:"
        " let it say platforms_rewrite: true, or drop its platforms",
    )

"""Lists of referrers under tags, for destinations that keep none themselves (OCI 1.1, "Referrers Tag Schema").

A registry says of each referrer that is pushed, by `OCI-Subject`, whether it listed it; if not, whoever pushed it has
to. The list is everybody's: each who adds to it reads it, changes it and writes it back, and who does so at the same
time loses the other's entry. Workers of the fleet take turns, in Redis, for just this step. Against others there is
what the registry offers: its ETag is compared if it compares, and the list is read again after it was written.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from replicator.errors import Overtaken, TemporaryError
from replicator.oci import Digest, Manifest, referrers_tag
from replicator.plan import ListReferrers, Plan, merged_list, thinned_list
from replicator.transfer.gather import OCI_SUBJECT
from replicator.transfer.lease import Lease
from replicator.transfer.route import Route

TRIES = 4


@dataclass
class Lists:
    """The lists of one plan: which are to be kept by us shows as its manifests are written."""

    route: Route
    lease: Lease
    planned: frozenset[Digest]
    kept: set[Digest] = field(default_factory=set)

    @classmethod
    def of(cls, plan: Plan, route: Route, lease: Lease) -> Self:
        """The lists of `plan`."""
        steps = [step for step in plan.writes if isinstance(step, ListReferrers)]
        return cls(route, lease, frozenset(item.digest for step in steps for item in step.referrers))

    def note(self, manifest: Manifest, *, says_subject: bool | None) -> None:
        """A manifest was written. One that refers is listed at once if neither the registry does it nor the plan."""
        if manifest.subject is None or says_subject is None:
            return
        if says_subject:
            self.kept.add(manifest.digest)
        elif manifest.digest not in self.planned:
            self.route.fleet.learn(self.route.destination.name, OCI_SUBJECT, False)
            self.bring(ListReferrers(manifest.subject, (manifest.descriptor,)))

    def bring(self, step: ListReferrers) -> None:
        """Afterwards the referrers of the step are listed, by the registry or under the tag. Raises as `enter` does."""
        needed = tuple(item for item in step.referrers if item.digest not in self.kept)
        if needed:
            enter(self.route, self.lease, ListReferrers(step.subject, needed))


def enter(route: Route, lease: Lease, step: ListReferrers) -> None:
    """Afterwards the list of the step's subject has the step's referrers, beside those of others.

    Raises NotYet while others are at the list, TemporaryError if they keep changing it, and PermanentError if its tag
    holds something that is no list.
    """
    _change(route, lease, step.subject, lambda listed: merged_list(listed, step.referrers))


def strike(route: Route, lease: Lease, subject: Digest, referrer: Digest) -> bool:
    """Afterwards the list of `subject`, if there is one, has all but that referrer: True if it had it.

    Raises NotYet and TemporaryError as `enter` does.
    """
    return _change(route, lease, subject, lambda listed: thinned_list(listed, referrer))


def _change(
    route: Route, lease: Lease, subject: Digest, changed: Callable[[Manifest | None], Manifest | None]
) -> bool:
    destination, target, tag = route.destination, route.target, referrers_tag(subject)
    with route.fleet.alone_with(route.job.destination, target, tag) as alone:
        for number in range(TRIES):
            edition = destination.edition(target, tag)
            index = changed(edition.manifest)
            if index is None:
                return number > 0
            lease.check()
            alone.check()
            try:
                # In the end without a condition: a registry may answer 412 for reasons of its own, and says so then.
                destination.put_manifest(
                    target, tag, index, replacing=edition if number < TRIES - 1 else None
                )
            except Overtaken:
                continue
    raise TemporaryError(f"{route.end}: others keep changing the referrers tag {tag}")

"""Reading the source's reference, and knowing when to believe it.

An event may come before its effect: Distribution posts a push before it writes the tag, so that a new tag may be 404,
a moved one may show its old digest, and a tag that is being moved answers 500. So while the source disagrees with a
fresh event, it is read again, after milliseconds at first, before anything is concluded. An event that is not fresh
proves nothing: the source is right.
"""

import time
from dataclasses import dataclass

from replicator.errors import Denied, NotYet, TemporaryError, Unavailable
from replicator.events import Action
from replicator.ledger import Claim
from replicator.oci import Digest, Manifest, Tag
from replicator.transfer.lease import Lease
from replicator.transfer.route import Route

FRESH_PUSH_S = 3.0
"""How long after a push event the source may still show the state before it."""
FRESH_DELETE_S = 1.0
"""The same for a delete event. Shorter: a tag that is there is mostly a tag that was pushed again."""
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.32


@dataclass(frozen=True, slots=True)
class Hint:
    """What a fresh event said, and for how many seconds more the source may lag behind it."""

    action: Action
    digest: Digest | None
    fresh_s: float

    def agrees(self, found: Manifest | None) -> bool:
        """Whether the source shows what the event said."""
        if self.action is Action.DELETE:
            return found is None
        return found is not None and self.digest in (None, found.digest)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the source holds: a manifest, or None if it is absent. `is_settled` says that no fresh event contradicts."""

    manifest: Manifest | None
    is_settled: bool = True


def hint_of(claim: Claim) -> Hint | None:
    """What the event behind the job said, if it is so fresh that the source may lag behind it."""
    if not claim.action or claim.hinted_at is None:
        return None
    action = Action(claim.action)
    window_s = FRESH_DELETE_S if action is Action.DELETE else FRESH_PUSH_S
    fresh_s = window_s - (claim.claimed_at - claim.hinted_at)
    return Hint(action, claim.digest, fresh_s) if fresh_s > 0 else None


def read_source(route: Route, lease: Lease, hint: Hint | None) -> Reading:
    """What the source's reference is: as soon as it agrees with the hint, or the hint is no longer fresh.

    Raises NotYet if it shows nothing yet and a newer event has come, which knows better what to expect; Unavailable
    and other errors of the registry, except that a 500 is read again while the hint is fresh.
    """
    deadline = time.monotonic() + (hint.fresh_s if hint else 0.0)
    pause = _FIRST_PAUSE_S
    while True:
        late = time.monotonic() >= deadline
        found, failure = _read(route)
        if failure and late:
            raise failure
        if not failure and (hint is None or hint.agrees(found)):
            return Reading(found)
        if late and hint:
            # A tag that outlives its delete event was pushed again; one that its push event does not show may come.
            return Reading(found, is_settled=hint.action is Action.DELETE)
        if lease.moved_on():
            if found is None:
                raise NotYet(f"{route.start} changed again", retry_after=0.0)
            return Reading(found)
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def _read(route: Route) -> tuple[Manifest | None, TemporaryError | None]:
    try:
        return route.source.get_manifest(route.repository, route.reference), None
    except Unavailable:
        raise
    except TemporaryError as exc:
        return None, exc


def source_digest(route: Route) -> Digest | None:
    """The digest that the source's reference has now, or None if it is absent: one HEAD."""
    head = route.source.head_manifest(route.repository, route.reference)
    return head.digest if head else None


def destination_digest(route: Route) -> Digest | None:
    """The digest that the destination holds where the reference lands, or None if it is absent: one HEAD.

    Where that is refused, the list of tags is asked whether there is anything to look at.
    """
    try:
        head = route.destination.head_manifest(route.target, route.landing)
    except Denied:
        if _is_unlisted(route):
            return None
        raise
    return head.digest if head else None


def _is_unlisted(route: Route) -> bool:
    # Virtual repositories of Artifactory, and GHCR before the first push, answer 403 where others answer 404.
    try:
        listed = route.destination.tags(route.target)
    except Denied:
        return False
    return isinstance(route.landing, Tag) and route.landing not in (listed or ())

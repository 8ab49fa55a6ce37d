"""Removing a reference at the destination that the source no longer has, under guards.

A delete destroys only what we put there. It needs all of these, or is blocked until a person approves:

    the rule says `deletion: true`, or the destination's retention ends its time
    the source answers 404 twice, the rule's grace apart, and answers both times for itself and for its list of tags
    it has not lost everything else as well, as far as that can be told
    the destination still holds the digest that we copied there, and no other source's rule, nor a person, put it there
    nothing else at the destination depends on that digest, where it can be deleted by digest only; a list of referrers
    does not, and loses the entry. And the destination does not refuse it either
    the rule's hourly budget is not spent

A person's approval stands for one of all but the first two: for the reason that the person read, as it was read.
Nothing stands for the second.
"""

from collections.abc import Iterator

from replicator.errors import InUse, NotYet, PermanentError, TemporaryError, Unsupported
from replicator.jobs import Job, Outcome
from replicator.ledger import Copied, Promotion
from replicator.oci import INDEX_TYPES, Digest, Manifest, Reference, Tag, is_referrers_tag, referrers_tag
from replicator.plan import ListReferrers
from replicator.rules import PROMOTION, RuleSet
from replicator.transfer.emptied import EMPTIED, has_lost_everything
from replicator.transfer.listing import enter, strike
from replicator.transfer.provenance import Provenance
from replicator.transfer.result import Result
from replicator.transfer.retention import had_their_time
from replicator.transfer.route import Route
from replicator.transfer.writing import Writer
from replicator.verdict import Removal, decide_removal

TAGS_LOOKED_AT = 1000
"""More tags than this are not searched for what depends on a digest: the delete is blocked instead."""
TAGS_NAMED = 5
_INDEX_DEPTH = 4
TAG_DELETE = "tag-delete"
"""The name under which the fleet remembers whether a registry deletes a tag alone (Distribution 2.8 does not)."""
NOT_OURS = "which we did not put there"
ALL_ITS_TAGS = "can only be deleted with all of its tags"
WITHIN_AN_HOUR = "references within an hour"
PROMOTED = "which was promoted to it"
OTHERS = "which the rule"
REFUSED = "the destination does not delete it"
_GUARDS = (NOT_OURS, ALL_ITS_TAGS, WITHIN_AN_HOUR, PROMOTED, OTHERS, EMPTIED, REFUSED)
"""What the reasons of blocked deletes have in common, each of one guard."""


class Blocked(PermanentError):
    """A guard forbids the delete; a person may approve it."""


def remove(route: Route, writer: Writer, rules: RuleSet) -> Result:
    """Bring the destination in line with a reference that the source does not have.

    Raises NotYet until the source has been without it for the rule's grace.
    """
    if isinstance(route.landing, Tag) and is_referrers_tag(route.landing):
        return Result(Outcome.SKIPPED, None, "a list of referrers is each registry's own")
    _wait_for_who_brings_it(route)
    head = route.destination.head_manifest(route.target, route.landing)
    found = head.digest if head else None
    record = route.fleet.copied(route.job.destination, route.target, route.landing)
    clause = retired(route)
    if record is None and isinstance(route.landing, Digest) and not clause:
        # Deleting a manifest is told by digest and by tag; what stands under a tag is the tag's job.
        return Result(Outcome.SKIPPED, None, "nothing was copied by this digest")
    put_there = tuple(filter(None, (record.digest, record.intent))) if record else ()
    if clause and isinstance(route.landing, Digest):
        put_there = (*put_there, route.landing)
    theirs = f"the destination holds {found}, {NOT_OURS}"
    if record and found in put_there and (keeper := _keeper(route, rules, record)):
        theirs, put_there = f"the destination holds {found}, {keeper}", ()
    match decide_removal(found=found, put_there=put_there, deletion=route.rule.deletion or bool(clause)):
        case Removal.NOTHING:
            return _absent(route, writer, put_there)
        case Removal.KEEP:
            return Result(Outcome.SKIPPED, found, "the source no longer has it; the rule does not delete")
        case Removal.NOT_OURS if not route.claim.approves(theirs):
            return Result(Outcome.BLOCKED, found, theirs)
        case _:
            return _delete(route, writer, found, clause)


def _absent(route: Route, writer: Writer, digests: tuple[Digest, ...]) -> Result:
    _forget(route, writer, digests)
    return Result(Outcome.UNCHANGED, None, "absent on both sides")


def holds_a_delete(reason: str) -> bool:
    """Whether that is why a delete was blocked: it says nothing against a copy."""
    return any(guard in reason for guard in _GUARDS)


def _wait_for_who_brings_it(route: Route) -> None:
    # While it comes with its subject it has no lock of its own: who read it before it went would still write it.
    digest, job_id = route.landing, route.claim.id
    if isinstance(digest, Digest) and route.fleet.subject_expected(
        route.job.destination, route.target, digest, besides=job_id
    ):
        raise NotYet(f"{route}: another job is just bringing it there", retry_after=1.0)


def _keeper(route: Route, rules: RuleSet, record: Copied) -> str:
    """Whose it is, in words, if it does not go with what this rule once copied there."""
    if record.rule == PROMOTION:
        return PROMOTED
    if Provenance(route, rules).is_strangers(record):
        return f"{OTHERS} {record.rule} put there from {record.source}"
    return ""


def retired(route: Route) -> str:
    """The clause of the destination's retention that ends this reference's time there, or nothing."""
    return _had_their_time(route).get(route.landing, "")


def _had_their_time(route: Route) -> dict[Reference, str]:
    there = route.rule.destination(route.job.destination)
    now = route.claim.claimed_at
    return had_their_time(route.rule, there, route.target, fleet=route.fleet, now=now)


def _delete(route: Route, writer: Writer, found: Digest | None, clause: str) -> Result:
    is_emptied = _gone_for_good(route)
    manifest = route.destination.get_manifest(route.target, route.landing)
    if manifest is None:
        return _absent(route, writer, (found,) if found else ())
    if manifest.digest != found:
        raise TemporaryError(f"{route.end} moved while the source was asked whether it is gone")
    try:
        if is_emptied:
            _others_are_there(route)
        _destroy(route, writer, manifest)
    except Blocked as exc:
        return Result(Outcome.BLOCKED, manifest.digest, str(exc))
    if route.destination.head_manifest(route.target, route.landing):
        raise TemporaryError(f"{route.end} is still there after its deletion")
    _forget(route, writer, (manifest.digest,))
    return Result(Outcome.DELETED, manifest.digest, clause)


def _gone_for_good(route: Route) -> bool:
    """Return if the source has been without the reference for the rule's grace, and can be believed.

    True if it has no tag left in all of its repository. What cannot be believed does not begin the grace either.
    """
    route.source.ping()
    tags = route.source.tags(route.repository)
    if tags and route.reference in tags:
        raise TemporaryError(f"{route.start} answers 404 but is in the list of tags")
    _waited(route)
    return not tags


def _others_are_there(route: Route) -> None:
    if has_lost_everything(route):
        _unless_approved(
            route, f"{route.source.name} has nothing left of all that was copied from it: {EMPTIED}"
        )


def _waited(route: Route, sibling: str = "") -> None:
    # A new job and every new event start the wait anew.
    left = route.rule.delete_grace_s - route.fleet.gone_for(route.claim, sibling)
    if left > 0:
        raise NotYet(f"{route.start} is gone; asking again", retry_after=left)


def _destroy(route: Route, writer: Writer, manifest: Manifest) -> None:
    by_digest = _goes_by_digest(route)
    if by_digest:
        _nothing_depends_on(route, manifest)
    _spend(route)
    writer.lease.check()
    writer.wrote = True
    _log(route, manifest)
    if not by_digest:
        try:
            route.destination.delete_manifest(route.target, route.landing)
        except Unsupported:
            route.fleet.learn(route.destination.name, TAG_DELETE, False)
            _nothing_depends_on(route, manifest)
        except InUse as exc:
            raise Blocked(f"{REFUSED}: {exc}") from exc
        else:
            return
    _destroy_digest(route, writer, manifest)


def _destroy_digest(route: Route, writer: Writer, manifest: Manifest) -> None:
    # Struck first: a list of referrers that names what is not there is worse than one that lacks what is.
    subject = manifest.subject
    is_struck = subject is not None and strike(route, writer.lease, subject, manifest.digest)
    try:
        route.destination.delete_manifest(route.target, manifest.digest)
    except InUse as exc:
        if subject and is_struck:
            enter(route, writer.lease, ListReferrers(subject, (manifest.descriptor,)))
        raise Blocked(f"{REFUSED}: {exc}") from exc


def _spend(route: Route) -> None:
    rule, claim = route.rule, route.claim
    spent = f"rule {rule.name} has deleted {rule.delete_cap} {WITHIN_AN_HOUR}"
    mark = f"{claim.id}|{claim.born}|{claim.since}"  # every try of one delete is the same deletion
    if not route.fleet.spend_deletion(rule.names, route.job.destination, mark, cap=rule.delete_cap):
        _unless_approved(route, spent)


def _unless_approved(route: Route, reason: str) -> None:
    if not route.claim.approves(reason):
        raise Blocked(reason)


def _log(route: Route, manifest: Manifest) -> None:
    route.fleet.log_deletion(
        route.job.destination,
        route.target,
        route.landing,
        rule=route.rule.name,
        digest=manifest.digest,
        manifest_raw=manifest.raw,
        media_type=manifest.media_type,
    )


def _goes_by_digest(route: Route) -> bool:
    is_digest = isinstance(route.landing, Digest)
    return is_digest or route.fleet.capability(route.destination.name, TAG_DELETE) is False


def _nothing_depends_on(route: Route, manifest: Manifest) -> None:
    """Raise Blocked if deleting it would take more than our reference with it, and nobody approved just that."""
    digest, subject = manifest.digest, manifest.subject
    its_list = referrers_tag(subject) if subject else None  # needs it no more than a table of contents does
    tags = route.destination.tags(route.target) or []
    together = f"{digest} {ALL_ITS_TAGS}"
    if len(tags) > TAGS_LOOKED_AT:
        _unless_approved(route, f"{together}, and more than {TAGS_LOOKED_AT} are too many to look at")
        return
    needing = [
        tag
        for tag in sorted(tags)
        if tag not in (route.landing, its_list)
        and _holds(route, tag, digest)
        and not _is_doomed(route, tag, digest)
    ]
    if needing:
        _unless_approved(route, f"{together}, and {_shortly(needing)}")


def _shortly(tags: list[Tag]) -> str:
    # All of them, if they are not too many, because an approval stands for what it names.
    text = f"{', '.join(tags[:TAGS_NAMED])} {'needs' if len(tags) == 1 else 'need'} it"
    more = len(tags) - TAGS_NAMED
    return f"{text}, {more} more as well" if more > 0 else text


def _holds(route: Route, tag: Tag, digest: Digest) -> bool:
    head = route.destination.head_manifest(route.target, tag)
    if head is None:
        return False
    if head.digest == digest:
        return True
    return head.media_type in INDEX_TYPES and digest in _below(route, tag, _INDEX_DEPTH)


def _below(route: Route, reference: Tag | Digest, depth: int) -> Iterator[Digest]:
    index = route.destination.get_manifest(route.target, reference)
    for child in index.children if index else ():
        yield child.digest
        if child.media_type in INDEX_TYPES and depth:
            yield from _below(route, child.digest, depth - 1)


def _is_doomed(route: Route, tag: Tag, digest: Digest) -> bool:
    """Whether the other tag is ours as well, by the same rule, and gone at the source for as long."""
    record = route.fleet.copied(route.job.destination, route.target, tag)
    if record is None or digest not in (record.digest, record.intent) or record.rule not in route.rule.names:
        return False
    if not route.rule.deletion and tag not in _had_their_time(route):
        return False
    if route.source.head_manifest(record.repository, record.reference):
        return False
    _waited(route, tag)
    return True


def _forget(route: Route, writer: Writer, digests: tuple[Digest, ...]) -> None:
    """Note that the reference is gone, and have every other copy of ours looked at that may have gone with its digest.

    Such a copy may have come after we looked for it. Its intent was noted before it was written, so that it is found
    now; its job finds in the registries whether it is still there, and still wanted.
    """
    destination, target = route.job.destination, route.target
    if digests and _goes_by_digest(route):
        for reference, record in route.fleet.copies(destination, target).items():
            gone = next((digest for digest in (record.intent, record.digest) if digest in digests), None)
            if reference == route.landing or gone is None:
                continue
            if record.rule == PROMOTION:
                writer.lease.ask_for_promotion(_once_more(route, reference, record, gone))
            else:
                writer.lease.ask_for([Job(record.rule, destination, record.repository, record.reference)])
    elif isinstance(route.landing, Tag):
        for digest in digests:
            route.fleet.note_untagged(destination, target, digest, route.rule.name)
    route.fleet.forget(destination, target, route.landing)


def _once_more(route: Route, landing: Reference, record: Copied, digest: Digest) -> Promotion:
    return Promotion(
        source=record.source,
        repository=record.repository,
        digest=digest,
        destination=route.job.destination,
        target=route.target,
        landing=landing,
        by="replicator, after a delete by digest",
    )

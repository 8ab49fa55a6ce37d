"""Holding back what is not signed, where a rule requires signatures, until it is.

A signature counts if the source has it and it comes along, or is at the destination already. Where the rule has keys,
one of them must have made it over the very manifest that is to be written; then its blob is read here. That blob and
what is copied later are the same bytes: both are checked against the digest that the copied manifest names.
"""

from collections.abc import Iterator

from replicator.errors import Corrupt, NotYet, PermanentError
from replicator.jobs import Outcome
from replicator.oci import Digest, Manifest, companion_subject, companion_tags
from replicator.plan import Artifact
from replicator.rules import Signatures
from replicator.signing import PAYLOAD_LIMIT_BYTES, SEALS_LIMIT, Seal, flaw, is_signature, seals
from replicator.transfer.lease import Lease
from replicator.transfer.result import Result
from replicator.transfer.route import Route

FIRST_LOOK_S = 1.0
"""How soon the source is asked once more after nothing was found, or after something was attached. Then ever later."""


def hold_back(route: Route, artifact: Artifact) -> Result | None:
    """None if `artifact` may be written: its signature comes along, or the rule requires none.

    Raises NotYet while a signature may still come, PermanentError if none came in time or none is good. What has no tag
    shows nothing to anybody, and is left out until it is signed: the result says so.
    """
    if route.rule.signatures is not Signatures.REQUIRE or _is_companion(route):
        return None
    waiters, job, digest = route.fleet.waiters, route.job, artifact.manifest.digest
    flaws = _flaws(route, artifact)
    if flaws is None:
        waiters.leave(route.target, digest, job)
        return None
    # What a comparison listed is older than whatever comes next.
    route.fleet.companions.forget(route.rule.source, route.repository)
    patience = waiters.wait(route.target, digest, job)
    if isinstance(route.landing, Digest):
        return Result(Outcome.SKIPPED, digest, "the rule requires a signature, which it does not have")
    if flaws:
        more = f" (and {len(flaws) - 1} more)" if len(flaws) > 1 else ""
        raise PermanentError(f"{route.start}: {digest} has no good signature: {flaws[0]}{more}")
    left_s = route.rule.signature_wait_s - patience.waited_s
    if left_s <= 0:
        raise PermanentError(
            f"{route.start}: {digest} is not signed, which the rule requires; nobody signed it in "
            f"{patience.waited_s:.0f} s"
        )
    raise NotYet(
        f"{route.start}: {digest} waits to be signed, {left_s:.0f} s more at most",
        retry_after=min(left_s, max(FIRST_LOOK_S, patience.quiet_s)),
    )


def wake_subjects(route: Route, lease: Lease, subject: Digest) -> bool:
    """Have the jobs look at once that hold `subject` back; something was attached to it.

    True if all of them will look after this moment, and so bring along what it was.
    """
    if route.rule.signatures is not Signatures.REQUIRE:
        return False
    jobs = route.fleet.waiters.wake(route.job.destination, route.target, subject)
    return bool(jobs) and lease.rouse(jobs, subject)


def _is_companion(route: Route) -> bool:
    """Whether this is a signature itself, by its tag. Nothing else is believed: anything may name a subject."""
    return not isinstance(route.landing, Digest) and companion_subject(route.landing) is not None


def _flaws(route: Route, artifact: Artifact) -> list[str] | None:
    """None if there is a signature that counts; else what is wrong with those that there are."""
    found: list[str] = []
    seen: set[Digest] = set()
    for signature in _signatures(route, artifact):
        if not route.rule.keys:
            return None
        # A registry may list a referrer by its API and under a tag as well.
        held = () if signature.digest in seen else seals(signature)
        if not held and signature.digest not in seen:
            found.append(f"{signature.digest} is of a kind that keys cannot verify")
        for seal in held:
            if len(found) == SEALS_LIMIT:
                return found
            wrong = _wrong(route, artifact.manifest, seal)
            if wrong is None:
                return None
            found.append(f"of {signature.digest}, {wrong}")
        seen.add(signature.digest)
    return found


def _signatures(route: Route, artifact: Artifact) -> Iterator[Manifest]:
    """What says that it signs the artifact itself; what is below it, or attested of it, is not asked."""
    under = companion_tags(artifact.manifest.digest)[:1]
    brought = [companion.manifest for tag, companion in artifact.companions if tag in under]
    yield from brought
    for referrer in artifact.referrers:
        if is_signature(referrer.manifest):
            yield referrer.manifest
    if not brought:
        yield from _left_out(route, artifact.manifest.digest)


def _left_out(route: Route, subject: Digest) -> Iterator[Manifest]:
    """The signature that does not come along because the destination has it from us already."""
    for tag in companion_tags(subject)[:1]:
        record = route.fleet.copied(route.job.destination, route.target, tag)
        manifest = route.source.get_manifest(route.repository, tag) if record else None
        # It may have moved at the source since, or be gone from the destination.
        if (
            record
            and manifest
            and manifest.digest == record.digest == route.destination.digest_of(route.target, tag)
        ):
            yield manifest


def _wrong(route: Route, subject: Manifest, seal: Seal) -> str | None:
    if seal.blob.size_bytes > PAYLOAD_LIMIT_BYTES:
        return f"the signed text {seal.blob.digest} has {seal.blob.size_bytes} bytes: too many"
    try:
        with route.source.open_blob(route.repository, seal.blob) as chunks:
            content = b"".join(chunks)
    except Corrupt as exc:
        return str(exc)
    return flaw(seal, content, subject, route.rule.keys)

"""One pass over a job: read the source, look at the destination, bring it in line, and make sure that it is right.

The source is read again after every write. If it moved meanwhile, the pass starts over with what it holds now.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from replicator.errors import PermanentError, TemporaryError, Unavailable
from replicator.jobs import Outcome
from replicator.oci import Digest
from replicator.rules import RuleSet
from replicator.transfer.crossing import Crossing
from replicator.transfer.deletion import remove
from replicator.transfer.reading import Hint, read_source, source_digest
from replicator.transfer.result import Result
from replicator.transfer.route import Route
from replicator.transfer.two_ways import TwoWays
from replicator.transfer.writing import Writer

ROUNDS = 5
"""How often a pass starts over while the source keeps moving before the job is put back."""


def converge(route: Route, writer: Writer, rules: RuleSet, hint: Hint | None) -> Result:
    """Afterwards the destination holds what the rule says, or the result says why not.

    Raises the registries' errors, LeaseLost, and TemporaryError if the source keeps moving.
    """
    for _ in range(ROUNDS):
        two_ways = TwoWays.of(route, rules)  # before anything is read: see there
        reading = read_source(route, writer.lease, hint)
        manifest, hint = reading.manifest, None
        route.answered(route.rule.source)
        if manifest:
            result = Crossing(route, writer, rules, two_ways).bring(manifest)
        else:
            result = _gone(route, writer, rules, two_ways)
        if not writer.wrote or _source_now(route) == (manifest.digest if manifest else None):
            return replace(result, is_settled=reading.is_settled)
    raise TemporaryError(f"{route.start} changed {ROUNDS} times while it was being copied", retry_after=1.0)


def _gone(route: Route, writer: Writer, rules: RuleSet, two_ways: TwoWays | None) -> Result:
    result = remove(route, writer, rules)
    if result.outcome is not Outcome.BLOCKED or two_ways is None or result.digest is None:
        return result
    if not two_ways.comes_back(result.digest):
        return result
    two_ways.call(result.digest, writer.lease)
    return Result(
        Outcome.UNCHANGED, result.digest, "it was pushed at the destination, and comes back from there"
    )


def promote(
    route: Route, writer: Writer, rules: RuleSet, note: Callable[[Digest | None], Digest | None]
) -> Result:
    """Afterwards the destination holds the content that a person asked for, or the result says why not.

    It is asked for by its digest, so that the source cannot change it meanwhile. `note` is told what was there before.
    """
    manifest = route.source.get_manifest(route.repository, route.reference)
    route.answered(route.rule.source)
    if manifest is None:
        raise PermanentError(f"the source does not have {route.repository}@{route.reference} (any more)")
    return Crossing(route, writer, rules).promote(manifest, note)


def _source_now(route: Route) -> Digest | None:
    # A tag that is being moved answers 500 now and then.
    for pause in (0.02, 0.1, 0.3):
        try:
            return source_digest(route)
        except Unavailable:
            raise
        except TemporaryError:
            time.sleep(pause)
    return source_digest(route)

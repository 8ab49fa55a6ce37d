"""Which copies at a destination have had their time, by the retention of the rule that put them there.

It is judged from the ledger's records alone: what nobody remembers to have put there is never counted, nor deleted.
"""

from replicator.ledger import Fleet
from replicator.oci import Reference, Repository
from replicator.rules import Destination, Rule
from replicator.rules.retention import Kept, expired


def had_their_time(
    rule: Rule, there: Destination | None, target: Repository, *, fleet: Fleet, now: float
) -> dict[Reference, str]:
    """The references in the repository `target` that the retention ends, each with the clause that does.

    A manifest whose tag was moved or deleted is among them by its digest. Whether the source still has any of them is
    for the caller to ask.
    """
    if there is None or there.retention is None:
        return {}
    records = fleet.copies(there.registry, target)
    held = {digest for record in records.values() for digest in (record.digest, record.intent)}
    kept = [
        Kept(reference, record.digest, record.at)
        for reference, record in records.items()
        if record.digest and record.rule in rule.names
    ]
    kept += [
        Kept(digest, digest, at)
        for digest, at in fleet.untagged(there.registry, target, rule.names).items()
        if digest not in held
    ]
    return expired(there.retention, kept, now=now)

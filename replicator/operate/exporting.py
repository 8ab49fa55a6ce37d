"""The ledger's whole view as one JSON document, made piece by piece, so that its size costs no memory.

It holds no secret: neither bodies of notifications nor manifests, and registries by name alone.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping

from replicator import __version__
from replicator.ledger import (
    Capability,
    Copied,
    DeadLetter,
    Deletion,
    JobView,
    Lane,
    Pause,
    Promoted,
    State,
    SweepView,
    Swept,
)
from replicator.operate.desk import Desk

VERSION = 1
"""Of the document: raised when a field changes its meaning or goes."""
PROMOTIONS = 10_000
"""All that the ledger keeps."""


def export(desk: Desk) -> Iterator[str]:
    """The text of the document, in pieces: one record a line. It is a walk without a lock, not one moment's picture."""
    view, inventory, rules = desk.ledger.view, desk.ledger.inventory, desk.rules()
    head = {"version": VERSION, "replicator": __version__, "exported_at": view.now(), "rules": rules.revision}
    yield "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items())
    lanes = view.lanes([*{*view.lane_names(), *((rule.name, it.registry) for rule, it in rules.lanes)}])
    gone = desk.ledger.availability.unreachable(rules.registries)
    sections: dict[str, Iterable[Mapping[str, object]]] = {
        "lanes": (
            {"rule": rule, "destination": there, **_fields(lane)}
            for (rule, there), lane in sorted(lanes.items())
        ),
        "pauses": map(_fields, desk.ledger.pauses.all()),
        "registries": ({"name": name, "available": name not in gone} for name in sorted(rules.registries)),
        "jobs": map(_fields, view.each()),
        "history": map(_fields, view.each(state=State.DONE)),
        "dead_letters": map(_letter, view.each_dead_letter()),
        "copied": (
            {
                "destination": copy.destination,
                "repository": copy.repository,
                "reference": copy.reference,
                "record": _fields(copy.record),
            }
            for copy in inventory.copies()
        ),
        "deletions": map(_deletion, desk.ledger.deletions),
        "promotions": map(_fields, desk.ledger.promotions.history(PROMOTIONS)),
        "sweeps": map(_fields, desk.ledger.sweeps.open()),
        "compared": (
            {"rule": rule, "destination": there, **_fields(swept)}
            for (rule, there), swept in sorted(desk.ledger.sweeps.swept(lanes).items())
        ),
        "capabilities": map(_fields, inventory.capabilities()),
    }
    for name, records in sections.items():
        yield f",\n{json.dumps(name)}: ["
        for number, record in enumerate(records):
            yield (",\n" if number else "\n") + json.dumps(record)
        yield "]"
    yield "\n}\n"


def _fields(
    record: Capability
    | Copied
    | DeadLetter
    | Deletion
    | JobView
    | Lane
    | Pause
    | Promoted
    | SweepView
    | Swept,
) -> dict[str, object]:
    return dataclasses.asdict(record)


def _letter(letter: DeadLetter) -> dict[str, object]:
    fields = _fields(letter)
    del fields["body"]
    return fields


def _deletion(deletion: Deletion) -> dict[str, object]:
    fields = _fields(deletion)
    del fields["manifest_raw"]
    return {**fields, "size_bytes": len(deletion.manifest_raw)}

"""Every sender's notification, parsed into one kind of `Event`."""

from collections.abc import Callable, Mapping

from replicator.events import distribution, harbor
from replicator.events.event import Action, DeleteKind, Event
from replicator.events.payload import Delivery, MalformedEvent, Parsed, read_fields

__all__ = ["PARSERS", "Action", "DeleteKind", "Event", "MalformedEvent", "Parsed", "parse"]

PARSERS: Mapping[str, Callable[[Delivery], Parsed]] = {
    "distribution": distribution.parse,
    "gitlab": distribution.parse,
    "harbor": harbor.parse,
}
"""By registry type, as rule files spell it."""


def parse(kind: str, registry: str, content_type: str, body: bytes) -> Parsed:
    """The events in a notification that a registry of type `kind` posted to the endpoint of `registry`.

    Raises MalformedEvent, and nothing else, where the whole body is beyond understanding: not strict JSON, not the
    sender's envelope, or of a type without a parser. A bad event in a good envelope is told in `Parsed.malformed`.
    """
    parser = PARSERS.get(kind)
    if parser is None:
        raise MalformedEvent(f"notifications of {kind} registries are not understood")
    return parser(Delivery(registry, content_type, read_fields(body)))

"""Every sender's notification, parsed into one kind of `Event`."""

from replicator.events.event import Action, DeleteKind, Event

__all__ = ["Action", "DeleteKind", "Event"]

"""What every request to a registry passes on its way out and back. Who lets it pass, and when, is not known here."""

from typing import Protocol

from replicator.limits import Quota


class Passage(Protocol):
    """One request, from before it is sent until its answer is read."""

    def answered(self, status: int, retry_after_s: float | None, quota: Quota | None) -> None:
        """The answer's headers came. Never fails."""

    def end(self) -> None:
        """The request is over. May be called twice; never fails."""


class Gate(Protocol):
    """Where requests to one registry begin."""

    def enter(self) -> Passage:
        """Returns when a request may be sent. Raises TemporaryError if it may not be sent soon."""

    def carry(self, size_bytes: int) -> None:
        """Returns when so many bytes of bodies may pass, in either direction."""


class Open:
    """A gate that lets everything pass, and its passages: for a registry that nobody else of us speaks to."""

    def enter(self) -> Passage:
        """Returns at once."""
        return self

    def answered(self, status: int, retry_after_s: float | None, quota: Quota | None) -> None:
        """Takes no notice."""

    def carry(self, size_bytes: int) -> None:
        """Returns at once."""

    def end(self) -> None:
        """Takes no notice."""

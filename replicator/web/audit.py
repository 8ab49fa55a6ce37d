"""Every call that changes something leaves one line in the log: what was asked for, and whether it was done."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from replicator.errors import ReplicatorError

log = logging.getLogger(__name__)


@contextmanager
def audited(action: str, **what: object) -> Iterator[None]:
    """Log the action when it is through; `what` says what it is about."""
    refusal: str | None = "internal error"
    try:
        yield
        refusal = None
    except HTTPException as exc:
        refusal = str(exc.detail)
        raise
    except ReplicatorError as exc:
        refusal = str(exc)
        raise
    finally:
        log.info("operator", extra={"action": action, "done": refusal is None, **what, "why_not": refusal})

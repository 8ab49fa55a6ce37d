"""The one task. It carries no content, decides nothing and returns nothing: the ledger knows what happens next."""

import logging
from collections.abc import Callable

from celery import Celery

from replicator.broker import TASK
from replicator.transfer import Tools, bring_in_line

log = logging.getLogger(__name__)


def offer(app: Celery, tools: Callable[[], Tools]) -> None:
    """Make `app` answer the doorbells."""

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def bring(job_id: str) -> None:
        try:
            bring_in_line(job_id, tools())
        except Exception:
            # Whatever it was: the lease runs out, the attempt is counted, and the job comes due again.
            log.exception("job broke", extra={"job": job_id})

"""The one task. It carries no content, decides nothing and returns nothing: the ledger knows what happens next."""

import logging
import signal
from collections.abc import Callable

from celery import Celery

from replicator.broker import DOORBELL_LIMIT_S, TASK
from replicator.transfer import Tools, answer

log = logging.getLogger(__name__)


def offer(app: Celery, tools: Callable[[], Tools], *, limit_s: int = DOORBELL_LIMIT_S) -> None:
    """Make `app` answer the doorbells. A process that is at one for longer than `limit_s` dies of it, by SIGALRM."""

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def bring(*job_ids: str, **_later: object) -> None:
        # What a later release's scheduler may add to a doorbell is no reason not to look at its jobs.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit_s)
        try:
            answer(job_ids, tools())
        except Exception:
            # Whatever it was: the leases run out, the attempts are counted, and the jobs come due again.
            log.exception("doorbell broke", extra={"jobs": job_ids})
        finally:
            signal.alarm(0)

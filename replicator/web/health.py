"""/healthz and /readyz, for Kubernetes: is the process alive, and can it take notifications?"""

import asyncio
import logging

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from replicator.errors import TemporaryError
from replicator.ledger import Ledger
from replicator.rulefiles import RuleBook

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0


def health_routes(*, rules: RuleBook, ledger: Ledger) -> APIRouter:
    """Live while the event loop turns; ready while Redis answers and some revision of the rules is in force."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/healthz")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @routes.get("/readyz")
    async def readyz() -> JSONResponse:
        try:
            await asyncio.wait_for(asyncio.to_thread(ledger.ping), _PATIENCE_S)
        except (TemporaryError, TimeoutError) as exc:
            log.warning("not ready", extra={"cause": str(exc) or "Redis did not answer in time"})
            return JSONResponse({"error": "Redis does not answer"}, 503, {"Retry-After": "1"})
        # A broken newer revision is no reason to be taken out of service: the one before is in force.
        return JSONResponse({"status": "ready", "rules": rules.current.revision})

    return routes

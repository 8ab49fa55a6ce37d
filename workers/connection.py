"""How Celery comes back to Redis: within seconds, however long Redis was away."""

from typing import Any

from kombu.connection import Connection

AGAIN_AFTER_S = 2


class EagerConnection(Connection):
    """Left alone, kombu waits two seconds more after each try, until it waits for half a minute."""

    def _ensure_connection(self, *arguments: Any, **options: Any) -> Any:
        return super()._ensure_connection(*arguments, **{**options, "interval_max": AGAIN_AFTER_S})  # type: ignore[no-untyped-call]

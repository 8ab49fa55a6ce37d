"""The scheduler's fourth loop: has made up for what was lost, by a Redis that forgot, or on its way from a registry.

What it remembers of Redis is in memory, and in a file for the next scheduler: both may have been away at once.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from replicator.ledger import Pulse, Suspicion
from replicator.resync import Loss, make_up_for
from replicator.runtime import Runtime

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
KEEP_EVERY_S = 30.0
_PULSE = TypeAdapter(Pulse)
_LOSSES = {Suspicion.SENDER: Loss.SENDER, Suspicion.RECEIVER: Loss.RECEIVER}


class Memory:
    """The last pulse of Redis that was seen. The file `place` follows it, a while later."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._kept_at = 0.0
        self.last = _recalled(place)

    def keep(self, pulse: Pulse) -> None:
        """Remember this one instead. If it cannot be written that is logged, no more."""
        is_other = self.last is None or pulse.name != self.last.name or pulse.count < self.last.count
        self.last = pulse
        if not is_other and time.monotonic() < self._kept_at + KEEP_EVERY_S:
            return
        self._kept_at = time.monotonic()
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self._place.with_suffix(f".{os.getpid()}")
            unfinished.write_bytes(_PULSE.dump_json(pulse))
            unfinished.replace(self._place)
        except OSError as exc:
            log.warning("pulse not kept", extra={"place": str(self._place), "why": exc.strerror})


def make_watcher(runtime: Runtime, stop: threading.Event) -> Callable[[], None]:
    """One step of the loop: take the pulse of Redis, see to what it forgot, pause a moment."""
    memory = Memory(runtime.settings.data / "ledger-seen.json")

    def watch() -> None:
        pulse = runtime.ledger.epoch.pulse()
        if not pulse.follows(memory.last):
            rules = runtime.rules
            asked = make_up_for(Loss.LEDGER, rules.registries, runtime.ledger, rules)
            log.error("redis forgot what it was told", extra={"sweeps": len(asked)})
        # Not before they were asked for: should that fail, the next look finds the same.
        memory.keep(pulse)
        _make_up_for_suspects(runtime)
        stop.wait(LOOK_EVERY_S)

    return watch


def _make_up_for_suspects(runtime: Runtime) -> None:
    for suspect in runtime.ledger.suspects.all():
        loss = _LOSSES[suspect.reason]
        asked = make_up_for(loss, [suspect.registry], runtime.ledger, runtime.rules)
        log.warning(
            "notifications may be lost",
            extra={"registry": suspect.registry, "why": loss.value, "sweeps": len(asked)},
        )
        runtime.ledger.suspects.clear(suspect)


def _recalled(place: Path) -> Pulse | None:
    try:
        return _PULSE.validate_json(place.read_bytes())
    except (OSError, ValidationError):
        return None

"""The scheduler's third loop: asks for the comparisons that are due, and has each made by a process of its own.

A comparison of a hundred thousand references would hold up router and dispatcher if it ran beside them.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable

from replicator.errors import ReplicatorError
from replicator.ledger import SweepKind, Sweeps, SweepView
from replicator.resync import Tools, agenda, carry_out, troubles_of
from replicator.runtime import Runtime
from replicator.settings import Settings
from replicator.telemetry import setup_logging

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
RENEW_EVERY_S = 5.0
AGAIN_S = 60.0
AGAIN_CAP_S = 6 * 3600.0
AGAIN_TIMES = 16
"""What could not be read is looked for once more after 1, 2, 4 minutes and so on, for three days in all."""


def make_sweeper(runtime: Runtime, stop: threading.Event) -> Callable[[], None]:
    """One step of the loop: ask for what is due, make one comparison if one waits, else pause a moment."""

    def sweep() -> None:
        ask_for_due(runtime)
        taken = runtime.ledger.sweeps.take()
        if taken is None:
            stop.wait(LOOK_EVERY_S)
            return
        log.info("sweep begins", extra={"sweep": taken.id, "kind": taken.kind, "by": taken.by})
        # Spawned, not forked: this process has threads and connections. Daemonic: it ends with this process.
        process = multiprocessing.get_context("spawn").Process(
            target=run, args=(runtime.settings, taken.id), daemon=True
        )
        process.start()
        while process.is_alive() and not stop.is_set():
            runtime.ledger.sweeps.renew(taken.id)
            process.join(RENEW_EVERY_S)
        if process.is_alive():
            process.terminate()
            process.join()
            runtime.ledger.sweeps.give_back(taken.id)

    return sweep


def ask_for_due(runtime: Runtime) -> None:
    """Afterwards the sweeps that schedules and backfills want by now have been asked for, once."""
    sweeps = runtime.ledger.sweeps
    for errand in agenda(runtime.rules, sweeps.marks(), runtime.ledger.view.now()):
        if errand.request is None:
            sweeps.mark(errand.mark, errand.value)
        elif asked := sweeps.ask(
            SweepKind.RESYNC,
            errand.request.json,
            subject=errand.subject,
            by=errand.by,
            mark=(errand.mark, errand.value),
            is_owed=errand.is_owed,
        ):
            log.info("sweep asked for", extra={"sweep": asked, "by": errand.by, "rule": errand.subject})


def run(settings: Settings, sweep_id: str) -> None:
    """Make the comparison, in a process of its own, and note what came of it."""
    setup_logging(settings.log_level, settings.log_format)
    _end_with_parent()
    runtime = Runtime(settings, keeps_rules=True)
    sweeps = runtime.ledger.sweeps
    view = sweeps.view(sweep_id)
    if view is None:
        return
    try:
        result = carry_out(view, Tools(runtime.ledger, runtime.rules, runtime.client))
    except ReplicatorError as exc:
        log.warning("sweep failed", extra={"sweep": sweep_id, "why": str(exc)})
        sweeps.end(sweep_id, error=str(exc))
    else:
        _settle(sweeps, view, result)
    finally:
        runtime.close()


def _end_with_parent() -> None:
    """A scheduler that is killed takes its comparison along: another makes it again, and two would make it twice."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _settle(sweeps: Sweeps, view: SweepView, result: str) -> None:
    """The comparison is done, or to be made again because nobody else would look at what could not be read."""
    troubles = troubles_of(result) if view.is_owed and view.postponed < AGAIN_TIMES else []
    if troubles:
        delay_s = min(AGAIN_S * 2.0**view.postponed, AGAIN_CAP_S)
        log.warning("sweep postponed", extra={"sweep": view.id, "delay_s": delay_s, "why": troubles[0]})
        sweeps.postpone(view.id, delay_s, troubles[0])
        return
    log.info("sweep ended", extra={"sweep": view.id})
    sweeps.end(view.id, result=result)

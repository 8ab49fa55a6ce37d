"""The scheduler's third loop: asks for the comparisons that are due, and has each made by a process of its own.

A comparison of a hundred thousand references would hold up router and dispatcher if it ran beside them.
"""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable

from replicator.errors import ReplicatorError, TemporaryError
from replicator.ledger import Sweeps, SweepView
from replicator.resync import Tools, agenda, ask, carry_out, held_back_of, troubles_of
from replicator.runtime import Runtime
from replicator.settings import Settings
from replicator.telemetry import setup_logging

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
RENEW_EVERY_S = 5.0
AGAIN_S = 60.0
AGAIN_CAP_S = 6 * 3600.0
AGAIN_TIMES = 16
"""What could not be read is looked for once more after 1, 2, 4 minutes and so on, for two days in all."""


def make_sweeper(runtime: Runtime, stop: threading.Event) -> Callable[[], None]:
    """One step of the loop: ask for what is due, make one comparison if one waits, else pause a moment."""
    # Not forked from here: this process has threads and connections. The server that forks has read the modules, once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])

    def sweep() -> None:
        ask_for_due(runtime)
        taken = runtime.ledger.sweeps.take()
        if taken is None:
            runtime.ledger.sweeps.wait(LOOK_EVERY_S)
            return
        log.info("sweep begins", extra={"sweep": taken.id, "kind": taken.kind, "by": taken.by})
        # Daemonic: it ends with this process.
        process = context.Process(target=run, args=(runtime.settings, taken.id), daemon=True)
        process.start()
        try:
            while process.is_alive() and not stop.is_set():
                runtime.ledger.sweeps.renew(taken.id)
                process.join(RENEW_EVERY_S)
        finally:
            # Redis did not answer, or we stop: nobody would look after it any more, and it is made again.
            if process.is_alive():
                process.terminate()
                process.join()
                runtime.ledger.sweeps.give_back(taken.id)

    return sweep


def ask_for_due(runtime: Runtime) -> None:
    """Afterwards the sweeps that schedules and backfills want by now have been asked for, once."""
    sweeps = runtime.ledger.sweeps
    for errand in agenda(runtime.rules, sweeps.marks(), runtime.ledger.view.now()):
        if asked := ask(errand, sweeps):
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
        fail(sweeps, view, exc)
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


def fail(sweeps: Sweeps, view: SweepView, error: ReplicatorError) -> None:
    """The comparison has failed, or is to be made again if that may help and nobody else would make it."""
    if not (isinstance(error, TemporaryError) and _is_postponed(sweeps, view, str(error))):
        log.warning("sweep failed", extra={"sweep": view.id, "why": str(error)})
        sweeps.end(view.id, error=str(error))


def _settle(sweeps: Sweeps, view: SweepView, result: str) -> None:
    troubles = troubles_of(result) if view.is_owed else []
    if not (troubles and _is_postponed(sweeps, view, troubles[0])):
        for sentence in held_back_of(result):
            log.warning("sweep holds deletes back", extra={"sweep": view.id, "why": sentence})
        log.info("sweep ended", extra={"sweep": view.id})
        sweeps.end(view.id, result=result)


def _is_postponed(sweeps: Sweeps, view: SweepView, why: str) -> bool:
    """Has an owed comparison made again, longer after each time; False if it is not owed, or was tried too often."""
    if not view.is_owed or view.postponed >= AGAIN_TIMES:
        return False
    delay_s = min(AGAIN_S * 2.0**view.postponed, AGAIN_CAP_S)
    log.warning("sweep postponed", extra={"sweep": view.id, "delay_s": delay_s, "why": why})
    sweeps.postpone(view.id, delay_s, why)
    return True

"""The scheduler's loops. They keep nothing in memory that is missed after them: any number of schedulers may run.

router       inbox → jobs
dispatcher   due jobs → doorbells, within each destination's share of the workers
sweeper      schedules, new rules, the API → comparisons: see `sweeps`
watcher      a Redis that forgot → comparisons: see `watch`
"""

import logging
import platform
import threading
import time
import uuid
from collections.abc import Callable, Collection

from replicator.errors import ReplicatorError
from replicator.intake import take_in
from replicator.jobs import Crew, doorbells_at_once
from replicator.ledger import Pause, PauseKind
from replicator.limits import eased
from replicator.rules import RuleSet
from replicator.runtime import Runtime
from workers.sweeps import make_sweeper
from workers.watch import make_watcher

log = logging.getLogger(__name__)

POLL_S = 0.5
"""The longest time between two looks at the ledger when nothing wakes us."""
PAUSE_AFTER_FAILURE_S = 0.5
BREATH_S = 0.02
JOBS_A_DOORBELL = 25
"""Jobs of one repository that are rung for together. More would share little more, and take longer to hand back."""


def run_scheduler(runtime: Runtime, stop: threading.Event) -> None:
    """Route, dispatch and compare until `stop` is set."""
    steps = (
        _router(runtime),
        _dispatcher(runtime),
        make_sweeper(runtime, stop),
        make_watcher(runtime, stop),
    )
    threads = [threading.Thread(target=_forever, args=(step, stop), name=step.__name__) for step in steps]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join()


def _forever(step: Callable[[], None], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            step()
        except ReplicatorError as exc:
            log.warning("loop waits", extra={"loop": step.__name__, "why": str(exc)})
            stop.wait(PAUSE_AFTER_FAILURE_S)
        except Exception:
            log.exception("loop broke", extra={"loop": step.__name__})
            stop.wait(PAUSE_AFTER_FAILURE_S)


def _router(runtime: Runtime) -> Callable[[], None]:
    inbox = runtime.ledger.inbox(f"{platform.node()}-{uuid.uuid4().hex[:8]}")

    def route() -> None:
        for notification in inbox.read(block_s=POLL_S):
            try:
                take_in(notification, rules=runtime.rules, ledger=runtime.ledger, inbox=inbox)
            except ReplicatorError:
                raise
            except Exception as exc:
                # A bug of ours must not stand in the way of every later event: the body is kept, and visible.
                log.exception("notification broke the router", extra={"notification": notification.id})
                inbox.bury(notification, f"internal error: {type(exc).__name__}")

    return route


def _dispatcher(runtime: Runtime) -> Callable[[], None]:
    ledger, availability = runtime.ledger, runtime.ledger.availability
    told: set[Crew] = set()
    paused: dict[tuple[PauseKind, str], Pause] = {}

    def dispatch() -> None:
        rules = runtime.rules
        pauses = ledger.pauses.all()
        _tell_pauses(pauses, paused)
        for rule_names in _halved(pauses, rules):
            ledger.pauses.spread(rule_names)
        names = ledger.destinations() | set(rules.destinations)
        crews = ledger.crews()
        _warn_of_short(crews, rules.destinations, told)
        soonest, has_rung = POLL_S, False
        for name in sorted(names):
            footing = availability.footing(name)
            if footing.rest_s > 0:
                continue
            registry = rules.registries.get(name)
            limit = registry.limits.concurrency if registry else None
            share = doorbells_at_once(name, crews=crews, destinations=rules.destinations, limit=limit)
            bells, most = eased(footing.jobs, doorbells=share, most=JOBS_A_DOORBELL)
            due = ledger.dispatch(name, bells, most=most)
            if due:
                runtime.bell.ring(name, due)
                has_rung = True
            next_due = ledger.next_due(name)
            if next_due is not None and next_due > 0:
                soonest = min(soonest, next_due)
        if not has_rung:
            # Every job that ends wakes us where others wait, and mostly there is no place yet for their doorbell.
            time.sleep(BREATH_S)
        ledger.wait(max(0.01, soonest))

    return dispatch


def _halved(pauses: list[Pause], rules: RuleSet) -> list[tuple[str, ...]]:
    """All names of each rule that is paused under some of them, because it was renamed."""
    resting = {pause.name for pause in pauses if pause.kind is PauseKind.RULE}
    return [
        rule.names for rule in rules.rules if resting.intersection(rule.names) not in (set(), {*rule.names})
    ]


def _tell_pauses(pauses: list[Pause], told: dict[tuple[PauseKind, str], Pause]) -> None:
    """Say once of each pause that it began, and that it ended."""
    now = {(pause.kind, pause.name): pause for pause in pauses}
    for key, pause in now.items():
        if told.get(key) != pause:
            log.warning("paused", extra={"kind": pause.kind, "subject": pause.name, "why": pause.reason})
    for kind, name in told.keys() - now.keys():
        log.info("resumed", extra={"kind": kind, "subject": name})
    told.clear()
    told.update(now)


def _warn_of_short(crews: list[Crew], destinations: Collection[str], told: set[Crew]) -> None:
    """Say once of each crew that one destination that hangs could take all of its slots."""
    for crew in crews:
        needed = crew.load(destinations)
        if crew.slots < needed and crew not in told:
            told.add(crew)
            log.warning(
                "fewer slots than destinations",
                extra={"slots": crew.slots, "destinations": needed, "only": sorted(crew.destinations)},
            )

"""Says, as long as the receiver runs, that notifications are taken: a gap in that is one in what we heard."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from replicator.errors import TemporaryError
from replicator.ledger import Suspects
from replicator.rules import RuleSet

log = logging.getLogger(__name__)

BEAT_EVERY_S = 5.0


@contextmanager
def heartbeat(suspects: Suspects, rules: Callable[[], RuleSet], *, outage_s: float) -> Iterator[None]:
    """Within it every registry that notifies us is a suspect where nobody was there for `outage_s`.

    While Redis is away nothing is recorded, and nothing said: that is a gap, too.
    """
    stop = threading.Event()

    def beat() -> None:
        while not stop.is_set():
            try:
                names = [name for name, its in rules().registries.items() if its.webhook is not None]
                if suspects.listen(names, outage_s):
                    log.warning("nobody took notifications", extra={"longer_than_s": outage_s})
            except TemporaryError as exc:
                log.warning("no heartbeat", extra={"cause": str(exc)})
            stop.wait(min(BEAT_EVERY_S, outage_s / 4))

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(1)  # not longer, should Redis hang

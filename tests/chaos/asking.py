"""A sender that posts notifications all the time, and keeps what it was answered and how long that took."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chaos.roles import Fleet

PAUSE_S = 0.1


@dataclass
class Answers:
    """What was answered so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    waits_s: list[float] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    """The ids of notifications that were answered 202."""

    @property
    def slowest_s(self) -> float:
        """The longest wait for an answer."""
        return max(self.waits_s)


@contextmanager
def asking(fleet: Fleet) -> Iterator[Answers]:
    """Post, one after another, until the block ends."""
    answers, over = Answers(), threading.Event()

    def ask() -> None:
        while not over.wait(PAUSE_S):
            began = time.monotonic()
            answer = fleet.notify()
            answers.waits_s.append(time.monotonic() - began)
            answers.statuses[answer.status] += 1
            if answer.status == 202:
                answers.taken.append(answer.json()["id"])

    sender = threading.Thread(target=ask)
    sender.start()
    try:
        yield answers
    finally:
        over.set()
        sender.join()

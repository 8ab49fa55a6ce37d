"""Many small steps of work in a few threads, in memory that does not grow with their number.

A step gives results, and further steps that are to be done before any that nobody has begun with.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Later(Generic[T_co]):
    """A step that is still to be done, in any thread."""

    run: "Callable[[], Iterable[T_co | Later[T_co]]]"

    def results(self) -> "list[T_co | Later[T_co]]":
        """Do it."""
        return list(self.run())


def flow(first: Iterable[Later[T]], *, threads: int) -> Iterator[T]:
    """The results of all steps, in no order. `first` is read only as fast as its steps are done.

    What a step raises is raised here, and nothing more is begun. Whoever leaves early waits for nothing: what runs may
    be held up by a registry that does not answer, and comes to its end unseen.
    """
    upcoming, waiting = iter(first), list[Later[T]]()
    running: set[Future[list[T | Later[T]]]] = set()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="survey")
    try:
        while True:
            while len(running) < 2 * threads:
                step = waiting.pop() if waiting else next(upcoming, None)
                if step is None:
                    break
                running.add(pool.submit(step.results))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                for item in future.result():
                    if isinstance(item, Later):
                        waiting.append(item)
                    else:
                        yield item
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
